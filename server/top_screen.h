// What `ringmill top` shows: a pure function from numbers to a grid of characters, so that tests compare text.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/look.h"

namespace ringmill {

enum class Style : std::uint8_t { plain, strong, faint, good, bad, selected };

/// One character of the screen; each takes one column.
struct ScreenCell {
  char32_t character = U' ';
  Style style = Style::plain;
  bool operator==(const ScreenCell&) const noexcept = default;
};

class Screen {
 public:
  Screen(int width, int height) : width_(width), cells_(static_cast<std::size_t>(width) * height) {}

  int width() const noexcept { return width_; }
  int height() const noexcept { return width_ == 0 ? 0 : static_cast<int>(cells_.size()) / width_; }
  /// `x` and `y` are within the screen.
  const ScreenCell& at(int x, int y) const { return cells_[static_cast<std::size_t>(y) * width_ + x]; }
  /// Writes text from a place on; what has no room is cut. Foreign text comes as printable(). Returns the next column.
  int put(int x, int y, std::string_view text, Style style = Style::plain);
  int put(int x, int y, std::u32string_view text, Style style = Style::plain);
  void set_style(int y, Style style);
  /// Returns the lines as UTF-8, without blanks at their ends.
  std::vector<std::string> lines() const;

 private:
  int width_;
  std::vector<ScreenCell> cells_;
};

/// Text of jobs and names, for a cell each: a character that is not printable ASCII becomes '?'.
std::string printable(std::string_view text);

enum class TopView : std::uint8_t { levels, kinds, workers, dead_letters };
enum class TopSort : std::uint8_t { name, load, latency };

/// One line of the list of dead letters.
struct TopLetter {
  std::string id;
  std::string kind;
  std::string cause;
  std::string died_at;
  std::string error;
};

struct TopModel {
  std::string directory;
  /// Empty: `look` has numbers. Else why there are none.
  std::string error;
  Look look;
  /// Jobs out per second of the last looks, the newest last; by level, and "" for all.
  std::map<std::string, std::deque<double>> history;
  std::vector<TopLetter> letters;
  /// What is known of the job that was asked for, a line each.
  std::vector<std::string> job;

  TopView view = TopView::levels;
  TopSort sort = TopSort::name;
  std::string filter;
  bool is_typing_filter = false;
  bool is_frozen = false;
  bool is_read_only = false;
  bool shows_help = false;
  bool has_unicode = true;
  /// The row of the list that is selected, by its name: rows that move do not move under the cursor.
  std::string selected;
  std::string message;
};

/// Returns the names of the rows of the list, in their order on the screen.
std::vector<std::string> top_rows(const TopModel& model);

Screen render_top(const TopModel& model, int width, int height);

/// Keeps the rates of a look in the history.
void remember(TopModel& model);

}  // namespace ringmill
