#include "tools/cli/json_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/shown_text.h"

namespace ringmill::cli {

namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
char end_of(char opening) noexcept { return opening == '{' ? '}' : ']'; }

/// Each function stands at its first byte, and behind its last one when it returns true.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : text_(text) {}

  std::size_t at() const noexcept { return at_; }
  const char* fault() const noexcept { return fault_; }

  void blanks() noexcept {
    while (next() == ' ' || next() == '\t' || next() == '\r' || next() == '\n') ++at_;
  }
  /// False without a fault when it is another one.
  bool one(char c) noexcept {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool expect(char c, const char* fault) noexcept { return one(c) || fail(fault); }
  bool is_at_end() const noexcept { return at_ == text_.size(); }

  bool string() noexcept {
    if (!expect('"', "a string is expected")) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return fail("a control character stands in a string");
      ++at_;
      if (c == '"') return true;
      if (c == '\\' && !escape()) return false;
    }
    return fail("a string has no end");
  }

  /// `levels`: how many objects and arrays are open around it.
  bool value(std::size_t levels) {
    std::string open;
    while (true) {
      blanks();
      const char c = next();
      if (c == '{' || c == '[') {
        if (levels + open.size() + 1 > most_json_levels) return fail("nested deeper than 1000 levels");
        open += c;
        ++at_;
        blanks();
        if (next() != end_of(c)) {
          if (c == '{' && !key()) return false;
          continue;
        }
      } else if (!scalar()) {
        return false;
      }
      if (!closed(open)) return false;
      if (open.empty()) return true;
    }
  }

  bool key() noexcept {
    blanks();
    if (!string()) return false;
    blanks();
    return expect(':', "a colon is expected");
  }

 private:
  char next() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool fail(const char* fault) noexcept {
    fault_ = fault;
    return false;
  }

  /// Behind a value: the ends of what is open, up to where the next value begins, or nothing is open.
  bool closed(std::string& open) noexcept {
    while (!open.empty()) {
      blanks();
      if (one(',')) return open.back() != '{' || key();
      if (!expect(end_of(open.back()), "a comma, or the end of an object or array, is expected")) return false;
      open.pop_back();
    }
    return true;
  }

  bool escape() noexcept {
    constexpr std::string_view simple = R"("\/bfnrt)";
    const char c = next();
    if (c != 'u') return (c != '\0' && simple.find(c) != simple.npos) ? (++at_, true) : fail("no such escape");
    ++at_;
    for (int n = 0; n < 4; ++n, ++at_) {
      const char digit = next();
      if (!is_digit(digit) && !(digit >= 'a' && digit <= 'f') && !(digit >= 'A' && digit <= 'F')) {
        return fail("four hexadecimal digits are expected");
      }
    }
    return true;
  }

  bool scalar() noexcept {
    if (next() == '"') return string();
    if (next() == '-' || is_digit(next())) return number();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return true;
    }
    return fail("a value is expected");
  }

  bool digits() noexcept {
    if (!is_digit(next())) return fail("a digit is expected");
    while (is_digit(next())) ++at_;
    return true;
  }

  bool number() noexcept {
    one('-');
    if (!one('0') && !digits()) return false;
    if (one('.') && !digits()) return false;
    if (!one('e') && !one('E')) return true;
    if (!one('+')) one('-');
    return digits();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  const char* fault_ = "";
};

std::unexpected<Error> no_json(const char* summary, std::string detail) {
  return std::unexpected(Error(ErrorCode::invalid_argument, summary, std::move(detail)));
}

}  // namespace

std::optional<std::string> json_string(std::string_view value) {
  const auto json = nlohmann::json::parse(value, nullptr, false);
  if (!json.is_string()) return std::nullopt;
  return json.get<std::string>();
}

Result<std::vector<JsonMember>> members_of(std::string_view line) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (line.starts_with(byte_order_mark)) line.remove_prefix(byte_order_mark.size());
  constexpr const char* none = "not a JSON object on one line";
  if (!is_utf8(line)) return no_json(none, "its text is not UTF-8");
  Scanner scanner(line);
  const auto fault = [&] { return no_json(none, fmt::format("byte {}: {}", scanner.at() + 1, scanner.fault())); };
  std::vector<JsonMember> members;
  scanner.blanks();
  if (!scanner.expect('{', "an object is expected")) return fault();
  scanner.blanks();
  while (!scanner.one('}')) {
    if (!members.empty() && !scanner.expect(',', "a comma, or the end of the object, is expected")) return fault();
    scanner.blanks();
    const std::size_t key_begin = scanner.at();
    if (!scanner.key()) return fault();
    const std::string_view key_text = line.substr(key_begin, scanner.at() - key_begin - 1);
    auto key = json_string(key_text);
    if (!key) return no_json(none, fmt::format("byte {}: a key that is no Unicode", key_begin + 1));
    scanner.blanks();
    const std::size_t begin = scanner.at();
    if (!scanner.value(1)) return fault();
    const bool is_twice = std::ranges::any_of(members, [&](const JsonMember& member) { return member.key == *key; });
    if (is_twice) return no_json("a key stands twice in one job", *std::move(key));
    if (members.size() == most_json_levels) return no_json(none, "it has more than 1000 keys");
    members.push_back({*std::move(key), line.substr(begin, scanner.at() - begin)});
    scanner.blanks();
  }
  scanner.blanks();
  if (!scanner.is_at_end()) return no_json(none, fmt::format("byte {}: more behind the object", scanner.at() + 1));
  return members;
}

}  // namespace ringmill::cli
