// The journal's reader on bytes that somebody else has chosen: it answers, it does not take long, and what it serves of
// a journal that was only damaged was written once.
//
// An input is a program that harms a journal: which one, what is signed again afterwards (so that checksums do not keep
// the fuzzer out), and steps. Built by clang as a libFuzzer target; tools/fuzz runs it.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "tests/journal/random_journal.h"

namespace ringmill::test {
namespace {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  bool is_empty() const noexcept { return rest_.empty(); }
  /// Zero where nothing is left.
  template <class T>
  T take() noexcept {
    T value{};
    const std::size_t count = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), count);
    rest_ = rest_.subspan(count);
    return value;
  }
  std::span<const std::uint8_t> take(std::size_t count) noexcept {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

struct Base {
  std::map<SlotNumber, std::vector<std::byte>> files;
  std::set<std::string> ever;
};

const Base& base_of(std::uint8_t seed) {
  static std::map<std::uint8_t, Base> bases;
  const auto known = bases.find(seed);
  if (known != bases.end()) return known->second;
  Base& base = bases[seed];
  if (seed == 0) {
    base.files[0].resize(8 * journal_unit);
    base.files[1].resize(8 * journal_unit);
  } else {
    RandomJournal journal(seed, 20 + seed);
    base.files = journal.written.device.files;
    base.ever = journal.ever();
  }
  return base;
}

void harm(MemoryDevice& device, Input& input) {
  constexpr std::size_t most_files = 24;
  const auto what = input.take<std::uint8_t>();
  auto picked = device.files.begin();
  std::advance(picked, static_cast<std::ptrdiff_t>(input.take<std::uint8_t>() % device.files.size()));
  std::vector<std::byte>& file = picked->second;
  const std::size_t units = file.size() / journal_unit;
  if (units == 0) return;
  const std::size_t unit = input.take<std::uint8_t>() % units * journal_unit;
  switch (what % 8) {
    case 0:
    case 1: {  // bytes, most of the time in a head
      const std::size_t at =
          unit + (what < 128 ? input.take<std::uint8_t>() % 160 : input.take<std::uint16_t>() % journal_unit);
      const auto bytes = input.take(std::min<std::size_t>(1 + input.take<std::uint8_t>() % 16, file.size() - at));
      std::ranges::copy(std::as_bytes(bytes), file.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    }
    case 2: {  // a whole field, to a small number
      const std::size_t at = unit + input.take<std::uint8_t>() % 20 * 4;
      const std::uint32_t value = input.take<std::uint16_t>();
      std::memcpy(&file[at], &value, sizeof value);
      break;
    }
    case 3:
      std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(unit), journal_unit, std::byte{});
      break;
    case 4:
      file.resize(unit + input.take<std::uint8_t>());
      break;
    case 5: {  // a unit from anywhere in the file
      const std::size_t from = input.take<std::uint8_t>() % units * journal_unit;
      std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(from), journal_unit,
                  file.begin() + static_cast<std::ptrdiff_t>(unit));
      break;
    }
    case 6:
      if (device.files.size() > 1) device.files.erase(picked);
      break;
    default:
      if (device.files.size() < most_files) {
        device.files.emplace(static_cast<SlotNumber>(device.files.rbegin()->first + 1), std::vector<std::byte>(file));
      }
      break;
  }
}

void sign(std::vector<std::byte>& file, bool heads, bool blocks) {
  if (file.size() < journal_unit) return;
  if (heads) {
    SegmentHead head;
    std::memcpy(&head, file.data(), sizeof head);
    head.checksum = checksum_of(head);
    std::memcpy(file.data(), &head, sizeof head);
  }
  // From behind, so that a block that reaches over others is signed last.
  for (std::size_t at = file.size() / journal_unit * journal_unit; blocks && (at -= journal_unit) != 0;) {
    BlockHead head;
    std::memcpy(&head, &file[at], sizeof head);
    if (head.magic != block_magic || head.bytes < journal_unit || head.bytes > file.size() - at) continue;
    head.checksum = checksum_of_block({&file[at], head.bytes});
    std::memcpy(&file[at], &head, sizeof head);
  }
}

void check(bool is_true, const char* what) {
  if (is_true) return;
  fmt::print(stderr, "broken: {}\n", what);
  std::abort();
}

void run(Input input) {
  const Base& base = base_of(input.take<std::uint8_t>() % 64);
  const auto signing = input.take<std::uint8_t>();
  MemoryDevice device;
  device.files = base.files;
  while (!input.is_empty()) harm(device, input);
  const bool heads = (signing & 1) != 0;
  const bool blocks = (signing & 2) != 0;
  for (auto& [slot, file] : device.files) sign(file, heads, blocks);
  const auto read = read_all(device);
  if (!read) {
    check(read.error().code() == ErrorCode::incompatible, "an error that is not `incompatible`");
    return;
  }
  std::uint64_t whole = 0;
  for (const auto& [slot, file] : device.files) whole += file.size();
  check(read->report.records == read->lines.size(), "a count of records that is not what was served");
  check(read->report.bytes <= whole, "more read than there is");
  if (heads || blocks) return;
  for (const std::string& line : read->lines) check(base.ever.contains(line), "a record that was never written");
}

}  // namespace
}  // namespace ringmill::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ringmill::test::run({data, size});
  return 0;
}
