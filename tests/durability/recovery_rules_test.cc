// rec.R2 row by row: each record, of an earlier life than the one that stands, of the same, and of a later one.
#include "core/durability/recovery_rules.h"

#include <string>

#include "core/table/notes.h"

#include "tests/durability/rebuild.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t standing_life = 5;
constexpr CellIndex cell = 1;
constexpr std::uint16_t standing_attempts = 1;
constexpr std::uint16_t said_attempts = 2;
constexpr std::uint64_t due_ms = 9'000'000'000'000;
constexpr std::uint32_t rule_cell_bytes = 256;

/// What recovery makes of cell 1.
struct Found {
  std::uint64_t life = 0;  // 0: the cell is free
  CellState state = CellState::free;
  std::uint16_t attempts = 0;
  bool has_options_bit = false;
  std::uint32_t parents = 0;
  std::string tag{};
  bool operator==(const Found&) const = default;
};
void PrintTo(const Found& found, std::ostream* out) {
  *out << "life " << found.life << ", state " << static_cast<int>(found.state) << ", attempts " << found.attempts
       << ", options " << found.has_options_bit << ", parents " << found.parents << ", tag " << found.tag;
}

Found found_by(const Records& records) {
  const Rebuilt rebuilt(records, rule_cell_bytes);
  EXPECT_TRUE(rebuilt.damage.empty()) << rebuilt.damage.front().reason;
  const JobTable table(*rebuilt.segment);
  const StateWord word = table.word(cell);
  if (word.state() == CellState::free) return {};
  const CellHeader& header = table.header(cell);
  const CellNotes* const notes = table.notes(cell);
  return {.life = word.generation(),
          .state = word.state(),
          .attempts = header.attempts.load(),
          .has_options_bit = (header.flags.load() & cell_flag::bury_on_worker_lost) != 0,
          .parents = table.parents(cell),
          .tag = notes != nullptr ? std::string(Notes::read(*notes).tag()) : std::string()};
}

/// A job that stands, in a cell with room for links if they are what comes.
Records standing_before(RecordType type) {
  Records records;
  records.kind(0, "k");
  const JobId id = id_of(standing_life, cell);
  records.job({.id = id, .payload = "8 bytes!", .attempts = standing_attempts});
  if (type == RecordType::links) {
    records.options({.cell_flags = cell_flag::has_options | cell_flag::has_links, .id = id.value()});
  }
  if (type == RecordType::notes) {
    records.options({.cell_flags = cell_flag::has_options | cell_flag::has_notes, .id = id.value()});
  }
  return records;
}
const Found stands_as_before{.life = standing_life, .state = CellState::queued, .attempts = standing_attempts};

/// A record of each type that says something else than what stands.
void write(RecordType type, JobId id, Records& records) {
  const std::string large(3000, 'l');
  switch (type) {
    case RecordType::job:
      return records.job({.id = id, .payload = "8 bytes!", .attempts = said_attempts});
    case RecordType::large_job: {
      records.parts(id, large);
      LargeJobRecord record{.job = TestJob{.id = id, .attempts = said_attempts}.record(), .first_segment = 1};
      record.job.type = RecordType::large_job;
      record.job.payload_bytes = static_cast<std::uint32_t>(large.size());
      return records.large_job(record);
    }
    case RecordType::ended:
      return records.ended(id);
    case RecordType::attempts:
      return records.attempts(id, said_attempts);
    case RecordType::change:
      return records.change({.attempts = said_attempts,
                             .state = JournaledState::delayed,
                             .id = id.value(),
                             .due = ChangeRecord::wall_bit | due_ms});
    case RecordType::options:
      return records.options({.cell_flags = cell_flag::has_options | cell_flag::bury_on_worker_lost, .id = id.value()});
    case RecordType::links:
      return records.links({.parents = 1, .id = id.value()});
    case RecordType::notes:
      return records.notes({.id = id.value()}, "said");
    case RecordType::part:
      return records.parts(id, large);
    case RecordType::result_part:
      return records.result_parts(id, large);
    default:
      FAIL() << "no record of this type has a rule";
  }
}

/// What the row says that the record does.
Found expected(const RecordRule& rule, NamedLife life, std::uint64_t named) {
  const Found over{};
  switch (rule.effects[static_cast<std::size_t>(life)]) {
    case RecordEffect::nothing:
    case RecordEffect::holds:
      return stands_as_before;
    case RecordEffect::notes:
    case RecordEffect::keeps:
      return life == NamedLife::later ? over : stands_as_before;
    case RecordEffect::stands:
      return {.life = named, .state = CellState::queued, .attempts = said_attempts};
    case RecordEffect::again:
    case RecordEffect::waits:
      return {.life = standing_life, .state = CellState::queued, .attempts = said_attempts};
    case RecordEffect::changes:
      return {.life = standing_life, .state = CellState::delayed, .attempts = said_attempts};
    case RecordEffect::adds: {
      Found found = stands_as_before;
      found.parents = rule.type == RecordType::links ? 1 : 0;
      found.tag = rule.type == RecordType::notes ? "said" : "";
      found.has_options_bit = rule.type == RecordType::options;
      return found;
    }
  }
  return over;
}

TEST(RecoveryRulesInProcess, each_record_does_what_its_row_says_of_each_life) {
  for (const RecordRule& rule : record_rules) {
    for (const NamedLife life : {NamedLife::earlier, NamedLife::same, NamedLife::later}) {
      SCOPED_TRACE("record " + std::to_string(static_cast<int>(rule.type)) + ", life " +
                   std::to_string(static_cast<int>(life)));
      const std::uint64_t named = standing_life + static_cast<std::uint64_t>(life) - 1;
      Records records = standing_before(rule.type);
      write(rule.type, id_of(named, cell), records);
      EXPECT_EQ(found_by(records), expected(rule, life, named));
    }
  }
}

TEST(RecoveryRulesInProcess, each_record_of_a_job_has_a_row_and_the_others_have_none) {
  const auto rows_of = [](RecordType type) { return std::ranges::count(record_rules, type, &RecordRule::type); };
  for (int number = 1; number <= 12; ++number) {
    const auto type = static_cast<RecordType>(number);
    const bool names_no_job = type == RecordType::kind || type == RecordType::retry_policy;
    EXPECT_EQ(rows_of(type), names_no_job ? 0 : 1) << number;
  }
}

/// Over is further than going on, more attempts are further than fewer, and of two alike the later record stands.
constexpr JobProgress tried{.is_over = false, .attempts = 3};
constexpr JobProgress over_at_once{.is_over = true, .attempts = 0};
static_assert(JobProgress{} < tried && tried < over_at_once && over_at_once < JobProgress{true, 3});
static_assert(!(JobProgress{false, 3} < tried));

}  // namespace
}  // namespace ringmill::test
