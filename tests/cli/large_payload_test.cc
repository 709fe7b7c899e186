// Payloads that do not fit a cell, on the command line.
#include <fstream>
#include <sstream>

#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class LargePayloads : public CommandLine {
 protected:
  LargePayloads() { init({"--capacity", "256", "--max-payload", "512KiB", "--arena", "2MiB"}); }

  std::string enqueue_large(const std::string& text, const std::vector<std::string>& more = {}) {
    const std::filesystem::path file = files_.path() / "payload";
    std::ofstream(file, std::ios::binary) << text;
    std::vector<std::string> words{"--kind", "k", "--payload-file", file};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = on_engine("enqueue", words);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    return ran.lines().at(0);
  }
  static std::string text_of(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t n = 0; n < bytes; ++n) text[n] = static_cast<char>('a' + n * 7 % 26);
    return text;
  }
  std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(files_.path() / name, std::ios::binary).rdbuf();
    return text.str();
  }

  ScratchFolder files_;
};

TEST_F(LargePayloads, status_tells_of_the_arena) {
  enqueue_large(text_of(400'000));
  const auto json = status();
  EXPECT_EQ(json["engine"]["max_payload"], 512 * 1024);
  EXPECT_EQ(json["memory"]["arena_bytes"], 2 << 20);
  EXPECT_EQ(json["memory"]["arena_used"], 512 * 1024);
  EXPECT_NE(on_engine("status").out.find("an arena of 2"), std::string::npos) << on_engine("status").out;
}

TEST_F(LargePayloads, a_worker_gets_them_whole_also_after_a_reboot) {
  const std::string text = text_of(500'000);
  const std::string id = enqueue_large(text, {"--durability", "durable"});
  std::filesystem::remove(segment_file());
  EXPECT_EQ(on_engine("recover").exit_code, 0);
  EXPECT_EQ(on_engine("job", {id, "--json"}).json()["payload_size"], 500'000);
  const std::string out = files_.path() / "out";
  EXPECT_EQ(on_engine("work", {"--exec", "cat > " + out, "--drain"}).exit_code, 0);
  EXPECT_TRUE(read("out") == text);
}

TEST_F(LargePayloads, dump_shows_and_checks_them) {
  const std::string text = text_of(70'000);
  enqueue_large(text, {"--durability", "durable"});
  EXPECT_TRUE(on_engine("dump", {"--payload", "--json"}).json()["payload"] == text);
  EXPECT_EQ(on_engine("dump", {"--check"}).exit_code, 0);
  const Ran journal = on_engine("dump", {"--journal", "--json"});
  EXPECT_NE(journal.out.find(R"("type":"part")"), std::string::npos);
  EXPECT_NE(journal.out.find(R"("type":"large_job")"), std::string::npos);
  EXPECT_EQ(on_engine("verify", {"--json"}).json()["jobs_live"], 1);
}

TEST_F(LargePayloads, too_long_a_payload_is_refused_and_a_full_arena_answers_no) {
  std::ofstream(files_.path() / "payload") << text_of(512 * 1024 + 1);
  expect_error(on_engine("enqueue", {"--kind", "k", "--payload-file", files_.path() / "payload"}), 2, "524288");
  for (int n = 0; n < 4; ++n) enqueue_large(text_of(500'000));
  // The file holds the last one.
  expect_error(
      on_engine("enqueue", {"--kind", "k", "--payload-file", files_.path() / "payload", "--wait-for-room", "10ms"}), 1,
      "full");
  EXPECT_EQ(on_engine("enqueue", {"--kind", "k", "--payload", "small"}).exit_code, 0);
}

TEST_F(LargePayloads, a_dead_one_can_be_exported_and_tried_again) {
  const std::string text = text_of(300'000);
  const std::string id = enqueue_large(text, {"--max-attempts", "1"});
  EXPECT_EQ(on_engine("work", {"--exec", "exit 100", "--drain"}).exit_code, 0);
  const Ran exported = on_engine("dead", {"export", "--all"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_TRUE(nlohmann::json::parse(exported.lines().at(0))["payload"] == text);
  EXPECT_EQ(on_engine("enqueue", {"--from-json", "-"}, exported.out).exit_code, 0);
  EXPECT_EQ(on_engine("dead", {"retry", "--all"}).exit_code, 0);
  const std::string out = files_.path() / "out";
  EXPECT_EQ(on_engine("work", {"--exec", "cat >> " + out, "--drain"}).exit_code, 0);
  EXPECT_TRUE(read("out") == text + text);
}

}  // namespace
}  // namespace ringmill::test
