// Looking at an engine that may only be read: nothing is written, nothing is held up.
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "tests/cli/command_line.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

/// On a read-only bind mount of the engine's directory, in a mount namespace of its own.
int with_read_only_mount(const std::filesystem::path& directory, const std::function<int()>& body) {
  const char* const path = directory.c_str();
  const bool is_mounted = ::unshare(CLONE_NEWNS) == 0 &&
                          ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                          ::mount(path, path, nullptr, MS_BIND, nullptr) == 0 &&
                          ::mount("none", path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
  return is_mounted ? body() : 98;
}

TEST(ReadOnlyMount, a_user_with_read_access_only_can_look) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a directory read-only";
  const ScratchEngine scratch;
  const std::string directory = scratch.directory().string();
  const Ran made = ringmill({"enqueue", directory, "--kind", "test", "--payload", "x", "--durability", "durable"});
  ASSERT_EQ(made.exit_code, 0) << testing::PrintToString(made);
  const std::string id = made.lines().at(0);
  const std::vector<std::pair<std::vector<std::string>, int>> looks{
      {{"status", directory}, 0},        {{"status", directory, "--json"}, 0},
      {{"dump", directory}, 0},          {{"dump", directory, "--check"}, 0},
      {{"job", directory, id}, 0},       {{"explain", directory, id}, 0},
      {{"level", directory, "list"}, 0}, {{"limit", directory}, 0},
      {{"dead", directory, "list"}, 0},  {{"schedule", directory, "list"}, 0},
      {{"verify", directory}, 0},        {{"wait", directory, id, "--timeout", "50ms"}, 1}};
  Child reader([&] {
    return with_read_only_mount(scratch.directory(), [&] {
      int number = 0;
      for (const auto& [words, expected] : looks) {
        ++number;
        const Ran ran = ringmill(words);
        if (ran.exit_code == expected) continue;
        std::fprintf(stderr, "%s: %d, %s%s\n", words[0].c_str(), ran.exit_code, ran.out.c_str(), ran.err.c_str());
        return number;
      }
      return 0;
    });
  });
  EXPECT_EQ(reader.wait(), 0);
}

TEST(ReadOnlyMount, a_job_that_ends_is_waited_for_by_what_may_only_read) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a directory read-only";
  const ScratchEngine scratch;
  const std::string directory = scratch.directory().string();
  const std::string id =
      ringmill({"enqueue", directory, "--kind", "test", "--payload", "x", "--keep-result", "1h"}).lines().at(0);
  Child reader([&] {
    return with_read_only_mount(scratch.directory(), [&] {
      const Ran ran = ringmill({"wait", directory, id, "--timeout", "30s"});
      return ran.exit_code == 0 && ran.out == "done" ? 0 : 1;
    });
  });
  EXPECT_EQ(ringmill({"work", directory, "--exec", "printf done", "--drain"}).exit_code, 0);
  EXPECT_EQ(reader.wait(), 0);
}

/// A user with read access only.
TEST(ReaderOfTheCommandLine, looks_and_gets_an_error_where_write_access_is_needed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  CreateOptions options = small_engine();
  options.mode = 0755;
  const ScratchEngine scratch(options);
  for (const auto& folder : {scratch.directory().parent_path(), scratch.place().shm_dir()}) {
    ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
  }
  const std::string directory = scratch.directory().string();
  const std::string waiting = ringmill({"enqueue", directory, "--kind", "test"}).lines().at(0);
  const std::string ended = ringmill({"enqueue", directory, "--kind", "brief"}).lines().at(0);
  const std::string dead = ringmill({"enqueue", directory, "--kind", "bad"}).lines().at(0);
  ASSERT_EQ(ringmill({"work", directory, "--kind", "brief", "--exec", "true", "--drain"}).exit_code, 0);
  ASSERT_EQ(ringmill({"work", directory, "--kind", "bad", "--exec", "exit 100", "--drain"}).exit_code, 0);
  ASSERT_TRUE(await([&] { return !ringmill({"dead", directory, "list", "--json"}).out.empty(); }));
  Child reader([&] {
    constexpr uid_t other_user = 12345;
    if (::setgroups(0, nullptr) != 0 || ::setgid(other_user) != 0 || ::setuid(other_user) != 0) return 99;
    int number = 0;
    const auto is = [&number](int exit_code, const std::vector<std::string>& words, const std::string& part = "") {
      ++number;
      const Ran ran = ringmill(words);
      if (ran.exit_code == exit_code && (ran.out + ran.err).find(part) != std::string::npos) return true;
      std::fprintf(stderr, "%s: %d, %s%s\n", words[0].c_str(), ran.exit_code, ran.out.c_str(), ran.err.c_str());
      return false;
    };
    const bool all = is(0, {"status", directory}) && is(0, {"status", directory, "--json"}) &&
                     is(0, {"dump", directory, "--check"}, "every invariant holds") &&
                     is(0, {"job", directory, waiting}, "queued") &&
                     is(0, {"job", directory, ended}, "cannot tell whether the job has a dead letter") &&
                     is(0, {"explain", directory, waiting}) && is(0, {"explain", directory, dead}) &&
                     is(0, {"level", directory, "list"}) && is(0, {"limit", directory}) &&
                     is(1, {"wait", directory, waiting, "--timeout", "50ms"}) &&
                     is(3, {"dead", directory, "list"}, "Permission denied") &&
                     is(3, {"enqueue", directory, "--kind", "k"});
    return all ? 0 : number;
  });
  EXPECT_EQ(reader.wait(), 0);
}

}  // namespace
}  // namespace ringmill::test
