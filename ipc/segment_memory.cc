// The memory of the segment's parts: taken, given back, and asked for.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "ipc/segment.h"
#include "ipc/segment_mapping.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace {

/// Reads a word of each page, so that SEEK_HOLE finds none: for processes that may only read.
void touch(const std::byte* begin, std::uint64_t bytes) noexcept {
  for (std::uint64_t page = 0; page < bytes; page += page_bytes) {
    static_cast<void>(reinterpret_cast<const std::atomic<std::uint64_t>*>(begin + page)->load());
  }
}

/// A lock of the open file on its first byte. Locks of one open file never conflict, hence Mapping::looks.
bool set_look_lock(int descriptor, short type) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  int result = 0;
  do {
    result = ::fcntl(descriptor, F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

}  // namespace

void Segment::begin_look() const noexcept {
  const std::lock_guard lock(mapping_->looks_mutex);
  // The keeper holds its lock for a moment only, to see that there is no look.
  while (mapping_->looks == 0 && !set_look_lock(descriptor(), F_RDLCK) && (errno == EAGAIN || errno == EACCES)) {
    std::this_thread::yield();
  }
  ++mapping_->looks;
  forget_what_has_left();
}

void Segment::forget_what_has_left() const noexcept {
  const std::uint64_t now = signals().chunks_left.load();
  if (now == mapping_->known_chunks_left.load()) return;
  const CellChunks chunks = this->chunks();
  chunks.forget_absent();
  arena_presence().forget_absent(geometry_.arena_chunk_count);
  unique_presence().forget_absent(geometry_.unique_pages());
  mapping_->known_chunks_left.store(now);
}

bool Segment::Mapping::has(Range range) const noexcept {
  switch (holes) {
    case Holes::filled:
      return allocate_range(file.descriptor(), range.offset, range.offset + range.bytes) == 0;
    case Holes::looked_for: {
      const auto begin = static_cast<off_t>(range.offset);
      if (::lseek(file.descriptor(), begin, SEEK_DATA) != begin) return false;
      return ::lseek(file.descriptor(), begin, SEEK_HOLE) >= static_cast<off_t>(range.offset + range.bytes);
    }
    case Holes::harmless:
      break;
  }
  return true;
}

bool Segment::has_chunk_by_kernel(const void* mapping, std::uint64_t chunk) noexcept {
  const auto* const mine = static_cast<const Mapping*>(mapping);
  return mine->has(range_of(mine->geometry, static_cast<std::uint32_t>(chunk)));
}

bool Segment::has_arena_chunk_by_kernel(const void* mapping, std::uint64_t chunk) noexcept {
  const auto* const mine = static_cast<const Mapping*>(mapping);
  const Geometry& geometry = mine->geometry;
  const std::uint64_t words_bytes = geometry.arena_unit_words_bytes();
  return mine->has({.offset = geometry.arena_units + chunk * words_bytes, .bytes = words_bytes}) &&
         mine->has(
             {.offset = geometry.arena + chunk * geometry.arena_chunk_bytes, .bytes = geometry.arena_chunk_bytes});
}

bool Segment::has_unique_page_by_kernel(const void* mapping, std::uint64_t page) noexcept {
  const auto* const mine = static_cast<const Mapping*>(mapping);
  return mine->has({.offset = mine->geometry.unique + page * page_bytes, .bytes = page_bytes});
}

void Segment::end_look() const noexcept {
  const std::lock_guard lock(mapping_->looks_mutex);
  if (--mapping_->looks == 0) set_look_lock(descriptor(), F_UNLCK);
}

bool Segment::has_no_looks() const noexcept {
  const std::lock_guard lock(mapping_->looks_mutex);
  if (mapping_->looks != 0 || !set_look_lock(descriptor(), F_WRLCK)) return false;
  set_look_lock(descriptor(), F_UNLCK);
  return true;
}

int Segment::allocate(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  return allocate_range(descriptor(), offset, offset + bytes);
}

int Segment::free_memory(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  while (::fallocate(descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                     static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

std::uint64_t Segment::allocated_bytes() const noexcept {
  struct stat facts {};
  return ::fstat(descriptor(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_blocks) * 512 : 0;
}

std::optional<std::uint64_t> Segment::memory_left() const noexcept {
  struct statvfs space {};  // without a limit it says 0 blocks
  if (::fstatvfs(descriptor(), &space) != 0 || space.f_blocks == 0) return std::nullopt;
  return std::uint64_t{space.f_bavail} * space.f_frsize;
}

bool Segment::make_unique_page(std::uint64_t page) const noexcept {
  if (has_unique_page(page)) return true;
  const std::uint64_t offset = geometry_.unique + page * page_bytes;
  if (allocate(offset, page_bytes) != 0) return false;
  touch(base_ + offset, page_bytes);
  unique_presence().set(page);
  return true;
}

bool Segment::make_arena_chunk(std::uint32_t chunk) const noexcept {
  if (has_arena_chunk(chunk)) return true;
  const std::uint64_t words_bytes = geometry_.arena_unit_words_bytes();
  if (allocate(geometry_.arena_units + chunk * words_bytes, words_bytes) != 0) return false;
  const std::uint64_t offset = geometry_.arena + std::uint64_t{chunk} * geometry_.arena_chunk_bytes;
  if (allocate(offset, geometry_.arena_chunk_bytes) != 0) return false;
  // Its maker is about to write there, and one call is cheaper than a fault per page. An old kernel does not know it.
  const bool is_populated = ::madvise(base_ + offset, geometry_.arena_chunk_bytes, MADV_POPULATE_WRITE) == 0;
  if (!is_populated) touch(base_ + offset, geometry_.arena_chunk_bytes);
  touch(base_ + geometry_.arena_units + chunk * words_bytes, words_bytes);
  arena_presence().set(chunk);
  return true;
}

int Segment::free_arena_chunk(std::uint32_t chunk) const noexcept {
  const std::uint64_t offset = geometry_.arena + std::uint64_t{chunk} * geometry_.arena_chunk_bytes;
  if (const int error = free_memory(offset, geometry_.arena_chunk_bytes); error != 0) return error;
  const std::uint64_t words_bytes = geometry_.arena_unit_words_bytes();
  if (words_bytes % page_bytes != 0) return 0;  // another chunk's words share the page
  return free_memory(geometry_.arena_units + chunk * words_bytes, words_bytes);
}

Segment::Range Segment::range_of(const Geometry& geometry, std::uint32_t chunk) noexcept {
  const std::uint64_t first = std::uint64_t{chunk} * geometry.chunk_cells;
  const std::uint64_t cells = std::min<std::uint64_t>(geometry.chunk_cells, geometry.capacity - first);
  return {.offset = geometry.cells + first * geometry.cell_bytes, .bytes = cells * geometry.cell_bytes};
}

int Segment::allocate_chunk(std::uint32_t chunk) const noexcept {
  const Range range = range_of(chunk);
  return allocate(range.offset, range.bytes);
}

int Segment::free_chunk(std::uint32_t chunk) const noexcept {
  const Range range = range_of(chunk);
  return free_memory(range.offset, range.bytes);
}

int Segment::make_chunk(std::uint32_t chunk, std::uint64_t base) const noexcept {
  if (const int error = allocate_chunk(chunk); error != 0) return error;  // grow.G1
  const CellChunks chunks = this->chunks();
  const StateWord free = StateWord::make(std::max(base, header().first_generation.load()), 0, CellState::free, 0);
  for (std::uint64_t cell = chunks.first_cell(chunk); cell < chunks.end_cell(chunk); ++cell) {
    std::atomic<std::uint64_t>& state = shared_at<CellHeader>(cells() + cell * geometry_.cell_bytes).state;
    std::uint64_t seen = state.load();
    // Another grower may do the same, or have done it long ago.
    if (StateWord(seen).generation() < free.generation()) state.compare_exchange_strong(seen, free.bits());  // grow.G2
  }
  return 0;
}

int Segment::make_and_list_chunk(std::uint32_t chunk) const noexcept {
  CellChunks chunks = this->chunks();
  const CellChunks::Word word = chunks.word(chunk);
  if (word.state != ChunkState::absent) return 0;  // another participant has made it, or it leaves
  if (const int error = make_chunk(chunk, word.base); error != 0) return error;
  if (!chunks.swap(chunk, word, {.state = ChunkState::present, .base = word.base})) return 0;  // grow.G3
  chunks.set_bit(chunk);                                                                       // grow.G4
  FreeMap free_map = this->free_map();
  for (std::uint32_t cell = chunks.first_cell(chunk); cell < chunks.end_cell(chunk); cell += 64)
    free_map.put(cell, ~std::uint64_t{0});  // grow.G5
  return 0;
}

std::uint32_t Segment::participants_end() const noexcept {
  const std::uint32_t end = signals().participants_end.load_once().at_most(most_participants);
  // ORDER relaxed: a private memory of what the kernel has said; nothing else has to be seen with it.
  const std::uint32_t known = mapping_->known_entries.load(std::memory_order_relaxed);
  return end <= known ? known : check_participants(end);
}

/// Makes sure that the entries up to `end` are allocated, because any peer may have written the word that says so. They
/// are, and the kernel has nothing to do, unless the word was scribbled over. Returns how many are.
std::uint32_t Segment::check_participants(std::uint32_t end) const noexcept {
  std::atomic<std::uint32_t>& known_entries = mapping_->known_entries;
  const std::uint32_t known = known_entries.load();
  std::uint32_t there = end;
  if (mapping_->holes == Holes::filled) {
    const int refused = allocate_range(mapping_->file.descriptor(), participant_offset(known), participant_offset(end));
    if (refused != 0) there = known;
  } else if (mapping_->holes == Holes::looked_for) {
    // Of a file that this process may not write: a touched entry is no hole.
    const off_t hole = ::lseek(descriptor(), static_cast<off_t>(participant_offset(known)), SEEK_HOLE);
    const auto bytes = std::max(static_cast<std::uint64_t>(std::max<off_t>(hole, 0)), geometry_.participants);
    there = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(end, (bytes - geometry_.participants) / sizeof(ParticipantEntry)));
  }
  std::uint32_t seen = known;
  while (seen < there && !known_entries.compare_exchange_weak(seen, there)) {
  }
  return std::max(seen, there);
}

Result<void> Segment::add_participants(std::uint32_t end) const {
  const std::uint32_t next = std::min(end + entries_in_a_step, most_participants);
  const int refused = allocate_range(descriptor(), participant_offset(end), participant_offset(next));  // entry.A1
  if (refused == ENOSPC) {
    return std::unexpected(Error(ErrorCode::no_space, "the tmpfs of the engine's shared memory is full",
                                 "another participant needs " +
                                     std::to_string((next - end) * sizeof(ParticipantEntry) / 1024) +
                                     " KiB there; remove what else fills it, or make it larger (docker: --shm-size)"));
  }
  if (refused != 0) return std::unexpected(system_error("cannot allocate memory for", "a participant", refused));
  for (std::uint32_t n = end; n < next; ++n) static_cast<void>(participant(n).state.load());  // no holes, for readers
  mapping_->known_entries.store(next);
  signals().participants_end.raise_to(next);  // entry.A2
  return {};
}

}  // namespace ringmill
