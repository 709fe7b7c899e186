// A journal as many keepers would leave it: segments begun, retired and used again, crashes with writes that were lost,
// torn, or came late. Knows what a reader must find in it.
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
  /// Damages it in one to three places.
  void harm();

 private:
  std::uint64_t below(std::uint64_t bound) { return random() % bound; }
  void write_block();
  void begin_segment();
  void crash(bool is_followed);
  void harm_once();
  std::uint64_t durable_oldest() const;

  std::uint64_t durable_ = 0;
  std::uint64_t highest_segment_ = 0;
  std::uint64_t next_id_ = 1;
  SlotNumber next_slot_ = 0;
  std::map<std::uint64_t, SlotNumber> segments_;  // whose slot was not used again yet
  std::set<std::uint64_t> stale_;
  std::vector<Block> chain_;
  std::set<std::string> ever_;
};

}  // namespace ringmill::test
