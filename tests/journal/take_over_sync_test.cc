// A keeper goes on only behind what it has made durable itself.
#include <gtest/gtest.h>

#include "core/journal/writer.h"
#include "tests/journal/disk_model.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t engine_id = 77;
constexpr JournalGeometry sixteen_units{.segment_bytes = 16 * std::uint64_t{journal_unit}, .most_segments = 8};

Result<std::unique_ptr<JournalWriter>> open(const std::shared_ptr<Disk>& disk) {
  return JournalWriter::open(std::make_unique<DiskModel>(disk), engine_id, sixteen_units, 0);
}

TEST(TakeOverSyncInProcess, a_sync_that_fails_is_an_error_and_not_passed_over) {
  const auto disk = std::make_shared<Disk>(1);
  {
    const auto writer = must(open(disk));
    (*writer->room(sizeof(ShortRecord)))->append_ended(JobId(1));
    writer->flush();
  }
  disk->let_all_land();
  disk->inject({.call = DiskCall::sync, .nth = disk->calls(DiskCall::sync) + 1, .kind = DiskFault::Kind::fail});
  EXPECT_EQ(code_of(open(disk)), ErrorCode::system);
}

}  // namespace
}  // namespace ringmill::test
