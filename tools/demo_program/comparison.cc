#include "tools/demo_program/comparison.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <unordered_map>

#include "tools/demo_program/children.h"
#include "tools/demo_program/roles.h"

namespace ringmill::demo {

namespace {

constexpr std::size_t digest_digits = 64;

/// Path -> digest, as sha256sum says. A file that it cannot read is not in it.
std::unordered_map<std::string, std::string> run_sha256sum(const RunFolder& folder) {
  // -z: a zero byte ends each line, and no file name is escaped.
  Child child = Child::start({"/bin/sh", "-c", R"(exec xargs -0 -r sha256sum -z -- <"$1" >"$2" 2>"$3")", "sh",
                              folder.paths(), folder.reference(), folder.complaints()});
  child.wait();  // it fails when some file cannot be read: the digest is missing then
  std::unordered_map<std::string, std::string> digests;
  for (const std::string& record : read_records(folder.reference())) {
    if (record.size() < digest_digits + 2) throw std::runtime_error("sha256sum wrote something else: " + record);
    digests.emplace(record.substr(digest_digits + 2), record.substr(0, digest_digits));
  }
  return digests;
}

/// What the workers' ledgers say together.
struct Ledgers {
  /// Path -> its digests; the file of a job that ran again has several, of which the last counts.
  std::unordered_map<std::string, std::vector<std::string>> digests;
  /// Jobs that others than the victim ran to the end.
  std::set<std::string> run_by_survivors;
};

Ledgers read_ledgers(const RunFolder& folder) {
  Ledgers ledgers;
  for (int n = 0; n < workers; ++n) {
    for (LedgerRecord& record : read_ledger(folder.ledger(n))) {
      if (n != victim) ledgers.run_by_survivors.insert(record.job_id);
      ledgers.digests[record.path].push_back(std::move(record.digest));
    }
  }
  return ledgers;
}

struct Tally {
  std::array<std::uint64_t, level_names.size()> per_level{};
  std::uint64_t equal = 0;
  std::uint64_t unreadable = 0;
  std::uint64_t changed = 0;
  std::uint64_t different = 0;
  std::uint64_t lost = 0;
};

Tally tally_of(const Listing& listing, const Ledgers& ledgers,
               const std::unordered_map<std::string, std::string>& reference) {
  Tally tally;
  for (const ListedFile& file : listing.files) {
    ++tally.per_level[file.level];
    const auto ours = ledgers.digests.find(file.path);
    if (ours == ledgers.digests.end()) {
      ++tally.lost;
      fmt::print("lost: {}\n", file.path);
      continue;
    }
    const auto theirs = reference.find(file.path);
    const std::string expected = theirs == reference.end() ? unreadable : theirs->second;
    const bool equal = std::ranges::all_of(ours->second, [&](const std::string& digest) { return digest == expected; });
    if (equal) {
      ++(expected == unreadable ? tally.unreadable : tally.equal);
    } else if (facts_of(file.path) != file.facts) {
      ++tally.changed;
      fmt::print("changed while we ran, not compared: {}\n", file.path);
    } else {
      ++tally.different;
      fmt::print("different: {}\n  sha256sum  {}\n  ours       {}\n", file.path, expected,
                 fmt::join(ours->second, ", "));
    }
  }
  return tally;
}

void row(const char* name, std::uint64_t value) { fmt::print("  {:<44}{:>9}\n", name, value); }

void print_table(const Listing& listing, const RunResult& run, const Tally& tally, std::uint64_t run_again) {
  fmt::print("\n");
  row("jobs", listing.files.size());
  for (std::size_t n = 0; n < level_names.size(); ++n) {
    row(fmt::format("  of level {}", level_names[n]).c_str(), tally.per_level[n]);
  }
  row("held by the killed worker", run.held_by_victim.size());
  row("run again after the kill", run_again);
  row("digests equal to sha256sum's", tally.equal);
  if (tally.unreadable != 0) row("unreadable, for sha256sum too", tally.unreadable);
  if (tally.changed != 0) row("changed while we ran, not compared", tally.changed);
  if (listing.unreadable_folders != 0) row("folders that could not be listed", listing.unreadable_folders);
  row("different", tally.different);
  row("lost", tally.lost);
  row("jobs/s", static_cast<std::uint64_t>(static_cast<double>(listing.files.size()) / run.seconds.count()));
  fmt::print("\n");
}

}  // namespace

bool compare(const RunFolder& folder, const Listing& listing, const RunResult& run) {
  fmt::print("comparing with sha256sum ...\n");
  std::fflush(stdout);
  const auto reference = run_sha256sum(folder);
  const Ledgers ledgers = read_ledgers(folder);
  const Tally tally = tally_of(listing, ledgers, reference);
  std::uint64_t run_again = 0;
  for (const std::string& id : run.held_by_victim) run_again += ledgers.run_by_survivors.contains(id) ? 1U : 0U;
  print_table(listing, run, tally, run_again);
  const bool good = tally.different == 0 && tally.lost == 0 && run_again == run.held_by_victim.size();
  if (!good) {
    fmt::print("RESULT: failed: {} different, {} lost, {} of {} jobs of the killed worker run again\n", tally.different,
               tally.lost, run_again, run.held_by_victim.size());
    return false;
  }
  fmt::print("RESULT: {} of {} digests match sha256sum's, none lost{}{}\n", tally.equal, listing.files.size(),
             tally.unreadable + tally.changed == 0
                 ? ""
                 : fmt::format(" ({} unreadable, {} changed meanwhile)", tally.unreadable, tally.changed),
             run.killed ? "" : "; too few files to kill a worker in mid-run: name a larger folder");
  return true;
}

}  // namespace ringmill::demo
