// Where `ringmill enqueue` takes its jobs from. Input is streamed: in memory are one buffer and one line of it at most.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "ipc/file.h"
#include "tools/cli/job_options.h"

namespace ringmill::cli {

/// One job to be enqueued, as the input says it. Where it says nothing, the command line's words hold.
struct InputJob {
  std::string payload{};
  std::optional<std::string> kind{};
  std::optional<std::string> level{};
  std::optional<std::chrono::nanoseconds> lease{};
  OptionWords options{};
};

/// Reads lines of a file, or of standard input ("-").
class LineReader {
 public:
  static Result<LineReader> open(const std::filesystem::path& path, std::size_t most_bytes);

  /// The next line without its newline; false at the end. The last line needs no newline. Error too_large.
  Result<bool> next(std::string_view& line);
  /// True when next() answers without reading, so without waiting for the writer.
  bool has_next() const noexcept;
  /// Counts from 1: the line that next() gave, or failed at.
  std::uint64_t number() const noexcept { return number_; }

 private:
  LineReader(File file, int descriptor, std::size_t most_bytes, std::string name)
      : file_(std::move(file)), descriptor_(descriptor), most_bytes_(most_bytes), name_(std::move(name)) {}

  File file_;  // not open for standard input
  int descriptor_;
  std::size_t most_bytes_;
  std::string name_;
  std::string buffer_;
  std::size_t begin_ = 0;
  bool ended_ = false;
  std::uint64_t number_ = 0;
};

/// A whole file, or standard input ("-"), of at most `most_bytes`. Error too_large.
Result<std::string> read_payload_file(const std::filesystem::path& path, std::size_t most_bytes);

/// Reads a JSON object with the keys kind, level, timeout, those of read_option(), and payload (a string, or any JSON
/// value, which is enqueued as its text stands in the line) or payload_base64. The key dead, which `ringmill dead
/// export` writes, is passed over. Error invalid_argument; an unknown key is one, and a key that stands twice.
Result<InputJob> parse_json_job(std::string_view line);

}  // namespace ringmill::cli
