// Words of others that come from paths, files and shared memory: no command lets a control through.
#include <fstream>
#include <iterator>

#include "core/base/log.h"
#include "core/journal/file_names.h"
#include "tests/cli/command_line.h"
#include "tests/cli/hostile_text.h"
#include "tests/journal/hand_written.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Each command that looks at an engine, or changes it and says so, with words that fit.
const std::vector<Words>& looks() {
  static const std::vector<Words> all{
      {"status"},
      {"status", "--json"},
      {"dump"},
      {"dump", "--json", "--payload"},
      {"dump", "--check", "--at-rest"},
      {"dump", "--rings"},
      {"dump", "--participants"},
      {"dump", "--journal", "--payload"},
      {"dump", "--journal", "--payload", "--json"},
      {"dump", "--dead"},
      {"dump", "--kind", "k"},
      {"job", "0000000001000000"},
      {"job", "0000000001000000", "--json"},
      {"explain", "0000000001000000"},
      {"wait", "0000000001000000", "--timeout", "10ms"},
      {"cancel", "0000000001000007"},
      {"forget", "0000000001000007"},
      {"verify"},
      {"verify", "--json"},
      {"level", "list"},
      {"level", "add", "new"},
      {"level", "remove", "new"},
      {"limit"},
      {"limit", "--kind", "k", "--concurrency", "1"},
      {"pause", "--kind", "k"},
      {"resume", "--kind", "k"},
      {"schedule", "list"},
      {"schedule", "add", "s", "--every", "1m", "--kind", "k"},
      {"dead", "list"},
      {"dead", "purge", "--all"},
      {"enqueue", "--kind", "k", "--payload", "x"},
      {"work", "--exec", "true", "--drain"},
      {"recover"},
      {"recover", "--from-journal"},
      {"remove"},
  };
  return all;
}

Words words_of(const Words& look, const fs::path& engine) {
  Words words{look.front(), engine};
  words.insert(words.end(), look.begin() + 1, look.end());
  return words;
}

class HostileTextInFiles : public CommandLine {
 protected:
  void look_at_all(const std::string& text, const fs::path& engine) {
    for (const Words& look : looks()) {
      const Ran ran = ringmill(words_of(look, engine));
      EXPECT_GE(ran.exit_code, 0) << look.front();
      expect_escaped(ran, text, look.front());
    }
  }
  /// An engine whose segment is the only one in this test's tmpfs folder.
  void make_anew(const Words& options) {
    for (const std::string& name : place_.shm_names()) fs::remove(place_.shm_dir() / name);
    ASSERT_EQ(init(options).exit_code, 0);
  }
  static std::string bytes_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void put(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  void replace_in(const fs::path& path, std::string_view old, std::string_view fresh) {
    std::string bytes = bytes_of(path);
    const std::size_t at = bytes.find(old);
    ASSERT_NE(at, std::string::npos) << path;
    bytes.replace(at, old.size(), fresh);
    put(path, bytes);
  }
};

TEST_F(HostileTextInFiles, no_name_of_an_engines_directory_reaches_the_terminal_as_it_is) {
  const std::string text = whole_corpus();
  const fs::path engine = place_.directory().parent_path() / ("engine" + text);
  const Ran made = ringmill({"init", engine, "--shm-dir", place_.shm_dir(), "--capacity", "64"});
  EXPECT_EQ(made.exit_code, 0);
  expect_escaped(made, text, "init");
  look_at_all(text, engine);
  look_at_all(text, engine);  // it is gone
}

TEST_F(HostileTextInFiles, no_word_of_engine_json_reaches_the_terminal_as_it_is) {
  const std::string before = bytes_of(place_.directory() / "engine.json");
  for (const std::string& text : corpus()) {
    if (!is_utf8(text)) continue;
    const std::string quoted = nlohmann::json("/" + text).dump(-1, ' ', true);
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
             {"shm_dir", quoted}, {"id", quoted}, {"levels", "[" + quoted + "]"}, {"capacity", quoted}, {text, "1"}}) {
      auto json = nlohmann::json::parse(before);
      json[key] = nlohmann::json::parse(value);
      put(place_.directory() / "engine.json", json.dump());
      for (const Words& look : {Words{"status"}, Words{"recover"}, Words{"enqueue", "--kind", "k", "--payload", "x"}}) {
        expect_escaped(ringmill(words_of(look, place_.directory())), text, key);
      }
    }
    put(place_.directory() / "engine.json", before);
  }
}

TEST_F(HostileTextInFiles, no_name_in_the_lists_of_levels_and_rules_reaches_the_terminal_as_it_is) {
  ASSERT_EQ(on_engine("level", {"add", "tenant"}).exit_code, 0);
  ASSERT_EQ(on_engine("pause", {"--kind", "k"}).exit_code, 0);
  for (const std::string& text : corpus()) {
    if (!is_utf8(text)) continue;
    for (const char* const file : {"levels.json", "flow-control.json"}) {
      const fs::path path = place_.directory() / file;
      const std::string before = bytes_of(path);
      const std::string quoted = nlohmann::json(text).dump();
      replace_in(path, file == std::string("levels.json") ? "\"tenant\"" : "\"k\"", quoted);
      for (const Words& look : {Words{"status"}, Words{"level", "list"}, Words{"level", "add", "other"}, Words{"limit"},
                                Words{"pause", "--kind", "j"}, Words{"work", "--exec", "true", "--drain"},
                                Words{"recover", "--from-journal"}}) {
        expect_escaped(ringmill(words_of(look, place_.directory())), text, file);
      }
      put(path, before);
    }
  }
}

TEST_F(HostileTextInFiles, no_name_text_or_payload_in_a_journal_reaches_the_terminal_as_it_is) {
  for (const std::string& text : {whole_corpus(), corpus().front()}) {
    make_anew({"--capacity", "64"});
    const auto json = nlohmann::json::parse(bytes_of(place_.directory() / "engine.json"));
    HandWritten journal;
    journal.engine_id = std::strtoull(json["id"].get<std::string>().c_str(), nullptr, 16);
    journal.segment_bytes = json["journal"]["segment_bytes"];
    journal.begin(0);
    const JobId id(std::uint64_t{1} << 24);
    journal.block_of([&](BlockBuilder& builder) {
      builder.append_kind(1, text);
      builder.append_retry_policy(1, text);
      const auto bytes = static_cast<std::uint32_t>(text.size());
      const auto to = builder.append_job(
          {.payload_bytes = bytes, .id = id.value(), .enqueued_at_ms_and_attempts = 1'764'000'000'000, .kind = 1});
      std::memcpy(to.data(), text.data(), text.size());
      const auto error = builder.append_change({.text_bytes = static_cast<std::uint16_t>(bytes), .id = id.value()});
      std::memcpy(error.data(), text.data(), text.size());
    });
    fs::create_directories(place_.directory() / "journal");
    std::ofstream(place_.directory() / "journal" / file_name_of(0), std::ios::binary)
        .write(reinterpret_cast<const char*>(journal.file().data()),
               static_cast<std::streamsize>(journal.file().size()));
    fs::remove(segment_file());
    expect_escaped(on_engine("verify"), text, "verify");
    expect_escaped(on_engine("recover"), text, "recover");
    look_at_all(text, place_.directory());
  }
}

TEST_F(HostileTextInFiles, no_name_in_shared_memory_reaches_the_terminal_as_it_is) {
  for (const std::string_view text : {"\x1b[31m",
                                      "\xc2\x9b"
                                      "31m",
                                      "a\nb\rc", "\xff\xfe\xfd\xfc\xfb", "\xe2\x80\xaexy"}) {
    make_anew({"--capacity", "64", "--levels", "levelab,low"});
    const std::string id =
        on_engine("enqueue", {"--kind", "greet", "--payload", "hello", "--level", "low"}).lines().at(0);
    replace_in(segment_file(), "greet", text);
    replace_in(segment_file(), "elab", text.substr(0, 4));
    for (const Words& look : {Words{"job", id}, Words{"job", id, "--json"}, Words{"explain", id}}) {
      expect_escaped(ringmill(words_of(look, place_.directory())), std::string(text), look.front());
    }
    for (const Words& look : {Words{"status"}, Words{"status", "--json"}, Words{"dump"}, Words{"dump", "--json"},
                              Words{"dump", "--check"}, Words{"dump", "--rings"}, Words{"level", "list"},
                              Words{"limit", "--kind", "k", "--rate", "1/s"}, Words{"limit"}, Words{"verify"}}) {
      expect_escaped(ringmill(words_of(look, place_.directory())), std::string(text), look.front());
    }
  }
}

TEST(HostileErrors, a_message_of_the_library_is_one_line_that_no_terminal_obeys) {
  for (const std::string& text : corpus()) {
    const std::string message = Error(ErrorCode::system, "cannot open", text + "\nforged").message();
    EXPECT_TRUE(is_escaped(message)) << shown(message);
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  EXPECT_EQ(Error(ErrorCode::system, "cannot open", "/tmp/a\\b").message(), "cannot open: /tmp/a\\b");
}

}  // namespace
}  // namespace ringmill::test
