#include "tools/cli/job_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tools/cli/base64.h"
#include "tools/cli/values.h"

namespace ringmill::cli {

namespace {

constexpr std::size_t read_bytes = 64 * 1024;

/// Opens unless the path is "-". Unlike the engine's own files, an input may be a symbolic link.
Result<File> open_input(const std::filesystem::path& path) {
  if (path == "-") return File();
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::unexpected(system_error("cannot open", path));
  return File(descriptor);
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
                  std::to_string(most_bytes_) + " bytes; make the engine with a larger --max-payload"));
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
                                   " bytes; make the engine with a larger --max-payload"));
}

Result<InputJob> parse_json_job(std::string_view line) {
  const auto invalid = [](const char* summary, std::string detail = {}) {
    return std::unexpected(Error(ErrorCode::invalid_argument, summary, std::move(detail)));
  };
  const auto json = nlohmann::ordered_json::parse(line, nullptr, false);
  if (!json.is_object()) return invalid("not a JSON object on one line");
  if (json.contains("payload") && json.contains("payload_base64"))
    return invalid("payload and payload_base64 in one job");
  InputJob job;
  for (const auto& [key, value] : json.items()) {
    if (key == "payload") {
      job.payload = value.is_string() ? value.get<std::string>() : value.dump();
      continue;
    }
    if (key == "dead") continue;  // the history of a dead letter that was exported
    const auto is_option = read_option(key, value, job.options);
    if (!is_option) return std::unexpected(is_option.error());
    if (*is_option) continue;
    if (!value.is_string()) return invalid("a string is expected for this key", key);
    const auto text = value.get<std::string>();
    if (key == "kind") {
      job.kind = text;
    } else if (key == "level") {
      job.level = text;
    } else if (key == "timeout") {
      job.lease = parse_duration(text);
      if (!job.lease) return invalid("timeout is no duration like 250us, 10ms, 30s, 5m, 2h, 7d", text);
    } else if (key == "payload_base64") {
      auto bytes = from_base64(text);
      if (!bytes) return invalid("payload_base64 is not base64");
      job.payload = std::move(*bytes);
    } else {
      return invalid("unknown key", key + "; known are kind, level, payload, payload_base64, timeout, " + option_keys);
    }
  }
  return job;
}

}  // namespace ringmill::cli
