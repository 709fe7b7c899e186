// Journals with right checksums that an attacker has written: time and memory stay within what their bytes are worth.
#include <malloc.h>

#include <cstdlib>
#include <fstream>

#include "core/durability/live_jobs.h"
#include "core/durability/never_were.h"
#include "core/journal/file_names.h"
#include "core/journal/writer.h"
#include "core/table/unique_jobs.h"
#include "tests/cli/command_line.h"
#include "tests/journal/hand_written.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

JobId id_at(CellIndex index, std::uint64_t generation = 1) { return JobId(generation << index_bits | index); }

/// The shortest record that speaks of a long payload: its last part, of 8 bytes.
PartRecord last_part_of(JobId id, std::uint64_t parts) {
  return {.number = static_cast<std::uint16_t>(parts - 1),
          .part_bytes = 8,
          .id = id.value(),
          .payload_bytes = (parts - 1) * most_part_bytes + 8};
}

// --- in memory

TEST(HostilePartsInProcess, a_part_takes_room_for_itself_and_not_for_its_payload) {
  for (const bool keeps_bytes : {false, true}) {
    JournalParts parts(keeps_bytes);
    const std::array<std::byte, 8> bytes{};
    const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    constexpr CellIndex count = 1000;
    for (CellIndex index = 0; index < count; ++index) parts.add(last_part_of(id_at(index), 65536), bytes);
    const std::size_t after = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    EXPECT_LT(after, before + count * 512);
    EXPECT_FALSE(parts.is_whole(id_at(0), last_part_of(id_at(0), 65536).payload_bytes));
  }
}

TEST(HostilePartsInProcess, parts_are_joined_in_the_order_of_their_numbers_whatever_order_they_came_in) {
  JournalParts parts(true);
  const JobId id = id_at(3);
  const std::string payload = HandWritten::payload_of(7, 2 * most_part_bytes + 100);
  for (const std::uint16_t number : std::array<std::uint16_t, 4>{2, 0, 1, 0}) {
    const std::string part = payload.substr(number * std::size_t{most_part_bytes}, most_part_bytes);
    parts.add({.number = number,
               .part_bytes = static_cast<std::uint32_t>(part.size()),
               .id = id.value(),
               .payload_bytes = payload.size()},
              as_payload(part));
  }
  ASSERT_TRUE(parts.is_whole(id, payload.size()));
  EXPECT_TRUE(as_text(parts.payload(id)) == payload);
  // One more of another length: what is whole stands.
  parts.add(last_part_of(id, 7), as_payload("12345678"));
  EXPECT_TRUE(parts.is_whole(id, payload.size()));
  EXPECT_TRUE(as_text(parts.payload(id)) == payload);
}

TEST(HostileLinksInProcess, each_cell_of_a_long_chain_of_leaders_is_looked_at_once) {
  constexpr CellIndex count = 100'000;
  for (const bool never_was : {false, true}) {
    std::size_t looks = 0;
    const auto bond_of = [&](CellIndex cell) -> NeverWere::Bond {
      ++looks;
      if (cell + 1 == count) return {.never_was = never_was};
      return {.leader = cell + 1};
    };
    NeverWere never_were(count);
    for (CellIndex cell = 0; cell < count; ++cell) never_were.look_at((cell * 7919) % count, bond_of);
    EXPECT_EQ(looks, count);
    for (const CellIndex cell : {0U, 1U, count / 2, count - 1}) EXPECT_EQ(never_were.contains(cell), never_was);
  }
}

TEST(HostileLinksInProcess, jobs_that_lead_each_other_in_a_circle_count) {
  NeverWere never_were(3);
  const auto bond_of = [](CellIndex cell) -> NeverWere::Bond { return {.leader = (cell + 1) % 3}; };
  for (CellIndex cell = 0; cell < 3; ++cell) never_were.look_at(cell, bond_of);
  for (CellIndex cell = 0; cell < 3; ++cell) EXPECT_FALSE(never_were.contains(cell));
}

TEST(HostileLinksInProcess, verify_takes_no_room_for_cells_that_the_engine_does_not_have) {
  const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  LiveJobs jobs(64);
  jobs.on_ended({}, id_at(most_cells - 1));
  jobs.on_attempts({}, id_at(most_cells - 1), 1);
  jobs.on_job({}, {.id = id_at(most_cells - 1).value()}, {});
  EXPECT_LT(::mallinfo2().uordblks + ::mallinfo2().hblkhd, before + 65536);
  EXPECT_EQ(jobs.count(), 0U);
}

// --- unique keys

/// Keys of one place of the table. Without a seed, an attacker that knows the hash can find any number of them.
std::vector<std::string> keys_of_one_place(std::size_t count, std::uint64_t slots) {
  std::vector<std::string> keys;
  for (std::uint64_t n = 0; keys.size() < count; ++n) {
    if (UniqueKey::of(std::to_string(n)).low % slots == 0) keys.push_back(std::to_string(n));
  }
  return keys;
}

TEST(HostileKeys, keys_chosen_for_one_place_do_not_widen_the_windows_of_all) {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  World world(options);
  const auto core = world.scratch.open_core();
  const std::uint64_t slots = core->segment.geometry().unique_slots;
  const auto producer = world.attach(Role::producer);
  for (const std::string& key : keys_of_one_place(300, slots)) {
    EXPECT_TRUE(must(producer->enqueue_unique(world.request("x"), key)).is_new);
  }
  EXPECT_LE(core->segment.unique_slots()[slots].load(), UniqueJobs::first_width);
}

TEST(HostileKeys, each_segment_has_a_seed_of_its_own_and_one_without_it_works_as_before) {
  World one;
  World other;
  const auto seed_of = [](const World& world) -> std::atomic<std::uint64_t>& {
    static std::vector<std::shared_ptr<EngineCore>> cores;
    cores.push_back(world.scratch.open_core());
    const Segment& segment = cores.back()->segment;
    return segment.unique_slots()[segment.geometry().unique_slots + 1];
  };
  EXPECT_NE(seed_of(one).load(), 0U);
  EXPECT_NE(seed_of(one).load(), seed_of(other).load());
  seed_of(one).store(0);
  const auto core = one.scratch.open_core();
  const auto producer = one.attach(Role::producer);
  const JobId id = must(producer->enqueue_unique(one.request("x"), "key")).id;
  const std::uint64_t slots = core->segment.geometry().unique_slots;
  EXPECT_EQ(core->segment.unique_slots()[UniqueKey::of("key").low % slots].load(), id.value());
}

TEST(HostileKeys, recovery_places_keys_of_one_place_and_jobs_of_one_key_in_linear_time) {
  CreateOptions options = small_engine();
  options.capacity = 1U << 18;
  World world(options);
  const auto core = world.scratch.open_core();
  const std::uint64_t slots = core->segment.geometry().unique_slots;
  const auto width = [&] { return core->segment.unique_slots()[slots].load(); };
  std::vector<UniqueJobs::Keyed> jobs;
  for (CellIndex cell = 0; cell < slots / 2; ++cell) jobs.push_back({{.low = 17, .high = 4}, id_at(cell)});
  const auto left_out = UniqueJobs(core->segment).place(jobs);
  EXPECT_EQ(left_out.size(), jobs.size() - UniqueJobs::most_of_one_key);
  EXPECT_LE(width(), UniqueJobs::first_width);

  jobs.clear();
  for (CellIndex cell = 0; cell < slots / 2; ++cell) jobs.push_back({{.low = slots * cell, .high = 1}, id_at(cell)});
  EXPECT_TRUE(UniqueJobs(core->segment).place(jobs).empty());
  EXPECT_LE(width(), 256U) << "half of the slots are taken";
}

TEST(HostileKeys, a_full_table_of_keys_is_placed_and_each_is_in_its_window) {
  World world;
  const auto core = world.scratch.open_core();
  const Segment& segment = core->segment;
  const std::uint64_t slots = segment.geometry().unique_slots;
  const auto producer = world.attach(Role::producer);
  std::vector<UniqueJobs::Keyed> jobs;
  for (std::uint64_t n = 0; n < segment.geometry().capacity; ++n) {
    const auto job = must(producer->enqueue_unique(world.request("x"), std::to_string(n)));
    jobs.push_back({UniqueKey::of(std::to_string(n)), job.id});
  }
  for (std::uint64_t n = 0; n <= slots; ++n) segment.unique_slots()[n].store(0);
  EXPECT_TRUE(UniqueJobs(segment).place(jobs).empty());
  for (const UniqueJobs::Keyed& job : jobs) EXPECT_EQ(UniqueJobs(segment).find(job.key, JobId()), job.id);
}

// --- files

/// A file that claims to be endless: it notes reads far into it.
class SparseDevice : public MemoryDevice {
 public:
  Result<std::uint64_t> bytes_of(SlotNumber slot) override {
    return slot == 1 ? std::uint64_t{1} << 40 : MemoryDevice::bytes_of(slot);
  }
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override {
    if (slot != 1) return MemoryDevice::read(slot, offset, to);
    bytes_read += to.size();
    if (bytes_read > std::uint64_t{1} << 30) return std::unexpected(Error(ErrorCode::system, "too far"));
    std::ranges::fill(to, std::byte{});
    return {};
  }
};

TEST(HostileFilesInProcess, of_a_file_no_more_is_read_than_a_segment_of_the_engine_has) {
  HandWritten journal;
  journal.begin(0);
  journal.job(1);
  SparseDevice device;
  device.files = journal.device.files;
  device.files[1];
  Lines lines;
  must(read_journal(device, test_engine, lines, {.segment_bytes = journal.segment_bytes, .progress = {}}));
  EXPECT_EQ(lines.lines, journal.lines);
  EXPECT_LE(device.bytes_read, 8 * journal.segment_bytes);
}

TEST(HostileFilesInProcess, a_segment_that_says_to_be_longer_than_the_engines_is_read_so_far_and_reported) {
  HandWritten journal;
  journal.segment_bytes = 32 * journal_unit;
  journal.begin(0);
  journal.job(1);
  Lines lines;
  const JournalReport report =
      must(read_journal(journal.device, test_engine, lines, {.segment_bytes = 16 * journal_unit, .progress = {}}));
  EXPECT_EQ(lines.lines, journal.lines);
  ASSERT_EQ(report.damage.size(), 1U);
  EXPECT_EQ(report.damage[0].offset, 16 * journal_unit);
  EXPECT_NE(report.damage[0].reason.find("longer than this engine's segments"), std::string::npos);
}

TEST(HostileFilesInProcess, missing_segments_beyond_ten_thousand_are_counted_and_not_named) {
  HandWritten journal;
  journal.segment_bytes = 2 * journal_unit;
  for (SlotNumber slot = 0; slot < 30; ++slot) {
    journal.begin(slot);
    journal.job(slot + 1);
    journal.segment += 5000;
  }
  const Read read = must(read_all(journal.device));
  ASSERT_EQ(read.report.damage.size(), most_named_damage);
  EXPECT_NE(read.report.damage.back().reason.find("places of damage more"), std::string::npos);
  EXPECT_EQ(read.lines, journal.lines);
}

/// Its files where a writer finds them.
void put_files(const MemoryDevice& device, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const auto& [slot, bytes] : device.files) {
    std::ofstream(folder / file_name_of(slot), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
}

TEST(HostileNumbers, a_journal_whose_numbers_are_near_their_end_is_read_and_not_written_on) {
  constexpr std::uint64_t high = ~std::uint64_t{0} - 1;
  for (const bool is_epoch : {true, false}) {
    HandWritten journal;
    journal.segment_bytes = 2 * most_block_bytes;
    if (is_epoch) {
      journal.epoch = high;
    } else {
      journal.number = high - 8;
      journal.ends = {{journal.number, 0}};
    }
    journal.begin(0);
    journal.job(1);
    EXPECT_EQ(must(read_all(journal.device)).lines, journal.lines);
    const ScratchFolder folder;
    put_files(journal.device, folder.path());
    auto device = must(open_journal_device(must(Directory::open(folder.path())), DeviceChoice::pwritev2, 0600));
    const auto writer = JournalWriter::open(std::move(device), test_engine, {journal.segment_bytes, 8}, 1);
    EXPECT_EQ(code_of(writer), ErrorCode::corrupt) << is_epoch;
  }
}

TEST(HostileNumbers, an_epoch_near_its_end_in_shared_memory_is_not_written) {
  const ScratchFolder folder;
  auto device = must(open_journal_device(must(Directory::open(folder.path())), DeviceChoice::pwritev2, 0600));
  const auto writer =
      JournalWriter::open(std::move(device), test_engine, {2 * most_block_bytes, 8}, ~std::uint64_t{0} - 1);
  EXPECT_EQ(code_of(writer), ErrorCode::corrupt);
}

// --- the commands, within limits

/// What a hostile journal is full of, record by record: n counts them. False: the block has no room for the next.
using Filler = std::function<bool(BlockBuilder&, std::uint32_t n)>;

JobRecord job_of(JobId id) {
  return {.payload_bytes = 8, .id = id.value(), .enqueued_at_ms_and_attempts = 1'764'000'000'000, .kind = 1};
}

bool append_linked(BlockBuilder& builder, JobId id, OptionsRecord options, std::optional<LinksRecord> links) {
  constexpr std::uint32_t bytes = 40 + sizeof(OptionsRecord) + sizeof(LinksRecord);
  if (builder.room() < bytes) return false;
  builder.append_job(job_of(id));
  options.id = id.value();
  options.cell_flags = cell_flag::has_options;
  if (links) options.cell_flags |= cell_flag::has_links;
  builder.append_options(options);
  if (links) {
    links->id = id.value();
    builder.append_links(*links);
  }
  return true;
}

constexpr std::uint32_t cells = 1U << 17;

const std::vector<std::pair<const char*, Filler>>& fillers() {
  static const std::vector<std::pair<const char*, Filler>> all{
      {"parts",
       [](BlockBuilder& builder, std::uint32_t n) {
         if (builder.room() < 32) return false;
         builder.append_part(last_part_of(id_at(n % cells, 1 + n / cells), 32));
         return true;
       }},
      {"parts of cells that are not there",
       [](BlockBuilder& builder, std::uint32_t n) {
         if (builder.room() < 32) return false;
         builder.append_part(last_part_of(id_at(cells + n % (most_cells - cells)), 65536));
         return true;
       }},
      {"a chain of leaders, of which the first never was",
       [](BlockBuilder& builder, std::uint32_t n) {
         const CellIndex cell = n % (cells - 1);
         return append_linked(builder, id_at(cell), {}, LinksRecord{.rule = 1, .born_of = id_at(cell + 1).value()});
       }},
      {"jobs of one unique key",
       [](BlockBuilder& builder, std::uint32_t n) {
         return append_linked(builder, id_at(n % cells), {.unique_low = 1, .unique_high = 1}, std::nullopt);
       }},
      {"ends",
       [](BlockBuilder& builder, std::uint32_t n) {
         if (builder.room() < sizeof(ShortRecord)) return false;
         builder.append_ended(id_at(n * 7919 % most_cells, 1 + n % 1000));
         return true;
       }},
      {"large jobs without their parts",
       [](BlockBuilder& builder, std::uint32_t n) {
         if (builder.room() < sizeof(LargeJobRecord)) return false;
         LargeJobRecord record{.job = job_of(id_at(n % cells)), .first_segment = 1};
         record.job.type = RecordType::large_job;
         record.job.payload_bytes = 1U << 20;
         builder.append_large_job(record);
         return true;
       }},
  };
  return all;
}

class HostileJournals : public CommandLine {
 protected:
  HostileJournals() { init({"--capacity", std::to_string(cells), "--cell-size", "256"}); }

  std::uint64_t mib() const {
    const char* const asked = std::getenv("RINGMILL_HOSTILE_MIB");
    return asked != nullptr ? std::strtoull(asked, nullptr, 10) : 12;
  }
  HandWritten journal() const {
    std::ifstream file(place_.directory() / "engine.json");
    const auto json = nlohmann::json::parse(file);
    HandWritten journal;
    journal.engine_id = std::strtoull(json["id"].get<std::string>().c_str(), nullptr, 16);
    journal.segment_bytes = json["journal"]["segment_bytes"];
    return journal;
  }
  void write(HandWritten& journal, const Filler& fill) const {
    std::uint32_t n = 0;
    for (SlotNumber slot = 0; slot * journal.segment_bytes < mib() << 20; ++slot) {
      journal.begin(slot);
      while (journal.offset + most_block_bytes <= journal.segment_bytes) {
        journal.block_of([&](BlockBuilder& builder) {
          while (fill(builder, n)) ++n;
        });
      }
    }
  }
  /// Within the limits that docs/operations.md states.
  Ran within_limits(const std::string& command) {
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
    const std::string data_kib = std::to_string((128 + 12 * mib()) << 10);
    const std::string cpu_s = std::to_string(10 + mib() / 4);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const std::string limits = "ulimit -t " + cpu_s;
#else
    const std::string limits = "ulimit -d " + data_kib + "; ulimit -t " + cpu_s;
#endif
    Program run("/bin/sh", {"-c", limits + "; exec \"$@\"", "sh", program, command, directory()});
    return run.end();
  }
  void lose_memory() const {
    for (const std::string& name : place_.shm_names()) std::filesystem::remove(place_.shm_dir() / name);
  }
  void expect_an_answer(const std::string& what) {
    lose_memory();
    for (const char* const command : {"verify", "recover"}) {
      const Ran ran = within_limits(command);
      EXPECT_TRUE(ran.exit_code == 0 || ran.exit_code == 1) << what << "\n" << testing::PrintToString(ran);
    }
  }
};

TEST_F(HostileJournals, verify_and_recover_end_within_their_limits_whatever_the_records_say) {
  for (const auto& [what, fill] : fillers()) {
    init({"--capacity", std::to_string(cells), "--cell-size", "256"});
    HandWritten hostile = journal();
    write(hostile, fill);
    put_files(hostile.device, place_.directory() / "journal");
    expect_an_answer(what);
  }
}

TEST_F(HostileJournals, heads_of_blocks_that_lie_over_each_other_cost_no_more_than_their_checksums) {
  HandWritten hostile = journal();
  write(hostile, [](BlockBuilder& builder, std::uint32_t) {
    if (builder.room() < sizeof(ShortRecord)) return false;
    builder.append_ended(id_at(1));
    return true;
  });
  for (auto& [slot, file] : hostile.device.files) {
    BlockHead head;
    std::memcpy(&head, &file[journal_unit], sizeof head);
    head.checksum ^= 1;
    for (std::uint64_t at = journal_unit; at + head.bytes <= file.size(); at += journal_unit) {
      head.offset_in_units = static_cast<std::uint32_t>(at / journal_unit);
      std::memcpy(&file[at], &head, sizeof head);
    }
  }
  put_files(hostile.device, place_.directory() / "journal");
  expect_an_answer("heads");
}

TEST_F(HostileJournals, a_sparse_file_of_a_terabyte_is_read_as_far_as_a_segment_goes) {
  HandWritten hostile = journal();
  hostile.begin(0);
  hostile.job(id_at(1).value());
  put_files(hostile.device, place_.directory() / "journal");
  std::ofstream(place_.directory() / "journal" / "0001.segment").close();
  std::filesystem::resize_file(place_.directory() / "journal" / "0001.segment", std::uintmax_t{1} << 40);
  expect_an_answer("sparse");
}

}  // namespace
}  // namespace ringmill::test
