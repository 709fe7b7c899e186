// docs/patterns.md and docs/troubleshooting.md: every console block runs as it stands there, one after the other.
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ringmill/engine.h>

#include "tests/support/program.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

struct Block {
  std::string heading;
  std::string commands;
  std::string output;
};

/// A line after `$ ` is a command; one after `> ` goes on with it; what else stands there is what they print.
std::vector<Block> blocks_of_page(const std::string& name) {
  std::ifstream file(std::filesystem::path(RINGMILL_SOURCES) / "docs" / name);
  std::vector<Block> blocks;
  std::string heading;
  bool is_inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) heading = line.substr(3);
    if (line == "```console") {
      is_inside = true;
      blocks.push_back({.heading = heading, .commands = {}, .output = {}});
    } else if (line == "```") {
      is_inside = false;
    } else if (is_inside && (line.starts_with("$ ") || line.starts_with("> "))) {
      blocks.back().commands += line.substr(2) + "\n";
    } else if (is_inside) {
      blocks.back().output += line + "\n";
    }
  }
  return blocks;
}

void expect_to_go_as_it_shows(const std::string& page, std::size_t least_blocks) {
  const ScratchFolder folder;
  const auto here = [&](const std::string& text) {
    return std::regex_replace(text, std::regex("/tmp/"), folder.path().string() + "/");
  };
  const std::vector<Block> blocks = blocks_of_page(page);
  ASSERT_GE(blocks.size(), least_blocks);
  for (const Block& block : blocks) {
    const Ran ran =
        Program("/bin/sh", {"-c", "PATH=\"$1:$PATH\"; eval \"$2\"", "sh", RINGMILL_PROGRAMS, here(block.commands)})
            .end();
    EXPECT_EQ(ran.out, here(block.output)) << block.heading << "\n" << block.commands;
    EXPECT_EQ(ran.err, "") << block.heading << "\n" << block.commands;
  }
  static_cast<void>(Engine::remove(folder.path() / "mill", true));
}

TEST(Patterns, each_of_them_goes_as_its_page_shows) { expect_to_go_as_it_shows("patterns.md", 12); }

TEST(Troubleshooting, each_cause_is_found_as_its_page_shows) { expect_to_go_as_it_shows("troubleshooting.md", 8); }

}  // namespace
}  // namespace ringmill::test
