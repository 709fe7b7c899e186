#include "workers/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

namespace ringmill {

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;
constexpr mode_t only_ours = 0600;

File make_nameless(const std::string& folder) {
  File file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, only_ours));
  // Some file systems make no file without a name.
  if (file || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  std::string name = folder + "/ringmill-XXXXXX";
  File named(::mkostemp(name.data(), O_CLOEXEC));
  if (named) ::unlink(name.c_str());
  return named;
}

Result<File> make_temporary() {
  const char* const wanted = std::getenv("TMPDIR");
  if (wanted != nullptr && *wanted != '\0') {
    if (File file = make_nameless(wanted)) return file;
    return std::unexpected(system_error("no temporary file in TMPDIR", wanted));
  }
  for (const char* folder : {"/var/tmp", "/tmp"}) {
    if (File file = make_nameless(folder)) return file;
  }
  return std::unexpected(system_error("no temporary file in", "/var/tmp, /tmp"));
}

}  // namespace

void Spool::add(std::string_view bytes) {
  if (was_cut() || bytes.empty()) return;
  if (bytes.size() > most_bytes_ - size_) {
    why_cut_ = "it is longer than the bound";
    bytes = bytes.substr(0, most_bytes_ - size_);
  }
  if (bytes.empty()) return;
  if (!file_) {
    auto made = make_temporary();
    if (!made) {
      why_cut_ = made.error().message();
      return;
    }
    file_ = std::move(*made);
  }
  if (const auto written = write_all(file_, bytes, "a temporary file"); !written) why_cut_ = written.error().message();
  size_ = static_cast<std::uint64_t>(::lseek(file_.descriptor(), 0, SEEK_CUR));  // a part may be there all the same
}

Result<void> Spool::read(const std::function<bool(std::string_view)>& take) const {
  std::string piece;
  for (std::uint64_t done = 0; done < size_; done += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece_bytes, size_ - done));
    const auto got = read_at(file_.descriptor(), done, std::as_writable_bytes(std::span(piece)), "a temporary file");
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return std::unexpected(Error(ErrorCode::corrupt, "a temporary file became shorter"));
    piece.resize(*got);
    if (!take(piece)) break;
  }
  return {};
}

}  // namespace ringmill
