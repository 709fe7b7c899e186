// The journal's reader on bytes that an attacker has chosen: it answers, it does not take long, and what it serves of
// a journal that was only damaged was written once.
#include "tests/fuzz/harmed_journal.h"

namespace ringmill::test {

void run(Input input) {
  HarmedJournal journal = harmed_journal(input);
  const auto read = read_all(journal.device);
  if (!read) {
    check(read.error().code() == ErrorCode::incompatible, "an error that is not `incompatible`");
    return;
  }
  std::uint64_t whole = 0;
  for (const auto& [slot, file] : journal.device.files) whole += file.size();
  check(read->report.records == read->lines.size(), "a count of records that is not what was served");
  check(read->report.bytes <= whole, "more read than there is");
  if (journal.is_signed) return;
  for (const std::string& line : read->lines) {
    check(journal.whole->ever.contains(line), "a record that was never written");
  }
}

}  // namespace ringmill::test
