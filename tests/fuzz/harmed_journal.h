// A journal that another user has damaged, as an input says: which one, what is signed again afterwards (so that
// checksums do not keep the fuzzer out), and steps.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/journal/random_journal.h"

namespace ringmill::test {

struct WholeJournal {
  std::map<SlotNumber, std::vector<std::byte>> files;
  std::set<std::string> ever;
};

inline const WholeJournal& whole_journal(std::uint8_t seed) {
  static std::map<std::uint8_t, WholeJournal> bases;
  const auto known = bases.find(seed);
  if (known != bases.end()) return known->second;
  WholeJournal& base = bases[seed];
  if (seed == 0) {
    base.files[0].resize(8 * journal_unit);
    base.files[1].resize(8 * journal_unit);
  } else {
    RandomJournal journal(seed, 20 + seed);
    base.files = journal.written.device.files;
    base.ever = journal.ever();
  }
  return base;
}

inline void harm(MemoryDevice& device, Input& input) {
  constexpr std::size_t most_files = 24;
  const auto what = input.take<std::uint8_t>();
  auto picked = device.files.begin();
  std::advance(picked, static_cast<std::ptrdiff_t>(input.take<std::uint8_t>() % device.files.size()));
  std::vector<std::byte>& file = picked->second;
  const std::size_t units = file.size() / journal_unit;
  if (units == 0) return;
  const std::size_t unit = input.take<std::uint8_t>() % units * journal_unit;
  switch (what % 8) {
    case 0:
    case 1: {  // bytes, most of the time in a head
      const std::size_t at =
          unit + (what < 128 ? input.take<std::uint8_t>() % 160 : input.take<std::uint16_t>() % journal_unit);
      const auto bytes = input.take(std::min<std::size_t>(1 + input.take<std::uint8_t>() % 16, file.size() - at));
      std::ranges::copy(std::as_bytes(bytes), file.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    }
    case 2: {  // a whole field, to a small number
      const std::size_t at = unit + input.take<std::uint8_t>() % 20 * 4;
      const std::uint32_t value = input.take<std::uint16_t>();
      std::memcpy(&file[at], &value, sizeof value);
      break;
    }
    case 3:
      std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(unit), journal_unit, std::byte{});
      break;
    case 4:
      file.resize(unit + input.take<std::uint8_t>());
      break;
    case 5: {  // a unit from anywhere in the file
      const std::size_t from = input.take<std::uint8_t>() % units * journal_unit;
      std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(from), journal_unit,
                  file.begin() + static_cast<std::ptrdiff_t>(unit));
      break;
    }
    case 6:
      if (device.files.size() > 1) device.files.erase(picked);
      break;
    default:
      if (device.files.size() < most_files) {
        device.files.emplace(static_cast<SlotNumber>(device.files.rbegin()->first + 1), std::vector<std::byte>(file));
      }
      break;
  }
}

inline void sign(std::vector<std::byte>& file, bool heads, bool blocks) {
  if (file.size() < journal_unit) return;
  if (heads) {
    SegmentHead head;
    std::memcpy(&head, file.data(), sizeof head);
    head.checksum = checksum_of(head);
    std::memcpy(file.data(), &head, sizeof head);
  }
  // From behind, so that a block that reaches over others is signed last.
  for (std::size_t at = file.size() / journal_unit * journal_unit; blocks && (at -= journal_unit) != 0;) {
    BlockHead head;
    std::memcpy(&head, &file[at], sizeof head);
    if (head.magic != block_magic || head.bytes < journal_unit || head.bytes > file.size() - at) continue;
    head.checksum = checksum_of_block({&file[at], head.bytes});
    std::memcpy(&file[at], &head, sizeof head);
  }
}

struct HarmedJournal {
  MemoryDevice device;
  const WholeJournal* whole = nullptr;
  bool is_signed = false;  // what was harmed may be taken for written
};

inline HarmedJournal harmed_journal(Input input) {
  HarmedJournal journal;
  journal.whole = &whole_journal(input.take<std::uint8_t>() % 64);
  const auto signing = input.take<std::uint8_t>();
  journal.device.files = journal.whole->files;
  while (!input.is_empty()) harm(journal.device, input);
  const bool heads = (signing & 1) != 0;
  const bool blocks = (signing & 2) != 0;
  for (auto& [slot, file] : journal.device.files) sign(file, heads, blocks);
  journal.is_signed = heads || blocks;
  return journal;
}

}  // namespace ringmill::test
