#include "core/dead_letters/store.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/base/sqlite.h"
#include "core/dead_letters/filter_columns.h"
#include "core/dead_letters/open_stores.h"
#include "core/dead_letters/retried.h"
#include "core/dead_letters/schema.h"
#include "ipc/fork_guard.h"
#include "ipc/registry.h"

namespace ringmill {

namespace fs = std::filesystem;
using TimePoint = std::chrono::system_clock::time_point;

namespace {

/// An allowance for a row's other columns, its entry in the index, and pages that are not full (docs/decisions/0013).
constexpr std::uint64_t bytes_beside_texts = 144;

/// How many letters a listing holds in memory, and about how many bytes of them: a file of megabytes can name the same
/// megabytes in each of its rows.
constexpr std::int64_t page_letters = 64;
constexpr std::uint64_t most_page_bytes = std::uint64_t{32} << 20;

/// A total above this is corrupt.
constexpr std::int64_t most_total = std::int64_t{1} << 60;

/// Letters are numbered from 1 on in the order in which they were buried.
constexpr std::int64_t before_first = 0;
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

/// The row of `meta`.
struct Meta {
  DeadLetterLimits limits;
  std::int64_t letters = 0;
  std::int64_t bytes = 0;
  std::int64_t dropped = 0;
  std::int64_t expired = 0;

  bool is_over() const noexcept {
    return std::cmp_greater(letters, limits.letters) || std::cmp_greater(bytes, limits.bytes);
  }
};

std::string_view error_kept(const DeadLetter& letter) noexcept {
  return std::string_view(letter.last_error).substr(0, most_error_bytes);
}

/// Within what read_letter() takes.
std::int64_t time_kept(std::chrono::milliseconds time) noexcept {
  return std::clamp(time, std::chrono::milliseconds(0), most_letter_time).count();
}

DeadLetter without_most_of_its_payload(DeadLetter letter) {
  if (letter.payload_cut_from == 0) letter.payload_cut_from = letter.payload.size();
  letter.payload.resize(std::min(letter.payload.size(), most_cut_payload_bytes));
  return letter;
}

std::span<const std::byte> bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }

std::int64_t id_column(JobId id) noexcept { return static_cast<std::int64_t>(id.value()); }

Error opened_by_parent() {
  return Error(ErrorCode::after_fork, "these dead letters were opened by the parent process: open them again");
}

}  // namespace

std::uint64_t size_of(const DeadLetter& letter) noexcept {
  return bytes_beside_texts + letter.kind.size() + letter.level.size() + letter.backoff.size() +
         error_kept(letter).size() + letter.payload.size() + letter.tag.size() + letter.trace_parent.size();
}

class DeadLetterStore::Implementation {
 public:
  Implementation(SqlConnection opened, Directory folder, LetterColumns there)
      : connection(std::move(opened)), directory(std::move(folder)), columns(there) {
    open_stores().count.fetch_add(1);
    open_stores().fork_generation.store(fork_generation());
  }
  ~Implementation() {
    if (!is_childs_copy()) {
      open_stores().count.fetch_sub(1);
      return;
    }
    // The child of a fork has our descriptors, and the parent goes on with them: nothing is closed or freed.
    for (auto& statement : statements_) static_cast<void>(statement.release());
    connection.abandon();
  }
  bool is_childs_copy() const noexcept { return fork_generation_ != fork_generation(); }

  enum Query { read_meta, write_meta, insert, find_one, newest, oldest, oldest_ids, front, erase, query_count };

  /// Prepared when it is first asked for.
  Result<SqlStatement*> statement(Query query);

  Result<Meta> meta();
  Result<void> store(const Meta& meta);
  Result<void> commit(SqlTransaction& transaction, const Meta& meta) {
    if (auto stored = store(meta); !stored) return stored;
    return transaction.commit();
  }
  Result<void> insert_all(std::span<const DeadLetter> letters, Meta& meta, std::size_t& fresh);
  /// Returns the ids of the letters that `filter` selects behind `after`, and moves `after` to the last of them.
  Result<std::vector<std::int64_t>> some_ids(const FilterColumns& filter, std::int64_t& after);
  /// Returns how many of them existed.
  Result<std::int64_t> erase_all(std::span<const std::int64_t> ids, Meta& meta);
  Result<std::int64_t> erase_expired(Meta& meta);
  Result<std::int64_t> make_room(Meta& meta);
  /// Returns the next letters behind `after`, and moves `after` to the last of them; none: the end.
  Result<std::vector<DeadLetter>> page(const FilterColumns& filter, Order order, std::int64_t& after);
  void give_back_pages();

  SqlConnection connection;
  Directory directory;
  LetterColumns columns;

 private:
  std::string text_of(Query query) const;
  /// Checks that each row is behind the one before, so that a walk ends, whatever the file says.
  static bool goes_on(const SqlStatement& row, int column, std::int64_t after, bool newest_first) noexcept {
    const std::int64_t number = row.integer(column);
    return row.is_integer(column) && (newest_first ? number < after : number > after);
  }
  Error out_of_order() const {
    return Error(ErrorCode::corrupt, "the dead letters are not in the order of their numbers",
                 directory.path_of(dead_letter_file).string() + "; move it away, then a new one is made");
  }

  std::array<std::unique_ptr<SqlStatement>, query_count> statements_;
  std::uint32_t fork_generation_ = fork_generation();
};

std::string DeadLetterStore::Implementation::text_of(Query query) const {
  switch (query) {
    case read_meta:
      return "SELECT most_letters, most_bytes, most_age_s, blocks_when_full, letters, bytes, dropped, expired FROM "
             "meta";
    case write_meta:
      return "UPDATE meta SET letters = ?1, bytes = ?2, dropped = ?3, expired = ?4";
    case insert:
      return fmt::format(
          "INSERT INTO letter({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
          "?18, ?19, ?20, ?21) ON CONFLICT(id) DO NOTHING",
          letter_columns);
    case find_one:
      return fmt::format("SELECT {} FROM letter WHERE id = ?1", columns.list);
    case newest:
      return select_by_filter(fmt::format("{}, number", columns.list), columns.tag, true);
    case oldest:
      return select_by_filter(fmt::format("{}, number", columns.list), columns.tag, false);
    case oldest_ids:
      return select_by_filter("id, number", columns.tag, false);
    case front:
      return "SELECT id, died_at FROM letter ORDER BY number LIMIT ?1";
    case erase:
      return "DELETE FROM letter WHERE id = ?1 RETURNING bytes";
    case query_count:
      break;
  }
  return {};
}

Result<SqlStatement*> DeadLetterStore::Implementation::statement(Query query) {
  auto& prepared = statements_[query];
  if (!prepared) {
    auto made = connection.prepare(text_of(query));
    if (!made) return std::unexpected(made.error());
    prepared = std::make_unique<SqlStatement>(*std::move(made));
  }
  return prepared.get();
}

Result<Meta> DeadLetterStore::Implementation::meta() {
  const auto query = statement(read_meta);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row = (*query)->with();
  const auto found = row.step();
  if (!found) return std::unexpected(found.error());
  Meta meta;
  if (*found) {
    meta.limits = {
        .letters = static_cast<std::uint64_t>(row.integer(0)),
        .bytes = static_cast<std::uint64_t>(row.integer(1)),
        .age = std::chrono::seconds(row.integer(2)),
        .when_full = row.integer(3) != 0 ? DeadLetterLimits::WhenFull::block : DeadLetterLimits::WhenFull::drop_oldest};
    meta.letters = row.integer(4);
    meta.bytes = row.integer(5);
    meta.dropped = row.integer(6);
    meta.expired = row.integer(7);
  }
  row.reset();
  const bool fits = meta.limits.letters <= static_cast<std::uint64_t>(highest) &&
                    meta.limits.bytes <= static_cast<std::uint64_t>(highest) && meta.limits.age.count() >= 0 &&
                    meta.limits.age < std::chrono::years{201} &&
                    std::ranges::all_of(std::array{meta.letters, meta.bytes, meta.dropped, meta.expired},
                                        [](std::int64_t total) { return total >= 0 && total <= most_total; });
  if (*found && fits) return meta;
  return std::unexpected(Error(ErrorCode::corrupt, "the dead letters' totals cannot be read",
                               directory.path_of(dead_letter_file).string() +
                                   "; end the engine's processes and move the file away, then a new one is made"));
}

Result<void> DeadLetterStore::Implementation::store(const Meta& meta) {
  const auto query = statement(write_meta);
  if (!query) return std::unexpected(query.error());
  return (*query)->with(meta.letters, meta.bytes, meta.dropped, meta.expired).run();
}

Result<void> DeadLetterStore::Implementation::insert_all(std::span<const DeadLetter> letters, Meta& meta,
                                                         std::size_t& fresh) {
  const auto query = statement(insert);
  if (!query) return std::unexpected(query.error());
  for (const DeadLetter& letter : letters) {
    const auto size = static_cast<std::int64_t>(size_of(letter));
    auto inserted =
        (*query)
            ->with(id_column(letter.id), time_column(letter.died_at), std::string_view(letter.kind),
                   std::string_view(letter.level), static_cast<std::int64_t>(letter.cause),
                   std::int64_t{letter.attempts}, std::int64_t{letter.max_attempts}, time_column(letter.enqueued_at),
                   std::int64_t{letter.worker}, time_kept(letter.lease), std::string_view(letter.backoff),
                   time_kept(letter.keep_result), std::int64_t{letter.bury_when_worker_lost ? 1 : 0}, size,
                   bytes_of(error_kept(letter)), std::span<const std::byte>(letter.payload),
                   static_cast<std::int64_t>(letter.payload_cut_from), std::string_view(letter.tag),
                   std::string_view(letter.trace_parent), id_column(letter.retried_from),
                   bytes_of(letter.serial_key_hash))
            .run();
    if (!inserted) return inserted;
    if (connection.changes() == 0) continue;
    ++fresh;
    ++meta.letters;
    meta.bytes += size;
  }
  return {};
}

Result<std::vector<std::int64_t>> DeadLetterStore::Implementation::some_ids(const FilterColumns& filter,
                                                                            std::int64_t& after) {
  const auto query = statement(oldest_ids);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row = (*query)->with(filter.kind, filter.level, filter.cause, filter.died_before, after,
                                     static_cast<std::int64_t>(most_in_transaction), filter.tag);
  std::vector<std::int64_t> ids;
  while (true) {
    const auto more = row.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return ids;
    if (!goes_on(row, 1, after, false)) {
      row.reset();
      return std::unexpected(out_of_order());
    }
    ids.push_back(row.integer(0));
    after = row.integer(1);
  }
}

Result<std::int64_t> DeadLetterStore::Implementation::erase_all(std::span<const std::int64_t> ids, Meta& meta) {
  const auto query = statement(erase);
  if (!query) return std::unexpected(query.error());
  std::int64_t count = 0;
  for (const std::int64_t id : ids) {
    SqlStatement& row = (*query)->with(id);
    const auto was_there = row.step();
    if (!was_there) return std::unexpected(was_there.error());
    if (!*was_there) continue;
    meta.bytes = std::max<std::int64_t>(meta.bytes - std::max<std::int64_t>(row.integer(0), 0), 0);
    meta.letters = std::max<std::int64_t>(meta.letters - 1, 0);
    ++count;
    if (auto ended = row.run(); !ended) return std::unexpected(ended.error());
  }
  return count;
}

Result<std::int64_t> DeadLetterStore::Implementation::erase_expired(Meta& meta) {
  if (meta.limits.age.count() == 0) return 0;
  const std::int64_t oldest_kept = time_column(std::chrono::system_clock::now() - meta.limits.age);
  const auto query = statement(front);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row = (*query)->with(static_cast<std::int64_t>(most_in_transaction));
  std::vector<std::int64_t> ids;
  while (true) {
    const auto more = row.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    // Except for steps of the clock, a job that died later was buried later.
    if (row.integer(1) >= oldest_kept) {
      row.reset();
      break;
    }
    ids.push_back(row.integer(0));
  }
  const auto count = erase_all(ids, meta);
  if (count) meta.expired += *count;
  return count;
}

Result<std::int64_t> DeadLetterStore::Implementation::make_room(Meta& meta) {
  const FilterColumns everything;
  std::int64_t count = 0;
  std::int64_t from = before_first;
  while (meta.is_over()) {
    const auto ids = some_ids(everything, from);
    if (!ids) return std::unexpected(ids.error());
    if (ids->empty()) break;  // the totals were wrong: check() says so
    for (std::size_t n = 0; n < ids->size() && meta.is_over(); ++n) {
      const auto erased = erase_all(std::span(*ids).subspan(n, 1), meta);
      if (!erased) return erased;
      count += *erased;
    }
  }
  meta.dropped += count;
  return count;
}

Result<std::vector<DeadLetter>> DeadLetterStore::Implementation::page(const FilterColumns& filter, Order order,
                                                                      std::int64_t& after) {
  const auto query = statement(order == Order::newest_first ? newest : oldest);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row =
      (*query)->with(filter.kind, filter.level, filter.cause, filter.died_before, after, page_letters, filter.tag);
  std::vector<DeadLetter> letters;
  std::uint64_t bytes = 0;
  while (bytes < most_page_bytes) {
    const auto more = row.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return letters;
    const bool is_next = goes_on(row, letter_column_count, after, order == Order::newest_first);
    auto letter = is_next ? read_letter(row) : std::unexpected(out_of_order());
    if (!letter) {
      row.reset();
      return std::unexpected(letter.error());
    }
    bytes += size_of(*letter);
    letters.push_back(*std::move(letter));
    after = row.integer(letter_column_count);
  }
  row.reset();
  return letters;
}

/// Returns emptied pages to the disk, a few at a time, so that other writers do not wait long. If it fails, the pages
/// stay for the next letters.
void DeadLetterStore::Implementation::give_back_pages() {
  auto vacuum = connection.prepare("PRAGMA incremental_vacuum(4096)");
  if (vacuum) static_cast<void>(vacuum->run());
}

DeadLetterStore::DeadLetterStore(std::unique_ptr<Implementation> implementation) noexcept
    : implementation_(std::move(implementation)) {}
DeadLetterStore::DeadLetterStore(DeadLetterStore&&) noexcept = default;
DeadLetterStore& DeadLetterStore::operator=(DeadLetterStore&&) noexcept = default;
DeadLetterStore::~DeadLetterStore() = default;

Result<DeadLetterStore> DeadLetterStore::open(const Directory& directory, Access access, const DeadLetterLimits& limits,
                                              std::chrono::milliseconds busy_wait) {
  if (has_parents_stores()) {
    return std::unexpected(Error(ErrorCode::after_fork, "the parent process had dead letters open when it forked",
                                 directory.path().string() + "; fork before they are opened, or call exec()"));
  }
  auto connection = open_dead_letters(directory, access, limits, busy_wait);
  if (!connection) return std::unexpected(connection.error());
  const auto columns = letter_columns_of(*connection);
  if (!columns) return std::unexpected(columns.error());
  return DeadLetterStore(std::make_unique<Implementation>(*std::move(connection), directory, *columns));
}

Result<DeadLetterStore> DeadLetterStore::open(const fs::path& path, Access access, const DeadLetterLimits& limits,
                                              std::chrono::milliseconds busy_wait) {
  const auto directory = Directory::open(path);
  if (!directory) return std::unexpected(directory.error());
  return open(*directory, access, limits, busy_wait);
}

Result<std::size_t> DeadLetterStore::bury(std::span<const DeadLetter> letters) {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  if (letters.size() > most_in_transaction) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "too many letters for one burial",
                                 fmt::format("{}, at most {}", letters.size(), most_in_transaction)));
  }
  auto transaction = SqlTransaction::begin(self.connection);
  if (!transaction) return std::unexpected(transaction.error());
  auto meta = self.meta();
  if (!meta) return std::unexpected(meta.error());
  std::vector<DeadLetter> cut;
  for (const DeadLetter& letter : letters) {
    if (auto checked = check_letter(letter); !checked) return std::unexpected(checked.error());
    if (size_of(letter) > meta->limits.bytes) cut.push_back(without_most_of_its_payload(letter));
  }
  if (auto erased = self.erase_expired(*meta); !erased) return std::unexpected(erased.error());
  std::size_t fresh = 0;
  if (auto inserted = self.insert_all(cut, *meta, fresh); !inserted) return std::unexpected(inserted.error());
  // Letters that are cut exist already, so they stay as they are.
  if (auto inserted = self.insert_all(letters, *meta, fresh); !inserted) return std::unexpected(inserted.error());
  std::int64_t dropped = 0;
  if (fresh != 0 && meta->is_over()) {
    if (meta->limits.when_full == DeadLetterLimits::WhenFull::block) {
      return std::unexpected(
          Error(ErrorCode::no_space, "the dead letters are full",
                self.directory.path_of(dead_letter_file).string() + "; retry, export or purge some (`ringmill dead`)"));
    }
    const auto made = self.make_room(*meta);
    if (!made) return std::unexpected(made.error());
    dropped = *made;
  }
  if (auto done = self.commit(*transaction, *meta); !done) return std::unexpected(done.error());
  for (const DeadLetter& letter : cut) {
    log().warn(
        "job {} is dead, and its payload of {} bytes is longer than all dead letters of {} may be together: the first "
        "{} are kept, and it cannot be retried",
        letter.id.to_string(), letter.payload_cut_from, self.directory.path().string(), letter.payload.size());
  }
  if (dropped != 0) {
    log().warn(
        "the dead letters are full: the {} oldest were dropped for new ones, {} so far; purge or retry some in "
        "{} (`ringmill dead`)",
        dropped, meta->dropped, self.directory.path().string());
  }
  return fresh;
}

Result<DeadLetter> DeadLetterStore::find(JobId id) const {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  const auto query = self.statement(Implementation::find_one);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row = (*query)->with(id_column(id));
  const auto found = row.step();
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::unexpected(Error(ErrorCode::not_found, "no dead letter of this job", id.to_string()));
  auto letter = read_letter(row);
  row.reset();
  return letter;
}

Result<std::uint64_t> DeadLetterStore::list(const DeadLetterFilter& filter, Order order,
                                            const std::function<bool(const DeadLetter&)>& visit) const {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  const FilterColumns columns(filter);
  std::int64_t after = order == Order::newest_first ? highest : before_first;
  std::uint64_t count = 0;
  while (true) {
    const auto letters = self.page(columns, order, after);
    if (!letters) return std::unexpected(letters.error());
    for (const DeadLetter& letter : *letters) {
      ++count;
      if (!visit(letter)) return count;
    }
    if (letters->empty()) return count;
  }
}

Result<std::uint64_t> DeadLetterStore::remove(std::span<const JobId> ids, std::span<const JobId> jobs) {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  std::vector<std::int64_t> columns;
  for (const JobId id : ids) columns.push_back(id_column(id));
  auto transaction = SqlTransaction::begin(self.connection);
  if (!transaction) return std::unexpected(transaction.error());
  auto meta = self.meta();
  if (!meta) return std::unexpected(meta.error());
  if (!jobs.empty()) {
    const auto noted = note_retried(self.connection, ids, jobs, meta->limits.age);
    if (!noted) return std::unexpected(noted.error());
  }
  const auto count = self.erase_all(columns, *meta);
  if (!count) return std::unexpected(count.error());
  if (auto done = self.commit(*transaction, *meta); !done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(*count);
}

Result<std::optional<JobId>> DeadLetterStore::retried_as(JobId id) const {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return find_retried(implementation_->connection, id);
}

Result<std::uint64_t> DeadLetterStore::purge(const DeadLetterFilter& filter) {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  const FilterColumns columns(filter);
  std::int64_t after = before_first;
  std::uint64_t total = 0;
  while (true) {
    auto transaction = SqlTransaction::begin(self.connection);
    if (!transaction) return std::unexpected(transaction.error());
    auto meta = self.meta();
    if (!meta) return std::unexpected(meta.error());
    const auto ids = self.some_ids(columns, after);
    if (!ids) return std::unexpected(ids.error());
    const auto count = self.erase_all(*ids, *meta);
    if (!count) return std::unexpected(count.error());
    if (auto done = self.commit(*transaction, *meta); !done) return std::unexpected(done.error());
    total += static_cast<std::uint64_t>(*count);
    if (*count != 0) self.give_back_pages();
    if (ids->size() < most_in_transaction) return total;
  }
}

Result<std::uint64_t> DeadLetterStore::expire() {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  auto transaction = SqlTransaction::begin(self.connection);
  if (!transaction) return std::unexpected(transaction.error());
  auto meta = self.meta();
  if (!meta) return std::unexpected(meta.error());
  const auto count = self.erase_expired(*meta);
  if (!count) return std::unexpected(count.error());
  if (*count == 0) return 0;
  if (auto done = self.commit(*transaction, *meta); !done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(*count);
}

Result<DeadLetterTotals> DeadLetterStore::totals() const {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  const auto meta = self.meta();
  if (!meta) return std::unexpected(meta.error());
  DeadLetterTotals totals{.letters = static_cast<std::uint64_t>(meta->letters),
                          .bytes = static_cast<std::uint64_t>(meta->bytes),
                          .dropped = static_cast<std::uint64_t>(meta->dropped),
                          .expired = static_cast<std::uint64_t>(meta->expired),
                          .limits = meta->limits};
  const auto query = self.statement(Implementation::front);
  if (!query) return std::unexpected(query.error());
  SqlStatement& row = (*query)->with(std::int64_t{1});
  const auto found = row.step();
  if (!found) return std::unexpected(found.error());
  if (*found) totals.oldest = time_of_column(row.integer(1));
  row.reset();
  return totals;
}

Result<File> DeadLetterStore::lock_retries() const {
  const Directory& directory = implementation_->directory;
  auto file = directory.open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
  if (!file) return file;
  const auto locked = try_lock_byte(*file, retry_lock_byte);
  if (!locked) return std::unexpected(locked.error());
  if (*locked) return file;
  return std::unexpected(Error(ErrorCode::busy, "another process retries dead letters of this engine right now",
                               directory.path().string() + "; wait for it, or end it, then try again"));
}

Result<std::vector<std::string>> DeadLetterStore::check() const {
  Implementation& self = *implementation_;
  if (self.is_childs_copy()) return std::unexpected(opened_by_parent());
  std::vector<std::string> findings;
  auto integrity = self.connection.prepare("PRAGMA integrity_check(20)");
  if (!integrity) return std::unexpected(integrity.error());
  while (true) {
    const auto row = integrity->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    if (const std::string_view text = integrity->bytes(0); text != "ok") findings.emplace_back(text);
  }
  if (!findings.empty()) return findings;
  std::int64_t bytes = 0;
  const auto count = list({}, Order::oldest_first, [&bytes](const DeadLetter& letter) {
    bytes += static_cast<std::int64_t>(size_of(letter));
    return true;
  });
  if (!count) {
    if (count.error().code() != ErrorCode::corrupt) return std::unexpected(count.error());
    findings.push_back(count.error().message());
    return findings;
  }
  const auto meta = self.meta();
  if (!meta) return std::unexpected(meta.error());
  if (std::cmp_not_equal(*count, meta->letters) || bytes != meta->bytes) {
    findings.push_back(fmt::format("the totals say {} letters of {} bytes, and {} of {} bytes are there", meta->letters,
                                   meta->bytes, *count, bytes));
  }
  return findings;
}

}  // namespace ringmill
