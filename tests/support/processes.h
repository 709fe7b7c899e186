// Processes that a test did not start itself: those that a command of its has started.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/support/await.h"

namespace ringmill::test {

/// It runs no more: there is no such process, or only its status is left for its new parent.
inline bool is_gone(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return true;
  const std::size_t state = text.rfind(") ") + 2;  // the name before it may hold anything
  return text.at(state) == 'Z' || text.at(state) == 'X';
}

/// The process id that a command writes into a file, once it is there.
inline pid_t noted_pid(const std::filesystem::path& note) {
  std::string line;
  const bool is_there = await([&] {
    std::ifstream file(note);
    return std::getline(file, line) && !file.eof();  // with its end of line: written whole
  });
  if (!is_there) throw std::runtime_error("no process id in " + note.string());
  return std::stoi(line);
}

}  // namespace ringmill::test
