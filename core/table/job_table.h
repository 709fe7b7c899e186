// The job table: cells, and the questions that all rooms ask of one.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <ringmill/job.h>

#include "ipc/prefetch.h"
#include "ipc/ring.h"
#include "ipc/segment.h"
#include "ipc/state_word.h"

namespace ringmill {

/// The longest time that anything waits, or is kept: ten years.
inline constexpr std::uint64_t most_wait_ms = std::uint64_t{3653} * 24 * 3600 * 1000;

constexpr std::size_t in_words(std::size_t bytes) noexcept { return (bytes + 7) / 8; }

/// Bytes in whole words; the last word is padded with zeros. ORDER relaxed: what the words belong to publishes them.
inline void store_words(std::atomic<std::uint64_t>* to, std::span<const std::byte> from) noexcept {
  for (std::size_t done = 0; done < from.size(); done += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from.data() + done, std::min<std::size_t>(8, from.size() - done));
    (to++)->store(word, std::memory_order_relaxed);  // ORDER relaxed: as above
  }
}

/// Whether the cell of such a job ends with CellOptions.
inline bool has_cell_options(const JobOptions& options) noexcept {
  return options.retry_policy != RetryPolicy::standard || options.expires.count() != 0 ||
         options.keep_result.count() != 0;
}

class JobTable {
 public:
  explicit JobTable(const Segment& segment) noexcept
      : cells_(segment.cells()),
        chunks_(segment.chunks()),
        capacity_(segment.geometry().capacity),
        cell_bytes_(segment.geometry().cell_bytes),
        most_payload_(segment.geometry().max_payload),
        shift_(static_cast<std::uint32_t>(std::countr_zero(cell_bytes_))),
        first_generation_(segment.header().first_generation.load()) {}

  std::uint32_t capacity() const noexcept { return capacity_; }
  /// Whether a cell of this number, any number, may be touched: the engine has it, and its memory is there
  /// (ipc/cell_chunks.h). The caller is inside a visit, or looks (ipc/visits.h).
  bool is_there(CellIndex index) const noexcept { return chunks_.is_there(index); }
  const CellChunks& chunks() const noexcept { return chunks_; }
  /// Calls visit(index) for each cell that is there.
  template <class Visit>
  void for_each_cell(Visit&& visit) const {
    chunks_.for_each([&visit](CellIndex first, CellIndex end) {
      for (CellIndex index = first; index < end; ++index) visit(index);
    });
  }
  /// The most bytes that fit behind a cell's header.
  std::uint32_t inline_bytes() const noexcept { return cell_bytes_ - static_cast<std::uint32_t>(sizeof(CellHeader)); }

  CellHeader& header(CellIndex index) const noexcept {
    return shared_at<CellHeader>(cells_ + (std::uint64_t{index} << shift_));
  }
  std::atomic<std::uint64_t>& state(CellIndex index) const noexcept { return header(index).state; }
  /// Where the options of a cell stand that has some.
  CellOptions& options_place(CellIndex index) const noexcept {
    return shared_at<CellOptions>(cells_ + ((std::uint64_t{index} + 1) << shift_) - sizeof(CellOptions));
  }
  /// Nothing: the plain job. The caller owns the cell, or looks at the word again.
  CellOptions* options(CellIndex index) const noexcept {
    const bool has_options =
        (header(index).flags.load(std::memory_order_acquire) & cell_flag::has_options) != 0;  // ORDER second-look
    return has_options ? &options_place(index) : nullptr;
  }
  /// Where the notes of a cell stand that has some.
  CellNotes& notes_place(CellIndex index) const noexcept {
    return shared_at<CellNotes>(reinterpret_cast<std::byte*>(&options_place(index)) - sizeof(CellNotes));
  }
  /// Nothing: it carries its payload alone. The caller as in options().
  CellNotes* notes(CellIndex index) const noexcept {
    // ORDER second-look
    return has_notes(header(index).flags.load(std::memory_order_acquire)) ? &notes_place(index) : nullptr;
  }
  /// Where the links of a cell with these flags stand, if it has some.
  CellLinks& links_place(CellIndex index, std::uint16_t flags) const noexcept {
    const std::size_t behind = sizeof(CellLinks) + (has_notes(flags) ? sizeof(CellNotes) : 0);
    return shared_at<CellLinks>(reinterpret_cast<std::byte*>(&options_place(index)) - behind);
  }
  /// Nothing: it has no parents and is of no bundle. The caller as in options().
  CellLinks* links(CellIndex index) const noexcept {
    const std::uint16_t flags = header(index).flags.load(std::memory_order_acquire);  // ORDER second-look
    return has_links(flags) ? &links_place(index, flags) : nullptr;
  }
  /// How many parents' ids stand in front of the payload, in the cell or in the arena, within what its length has room
  /// for. The caller as above.
  std::uint32_t parents(CellIndex index) const noexcept {
    const CellHeader& cell = header(index);
    // ORDER second-look: each load acquires.
    const std::uint16_t flags = cell.flags.load(std::memory_order_acquire);
    return parents_of(index, flags, cell.payload_bytes.load_once(std::memory_order_acquire));
  }
  /// False in the smallest cells: their jobs have no links.
  bool has_room_for_links() const noexcept { return inline_bytes() >= sizeof(CellOptions) + sizeof(CellLinks); }
  /// False in the smallest cells: their jobs have no notes.
  bool has_room_for_notes() const noexcept {
    return inline_bytes() >= sizeof(CellOptions) + sizeof(CellNotes) + sizeof(CellLinks);
  }
  /// The most bytes of payload that a job with these flags can have in its cell, its parents' ids included: what its
  /// options, notes and links leave. A multiple of 8.
  std::uint32_t inline_bytes_beside(std::uint16_t flags) const noexcept {
    std::size_t bytes = inline_bytes();
    if ((flags & (cell_flag::has_options | cell_flag::has_links | cell_flag::has_notes)) == 0) [[likely]]
      return inline_bytes();
    bytes -= sizeof(CellOptions);  // they stand beside the others
    if (has_notes(flags)) bytes -= sizeof(CellNotes);
    if (has_links(flags)) bytes -= sizeof(CellLinks);
    return static_cast<std::uint32_t>(bytes);
  }
  /// Where the text of a cell stands, and how long it can be, by one read of the words that say so: what a peer writes
  /// there later moves neither. `room` is a multiple of 8, and ends before options, notes, links and the cell's end.
  class TextPlace {
   public:
    std::uint32_t room() const noexcept { return room_; }

   private:
    friend class JobTable;
    TextPlace(std::atomic<std::uint64_t>* words, std::uint32_t room) noexcept : words_(words), room_(room) {}
    std::atomic<std::uint64_t>* words_;
    std::uint32_t room_;
  };
  /// Whether the keeper has to see the end of a job with these flags: others wait for it, it waited for others, or it
  /// leads a bundle. The caller owns the cell. Links without parents only tie the job to its bundle in the journal.
  bool is_end_seen(CellIndex index, std::uint16_t flags) const noexcept {
    if ((flags & (cell_flag::has_children | cell_flag::leads_bundle)) != 0) return true;
    return (flags & cell_flag::has_links) != 0 && parents(index) != 0;
  }
  /// The caller as in options().
  TextPlace text_place(CellIndex index) const noexcept {
    const CellHeader& cell = header(index);
    // ORDER second-look: each load acquires.
    const std::uint16_t flags = cell.flags.load(std::memory_order_acquire);
    const Untrusted payload_bytes = cell.payload_bytes.load_once(std::memory_order_acquire);
    const std::uint32_t end = inline_bytes_beside(flags);
    const std::uint32_t begin =
        (flags & cell_flag::in_arena) != 0 ? 0 : (payload_bytes.at_most(inline_bytes()) + 7) / 8 * 8;
    return {payload_words(index) + begin / 8, begin < end ? end - begin : 0};
  }
  /// How long the text of a cell can be. To copy one, ask for its place instead.
  std::uint32_t text_room(CellIndex index) const noexcept { return text_place(index).room(); }
  /// At most as many bytes as there is room for.
  static void copy_text_in(TextPlace place, const std::atomic<std::uint64_t>* from, std::uint32_t bytes) noexcept {
    for (std::size_t n = 0; n < in_words(std::min(bytes, place.room_)); ++n) {
      // ORDER relaxed: the state word publishes the text
      place.words_[n].store(from[n].load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
  }
  /// In whole words, at most as many as there are: `to` has room for a multiple of 8.
  static void copy_text_out(TextPlace place, std::byte* to, std::uint32_t bytes) noexcept {
    for (std::size_t n = 0; n < in_words(std::min(bytes, place.room_)); ++n) {
      const std::uint64_t word = place.words_[n].load(std::memory_order_acquire);  // ORDER second-look
      std::memcpy(to + n * 8, &word, 8);
    }
  }
  /// Of a cell that is not there: that it is free, with the generation that it will have. Any index.
  /// ORDER state: acquires what the last transition published.
  StateWord word(CellIndex index) const noexcept {
    if (!is_there(index)) [[unlikely]]
      return word_of_absent(index);
    return StateWord(state(index).load(std::memory_order_acquire));
  }

  /// False for an id that no cell can have given.
  bool can_have_given(JobId id) const noexcept { return id && index_of(id) < capacity_ && generation_of(id) != 0; }
  /// Whether the job's cell still has its generation.
  bool stands(JobId id) const noexcept {
    return can_have_given(id) && word(index_of(id)).generation() == generation_of(id);
  }
  /// The word of a cell whose job `word` is over. After a recovery cells still hold jobs of generations below the first
  /// one: ids in between may have been given, and lost with the last moments, so the next generation is above them all.
  StateWord freed(StateWord word) const noexcept {
    const std::uint64_t next = word.generation() + 1;
    return StateWord::make(next > first_generation_ ? next : first_generation_, 0, CellState::free, 0);
  }
  /// The same, of a job whose result goes before its time.
  StateWord evicted(StateWord word) const noexcept {
    return StateWord::make(freed(word).generation(), evicted_mark, CellState::free, 0);
  }
  /// True if the job was evicted, and none has taken its cell since.
  static constexpr bool was_evicted(JobId id, StateWord word) noexcept {
    return word.is(CellState::free, evicted_mark) && word.generation() == generation_of(id) + 1;
  }
  /// True when a job of this id was enqueued, as its cell's word tells.
  static constexpr bool was_enqueued(JobId id, StateWord word) noexcept {
    if (generation_of(id) != word.generation()) return generation_of(id) < word.generation();
    return word.has_job();
  }

  static constexpr std::uint64_t hint_of(JobId id) noexcept { return id.value() & Ring::hint_mask; }
  /// What a note of one word per cell keeps of a hint whose cell is known: 1 + the bits of the generation. Never 0.
  static constexpr std::uint16_t note_of(std::uint64_t hint) noexcept {
    return static_cast<std::uint16_t>((hint >> index_bits) + 1);
  }
  static constexpr CellIndex index_of_hint(std::uint64_t hint) noexcept {
    return static_cast<CellIndex>(hint & index_mask);
  }
  static constexpr bool matches(StateWord word, std::uint64_t hint) noexcept {
    return word.state() == CellState::queued && hint_of(job_id_of(word, index_of_hint(hint))) == hint;
  }
  /// True while the job that the hint speaks of waits to be claimed.
  bool is_live(std::uint64_t hint) const noexcept {
    const CellIndex index = index_of_hint(hint);
    return matches(word(index), hint);
  }

  /// The payload travels in whole words, each an atomic: a reader whose lease was revoked may see a torn one, which its
  /// second look at the state word tells, but never undefined behaviour. The last word is padded with zeros.
  void copy_in(CellIndex index, std::span<const std::byte> payload) const noexcept {
    std::atomic<std::uint64_t>* to = payload_words(index);
    const std::byte* from = payload.data();
    const auto put = [&to, &from] {
      std::uint64_t word;
      std::memcpy(&word, from, 8);
      to->store(word, std::memory_order_relaxed);  // ORDER relaxed: the state word publishes the payload
      ++to;
      from += 8;
    };
    std::size_t words = payload.size() / 8;
    for (; words >= words_per_line; words -= words_per_line) {
#pragma GCC unroll 8
      for (std::size_t n = 0; n < words_per_line; ++n) put();
    }
    for (; words != 0; --words) put();
    if (const std::size_t rest = payload.size() % 8; rest != 0) {
      std::uint64_t word = 0;
      std::memcpy(&word, from, rest);
      to->store(word, std::memory_order_relaxed);  // ORDER relaxed: as above
    }
  }
  /// `to` has room for in_whole_lines(bytes): cells consist of whole lines, and what is behind the payload in its last
  /// one is copied too. ORDER second-look: each load acquires, so that the caller's second look at the
  /// state word comes after all of them.
  void copy_out(CellIndex index, std::byte* to, std::size_t bytes) const noexcept {
    const std::atomic<std::uint64_t>* from = payload_words(index);
    for (std::size_t done = 0; done < bytes; done += cache_line_bytes) {
#pragma GCC unroll 8
      for (std::size_t n = 0; n < words_per_line; ++n) {
        const std::uint64_t word = from[n].load(std::memory_order_acquire);  // ORDER second-look
        std::memcpy(to + n * 8, &word, 8);
      }
      from += words_per_line;
      to += cache_line_bytes;
    }
  }

  /// The same in whole words: `bytes` is a multiple of 8, at most the payload's room.
  void copy_words_out(CellIndex index, std::byte* to, std::size_t bytes) const noexcept {
    const std::atomic<std::uint64_t>* from = payload_words(index);
    for (std::size_t done = 0; done < bytes; done += 8) {
      const std::uint64_t word = (from++)->load(std::memory_order_acquire);  // ORDER second-look
      std::memcpy(to + done, &word, 8);
    }
  }

  /// Rewrites one word per payload line with its own value, so that this core owns the lines exclusively. For the owner
  /// of a completing cell, just before the cell becomes free. On our AMD cores a line in state Owned, as the enqueuer
  /// of this job left it, can be neither prefetched for writing nor overlapped with other stores; an exclusive line can
  /// (docs/decisions/0022).
  void own_payload_lines(CellIndex index, std::size_t payload_bytes) const noexcept {
    std::atomic<std::uint64_t>* word = payload_words(index);
    const std::size_t bytes = std::min<std::size_t>(payload_bytes, inline_bytes());
    for (std::size_t done = 0; done < bytes; done += cache_line_bytes, word += words_per_line) {
      // ORDER relaxed: no other process may write it, and the value does not change.
      word->store(word->load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
  }

  void prefetch_to_write(CellIndex index) const noexcept {
    const std::byte* cell = cells_ + (std::uint64_t{index} << shift_);
    ringmill::prefetch_to_write(cell);
    ringmill::prefetch_to_write(cell + cache_line_bytes);
  }
  /// The header will be read.
  void prefetch_to_look(CellIndex index) const noexcept {
    if (index < capacity_) prefetch_to_read(cells_ + (std::uint64_t{index} << shift_));
  }
  /// The header will be written (claimed), the payload read.
  void prefetch_to_claim(CellIndex index) const noexcept {
    if (index >= capacity_) return;
    const std::byte* cell = cells_ + (std::uint64_t{index} << shift_);
    ringmill::prefetch_to_write(cell);
    prefetch_to_read(cell + cache_line_bytes);
  }
  /// The journal will read the cell's payload, if there is a job. Reads the header, which should be there.
  void prefetch_to_journal(CellIndex index) const noexcept {
    constexpr std::uint32_t most_bytes = 16 * cache_line_bytes;  // more at a time the processor does not fetch
    if (!word(index).has_job()) return;
    // ORDER relaxed: a wrong number fetches lines in vain.
    const std::uint32_t bytes = header(index)
                                    .payload_bytes
                                    .load_once(std::memory_order_relaxed)  // ORDER relaxed: as above
                                    .at_most(std::min(inline_bytes(), most_bytes));
    const std::atomic<std::uint64_t>* line = payload_words(index);
    for (std::uint32_t done = 0; done < bytes; done += cache_line_bytes, line += words_per_line) prefetch_to_read(line);
  }

 private:
  [[gnu::noinline, gnu::cold]] StateWord word_of_absent(CellIndex index) const noexcept {
    const std::uint64_t base = index < capacity_ ? chunks_.word(chunks_.chunk_of(index)).base : 0;
    return StateWord::make(std::max(base, first_generation_), 0, CellState::free, 0);
  }
  /// False in the smallest cells, whatever the flags say: their links would stand in the header.
  bool has_links(std::uint16_t flags) const noexcept {
    return (flags & cell_flag::has_links) != 0 && has_room_for_links();
  }
  /// As has_links(), of notes.
  bool has_notes(std::uint16_t flags) const noexcept {
    return (flags & cell_flag::has_notes) != 0 && has_room_for_notes();
  }
  std::uint32_t parents_of(CellIndex index, std::uint16_t flags,
                           Untrusted<std::uint32_t> payload_bytes) const noexcept {
    if (!has_links(flags)) return 0;
    const bool in_arena = (flags & cell_flag::in_arena) != 0;
    const std::uint32_t room = payload_bytes.at_most(in_arena ? most_payload_ : inline_bytes_beside(flags)) / 8;
    return links_place(index, flags).parents.load_once(std::memory_order_acquire).at_most(room);  // ORDER second-look
  }

  static constexpr std::size_t words_per_line = cache_line_bytes / 8;

  std::atomic<std::uint64_t>* payload_words(CellIndex index) const noexcept {
    return reinterpret_cast<std::atomic<std::uint64_t>*>(cells_ + (std::uint64_t{index} << shift_) +
                                                         sizeof(CellHeader));
  }

  std::byte* cells_;
  CellChunks chunks_;
  std::uint32_t capacity_;
  std::uint32_t cell_bytes_;
  std::uint32_t most_payload_;
  std::uint32_t shift_;
  std::uint64_t first_generation_;
};

}  // namespace ringmill
