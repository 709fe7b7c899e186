// flow-control.json as another user may have written it: refused, or rules within their bounds, which come back.
#include "core/flow_control/flow_rules.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {

void run(Input input) {
  const auto rules = flow_rules_from_json(input.rest(), "flow-control.json");
  if (!rules) {
    const ErrorCode code = rules.error().code();
    check(code == ErrorCode::corrupt || code == ErrorCode::incompatible, "another error than corrupt or incompatible");
    return;
  }
  for (const auto& [name, kind] : rules->kinds)
    check(check_limits(kind.limits).has_value(), "limits out of their bounds");
  const std::string text = to_json(*rules);
  const auto again = flow_rules_from_json(text, "flow-control.json");
  check(again.has_value() && to_json(*again) == text, "what was written comes back otherwise");
}

}  // namespace ringmill::test
