// Standard output: buffered, and at ease with a reader that leaves.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ringmill::cli {

bool is_utf8(const std::string& text);
/// One line for people: control characters and bytes that are no UTF-8 are escaped.
std::string escaped(const std::string& text);

class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void text(std::string_view text);
  void line(std::string_view text);
  /// One JSON value on a line of its own. Bytes that are no UTF-8 become U+FFFD.
  void json(const nlohmann::ordered_json& value);
  void flush();

  /// False when nobody reads any more: a listing may stop.
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
