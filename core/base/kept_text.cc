#include "core/base/kept_text.h"

#include <algorithm>

namespace ringmill {

namespace {

constexpr std::string_view separator = ": ";
constexpr std::string_view mark = "[...] ";
constexpr std::string_view blanks = " \t\r\n";

/// A byte of a UTF-8 character that is not its first one.
bool continues(char byte) noexcept { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

std::string_view without_blanks_behind(std::string_view text) noexcept {
  const std::size_t last = text.find_last_not_of(blanks);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

std::string_view beginning_of(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && most - end < 3 && continues(text[end])) --end;
  return text.substr(0, end);
}

std::string_view end_of(std::string_view text, std::size_t most) noexcept {
  text = without_blanks_behind(text);
  if (text.size() <= most) return text;
  std::size_t begin = text.size() - most;
  if (begin > 0 && text[begin - 1] == '\n') return text.substr(begin);
  const std::size_t line = text.find('\n', begin);
  if (line != std::string_view::npos && line - begin < most / 2) return text.substr(line + 1);
  for (int n = 0; n < 3 && begin < text.size() && continues(text[begin]); ++n) ++begin;
  return text.substr(begin);
}

KeptText::KeptText(std::string_view reason, std::string_view said, std::size_t room) noexcept {
  room = std::min(room, bytes_.size());
  said = without_blanks_behind(said);
  const std::string_view between = reason.empty() || said.empty() ? std::string_view() : separator;
  if (reason.size() + between.size() + said.size() <= room) {
    add(reason);
    add(between);
    add(said);
    return;
  }
  if (room < 2 * mark.size()) {
    add(beginning_of(reason.empty() ? said : reason, room));
    return;
  }
  if (said.empty()) {
    add(beginning_of(reason, (room - mark.size()) / 2));
    add(mark);
    add(end_of(reason.substr(size_ - mark.size()), room - size_));
    return;
  }
  // The end is worth more than half of the room.
  const std::size_t most_before = room / 2;
  if (reason.size() + separator.size() + mark.size() <= most_before) {
    add(reason);
    add(between);
  } else if (room >= 128) {
    add(beginning_of(reason, most_before - separator.size() - mark.size()));
    add(separator);
  }
  add(mark);
  add(end_of(said, room - size_));
}

void KeptText::add(std::string_view text) noexcept {
  text = text.substr(0, bytes_.size() - size_);
  std::ranges::copy(text, bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += text.size();
}

}  // namespace ringmill
