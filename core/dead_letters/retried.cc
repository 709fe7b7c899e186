#include "core/dead_letters/retried.h"

#include "core/dead_letters/schema.h"

namespace ringmill {

namespace {

std::int64_t id_column_of(JobId id) noexcept { return static_cast<std::int64_t>(id.value()); }

Result<std::optional<JobId>> find_in(SqlConnection& connection, const char* query, JobId id) {
  const auto tables = connection.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'retried'");
  if (!tables) return std::unexpected(tables.error());
  if (*tables == 0) return std::nullopt;
  auto rows = connection.prepare(query);
  if (!rows) return std::unexpected(rows.error());
  const auto row = rows->with(id_column_of(id)).step();
  if (!row) return std::unexpected(row.error());
  if (!*row || !rows->is_integer(0)) return std::nullopt;
  return JobId(static_cast<std::uint64_t>(rows->integer(0)));
}

}  // namespace

Result<void> note_retried(SqlConnection& connection, std::span<const JobId> letters, std::span<const JobId> jobs,
                          std::chrono::seconds age) {
  if (auto made = connection.execute(make_retried); !made) return made;
  auto note = connection.prepare("INSERT OR REPLACE INTO retried VALUES (?1, ?2, ?3)");
  if (!note) return std::unexpected(note.error());
  const auto now = std::chrono::system_clock::now();
  for (std::size_t n = 0; n < letters.size(); ++n) {
    if (auto ran = note->with(id_column_of(letters[n]), id_column_of(jobs[n]), time_column(now)).run(); !ran)
      return ran;
  }
  const std::chrono::seconds kept = age.count() > 0 ? age : std::chrono::seconds(std::chrono::days{30});
  auto forget = connection.prepare("DELETE FROM retried WHERE at < ?1");
  if (!forget) return std::unexpected(forget.error());
  return forget->with(time_column(now - kept)).run();
}

Result<std::optional<JobId>> find_retried(SqlConnection& connection, JobId letter) {
  return find_in(connection, "SELECT job FROM retried WHERE id = ?1", letter);
}

}  // namespace ringmill
