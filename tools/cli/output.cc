#include "tools/cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "ipc/file.h"
#include "tools/cli/report.h"
#include "tools/cli/result_stream.h"

namespace ringmill::cli {

namespace {
constexpr std::size_t buffer_bytes = 64 * 1024;
}

void Output::text(std::string_view text) {
  static const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
  if (is_terminal) {
    buffer_ += shown_lines(text);
  } else {
    buffer_ += text;
  }
  if (buffer_.size() >= buffer_bytes) flush();
}

void Output::line(std::string_view text) {
  buffer_.append(shown_line(text)).append("\n");
  if (buffer_.size() >= buffer_bytes) flush();
}

void Output::json(const nlohmann::ordered_json& value) {
  line(shown_json(value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)));
}

void Output::flush() {
  // Nothing is written behind a gap.
  if (error_ == 0) error_ = write_whole(buffer_);
  buffer_.clear();
}

int Output::finish(int exit_code) {
  flush();
  if (error_ == 0 || error_ == EPIPE) return exit_code;
  return fail("", exit_failed, "cannot write to standard output: " + error_text(error_));
}

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

void Table::print(Output& output, std::string_view indent) const {
  std::vector<std::size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t n = 0; n < widths.size(); ++n) widths[n] = std::max(widths[n], row[n].size());
  }
  for (const auto& row : rows_) {
    std::string line(indent);
    for (std::size_t n = 0; n < widths.size(); ++n) {
      const std::string padding(widths[n] - row[n].size(), ' ');
      line += (n == 0 ? "" : "  ") + (right_[n] ? padding + row[n] : row[n] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    output.line(line);
  }
}

}  // namespace ringmill::cli
