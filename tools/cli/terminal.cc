#include "tools/cli/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace ringmill::cli {

namespace {

// Of the alternate screen, which leaves what stood there before.
constexpr std::string_view enter_codes = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view leave_codes = "\x1b[0m\x1b[?25h\x1b[?1049l";

volatile std::sig_atomic_t asked_to_end = 0;

void note_end(int) { asked_to_end = 1; }

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone: the next wait tells
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// Without the flag SA_RESTART: a wait for a key ends.
void end_on_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = note_end;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaction(signal, &action, nullptr);
  struct sigaction resized {};
  resized.sa_handler = [](int) {};
  ::sigaction(SIGWINCH, &resized, nullptr);
}

std::string_view code_of(Style style, bool has_colour) noexcept {
  switch (style) {
    case Style::plain:
      return "\x1b[0m";
    case Style::strong:
      return "\x1b[0;1m";
    case Style::faint:
      return "\x1b[0;2m";
    case Style::good:
      return has_colour ? "\x1b[0;32m" : "\x1b[0m";
    case Style::bad:
      return has_colour ? "\x1b[0;31m" : "\x1b[0;1m";
    case Style::selected:
      return "\x1b[0;7m";
  }
  return "\x1b[0m";
}

bool has_colour() noexcept {
  const char* const no_colour = std::getenv("NO_COLOR");  // https://no-color.org: set, and not empty
  return no_colour == nullptr || *no_colour == '\0';
}

void add_utf8(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  text += static_cast<char>(0xe0 | c >> 12);
  text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
  text += static_cast<char>(0x80 | (c & 0x3f));
}

bool is_equal_line(const Screen& left, const Screen& right, int y) {
  for (int x = 0; x < left.width(); ++x) {
    if (left.at(x, y) != right.at(x, y)) return false;
  }
  return true;
}

/// Takes the first key from what was typed. A key of several bytes begins with ESC and '[' or 'O', and ends with a
/// letter or '~'.
int take_key(std::string& typed) {
  const auto take = [&typed](std::size_t count) { typed.erase(0, count); };
  const bool is_sequence = typed.size() >= 3 && typed[0] == '\x1b' && (typed[1] == '[' || typed[1] == 'O');
  if (!is_sequence) {
    const int key = static_cast<unsigned char>(typed.front());
    take(1);
    return key;
  }
  std::size_t end = 2;
  while (end + 1 < typed.size() && (typed[end] < '@' || typed[end] > '~')) ++end;
  const char last = typed[end];
  take(end + 1);
  if (last == 'A') return static_cast<int>(Key::up);
  if (last == 'B') return static_cast<int>(Key::down);
  if (last == 'Z') return static_cast<int>(Key::back_tab);
  return static_cast<int>(Key::none);
}

}  // namespace

std::optional<Terminal> Terminal::take() {
  termios before{};
  if (::isatty(STDOUT_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before) != 0) return std::nullopt;
  termios raw = before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  end_on_signals();
  if (::tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0) return std::nullopt;
  write_all(enter_codes);
  return Terminal(before);
}

Terminal::Terminal(Terminal&& other) noexcept
    : before_(other.before_), is_taken_(std::exchange(other.is_taken_, false)), shown_(std::move(other.shown_)) {}

Terminal::~Terminal() {
  if (!is_taken_) return;
  write_all(leave_codes);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
}

Terminal::Size Terminal::size() const noexcept {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {80, 24};
  return {size.ws_col, size.ws_row};
}

void Terminal::show(const Screen& screen) {
  const bool all = !shown_ || shown_->width() != screen.width() || shown_->height() != screen.height();
  std::string out = all ? "\x1b[0m\x1b[2J" : "";
  const bool colour = has_colour();
  for (int y = 0; y < screen.height(); ++y) {
    if (!all && is_equal_line(*shown_, screen, y)) continue;
    out += "\x1b[" + std::to_string(y + 1) + ";1H";
    std::optional<Style> style;
    for (int x = 0; x < screen.width(); ++x) {
      const ScreenCell& cell = screen.at(x, y);
      if (style != cell.style) out += code_of(cell.style, colour);
      style = cell.style;
      add_utf8(out, cell.character);
    }
    out += "\x1b[0m";
  }
  write_all(out);
  shown_ = screen;
}

int Terminal::wait_for_key(std::chrono::milliseconds time) {
  if (asked_to_end != 0) return static_cast<int>(Key::end);
  if (!typed_.empty()) return take_key(typed_);
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&input, 1, static_cast<int>(std::max<std::int64_t>(time.count(), 0)));
  if (asked_to_end != 0) return static_cast<int>(Key::end);
  if (ready <= 0) return static_cast<int>(Key::none);  // the time is over, or the terminal's size has changed
  char bytes[64];
  const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (count <= 0) return static_cast<int>(count < 0 && errno == EINTR ? Key::none : Key::end);
  typed_.assign(bytes, static_cast<std::size_t>(count));
  return take_key(typed_);
}

}  // namespace ringmill::cli
