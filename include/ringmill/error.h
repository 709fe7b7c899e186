// Errors are values. Every call that can fail returns Result<T>, and no exception crosses such a call. Calls that
// return a text, a list or a status by value throw std::bad_alloc where there is no memory for it, as a copy does; so
// does Participant::when_durable().
#pragma once

#include <string>
// libstdc++ 12 has std::expected for a compiler that says it has all of C++20's concepts. clang 16 to 18 have what
// <expected> needs of them, and do not say so.
#if defined(__clang__) && defined(__GLIBCXX__) && __cpp_concepts < 202002L
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wbuiltin-macro-redefined"
#pragma push_macro("__cpp_concepts")
#undef __cpp_concepts
#define __cpp_concepts 202002L
#include <expected>
#pragma pop_macro("__cpp_concepts")
#pragma clang diagnostic pop
#else
#include <expected>
#endif
#include <string_view>

namespace ringmill {

/// Why a call failed. A caller may switch over these codes; the text is for people.
enum class ErrorCode {
  would_block,       ///< nothing to claim, no room, or the journal is behind: try again or wait. Nothing has changed.
  timed_out,         ///< the wait is over.
  not_found,         ///< no such engine, level, kind or job.
  already_exists,    ///< `create` found something at that place.
  invalid_argument,  ///< an argument is wrong: out of bounds, a bad name, a bad option.
  too_large,         ///< the payload is longer than the engine takes.
  level_removed,     ///< the level was removed while this handle, or this worker, still used it.
  lease_lost,        ///< the lease was revoked (expired, or taken back): another worker has the job.
  not_held,          ///< a Job was used that holds nothing: it was settled before, moved from, or never filled.
  wrong_thread,      ///< a participant was used by another thread than the one that attached it.
  after_fork,        ///< a handle of the parent was used in the child of a fork: attach again.
  too_many_participants,  ///< living participants have all registry entries.
  permission_denied,      ///< the file system refused, or a file's owner or mode is wrong.
  incompatible,           ///< another layout version, or another engine.
  stale,                  ///< the shared memory was left by an earlier boot.
  corrupt,                ///< shared memory or a file contradicts itself.
  no_space,               ///< the tmpfs or the disk is too small.
  journal_failed,         ///< the disk failed: nothing more becomes durable. The text says how, and what to do.
  not_durable,            ///< the jobs are in, and the disk did not have them within the wait. No retry is needed.
  out_of_memory,          ///< this process gets no more memory. Jobs enqueued before stay, as with timed_out.
  busy,                   ///< participants live, or another process holds the engine's lock.
  system,                 ///< a system call failed; the text has its name and reason.
};

/// Returns the name of a code as messages have it: "would_block", "lease_lost", ...
std::string_view name_of(ErrorCode code) noexcept;

/// One failure: a code to act on, and one sentence that says what, where and what to do.
/// An Error without detail allocates nothing, so the hot path's `would_block` is free.
class Error {
 public:
  /// `summary` must be a string literal (it is not copied); `detail` says where: a path, an id, an errno text.
  explicit Error(ErrorCode code, const char* summary = "", std::string detail = {}, int system_number = 0) noexcept
      : code_(code), system_number_(system_number), summary_(summary), detail_(std::move(detail)) {}

  ErrorCode code() const noexcept { return code_; }
  /// Returns the errno of the failed system call; 0 if there was none, or if it says no more than the code.
  int system_number() const noexcept { return system_number_; }
  /// Returns "summary: detail", or the code's name if both are empty. Allocates.
  std::string message() const;

 private:
  ErrorCode code_;
  int system_number_;
  const char* summary_;
  std::string detail_;
};

template <class T>
using Result = std::expected<T, Error>;

}  // namespace ringmill
