// A journal as many keepers would leave it: segments begun, retired and used again, crashes with writes that were lost,
// torn, or came late. Knows what a reader must find in it. It does nothing that JournalWriter could not do: a segment
// is begun when all before it is durable, a keeper goes on in the newest one, and says that what it found is durable.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/journal/hand_written.h"

namespace ringmill::test {

class RandomJournal {
 public:
  explicit RandomJournal(std::uint64_t seed, int steps = 80);

  HandWritten written;
  std::mt19937_64 random;

  /// What a reader must be told while nothing was harmed.
  std::vector<std::string> expected() const;
  /// Every line that ever stood in a whole block.
  const std::set<std::string>& ever() const noexcept { return ever_; }
  /// The bytes of the chain's blocks: flips elsewhere change nothing.
  struct Block {
    std::uint64_t segment;
    SlotNumber slot;
    std::uint64_t offset;
    std::uint64_t bytes;
    std::uint64_t number;
    std::uint64_t oldest;
    std::vector<std::string> lines;
  };
  const std::vector<Block>& chain() const noexcept { return chain_; }
  /// What comes behind expected() should the newest segment never have been begun: whole blocks that a dead keeper has
  /// left in the segment before.
  const std::vector<std::string>& before_newest() const noexcept { return before_newest_; }
  /// Damages it in one to three places.
  void harm();

 private:
  std::uint64_t below(std::uint64_t bound) { return random() % bound; }
  void write_block();
  void write_options(BlockBuilder& builder, std::uint64_t id);
  /// Its part and its record.
  void write_large_job(BlockBuilder& builder, std::uint32_t bytes);
  void begin_segment();
  void crash(bool is_followed);
  void clear_sectors(const Block& block, bool all);
  void note_left_behind(const std::vector<Block>& blocks);
  void harm_once();
  std::uint64_t durable_oldest() const;

  std::uint64_t durable_ = 0;
  std::uint64_t next_id_ = 1;
  SlotNumber next_slot_ = 0;
  std::map<std::uint64_t, SlotNumber> segments_;  // whose slot was not used again yet
  std::vector<Block> chain_;
  std::vector<std::string> before_newest_;
  std::set<std::string> ever_;
};

}  // namespace ringmill::test
