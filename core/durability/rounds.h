// From marks to records: what the journal thread writes, and what it may say is durable.
//
// A round takes all marks there are, looks at each marked cell once, and writes what the cell says now:
//
//   the cell                                the journal's note           record
//   a life that waits or runs               another life, or none        JobRecord, whole
//   a life that waits or runs               this life                    attempts, if some have ended; with an error's
//                                                                        text a change
//   a life that is delayed, kept, or dead   another life, or none        JobRecord, and a change in the same block
//   a life that is delayed, kept, or dead   this life                    change
//   (a JobRecord, of a job whose payload is in the arena: its parts, over as many blocks as they need, and a
//   LargeJobRecord behind them)
//   none, or one of durability memory       some life                    ended: all lives before the next are over
//   none, or one of durability memory       none                         nothing: it came and went between two looks
//
// Leaders. A job that leads a bundle, or follow-ups (core/table/bundles.h), is written behind what came with it, and
// its end behind what came with that. All of that is marked before the leader shows; so a leader is put off, all marks
// are taken once more, and their cells looked at, before it is its turn. A round is published when all that its first
// marks stood for is written: as it was then, or as it is by now. What a leader may be, and what is written:
//
//   at the first look                          then                                     at its turn
//   known to the journal, and not over         its change: what it came with is there   -
//   known, and over                            nothing                                  its change
//   not known, or the note is not believed     nothing                                  all of it
//   the same, and it came with others          its beginning, in front of their leader  all of it
//   in its last step (settle.E2 to settle.E5 of              as above, but no change                  as it is by then
//   core/table/settling.h)
//
//   at its turn                                what came with its end was marked        it is written
//   not over; cancelled; dead                  nothing came with that                   at once
//   complete before the marks were taken       before that, and is written              at once
//   complete since                             perhaps later                            behind a further look at the
//                                                                                       marks, in the same round
//
// So the attempts, the delay and the text of a run that has failed are written with their round, whatever the job has
// done meanwhile: by themselves, or because the end that replaces them is. A round takes the marks four times at most:
// what is complete stays so, and a job that is met in its last step for the third time is taken as it is. A stopped
// worker holds up no round. Leaders that come up in a further look are written in the next round: their marks came
// after this one had begun. The table is the same for leaders among follow-ups, and for those of chained bundles: each
// came with others, so that its beginning stands in front of the job that it follows. Jobs that do not lead and are met
// in their last step are put off, and come to their turn, in the same way.
//
// The beginning of a job is its record, with no attempts and no change. Where the journal has nothing of the job it
// says how the job was when it came; else it says less than what is there, and takes nothing back
// (core/durability/recovery.h, rec.R2). The note of such a cell is not believed until all of it is written.
//
// The order of records is the order of looks, and one thread looks: so what a later record says is newer. A round is
// durable when the last block that was written until its end is. Blocks become durable in order, so rounds do.
//
// Killed at any point: the marks that were taken are in `pending` until their blocks are durable; the next journal
// thread begins with those cells, and does not believe their notes (the note may speak of a block that never came).
//
// Survivors: when few segments are free, the jobs whose records stand in the oldest one are written again, a few cells
// at each step, while rounds go on; then the segment is retired. Its `ended` records need no copy: what they end stands
// in older segments, or in the same. Of a job that is over by now the end is written, before its last record goes: what
// came with it may count only because the journal knows of it. And in front of a leader that the round has still to
// look at goes what came with it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/journal/note.h"
#include "core/journal/writer.h"
#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class JournalRounds {
 public:
  /// `writer` has just taken over: the first round looks at everything that is pending.
  JournalRounds(const Segment& segment, JournalWriter& writer);

  /// Begins a round if none is under way: marks.J1 to marks.J3 for all marks. False: nothing is marked, no round is
  /// wanted, and none was begun.
  bool begin(std::uint64_t now_ns);
  bool is_under_way() const noexcept { return under_way_; }
  /// The last round that has begun, and the last one that is durable, by our own count: the words are anybody's.
  std::uint64_t begun() const noexcept { return round_; }
  std::uint64_t durable() const noexcept { return durable_round_; }

  enum class Step {
    done,      // the round has ended, its blocks are on their way
    buffers,   // all buffers are in flight: collect, then go on
    segments,  // no segment is free: go on with copy_forward(), or the disk is full
    failed,    // the writer has failed
  };
  /// Goes on with the round. Not bounded but by the number of marked cells and the writer's buffers.
  Step go_on();

  /// Copies survivors of the oldest segment if that is needed, looking at about `cells` cells. True: there is more to
  /// do. Between rounds, or when go_on() says `segments`.
  bool copy_forward(std::uint32_t cells);

  /// marks.J5: takes note of what has become durable. True if a round has.
  bool publish();
  /// When the oldest round began that is not durable; 0: all are.
  std::uint64_t not_durable_since_ns() const noexcept {
    if (!rounds_.empty()) return rounds_.front().begun_ns;
    return under_way_ ? begun_ns_ : 0;
  }

  std::uint64_t records() const noexcept { return records_; }
  std::uint64_t elided() const noexcept { return elided_; }

 private:
  /// More than there ever are: a number that somebody has scribbled must not wrap.
  static constexpr std::uint64_t most_rounds = std::uint64_t{1} << 62;

  struct SentBlock {
    std::uint64_t number = 0;
    std::vector<CellIndex> cells;
  };
  struct Round {
    std::uint64_t number = 0;
    std::uint64_t block = 0;
    std::uint64_t begun_ns = 0;
  };
  enum class Look { fine, changed, leads, moves, buffers, segments, failed };
  /// Whose turn it is.
  enum class Turn {
    others,               // the first look of a round at a cell
    leaders,              // of what was put off: what came with it is written, and what came with its completion
    leaders_without_end,  // the same, but for what came with its completion
    copies,               // survivors of the oldest segment
  };
  struct PutOff {
    CellIndex index = 0;
    bool is_complete = false;  // before the marks were taken last
  };
  /// What of a job is written.
  enum class Told {
    all,
    its_beginning,  // as it was before its first attempt: older than whatever the journal may have of it
  };
  /// What became of a change record.
  enum class Change {
    written,
    none,   // the job waits or runs, without a text
    moves,  // the job moves on at this moment, and cannot be read; nothing is appended
  };

  /// Takes the marks of one word into the round.
  void take(std::uint32_t word, std::uint64_t bits);
  Look go_on_with(std::uint32_t word);

  /// Look::leads: the job leads a bundle, and it, or its end, is still to be written: it is not the turn of these.
  /// Look::moves: it moves on at this moment, and what it was before cannot be read.
  Look look_at(CellIndex index, bool believe_note, Turn turn);
  /// Of a job that leads: anything but `fine`, and that is what look_at() says. Fine: all of it may be written.
  Look look_at_leader(CellIndex index, StateWord word, bool is_known, Turn turn);
  /// What came with this leader and is still to be looked at, in front of its copy.
  Look copy_bundle_of(CellIndex index, StateWord word, std::uint32_t depth);
  /// Looks at a cell that was taken. Anything but `fine`: it is still to be looked at.
  Look look_at_taken(CellIndex index, Turn turn);
  /// The cell's turn comes behind all that is marked now.
  void put_off(CellIndex index);
  Look go_on_with_put_off();
  /// Of a job that the journal does not know, at its first look: if it came with others, its beginning is written, in
  /// front of their leader. Then `why`, or what writing said.
  Look put_off_as_begun(CellIndex index, StateWord word, Look why);
  /// Whether a job that moves on can be looked at again, or is to be taken as it is.
  bool may_look_again(CellIndex index) const noexcept;
  bool looks_again();
  /// Of a look that could not go on.
  static Step step_of(Look look) noexcept;
  /// Look::changed: the cell changed while we read it; Look::moves: as for look_at(). Nothing was written then.
  Look write_job(CellIndex index, StateWord word, bool copying_forward, Told told);
  /// A payload that is being written in parts; a call that finds no room goes on where it was. Those of the round and
  /// those that are copied forward are under way at the same time.
  struct Parting {
    std::uint64_t id = 0;
    std::uint32_t parts = 0;  // written
    std::uint64_t first_segment = 0;
  };
  /// All parts that are left. Look::changed: as above.
  Look write_parts(CellIndex index, StateWord word, Parting& parting, bool copying_forward);
  /// The record that `parting` has written the payload of, or the whole job.
  void append_job(BlockBuilder& block, CellIndex index, const JobRecord& record, const Parting* parting) noexcept;
  /// For a life that the journal knows. Look::changed, Look::moves: as above.
  Look write_change(CellIndex index, StateWord word, bool copying_forward);
  Look write_ended(CellIndex index, StateWord word, bool copying_forward);
  /// Whether the job's record, and the count of its attempts, do not say all.
  bool is_parked(CellIndex index, StateWord word) const noexcept;
  bool needs_change(CellIndex index, StateWord word) const noexcept;
  /// Whether the journal may have it as one that waits for its time or for others, though no attempt of it has ended.
  bool had_to_wait(CellIndex index) const noexcept;
  /// Whether all that was read of the cell since `word` belongs to it.
  bool is_as_it_was(CellIndex index, StateWord word) const noexcept;
  Change append_beside_job(BlockBuilder& block, CellIndex index, StateWord word, Told told) noexcept;
  void append_links(BlockBuilder& block, CellIndex index, StateWord word, const CellLinks& links) noexcept;
  Change append_change(BlockBuilder& block, CellIndex index, StateWord word) noexcept;
  /// What is read may be torn: the caller looks at the word again.
  void append_change_as_read(BlockBuilder& block, CellIndex index, StateWord word) noexcept;
  std::uint32_t most_bytes_beside_job() const noexcept;
  /// Whether the open segment does not name it yet; from now on it does.
  bool is_unnamed(std::uint64_t& named_in) const noexcept;
  std::expected<BlockBuilder*, Look> room(std::uint32_t bytes, bool copying_forward);
  /// Room for the records of a job of this kind and retry policy. Their names are before it, or earlier in the same
  /// segment, unless somebody scribbled over the cell.
  std::expected<BlockBuilder*, Look> room_for_job(std::uint32_t kind, std::uint32_t policy, std::uint32_t bytes,
                                                  bool copying_forward);
  void remember(CellIndex index);
  std::vector<CellIndex>& cells_of_open_block();
  bool needs_copying() const noexcept;

  const Segment* segment_;
  JournalWriter* writer_;
  JobTable table_;
  Arena arena_;
  JournalMarks marks_;
  JournalWords* words_;

  std::vector<std::uint64_t> waiting_;    // per word: cells that are taken and not looked at yet
  std::vector<std::uint64_t> disbelief_;  // per word: cells whose notes are not believed: pending from another's time
  std::vector<std::uint32_t> words_of_round_;  // those before next_word_ are done
  std::size_t next_word_ = 0;
  std::vector<std::uint64_t> put_off_;    // per word: cells of waiting_ whose turn comes later
  std::vector<PutOff> put_off_in_order_;  // in this round: those of the first look
  std::vector<PutOff> next_rounds_;       // in the next round: those of further looks
  std::size_t next_put_off_ = 0;          // of put_off_in_order_: those before it had their turn
  std::size_t stay_put_off_ = 0;          // and so many of them, at its front, get a further one
  std::uint32_t further_looks_ = 0;       // of this round at the marks
  bool takes_what_is_there_ = false;      // of a job that moves on: its attempts at least
  bool under_way_ = false;
  std::uint64_t round_ = 0;
  std::uint64_t begun_ns_ = 0;  // of the last round
  std::deque<Round> rounds_;    // ended, not durable yet
  std::uint64_t durable_round_ = 0;

  std::deque<SentBlock> blocks_;           // not durable yet, the open one last
  std::vector<std::uint64_t> last_block_;  // per cell: the block with its newest record; 0: none by this writer
  std::vector<std::vector<CellIndex>> spare_lists_;
  std::vector<std::uint64_t> kind_named_in_;    // per kind: the segment that has its name
  std::vector<std::uint64_t> policy_named_in_;  // per retry policy, likewise

  std::optional<std::uint64_t> copying_;  // the segment whose survivors are being copied
  CellIndex copy_next_ = 0;
  std::uint32_t copy_tries_ = 0;  // at a job that moves on
  Parting parting_;
  Parting parting_copy_;
  std::uint64_t records_ = 0;
  std::uint64_t elided_ = 0;
};

}  // namespace ringmill
