// One seeded life of a journal on the modelled disk, written through JournalWriter alone: jobs come, end and are copied
// forward, segments go round, keepers are killed within a call of the device, the disk fails. At moments of it the
// power is cut, and what a reader finds then is held against the ledger.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/journal/writer.h"
#include "tests/crash/crash_report.h"
#include "tests/crash/fiber.h"
#include "tests/crash/journal_ledger.h"
#include "tests/journal/disk_model.h"

namespace ringmill::crash {

class WriterRun {
 public:
  WriterRun(std::uint64_t seed, CrashReport& report);
  void run();

 private:
  struct Content {
    JobRecord record;
    std::vector<std::byte> payload;
  };
  struct Cell {
    std::uint64_t next_generation = 1;
    bool alive = false;
    std::uint64_t segment = 0;  // where its record stands
    std::uint16_t attempts = 0;
    std::uint64_t id = 0;
  };
  enum class Went { on, failed, stuck };

  /// After a power cut: the same history, on what the cut has left.
  WriterRun(const WriterRun& before, std::shared_ptr<test::Disk> after, const ReadBack& found,
            const std::map<std::uint64_t, LedgerBlock>& history, std::uint64_t seed);

  // What is done.
  void live_one_keeper();
  bool open();
  Went step();
  Went change(std::uint32_t cell);
  BlockBuilder* room(std::uint32_t bytes, bool copying_forward, Went& went);
  BlockBuilder* room_for(const JobRecord& record, std::uint32_t bytes, bool copying_forward, Went& went);
  Went write_job(std::uint32_t cell, bool copying_forward);
  Went write_short(RecordType type, JobId id, std::uint16_t attempts);
  Went copy_oldest_forward();
  void begin_life(Cell& cell, std::uint32_t index);
  JobRecord record_of(const Cell& cell) const;
  void note(const LedgerRecord& record);
  void take_acknowledged();
  void take_cells(const Replay& replay);

  // What is looked at.
  void at_moment();
  void check_cut();
  std::optional<std::map<std::uint64_t, LedgerBlock>> check_exactly(const ReadBack& found);
  void check_after_lies(const ReadBack& found);
  void check_flips(const test::Disk& cut, const ReadBack& found);
  void compare(const Replay& expected, const Replay& got);
  void found(CrashTrouble trouble, const std::string& what);
  bool may_fail() const noexcept { return disk_->faults_met() > 0 || disk_is_small_; }

  CrashReport* report_;
  test::DiskRandom random_;   // of what is done
  test::DiskRandom cutting_;  // of what is cut
  int depth_ = 0;
  std::shared_ptr<test::Disk> disk_;
  std::unique_ptr<Fiber> fiber_ = std::make_unique<Fiber>();
  JournalGeometry geometry_;
  bool disk_is_small_ = false;
  std::uint64_t steps_left_ = 0;
  std::uint64_t one_cut_in_ = 1;
  std::uint64_t cuts_at_once_ = 1;

  test::DiskModel* device_ = nullptr;
  std::unique_ptr<JournalWriter> writer_;
  std::uint64_t kill_in_ = 0;  // moments; 0: not within a call
  bool looks_ = false;         // within a check: its own disks are quiet

  std::vector<Cell> cells_;
  /// Of every job that ever was, by id: a cut may bring back what this run has already ended.
  std::shared_ptr<std::map<std::uint64_t, Content>> contents_;
  std::map<std::uint32_t, std::uint64_t> kind_named_in_;
  BlockLedger ledger_;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t retired_below_ = 0;
  std::uint64_t moments_ = 0;
  std::uint64_t keepers_ = 0;
};

}  // namespace ringmill::crash
