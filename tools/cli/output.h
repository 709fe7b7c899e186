// Standard output: buffered, and at ease with a reader that leaves.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/shown_text.h"

namespace ringmill::cli {

class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  /// As it is; where standard output is a terminal, as shown_lines().
  void text(std::string_view text);
  /// As shown_line(): whatever the words in it are, it is one line, and no terminal obeys it.
  void line(std::string_view text);
  /// One JSON value on a line of its own, as shown_json(). Bytes that are no UTF-8 become U+FFFD.
  void json(const nlohmann::ordered_json& value);
  void flush();

  /// False when the reader has gone: a listing may stop.
  bool wanted() const noexcept { return error_ == 0; }

  /// Flushes; returns `exit_code`, or exit_failed (with a line on standard error) when something could not be written.
  int finish(int exit_code);

 private:
  std::string buffer_;
  int error_ = 0;  // errno of the first write that failed
};

/// Rows of words in aligned columns. A column whose heading begins with '>' is aligned right (the sign is not printed).
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void row(std::vector<std::string> cells);
  void print(Output& output, std::string_view indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

}  // namespace ringmill::cli
