#include "core/journal/slot_files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "core/base/log.h"
#include "core/journal/aligned_memory.h"
#include "core/journal/file_names.h"
#include "core/journal/format.h"

namespace ringmill {

namespace {

constexpr std::size_t zeros_at_a_time = std::size_t{1} << 20;

AlignedMemory aligned_zeros(std::size_t bytes) {
  AlignedMemory memory = aligned_memory(bytes);
  if (!memory) throw std::bad_alloc();
  std::memset(memory.get(), 0, bytes);
  return memory;
}

/// Fills the whole file with zeros. Returns the first errno, or 0.
int write_zeros(int descriptor, std::uint64_t bytes) {
  const auto zeros = aligned_zeros(zeros_at_a_time);
  std::uint64_t done = 0;
  while (done < bytes) {
    const std::size_t part = std::min<std::uint64_t>(zeros_at_a_time, bytes - done);
    const ssize_t written = ::pwrite(descriptor, zeros.get(), part, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    done += static_cast<std::uint64_t>(written);
  }
  return 0;
}

}  // namespace

Result<SlotFiles> SlotFiles::open(const Directory& directory, std::uint32_t file_mode) {
  SlotFiles files(directory, file_mode);
  if (auto writable = directory.check_writable(); !writable) return std::unexpected(writable.error());
  if (auto found = files.find_abilities(); !found) return std::unexpected(found.error());
  return files;
}

int SlotFiles::flags() const noexcept { return O_RDWR | (abilities_.direct ? O_DIRECT : 0); }

Result<void> SlotFiles::find_abilities() {
  auto file = directory_.make_nameless_file(0600, O_DIRECT);
  abilities_.direct = file.has_value();
  if (!file) file = directory_.make_nameless_file(0600);
  // The journal's own files may exist already: then a full disk does not prevent writes to them.
  if (!file && file.error().code() == ErrorCode::no_space) return {};
  if (!file) return std::unexpected(file.error());

  const NoFileSizeSignal no_signal;
  const auto zeros = aligned_zeros(journal_unit);
  const iovec data{.iov_base = zeros.get(), .iov_len = journal_unit};
  while (true) {
    const ssize_t written = ::pwritev2(file->descriptor(), &data, 1, 0, abilities_.durable ? RWF_DSYNC : 0);
    const bool is_full = written < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
    const bool is_taken = written == journal_unit || is_full;  // a full disk says so only after it has read the flags
    if (is_taken && abilities_.durable) return {};
    if (is_taken) {
      abilities_.durable = true;  // the plain write works; so try it with RWF_DSYNC
    } else if (written < 0 && errno == EINTR) {
      continue;
    } else if (abilities_.durable) {
      abilities_.durable = false;
      return {};
    } else if (written < 0 && errno == EINVAL && abilities_.direct) {
      // Opened with O_DIRECT, but our units are too small for it.
      abilities_.direct = false;
      ::fcntl(file->descriptor(), F_SETFL, 0);
    } else {
      return std::unexpected(system_error("cannot write in", directory_.path(), written < 0 ? errno : EIO));
    }
  }
}

std::filesystem::path SlotFiles::path_of(SlotNumber slot) const { return directory_.path_of(file_name_of(slot)); }

Result<std::vector<SlotNumber>> SlotFiles::slots() const { return slots_in(directory_); }

Result<std::vector<SlotNumber>> slots_in(const Directory& directory) {
  const auto names = directory.names();
  if (!names) return std::unexpected(names.error());
  std::vector<SlotNumber> found;
  for (const std::string& name : *names) {
    const auto slot = slot_of(name);
    if (!slot) continue;
    const auto facts = directory.look(name);
    if (!facts) return std::unexpected(facts.error());
    if (*facts && S_ISREG((*facts)->st_mode)) {
      found.push_back(*slot);
    } else if (*facts) {
      log().warn("{} is no plain file and no part of the journal: remove it, or move it away",
                 directory.path_of(name).string());
    }
  }
  std::ranges::sort(found);
  return found;
}

Result<std::uint64_t> SlotFiles::bytes_of(SlotNumber slot) const {
  const auto facts = directory_.look(file_name_of(slot));
  if (!facts) return std::unexpected(facts.error());
  if (!*facts || !S_ISREG((*facts)->st_mode)) {
    return std::unexpected(Error(ErrorCode::not_found, "no such segment", path_of(slot).string()));
  }
  return static_cast<std::uint64_t>((*facts)->st_size);
}

Result<void> SlotFiles::make_whole(std::string_view name, std::uint64_t bytes) const {
  const NoFileSizeSignal no_signal;
  const auto file = directory_.make_file(name, file_mode_, flags());
  if (!file) return std::unexpected(file.error());
  const std::filesystem::path path = directory_.path_of(name);
  const int descriptor = file->descriptor();
  // Allocate the whole file at once: a full disk is found before anything is written, and the space is more likely
  // contiguous. The zeros must still be written: the first write to space that is only allocated changes metadata. File
  // systems without allocation return EOPNOTSUPP.
  if (::fallocate(descriptor, 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP && errno != EINTR) {
    return std::unexpected(system_error("cannot allocate", path));
  }
  if (const int error = write_zeros(descriptor, bytes); error != 0) {
    return std::unexpected(system_error("cannot write", path, error));
  }
  if (::fsync(descriptor) != 0) return std::unexpected(system_error("cannot sync", path));
  return {};
}

/// Removes the half-made file that a death left. Only the holder of the keeper's lock makes such files, so its maker is
/// dead.
void SlotFiles::remove_half_made(SlotNumber slot) const {
  const std::string name = file_name_of(slot);
  const auto names = directory_.names();
  if (!names) return;
  for (const std::string& left : *names) {
    const bool is_of_an_older_version = left == name + std::string(half_made_ending);
    if (is_of_an_older_version || Directory::is_half_made(left, name)) static_cast<void>(directory_.remove(left));
  }
}

/// Moves a folder aside: it is not the journal's, and a file cannot replace it.
Result<void> SlotFiles::put_in_place(std::string_view half_made, std::string_view name) const {
  if (directory_.has_folder(name)) {
    const auto aside = Directory::half_made_name("foreign");
    if (!aside) return std::unexpected(aside.error());
    if (auto moved = directory_.rename(name, *aside); !moved) return moved;
    log().warn("{} was a folder, which ringmill did not make; it is {} now", directory_.path_of(name).string(), *aside);
  }
  return directory_.rename(half_made, name);
}

// A kill before the rename leaves a file with another name, which the next prepare() of the slot removes. A kill after
// it leaves a whole file whose name may not be durable, and no block in it.
Result<void> SlotFiles::prepare(SlotNumber slot, std::uint64_t bytes) {
  if (slot >= most_slots) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a journal has at most 10000 files"));
  }
  remove_half_made(slot);
  const auto there = bytes_of(slot);
  // If its maker was killed, its name may be younger than the last sync of the directory.
  if (there && *there == bytes) return directory_.sync();
  close(slot);
  const std::string name = file_name_of(slot);
  const auto half_made = Directory::half_made_name(name);
  if (!half_made) return std::unexpected(half_made.error());
  auto made = make_whole(*half_made, bytes);
  if (made) made = put_in_place(*half_made, name);
  if (!made) {
    static_cast<void>(directory_.remove_if_there(*half_made));
    return made;
  }
  return directory_.sync();
}

Result<void> SlotFiles::remove(SlotNumber slot) {
  close(slot);
  if (auto removed = directory_.remove(file_name_of(slot)); !removed) return removed;
  return directory_.sync();
}

Result<int> SlotFiles::descriptor_of(SlotNumber slot) {
  if (slot < open_.size() && open_[slot] != nullptr) return open_[slot]->file().descriptor();
  directory_.narrow_mode(file_name_of(slot), file_mode_);  // of an engine from before file_mode_ was narrowed
  auto file = directory_.open_file(file_name_of(slot), flags(), Directory::Owners::let_in);
  if (!file) return std::unexpected(file.error());
  if (slot >= open_.size()) open_.resize(slot + 1);
  open_[slot] = std::make_unique<ForkClosedFile>(std::move(*file));
  return open_[slot]->file().descriptor();
}

void SlotFiles::close(SlotNumber slot) noexcept {
  if (slot < open_.size()) open_[slot].reset();
}

Result<bool> SlotFiles::try_fence(SlotNumber slot) {
  if (const auto opened = descriptor_of(slot); !opened) return std::unexpected(opened.error());
  return try_lock_byte(open_[slot]->file(), 0);
}

void SlotFiles::release(SlotNumber slot) noexcept {
  if (slot < open_.size() && open_[slot] != nullptr) unlock_byte(open_[slot]->file(), 0);
}

int SlotFiles::write_durably(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data) {
  const auto descriptor = descriptor_of(slot);
  if (!descriptor) return descriptor.error().system_number() != 0 ? descriptor.error().system_number() : EIO;
  const bool durable = abilities_.durable;
  while (!data.empty()) {
    const iovec part{.iov_base = const_cast<std::byte*>(data.data()), .iov_len = data.size()};
    const ssize_t written = ::pwritev2(*descriptor, &part, 1, static_cast<off_t>(offset), durable ? RWF_DSYNC : 0);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    offset += static_cast<std::uint64_t>(written);
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return durable || ::fdatasync(*descriptor) == 0 ? 0 : errno;
}

void SlotFiles::release_all() noexcept {
  for (SlotNumber slot = 0; slot < open_.size(); ++slot) release(slot);
}

Result<void> SlotFiles::read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) {
  const auto descriptor = descriptor_of(slot);
  if (!descriptor) return std::unexpected(descriptor.error());
  const auto got = read_at(*descriptor, offset, to, path_of(slot));
  if (!got) return std::unexpected(got.error());
  if (*got < to.size()) return std::unexpected(Error(ErrorCode::corrupt, "a segment ends too early", path_of(slot)));
  return {};
}

Result<void> SlotFiles::sync(SlotNumber slot) {
  const auto descriptor = descriptor_of(slot);
  if (!descriptor) return std::unexpected(descriptor.error());
  if (::fsync(*descriptor) != 0) return std::unexpected(system_error("cannot sync", path_of(slot)));
  return {};
}

Result<WriteBuffers> WriteBuffers::make(std::size_t count, std::size_t bytes) {
  void* memory = ::mmap(nullptr, count * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return std::unexpected(system_error("no memory for", "the journal's buffers"));
  ::madvise(memory, count * bytes, MADV_DONTFORK);
  ::madvise(memory, count * bytes, MADV_DONTDUMP);  // payloads do not belong into core dumps
  WriteBuffers made;
  made.fork_generation_ = fork_generation();
  made.all_ = {static_cast<std::byte*>(memory), count * bytes};
  for (std::size_t at = 0; at < count; ++at) made.spans_.push_back(made.all_.subspan(at * bytes, bytes));
  return made;
}

WriteBuffers::WriteBuffers(WriteBuffers&& other) noexcept { *this = std::move(other); }

WriteBuffers& WriteBuffers::operator=(WriteBuffers&& other) noexcept {
  std::swap(all_, other.all_);
  std::swap(spans_, other.spans_);
  std::swap(fork_generation_, other.fork_generation_);
  return *this;
}

WriteBuffers::~WriteBuffers() {
  // In the child of a fork something else may be at these addresses.
  if (!all_.empty() && fork_generation_ == fork_generation()) ::munmap(all_.data(), all_.size());
}

Result<WakeBell> WakeBell::make() {
  File file = File::above_standard(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!file) return std::unexpected(system_error("cannot make", "an eventfd for the journal"));
  return WakeBell(std::move(file));
}

void WakeBell::ring() noexcept {
  // It can only fail when it was rung 2^64 times already.
  [[maybe_unused]] const int failed = ::eventfd_write(file_.descriptor(), 1);
}

bool WakeBell::take_in() noexcept {
  eventfd_t times = 0;
  return ::eventfd_read(file_.descriptor(), &times) == 0;
}

void WakeBell::wait(std::chrono::nanoseconds longest) noexcept {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(longest);
  const timespec bound{.tv_sec = seconds.count(), .tv_nsec = (longest - seconds).count()};
  pollfd watched{.fd = file_.descriptor(), .events = POLLIN, .revents = 0};
  ::ppoll(&watched, 1, &bound, nullptr);
  take_in();
}

}  // namespace ringmill
