#include "tools/cli/job_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/base64.h"
#include "core/base/values.h"
#include "tools/cli/json_line.h"

namespace ringmill::cli {

namespace {

constexpr std::size_t read_bytes = 64 * 1024;

/// Opens unless the path is "-". Unlike the engine's own files, an input may be a symbolic link.
Result<File> open_input(const std::filesystem::path& path) {
  if (path == "-") return File();
  File file = File::above_standard(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(system_error("cannot open", path));
  return file;
}

/// Appends up to `most` bytes; 0 at the end.
Result<std::size_t> read_some(int descriptor, std::string& buffer, std::size_t most, const std::string& name) {
  const std::size_t old_size = buffer.size();
  buffer.resize(old_size + most);
  ssize_t got = 0;
  do {
    got = ::read(descriptor, buffer.data() + old_size, most);
  } while (got < 0 && errno == EINTR);
  buffer.resize(old_size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return std::unexpected(system_error("cannot read", name));
  return static_cast<std::size_t>(got);
}

}  // namespace

Result<LineReader> LineReader::open(const std::filesystem::path& path, std::size_t most_bytes) {
  auto file = open_input(path);
  if (!file) return std::unexpected(file.error());
  const int descriptor = *file ? file->descriptor() : STDIN_FILENO;
  return LineReader(std::move(*file), descriptor, most_bytes, path == "-" ? "standard input" : path.string());
}

bool LineReader::has_next() const noexcept { return ended_ || buffer_.find('\n', begin_) != std::string::npos; }

Result<bool> LineReader::next(std::string_view& line) {
  std::size_t searched = begin_;
  while (true) {
    std::size_t end = buffer_.find('\n', searched);
    if (end == std::string::npos && ended_) {
      if (begin_ == buffer_.size()) return false;
      end = buffer_.size();
    }
    if (end != std::string::npos || buffer_.size() - begin_ > most_bytes_) {
      ++number_;
      line = std::string_view(buffer_).substr(begin_, end == std::string::npos ? end : end - begin_);
      if (line.size() > most_bytes_) {
        return std::unexpected(
            Error(ErrorCode::too_large, "the line is longer than a payload may be",
                  std::to_string(most_bytes_) + " bytes; `ringmill resize` with a larger --max-payload makes room"));
      }
      begin_ = std::min(end + 1, buffer_.size());
      return true;
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    const auto got = read_some(descriptor_, buffer_, read_bytes, name_);
    if (!got) return std::unexpected(got.error());
    ended_ = *got == 0;
  }
}

Result<std::string> read_payload_file(const std::filesystem::path& path, std::size_t most_bytes) {
  auto file = open_input(path);
  if (!file) return std::unexpected(file.error());
  std::string payload;
  while (payload.size() <= most_bytes) {
    const auto got =
        read_some(*file ? file->descriptor() : STDIN_FILENO, payload, most_bytes + 1 - payload.size(), path);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return payload;
  }
  return std::unexpected(Error(ErrorCode::too_large, "the file is longer than a payload may be",
                               path.string() + ", at most " + std::to_string(most_bytes) +
                                   " bytes; `ringmill resize` with a larger --max-payload makes room"));
}

namespace {

/// No kind, level, time or policy is longer. What is, is no word.
constexpr std::size_t most_word_bytes = 4096;

/// A string's characters, the bytes that base64 stands for, or the text of another value as it stands in the line.
Result<std::string> payload_of(std::string_view key, std::string_view value) {
  const auto invalid = [](const char* summary) { return std::unexpected(Error(ErrorCode::invalid_argument, summary)); };
  const bool is_string = value.starts_with('"');
  if (key == "payload" && !is_string) return std::string(value);
  auto text = json_string(value);
  if (key == "payload") {
    if (!text) return invalid("the payload is a string that is no Unicode: use payload_base64");
    return *std::move(text);
  }
  auto bytes = text ? from_base64(*text) : std::nullopt;
  if (!bytes) return invalid("payload_base64 is not base64");
  return *std::move(bytes);
}

}  // namespace

Result<InputJob> parse_json_job(std::string_view line) {
  const auto invalid = [](const char* summary, std::string detail = {}) {
    return std::unexpected(Error(ErrorCode::invalid_argument, summary, std::move(detail)));
  };
  const auto members = members_of(line);
  if (!members) return std::unexpected(members.error());
  InputJob job;
  bool has_payload = false;
  for (const auto& [key, value] : *members) {
    if (key == "dead") continue;  // the history of a dead letter that was exported
    if (key == "payload" || key == "payload_base64") {
      if (std::exchange(has_payload, true)) return invalid("payload and payload_base64 in one job");
      auto payload = payload_of(key, value);
      if (!payload) return std::unexpected(payload.error());
      job.payload = *std::move(payload);
      continue;
    }
    const auto json = nlohmann::ordered_json::parse(value.size() <= most_word_bytes ? value : "null", nullptr, false);
    const auto is_option = read_option(key, json, job.options);
    if (!is_option) return std::unexpected(is_option.error());
    if (*is_option) continue;
    if (key != "kind" && key != "level" && key != "timeout") {
      return invalid("unknown key", key + "; known are kind, level, payload, payload_base64, timeout, " + option_keys);
    }
    if (!json.is_string()) return invalid("a string is expected for this key", key);
    const auto text = json.get<std::string>();
    if (key == "kind") {
      job.kind = text;
    } else if (key == "level") {
      job.level = text;
    } else {
      job.lease = parse_duration(text);
      if (!job.lease) return invalid("timeout is no duration like 250us, 10ms, 30s, 5m, 2h, 7d", text);
    }
  }
  return job;
}

}  // namespace ringmill::cli
