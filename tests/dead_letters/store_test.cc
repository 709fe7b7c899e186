// The store of dead letters within one process: what is kept, found, filtered, bounded.
#include <sys/stat.h>

#include <numeric>

#include <gtest/gtest.h>

#include "core/base/sqlite.h"
#include "tests/support/dead_letters.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Numbers = std::vector<std::uint64_t>;
using Order = DeadLetterStore::Order;
using WhenFull = DeadLetterLimits::WhenFull;

class DeadLetterStoreInProcess : public testing::Test {
 protected:
  DeadLetterStore store(const DeadLetterLimits& limits = {}) const { return open_store(folder_.path(), limits); }
  ScratchFolder folder_;
};

void expect_same(const DeadLetter& found, const DeadLetter& buried) {
  EXPECT_EQ(found.id, buried.id);
  EXPECT_EQ(found.kind, buried.kind);
  EXPECT_EQ(found.level, buried.level);
  EXPECT_EQ(found.cause, buried.cause);
  EXPECT_EQ(found.attempts, buried.attempts);
  EXPECT_EQ(found.max_attempts, buried.max_attempts);
  EXPECT_EQ(found.enqueued_at, buried.enqueued_at);
  EXPECT_EQ(found.died_at, buried.died_at);
  EXPECT_EQ(found.worker, buried.worker);
  EXPECT_EQ(found.last_error, buried.last_error);
  EXPECT_EQ(found.payload, buried.payload);
  EXPECT_EQ(found.lease, buried.lease);
  EXPECT_EQ(found.backoff, buried.backoff);
  EXPECT_EQ(found.keep_result, buried.keep_result);
  EXPECT_EQ(found.bury_when_worker_lost, buried.bury_when_worker_lost);
  EXPECT_EQ(found.tag, buried.tag);
  EXPECT_EQ(found.trace_parent, buried.trace_parent);
  EXPECT_EQ(found.retried_from, buried.retried_from);
  EXPECT_EQ(found.serial_key_hash, buried.serial_key_hash);
}

TEST_F(DeadLetterStoreInProcess, a_letter_is_found_as_it_was_buried) {
  DeadLetter letter = letter_of(1, std::string_view("a\0b\xff", 4));
  letter.id = JobId(0xfedcba9876543210);  // negative as a signed number
  letter.cause = DeathCause::parent_dead;
  letter.died_at += std::chrono::nanoseconds{123'456'789};
  letter.last_error = std::string("bad\0byte \xfe", 10);
  letter.lease = std::chrono::hours{1};
  letter.backoff = "exponential:1s,2,1h";
  letter.keep_result = std::chrono::days{7};
  letter.bury_when_worker_lost = true;
  letter.tag = "order-17";
  letter.trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  letter.retried_from = JobId(0xfedcba9876543211);
  letter.serial_key_hash = std::string("\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 16);
  DeadLetter bare{.id = JobId(5), .kind = "k", .level = "l"};
  auto writer = store();
  EXPECT_EQ(must(writer.bury(std::vector{letter, bare})), 2U);
  expect_same(must(writer.find(letter.id)), letter);
  expect_same(must(open_store_to_read(folder_.path()).find(bare.id)), bare);
}

TEST_F(DeadLetterStoreInProcess, a_letter_that_is_not_there_is_not_found) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 1)));
  EXPECT_EQ(code_of(writer.find(JobId(99))), ErrorCode::not_found);
}

TEST_F(DeadLetterStoreInProcess, burying_again_changes_nothing) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 3)));
  const auto before = must(writer.totals());
  auto again = letters_from_to(2, 4);
  again[0].kind = "other";
  EXPECT_EQ(must(writer.bury(again)), 1U);
  EXPECT_EQ(must(writer.find(again[0].id)).kind, "mail");
  EXPECT_EQ(must(writer.totals()).letters, before.letters + 1);
  EXPECT_EQ(numbers_in(writer), (Numbers{1, 2, 3, 4}));
}

TEST_F(DeadLetterStoreInProcess, one_bad_letter_refuses_the_whole_burial) {
  auto writer = store();
  auto letters = letters_from_to(1, 3);
  letters[2].kind = std::string(64, 'k');
  EXPECT_EQ(code_of(writer.bury(letters)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(writer.bury(letters_from_to(1, 1001))), ErrorCode::invalid_argument);
  EXPECT_EQ(must(writer.totals()).letters, 0U);
}

TEST_F(DeadLetterStoreInProcess, a_long_error_is_cut) {
  auto letter = letter_of(1);
  letter.last_error = std::string(most_error_bytes + 1, 'e');
  auto writer = store();
  must(writer.bury(std::vector{letter}));
  EXPECT_EQ(must(writer.find(letter.id)).last_error, std::string(most_error_bytes, 'e'));
  EXPECT_TRUE(must(writer.check()).empty());
}

TEST_F(DeadLetterStoreInProcess, lists_in_either_order_over_many_pages) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 500)));
  Numbers numbers(500);
  std::iota(numbers.begin(), numbers.end(), 1);
  EXPECT_EQ(numbers_in(writer), numbers);
  std::ranges::reverse(numbers);
  EXPECT_EQ(numbers_in(writer, {}, Order::newest_first), numbers);
}

TEST_F(DeadLetterStoreInProcess, a_listing_ends_when_its_visitor_has_enough) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 500)));
  std::uint64_t seen = 0;
  EXPECT_EQ(must(writer.list({}, Order::newest_first, [&seen](const DeadLetter&) { return ++seen < 70; })), 70U);
}

TEST_F(DeadLetterStoreInProcess, a_visitor_may_remove_what_it_sees) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 300)));
  const auto remove = [&writer](const DeadLetter& letter) {
    EXPECT_EQ(must(writer.remove(std::vector{letter.id})), 1U);
    return true;
  };
  EXPECT_EQ(must(writer.list({}, Order::oldest_first, remove)), 300U);
  EXPECT_EQ(must(writer.totals()).letters, 0U);
}

TEST_F(DeadLetterStoreInProcess, filters_by_kind_level_cause_and_age_and_all_of_them) {
  auto letters = letters_from_to(1, 6);
  letters[1].kind = "resize";
  letters[2].level = "high";
  letters[3].cause = DeathCause::worker_lost;
  letters[4].level = "high";
  letters[4].cause = DeathCause::worker_lost;
  auto writer = store();
  must(writer.bury(letters));
  EXPECT_EQ(numbers_in(writer, {.kind = "resize"}), (Numbers{2}));
  EXPECT_EQ(numbers_in(writer, {.kind = "mail"}), (Numbers{1, 3, 4, 5, 6}));
  EXPECT_EQ(numbers_in(writer, {.level = "high"}), (Numbers{3, 5}));
  EXPECT_EQ(numbers_in(writer, {.cause = DeathCause::worker_lost}), (Numbers{4, 5}));
  EXPECT_EQ(numbers_in(writer, {.died_before = letters[2].died_at}), (Numbers{1, 2}));
  EXPECT_EQ(numbers_in(writer, {.died_before = letters[2].died_at}, Order::newest_first), (Numbers{2, 1}));
  EXPECT_EQ(numbers_in(
                writer,
                {.kind = "mail", .level = "high", .cause = DeathCause::worker_lost, .died_before = letters[5].died_at}),
            (Numbers{5}));
  EXPECT_EQ(numbers_in(writer, {.kind = "mai"}), Numbers{});
}

TEST_F(DeadLetterStoreInProcess, purges_what_the_filter_means_in_several_transactions) {
  auto letters = letters_from_to(1, 3000);
  for (std::size_t n = 0; n < letters.size(); n += 10) letters[n].kind = "keep";
  auto writer = store();
  for (std::size_t n = 0; n < 3000; n += 1000) must(writer.bury(std::span(letters).subspan(n, 1000)));
  EXPECT_EQ(must(writer.purge({.kind = "mail"})), 2700U);
  EXPECT_EQ(numbers_in(writer).size(), 300U);
  EXPECT_EQ(must(writer.totals()).letters, 300U);
  EXPECT_EQ(must(writer.purge({})), 300U);
  EXPECT_EQ(must(writer.totals()).bytes, 0U);
  EXPECT_TRUE(must(writer.check()).empty());
}

TEST_F(DeadLetterStoreInProcess, a_purge_gives_the_disk_back) {
  auto writer = store();
  std::vector<DeadLetter> letters;
  for (std::uint64_t n = 1; n <= 500; ++n) letters.push_back(letter_of(n, std::string(8000, 'x')));
  must(writer.bury(letters));
  must(writer.purge({}));
  { const auto closing = std::move(writer); }  // the log goes into the file
  EXPECT_LT(std::filesystem::file_size(folder_.path() / dead_letter_file), 200'000U);
}

TEST_F(DeadLetterStoreInProcess, remove_counts_what_was_there) {
  auto writer = store();
  must(writer.bury(letters_from_to(1, 3)));
  EXPECT_EQ(must(writer.remove(std::vector{letter_of(1).id, letter_of(9).id, letter_of(3).id})), 2U);
  EXPECT_EQ(numbers_in(writer), (Numbers{2}));
  EXPECT_TRUE(must(writer.check()).empty());
}

TEST_F(DeadLetterStoreInProcess, when_full_the_oldest_are_dropped_counted_and_logged_once) {
  auto writer = store({.letters = 10});
  const LogCapture log;
  must(writer.bury(letters_from_to(1, 8)));
  EXPECT_TRUE(log.messages().empty());
  EXPECT_EQ(must(writer.bury(letters_from_to(9, 13))), 5U);
  EXPECT_EQ(numbers_in(writer), (Numbers{4, 5, 6, 7, 8, 9, 10, 11, 12, 13}));
  EXPECT_EQ(log.messages().size(), 1U);
  EXPECT_TRUE(log.has("the 3 oldest were dropped"));
  EXPECT_EQ(must(open_store_to_read(folder_.path()).totals()).dropped, 3U);
}

TEST_F(DeadLetterStoreInProcess, bytes_are_bounded_as_well) {
  auto writer = store({.bytes = 1U << 20});
  const LogCapture log;
  for (std::uint64_t n = 1; n <= 40; ++n) must(writer.bury(std::vector{letter_of(n, std::string(50'000, 'x'))}));
  const auto totals = must(writer.totals());
  EXPECT_LE(totals.bytes, 1U << 20);
  EXPECT_EQ(totals.letters, 20U);
  EXPECT_EQ(totals.dropped, 20U);
  EXPECT_EQ(numbers_in(writer).front(), 21U);
}

TEST_F(DeadLetterStoreInProcess,
       of_a_payload_longer_than_all_letters_may_be_the_beginning_is_kept_and_the_log_says_so) {
  auto writer = store({.bytes = 1U << 20});
  const LogCapture log;
  const std::string payload = "begin" + std::string(1U << 20, 'x');
  EXPECT_EQ(must(writer.bury(std::vector{letter_of(1), letter_of(2, payload), letter_of(3)})), 3U);
  EXPECT_EQ(must(writer.totals()).letters, 3U);
  const DeadLetter cut = must(writer.find(letter_of(2).id));
  EXPECT_EQ(cut.payload_cut_from, payload.size());
  EXPECT_EQ(as_text(cut.payload), payload.substr(0, most_cut_payload_bytes));
  EXPECT_EQ(info_of(cut).payload_size, payload.size());
  EXPECT_EQ(must(writer.find(letter_of(3).id)).payload_cut_from, 0U);
  EXPECT_TRUE(log.has("cannot be retried"));
  EXPECT_EQ(must(writer.check()), std::vector<std::string>());
}

constexpr std::array<std::string_view, 4> note_columns{"serial_key_hash", "retried_from", "traceparent", "tag"};
std::string drop_of(std::string_view column) { return "ALTER TABLE letter DROP COLUMN " + std::string(column); }

/// As the file was made before letters carried anything beside their payload.
TEST_F(DeadLetterStoreInProcess, an_older_file_is_read_as_it_is_and_can_hold_tags_once_it_is_written) {
  must(store().bury(std::vector{letter_of(1)}));
  {
    constexpr SqlWords words{};
    auto older = must(SqlConnection::open(must(Directory::open(folder_.path())), dead_letter_file,
                                          SqlConnection::Access::read_write, 5s, words));
    for (const std::string_view column : note_columns) must(older.execute(drop_of(column).c_str()));
  }
  const auto reader = open_store_to_read(folder_.path());
  EXPECT_EQ(must(reader.find(letter_of(1).id)).tag, "");
  EXPECT_EQ(numbers_in(reader), std::vector<std::uint64_t>{1});
  EXPECT_EQ(numbers_in(reader, {.tag = "order-17"}), std::vector<std::uint64_t>{});
  auto writer = store();
  DeadLetter tagged = letter_of(2);
  tagged.tag = "order-17";
  must(writer.bury(std::vector{tagged}));
  EXPECT_EQ(numbers_in(open_store_to_read(folder_.path()), {.tag = "order-17"}), std::vector<std::uint64_t>{2});
  EXPECT_EQ(must(writer.find(letter_of(1).id)).tag, "");
  EXPECT_EQ(must(writer.check()), std::vector<std::string>{});
}

/// As the file was made before letters were cut.
TEST_F(DeadLetterStoreInProcess, an_older_file_is_read_as_it_is_and_can_hold_cut_letters_once_it_is_written) {
  const DeadLetterLimits limits{.bytes = 1U << 20};
  must(store(limits).bury(std::vector{letter_of(1)}));
  {
    constexpr SqlWords words{};
    auto older = must(SqlConnection::open(must(Directory::open(folder_.path())), dead_letter_file,
                                          SqlConnection::Access::read_write, 5s, words));
    must(older.execute("ALTER TABLE letter DROP COLUMN payload_cut_from"));
    for (const std::string_view column : note_columns) must(older.execute(drop_of(column).c_str()));
  }
  EXPECT_EQ(must(open_store_to_read(folder_.path()).find(letter_of(1).id)).payload_cut_from, 0U);
  auto writer = store(limits);
  must(writer.bury(std::vector{letter_of(2, std::string(2U << 20, 'x'))}));
  EXPECT_EQ(must(writer.find(letter_of(2).id)).payload_cut_from, 2U << 20);
  EXPECT_EQ(must(open_store_to_read(folder_.path()).find(letter_of(1).id)).payload_cut_from, 0U);
}

TEST_F(DeadLetterStoreInProcess, when_full_and_told_to_block_burials_are_refused_whole_until_there_is_room) {
  auto writer = store({.letters = 10, .when_full = WhenFull::block});
  must(writer.bury(letters_from_to(1, 8)));
  const auto refused = writer.bury(letters_from_to(9, 11));
  EXPECT_EQ(code_of(refused), ErrorCode::no_space);
  EXPECT_NE(refused.error().message().find("purge"), std::string::npos) << refused.error().message();
  EXPECT_EQ(must(writer.totals()).letters, 8U);
  must(writer.bury(letters_from_to(9, 10)));
  EXPECT_EQ(must(writer.bury(letters_from_to(5, 10))), 0U);  // a repetition needs no room
  must(writer.remove(std::vector{letter_of(1).id}));
  EXPECT_EQ(must(writer.bury(letters_from_to(11, 11))), 1U);
  EXPECT_EQ(must(writer.totals()).dropped, 0U);
}

TEST_F(DeadLetterStoreInProcess, letters_that_are_too_old_go_at_the_next_burial_or_when_asked) {
  auto writer = store({.age = std::chrono::days{2}});
  must(writer.bury(letters_from_to(1, 5)));  // of three days ago
  auto young = letter_of(6);
  young.died_at = std::chrono::system_clock::now();
  must(writer.bury(std::vector{young}));
  EXPECT_EQ(numbers_in(writer), (Numbers{6}));
  must(writer.bury(letters_from_to(7, 8)));
  EXPECT_EQ(must(writer.expire()), 0U);  // behind a younger one: later
  must(writer.remove(std::vector{young.id}));
  EXPECT_EQ(must(writer.expire()), 2U);
  EXPECT_EQ(must(writer.totals()).expired, 7U);
  EXPECT_EQ(must(writer.totals()).dropped, 0U);
}

TEST_F(DeadLetterStoreInProcess, without_an_age_limit_nothing_is_too_old) {
  auto writer = store({.age = std::chrono::seconds{0}});
  auto ancient = letter_of(1);
  ancient.died_at = {};
  must(writer.bury(std::vector{ancient}));
  must(writer.bury(letters_from_to(2, 2)));
  EXPECT_EQ(numbers_in(writer), (Numbers{1, 2}));
}

TEST_F(DeadLetterStoreInProcess, limits_are_those_of_the_first_opening) {
  { const auto first = store({.letters = 3, .bytes = 2U << 20, .age = std::chrono::hours{5}}); }
  const auto limits = must(store({.letters = 100}).totals()).limits;
  EXPECT_EQ(limits.letters, 3U);
  EXPECT_EQ(limits.bytes, 2U << 20);
  EXPECT_EQ(limits.age, std::chrono::hours{5});
  EXPECT_EQ(limits.when_full, WhenFull::drop_oldest);
}

TEST_F(DeadLetterStoreInProcess, limits_that_hold_nothing_are_refused) {
  using Access = DeadLetterStore::Access;
  for (const DeadLetterLimits& limits :
       {DeadLetterLimits{.letters = 0}, {.bytes = 1000}, {.age = std::chrono::seconds{-1}}}) {
    EXPECT_EQ(code_of(DeadLetterStore::open(folder_.path(), Access::read_write, limits)), ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(DeadLetterStoreInProcess, totals_say_how_many_how_much_and_since_when) {
  auto writer = store();
  EXPECT_FALSE(must(writer.totals()).oldest.has_value());
  const auto letters = letters_from_to(1, 3);
  must(writer.bury(letters));
  const auto totals = must(writer.totals());
  EXPECT_EQ(totals.letters, 3U);
  EXPECT_EQ(totals.bytes, 3 * size_of(letters[0]));
  EXPECT_EQ(totals.oldest, letters[0].died_at);
}

TEST_F(DeadLetterStoreInProcess, a_path_with_the_signs_of_a_uri_is_a_path) {
  const auto odd = folder_.path() / "a?mode=memory&b#c%41 \xc3\xa9";
  std::filesystem::create_directory(odd);
  must(open_store(odd).bury(letters_from_to(1, 1)));
  EXPECT_TRUE(std::filesystem::exists(odd / dead_letter_file));
}

TEST_F(DeadLetterStoreInProcess, files_have_the_mode_of_the_directory) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0770), 0);
  auto writer = store();
  must(writer.bury(letters_from_to(1, 1)));
  for (const std::string_view name : dead_letter_files) {
    struct stat facts {};
    ASSERT_EQ(::stat((folder_.path() / name).c_str(), &facts), 0) << name;
    EXPECT_EQ(facts.st_mode & 07777U, 0660U) << name;
  }
}

TEST_F(DeadLetterStoreInProcess, death_causes_have_the_names_of_the_contract) {
  std::string names;
  for (const auto cause : {DeathCause::failed, DeathCause::rejected, DeathCause::worker_lost, DeathCause::lease_expired,
                           DeathCause::timeout, DeathCause::expired, DeathCause::parent_dead}) {
    EXPECT_EQ(death_cause_of(name_of(cause)), cause);
    names.append(name_of(cause)).append(" ");
  }
  EXPECT_EQ(names, "failed rejected worker_lost lease_expired timeout expired parent_dead ");
  EXPECT_FALSE(death_cause_of("bored").has_value());
}

}  // namespace
}  // namespace ringmill::test
