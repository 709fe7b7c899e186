#include "tests/crash/writer_run.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ipc/state_word.h"

namespace ringmill::crash {

using namespace std::chrono_literals;
using test::Disk;
using test::DiskCall;
using test::DiskFault;
using test::DiskModel;

namespace {

constexpr std::uint64_t engine_id = 0x1234'5678'9abc'def0;
constexpr std::uint32_t cell_count = 48;
constexpr std::uint32_t writer_kind_count = 5;
/// A writer that gives no room for so long, while the device answers, gives none at all.
constexpr int most_tries = 5000;

std::string kind_name(std::uint32_t kind) { return fmt::format("kind-{}", std::string(kind, 'k')); }

JobId id_of(std::uint64_t generation, std::uint32_t cell) { return JobId(generation << index_bits | cell); }

/// One fault, or none; early enough to be met by most runs.
std::vector<DiskFault> faults_of(test::DiskRandom& random) {
  if (!random.one_in(2)) return {};
  std::vector<DiskFault> faults;
  do {
    DiskFault fault;
    switch (random.below(10)) {
      case 0:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::no_space};
        break;
      case 1:
      case 2:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::fail};
        break;
      case 3:
      case 4:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::delay, .calls = 1 + random.below(30)};
        break;
      case 5:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::misdirect};
        break;
      case 6:
        fault = {.call = DiskCall::submit, .kind = DiskFault::Kind::forget};
        break;
      case 7:
        fault = {.call = DiskCall::sync, .kind = DiskFault::Kind::fail};
        break;
      case 8:
        fault = {.call = DiskCall::prepare,
                 .kind = random.one_in(2) ? DiskFault::Kind::fail : DiskFault::Kind::no_space};
        break;
      default:
        fault = {.call = DiskCall::fence, .kind = random.one_in(3) ? DiskFault::Kind::fail : DiskFault::Kind::busy};
        break;
    }
    fault.nth = 1 + random.below(fault.call == DiskCall::submit ? 80 : fault.call == DiskCall::sync ? 2 : 6);
    faults.push_back(fault);
  } while (random.one_in(3));
  return faults;
}

}  // namespace

WriterRun::WriterRun(std::uint64_t seed, CrashReport& report)
    : report_(&report),
      random_(seed),
      cutting_(seed ^ 0x5eed),
      cells_(cell_count),
      contents_(std::make_shared<std::map<std::uint64_t, Content>>()) {
  disk_ = std::make_shared<Disk>(random_.next());
  geometry_.segment_bytes = (16 + random_.below(3) * 16) * std::uint64_t{journal_unit};
  geometry_.most_segments = 8;
  for (const DiskFault& fault : faults_of(random_)) disk_->inject(fault);
  if (random_.one_in(12)) {
    disk_is_small_ = true;
    disk_->set_space(geometry_.segment_bytes * (2 + random_.below(5)));
  }
  steps_left_ = 20 + random_.below(300);
  // A few runs are cut at every moment; many lives are worth more than many cuts of one.
  one_cut_in_ = std::array<std::uint64_t, 8>{1, 8, 16, 32, 32, 64, 64, 64}.at(random_.below(8));
  cuts_at_once_ = 1 + random_.below(3);
}

WriterRun::WriterRun(const WriterRun& before, std::shared_ptr<Disk> after, const ReadBack& found,
                     const std::map<std::uint64_t, LedgerBlock>& history, std::uint64_t seed)
    : report_(before.report_),
      random_(seed),
      cutting_(seed ^ 0x5eed),
      depth_(before.depth_ + 1),
      disk_(std::move(after)),
      geometry_(before.geometry_),
      steps_left_(1 + random_.below(40)),
      one_cut_in_(8),
      cells_(before.cells_),
      contents_(before.contents_),
      ledger_(before.ledger_),
      acknowledged_(found.report.last_block),
      retired_below_(before.retired_below_) {
  ledger_.keep_only(found.report.last_block, history);
  take_cells(replay_of(history));
}

void WriterRun::found(CrashTrouble trouble, const std::string& what) {
  report_->found(trouble, fmt::format("depth {}, keeper {}, moment {}: {}", depth_, keepers_, moments_, what));
}

void WriterRun::run() {
  disk_->watch([this] { at_moment(); });
  while (steps_left_ > 0) {
    ++keepers_;
    kill_in_ = random_.one_in(2) ? 1 + random_.below(200) : 0;
    const bool left_by_itself = fiber_->run([this] { live_one_keeper(); });
    kill_in_ = 0;
    if (device_ != nullptr) device_->kill();
    device_ = nullptr;
    writer_.reset();
    if (!left_by_itself) fiber_ = std::make_unique<Fiber>();
  }
  for (const std::string& violation : disk_->violations()) found(CrashTrouble::crashed, violation);
  disk_->watch({});
}

void WriterRun::live_one_keeper() {
  if (!open()) return;
  for (std::uint64_t steps = 10 + random_.below(200); steps > 0 && steps_left_ > 0; --steps, --steps_left_) {
    switch (step()) {
      case Went::on:
        break;
      case Went::failed:
        if (!may_fail()) found(CrashTrouble::crashed, "the writer failed on a sound disk");
        return;
      case Went::stuck:
        if (!disk_is_small_ && disk_->faults_met() == 0) found(CrashTrouble::crashed, "the writer gives no room");
        steps_left_ = 0;
        return;
    }
  }
}

bool WriterRun::open() {
  auto made = std::make_unique<DiskModel>(disk_);
  device_ = made.get();
  const std::uint64_t syncs_failed = disk_->syncs_failed();
  auto opened = JournalWriter::open(std::move(made), engine_id, geometry_, random_.one_in(2) ? keepers_ : 0);
  if (!opened) {
    device_ = nullptr;  // it is gone
    if (!may_fail()) found(CrashTrouble::crashed, fmt::format("open: {}", opened.error().message()));
    steps_left_ -= std::min<std::uint64_t>(steps_left_, 10);
    return false;
  }
  writer_ = *std::move(opened);
  if (disk_->syncs_failed() > syncs_failed) found(CrashTrouble::lost, "a sync failed, and the keeper goes on");
  const std::uint64_t last = writer_->open_block() - 1;
  if (last < acknowledged_ && disk_->lies_told() == 0) {
    found(CrashTrouble::lost, fmt::format("a keeper goes on behind block {}, {} is durable", last, acknowledged_));
  }
  ledger_.cut_behind(last);
  acknowledged_ = std::min(acknowledged_, last);
  take_acknowledged();
  take_cells(replay_of(ledger_.blocks()));
  kind_named_in_.clear();
  return true;
}

/// The next keeper knows what the journal knows; ids are not used again.
void WriterRun::take_cells(const Replay& replay) {
  std::map<std::uint32_t, std::uint64_t> segments;
  for (const auto& [number, block] : ledger_.blocks()) {
    for (const LedgerRecord& record : block.records) {
      if (record.type == RecordType::job) segments[index_of(JobId(record.id))] = block.segment;
    }
  }
  for (std::uint32_t index = 0; index < cell_count; ++index) {
    Cell& cell = cells_[index];
    const auto life = replay.live().find(index);
    cell.alive = life != replay.live().end();
    if (!cell.alive) continue;
    cell.id = id_of(life->second.generation, index).value();
    cell.attempts = life->second.attempts;
    cell.segment = segments[index];
  }
}

void WriterRun::take_acknowledged() {
  acknowledged_ = std::max(acknowledged_, writer_->durable_block());
  retired_below_ = std::max(retired_below_, writer_->oldest_segment());
}

void WriterRun::note(const LedgerRecord& record) {
  ledger_.add(writer_->open_block(), writer_->open_segment(), record);
}

WriterRun::Went WriterRun::step() {
  const std::uint64_t what = random_.below(20);
  Went went = Went::on;
  if (what < 11) {
    for (std::uint64_t changes = 1 + random_.below(random_.one_in(8) ? 60 : 8); changes > 0 && went == Went::on;
         --changes) {
      went = change(static_cast<std::uint32_t>(random_.below(cell_count)));
    }
  } else if (what < 15) {
    writer_->flush();
    take_acknowledged();
  } else {
    writer_->collect(what < 18 ? 0ns : 1ms);
    take_acknowledged();
  }
  return writer_->error() ? Went::failed : went;
}

BlockBuilder* WriterRun::room(std::uint32_t bytes, bool copying_forward, Went& went) {
  for (int tries = 0; tries < most_tries; ++tries) {
    const auto block = writer_->room(bytes, copying_forward);
    take_acknowledged();
    if (block) return *block;
    switch (block.error()) {
      case JournalWriter::NoRoom::failed:
        went = Went::failed;
        return nullptr;
      case JournalWriter::NoRoom::segments:
        if (copying_forward || writer_->oldest_segment() >= writer_->newest_segment()) {
          writer_->flush();
        } else if (went = copy_oldest_forward(); went != Went::on) {
          return nullptr;
        }
        break;
      case JournalWriter::NoRoom::buffers:
        break;
    }
    writer_->collect(1ms);
    take_acknowledged();
  }
  went = Went::stuck;
  return nullptr;
}

/// Room for the record, the name of its kind before it.
BlockBuilder* WriterRun::room_for(const JobRecord& record, std::uint32_t bytes, bool copying_forward, Went& went) {
  const std::string name = kind_name(record.kind);
  const std::uint32_t of_kind = BlockBuilder::bytes_of_kind(static_cast<std::uint32_t>(name.size()));
  BlockBuilder* block = room(bytes + of_kind, copying_forward, went);
  if (block == nullptr || kind_named_in_[record.kind] == writer_->open_segment()) return block;
  block->append_kind(record.kind, name);
  note({.type = RecordType::kind, .id = record.kind, .content = XXH3_64bits(name.data(), name.size())});
  kind_named_in_[record.kind] = writer_->open_segment();
  return block;
}

JobRecord WriterRun::record_of(const Cell& cell) const {
  JobRecord record = contents_->at(cell.id).record;
  record.enqueued_at_ms_and_attempts = record.enqueued_at_ms() | std::uint64_t{cell.attempts} << 48;
  return record;
}

WriterRun::Went WriterRun::write_job(std::uint32_t index, bool copying_forward) {
  Went went = Went::on;
  const JobRecord record = record_of(cells_[index]);
  const std::vector<std::byte>& content = contents_->at(record.id).payload;
  BlockBuilder* block = room_for(record, BlockBuilder::bytes_of_job(record.payload_bytes), copying_forward, went);
  if (block == nullptr) return went;
  if (random_.one_in(16)) {
    const BlockBuilder::Mark before = block->mark();
    const std::span<std::byte> taken_back = block->append_job(record);
    std::ranges::fill(taken_back, std::byte{0xdd});
    block->rewind(before);
  }
  const std::span<std::byte> payload = block->append_job(record);
  std::ranges::copy(content, payload.begin());
  note(ledger_record_of(record, content));
  cells_[index].segment = writer_->open_segment();
  return went;
}

WriterRun::Went WriterRun::write_short(RecordType type, JobId id, std::uint16_t attempts) {
  Went went = Went::on;
  BlockBuilder* block = room(sizeof(ShortRecord), false, went);
  if (block == nullptr) return went;
  if (type == RecordType::ended) {
    block->append_ended(id);
  } else {
    block->append_attempts(id, attempts);
  }
  note({.type = type, .id = id.value(), .attempts = attempts});
  return went;
}

void WriterRun::begin_life(Cell& cell, std::uint32_t index) {
  const std::uint64_t bytes = random_.one_in(12) ? random_.below(20'000) : random_.below(400);
  cell.id = id_of(cell.next_generation++, index).value();
  cell.attempts = 0;
  Content& content = (*contents_)[cell.id];
  content.payload.resize(bytes);
  for (std::byte& byte : content.payload) byte = static_cast<std::byte>(random_.next());
  content.record = {.level = static_cast<std::uint16_t>(random_.below(3)),
                    .payload_bytes = static_cast<std::uint32_t>(bytes),
                    .id = cell.id,
                    .enqueued_at_ms_and_attempts = random_.next() >> 16,
                    .kind = static_cast<std::uint16_t>(random_.below(writer_kind_count)),
                    .most_attempts = static_cast<std::uint16_t>(random_.below(4)),
                    .lease_ms = static_cast<std::uint32_t>(random_.below(1000))};
}

WriterRun::Went WriterRun::change(std::uint32_t index) {
  Cell& cell = cells_[index];
  if (!cell.alive) {
    begin_life(cell, index);
    const Went went = write_job(index, false);
    cell.alive = went == Went::on;
    return went;
  }
  if (random_.one_in(4)) {
    ++cell.attempts;
    return write_short(RecordType::attempts, JobId(cell.id), cell.attempts);
  }
  // Some stay for the whole run: they are what is copied forward.
  if (index % 4 == 0 && !random_.one_in(20)) return Went::on;
  const Went went = write_short(RecordType::ended, id_of(cell.next_generation, index), 0);
  if (went == Went::on) cell.alive = false;
  return went;
}

WriterRun::Went WriterRun::copy_oldest_forward() {
  const std::uint64_t oldest = writer_->oldest_segment();
  for (std::uint32_t index = 0; index < cell_count; ++index) {
    if (!cells_[index].alive || cells_[index].segment != oldest) continue;
    if (const Went went = write_job(index, true); went != Went::on) return went;
  }
  retired_below_ = std::max(retired_below_, oldest + 1);
  writer_->retire_oldest();
  writer_->flush();
  take_acknowledged();
  return Went::on;
}

void WriterRun::at_moment() {
  if (looks_) return;
  ++moments_;
  if (cutting_.one_in(one_cut_in_)) {
    looks_ = true;
    for (std::uint64_t cut = 0; cut < cuts_at_once_; ++cut) check_cut();
    looks_ = false;
  }
  if (kill_in_ > 0 && --kill_in_ == 0 && fiber_->is_running()) fiber_->abandon();
}

void WriterRun::check_cut() {
  const std::uint64_t seed = cutting_.next();
  const std::shared_ptr<Disk> cut = disk_->power_cut(seed);
  report_->count_state();
  DiskModel reader(cut);
  const auto read = read_back(reader, engine_id);
  if (!read) return found(CrashTrouble::crashed, fmt::format("cut {}: read_journal: {}", seed, read.error().message()));
  if (disk_->lies_told() > 0) return check_after_lies(*read);
  const auto history = check_exactly(*read);
  if (!history) return;
  if (cutting_.one_in(4)) check_flips(*cut, *read);
  if (depth_ < 2 && cutting_.one_in(12)) WriterRun(*this, cut, *read, *history, cutting_.next()).run();
}

/// The disk did what it said: the journal is exactly what it was after some block that is not before the acknowledged.
std::optional<std::map<std::uint64_t, LedgerBlock>> WriterRun::check_exactly(const ReadBack& read) {
  for (const JournalDamage& damage : read.report.damage) {
    found(CrashTrouble::false_alarm,
          fmt::format("segment {} offset {}: {}", damage.segment, damage.offset, damage.reason));
  }
  if (!read.report.damage.empty()) return std::nullopt;
  const std::uint64_t last = read.report.last_block;
  if (last < acknowledged_) {
    found(CrashTrouble::lost, fmt::format("ends with block {}, {} was acknowledged", last, acknowledged_));
    return std::nullopt;
  }
  if (read.report.oldest > std::max<std::uint64_t>(retired_below_, 1)) {
    found(CrashTrouble::lost,
          fmt::format("begins with segment {}, retired are those below {}", read.report.oldest, retired_below_));
    return std::nullopt;
  }
  for (std::size_t n = 1; n < read.blocks.size(); ++n) {
    if (read.blocks[n].place.block == read.blocks[n - 1].place.block + 1) continue;
    found(CrashTrouble::lost,
          fmt::format("block {} follows {}", read.blocks[n].place.block, read.blocks[n - 1].place.block));
    return std::nullopt;
  }
  const Replay got = replay_of(read.blocks);
  auto histories = ledger_.histories(last, acknowledged_);
  for (auto& history : histories) {
    if (replay_of(history).live() == got.live()) return std::move(history);
  }
  compare(replay_of(histories.front()), got);
  return std::nullopt;
}

void WriterRun::compare(const Replay& expected, const Replay& got) {
  for (const auto& [cell, life] : expected.live()) {
    const auto there = got.live().find(cell);
    if (there == got.live().end() || there->second.generation < life.generation) {
      found(CrashTrouble::lost, fmt::format("job {}", id_of(life.generation, cell).to_string()));
    } else if (there->second.generation == life.generation && there->second != life) {
      found(CrashTrouble::lost,
            fmt::format("job {} is not as it was: {} attempts, should be {}", id_of(life.generation, cell).to_string(),
                        there->second.attempts, life.attempts));
    }
  }
  for (const auto& [cell, life] : got.live()) {
    const auto there = expected.live().find(cell);
    if (there != expected.live().end() && there->second.generation >= life.generation) continue;
    found(CrashTrouble::resurrected, fmt::format("job {}", id_of(life.generation, cell).to_string()));
  }
}

/// A write went elsewhere, or nowhere, or a sync failed: what is missing is named, as far as a later block shows that
/// it was durable, and nothing is served that was never written.
void WriterRun::check_after_lies(const ReadBack& read) {
  std::set<std::uint64_t> served;
  for (const ReadBack::Block& block : read.blocks) {
    served.insert(block.place.block);
    // A block without records says only which segments count.
    if (block.records.empty() || ledger_.knows(block.place.block, block.records)) continue;
    found(CrashTrouble::undetected, fmt::format("block {} was never written so", block.place.block));
  }
  if (!read.report.damage.empty()) return;
  const std::uint64_t evident = std::min(acknowledged_, read.most_durable());
  for (const auto& [number, block] : ledger_.blocks()) {
    if (number > evident || block.segment < retired_below_ || served.contains(number)) continue;
    found(CrashTrouble::undetected, fmt::format("block {} is missing, {} is served", number, read.most_durable()));
    return;
  }
}

/// Bits change in what the journal has: the blocks that are hit are never served, the others all are, and damage is
/// reported where a sound block shows that what was hit was durable.
void WriterRun::check_flips(const Disk& cut, const ReadBack& before) {
  if (before.blocks.empty()) return;
  std::map<std::uint64_t, SlotNumber> slots;
  for (const SlotFinding& slot : before.report.slots) {
    if (slot.counts && slot.head) slots[slot.head->segment] = slot.slot;
  }
  const std::shared_ptr<Disk> broken = cut.copy();
  std::set<std::uint64_t> hit;
  std::set<std::pair<std::uint64_t, std::uint64_t>> places;  // none twice: a bit may change, and change back
  std::string where;
  // A head alone, or blocks: with its head and its first blocks gone, no reader can tell where a segment began.
  const bool in_head = cutting_.one_in(6);
  for (std::uint64_t flips = in_head ? 1 : 1 + cutting_.below(3); flips > 0; --flips) {
    const ReadBack::Block& block = before.blocks[cutting_.below(before.blocks.size())];
    const std::uint64_t within = cutting_.one_in(2) ? sizeof(BlockHead) : block.bytes;
    const std::uint64_t offset =
        in_head ? cutting_.below(sizeof(SegmentHead)) : block.place.offset + cutting_.below(within);
    if (!places.emplace(block.place.segment, offset).second) continue;
    broken->flip(slots.at(block.place.segment), offset, std::byte{1} << cutting_.below(8));
    where += fmt::format("{}segment {} offset {}", where.empty() ? "" : ", ", block.place.segment, offset);
    if (!in_head) hit.insert(block.place.block);
  }
  report_->count_state();
  DiskModel reader(broken);
  const auto read = read_back(reader, engine_id);
  // A flipped version number or engine id with a checksum that fits is out of a single bit's reach.
  if (!read) return found(CrashTrouble::crashed, fmt::format("flip at {}: {}", where, read.error().message()));

  std::map<std::uint64_t, const ReadBack::Block*> served;
  for (const ReadBack::Block& block : read->blocks) served[block.place.block] = &block;
  std::uint64_t evident = 0;
  for (const ReadBack::Block& block : before.blocks) {
    if (!hit.contains(block.place.block)) evident = std::max(evident, block.durable);
  }
  bool must_be_named = in_head;
  for (const ReadBack::Block& block : before.blocks) {
    const std::uint64_t number = block.place.block;
    const auto there = served.find(number);
    if (hit.contains(number)) {
      if (there != served.end())
        found(CrashTrouble::undetected, fmt::format("flip at {}: block {} is served", where, number));
      if (number > evident) break;  // looks like a torn end
      must_be_named = true;
    } else if (there == served.end()) {
      found(CrashTrouble::lost, fmt::format("flip at {}: sound block {} is not served", where, number));
    } else if (there->second->records != block.records) {
      found(CrashTrouble::undetected, fmt::format("flip at {}: block {} changed", where, number));
    }
  }
  if (must_be_named && read->report.damage.empty()) {
    found(CrashTrouble::undetected, fmt::format("flip at {}: not a word", where));
  }
}

}  // namespace ringmill::crash
