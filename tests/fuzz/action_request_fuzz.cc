// A POST as any user may send it: let in only with all that is asked for, and then one action that is whole, or an
// error that can be sent as JSON.
#include "server/action_request.h"

#include "server/api_text.h"
#include "server/gate.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {
namespace {

constexpr const char* paths[] = {"/api/v1/dead/purge",
                                 "/api/v1/dead/retry",
                                 "/api/v1/jobs/00112233aabbccdd/cancel",
                                 "/api/v1/levels/high/pause",
                                 "/api/v1/kinds/mail/resume",
                                 "/api/v1/schedules/a/b/pause",
                                 "/"};

constexpr const char* secret = "0123456789abcdef0123456789abcdef";

void check_letters(const LetterChoice& letters, const std::string& body) {
  const bool has_filter = letters.filter.kind || letters.filter.level || letters.filter.cause;
  check(!letters.id || !has_filter, "an id and a filter at once");
  if (!letters.id && !has_filter) check(body.find("all") != std::string::npos, "all letters, though nothing said so");
}

void check_let_in(const Gate& gate, const HttpRequest& request) {
  if (refusal(gate, request)) return;
  if (request.method != "POST") {
    check(request.method == "GET" || request.method == "HEAD", "a method that is not known");
    return;
  }
  check(gate.allows_actions, "an action though none is allowed");
  check(!gate.is_tcp || request.authorization == std::string("Bearer ") + secret, "an action without the token");
  check(request.origin.empty() || gate.is_tcp, "a page that reaches a Unix socket");
}

}  // namespace

void run(Input input) {
  const auto flags = input.take<std::uint8_t>();
  const auto place = input.take<std::uint8_t>();
  HttpRequest request;
  request.method = (flags & 1U) != 0 ? "POST" : input.take_text(flags & 7U);
  const auto field = [&input] { return input.take_text(input.take<std::uint8_t>() % 48U); };
  request.path = place < std::size(paths) ? paths[place] : field();
  if ((flags & 2U) != 0) request.authorization = std::string("Bearer ") + ((flags & 4U) != 0 ? secret : field());
  if ((flags & 8U) != 0) request.origin = field();
  request.host = (flags & 16U) != 0 ? field() : "localhost";
  request.content_type = (flags & 32U) != 0 ? field() : "application/json";
  request.body = input.rest();
  check_let_in({.is_tcp = (flags & 64U) != 0,
                .allows_actions = (flags & 128U) != 0,
                .hosts = {"localhost"},
                .port = "8787",
                .token = secret},
               request);
  const auto asked = action_asked_by(request);
  if (!asked) {
    const ErrorCode code = asked.error().code();
    check(code == ErrorCode::not_found || code == ErrorCode::invalid_argument, "an error that no request may cause");
    const HttpAnswer answer = error_answer(asked.error());
    check(nlohmann::json::parse(answer.body, nullptr, false).is_object(), "an error that is no JSON");
    return;
  }
  if (const auto* retry = std::get_if<RetryAsked>(&*asked)) check_letters(retry->letters, request.body);
  if (const auto* purge = std::get_if<PurgeAsked>(&*asked)) check_letters(purge->letters, request.body);
  if (const auto* pause = std::get_if<PauseAsked>(&*asked)) check(!pause->name.empty(), "a pause of nothing");
}

}  // namespace ringmill::test
