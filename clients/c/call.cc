#include "clients/c/call.h"

#include <string>

#include "clients/c/codes.h"

namespace ringmill::c {

rm_code report(rm_error* error, rm_code code, std::string_view text, int system_number) noexcept {
  if (error == nullptr || error->size < sizeof(rm_error)) return code;
  error->code = code;
  error->system = system_number;
  const std::size_t length = std::min(text.size(), sizeof error->message - 1);
  if (length != 0) std::memcpy(error->message, text.data(), length);
  error->message[length] = '\0';
  return code;
}

rm_code report(rm_error* error, const Error& why) noexcept {
  const rm_code code = code_of(why.code());
  if (error == nullptr || why.code() == ErrorCode::would_block) return report(error, code);
  try {
    return report(error, code, why.message(), why.system_number());
  } catch (const std::exception&) {  // no memory for the text
    return report(error, code, name_of(why.code()), why.system_number());
  }
}

rm_code report_thrown(rm_error* error, const std::exception& thrown) noexcept {
  if (dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr) {
    return report(error, RM_OUT_OF_MEMORY, "this process gets no more memory; free some, or raise its limit");
  }
  return report(error, RM_SYSTEM, thrown.what());
}

rm_code report_bad_struct(rm_error* error, std::string_view name) noexcept {
  try {
    return report(error, RM_INVALID_ARGUMENT,
                  std::string(name) + " is NULL, states no size, or sets a field that this library does not know");
  } catch (const std::exception&) {
    return report(error, RM_INVALID_ARGUMENT, name);
  }
}

}  // namespace ringmill::c

using ringmill::c::error_code_of;

const char* rm_code_name(rm_code code) {
  if (code == RM_OK) return "ok";
  if (code == RM_DETACHED) return "detached";
  if (code == RM_NOT_HELD) return "not_held";
  const auto known = error_code_of(code);
  return known ? ringmill::name_of(*known).data() : "unknown";  // literals: they end with NUL
}
