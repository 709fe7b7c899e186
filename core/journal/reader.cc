#include "core/journal/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/journal/chain.h"
#include "core/journal/file_names.h"
#include "core/journal/records.h"

namespace ringmill {

namespace {

Error unknown_record(const SegmentCandidate& segment, const BlockNote& note, const RecordFinding& finding) {
  return Error(ErrorCode::incompatible, "this journal has records of a newer ringmill: use that version",
               fmt::format("{}, block at {}, record at {}: type {}", file_name_of(segment.slot), note.offset,
                           finding.offset, finding.type));
}

class JournalReading {
 public:
  JournalReading(JournalChain& chain, JournalVisitor& visitor) noexcept : chain_(chain), visitor_(visitor) {}

  Result<void> run() {
    const auto newest = chain_.find_end();
    if (!newest) return std::unexpected(newest.error());
    if (!*newest) return {};
    add_missing_at_the_front();
    for (std::size_t at = chain_.first(); at < chain_.candidates().size(); ++at) {
      const auto link = chain_.link(at);
      if (!link) return std::unexpected(link.error());
      if (auto taken = take(*link); !taken) return taken;
    }
    return {};
  }

  JournalReport take_report() {
    report_.last_epoch = chain_.most_epoch();
    report_.oldest = chain_.oldest();
    if (unnamed_ != 0) report_.damage.back().reason += fmt::format(", and {} places of damage more", unnamed_);
    for (const JournalChain::Slot& slot : chain_.slots()) {
      report_.slots.push_back({.slot = slot.number,
                               .head = slot.head,
                               .counts = std::ranges::find(counting_, slot.number) != counting_.end()});
    }
    return std::move(report_);
  }

 private:
  /// The oldest segment that counts is named in the journal itself.
  void add_missing_at_the_front() {
    constexpr std::uint64_t most_named = 1000;
    const SegmentCandidate& first = chain_.candidates()[chain_.first()];
    const std::uint64_t missing = first.head.segment - std::min(chain_.oldest(), first.head.segment);
    for (std::uint64_t n = 0; n < std::min(missing, most_named) && chain_.oldest() + n > 0; ++n) {
      note({.segment = chain_.oldest() + n,
            .slot = 0,
            .offset = 0,
            .bytes = first.bytes,
            .reason = "missing",
            .suspects = {}});
    }
  }

  Result<void> take(const ChainLink& link) {
    const SegmentCandidate& segment = *link.segment;
    counting_.push_back(segment.slot);
    ++report_.segments;
    report_.bytes += journal_unit;
    for (const BlockNote& note : link.blocks) {
      if (auto taken = take_block(segment, note); !taken) return taken;
    }
    for (const DamagedBytes& damage : link.damage) {
      if (auto added = add_damage(segment, damage); !added) return added;
    }
    report_.last_segment = segment.head.segment;
    report_.last_block = link.last_number;
    report_.end_offset = link.end;
    if (link.is_torn) report_.torn_tail = TornTail{.segment = segment.head.segment, .offset = link.end};
    return {};
  }

  Result<void> take_block(const SegmentCandidate& segment, const BlockNote& note) {
    const auto bytes = chain_.block(segment, note);
    if (!bytes) return std::unexpected(bytes.error());
    const DamagedBytes whole{.segment = note.segment,
                             .slot = segment.slot,
                             .offset = note.offset,
                             .bytes = note.bytes,
                             .reason = "checksum"};
    if (!*bytes) return add_damage(segment, whole);  // changed between two looks
    const std::span<const std::byte> block = **bytes;
    const auto head = value_at<BlockHead>(block);
    const auto records = records_of(block, head);
    if (const auto finding = check_records(records, head.records)) {
      if (finding->fault == RecordFault::unknown) return std::unexpected(unknown_record(segment, note, *finding));
      DamagedBytes malformed = whole;
      malformed.reason = "records";
      return add_damage(segment, malformed);
    }
    const JournalPlace place{.segment = note.segment, .offset = note.offset, .block = note.number, .epoch = note.epoch};
    visitor_.on_block(place, head);
    visit(place, records);
    ++report_.blocks;
    report_.records += head.records;
    report_.bytes += note.bytes;
    return {};
  }

  /// The records were checked.
  void visit(const JournalPlace& place, std::span<const std::byte> records) {
    while (!records.empty()) {
      const std::uint32_t length = *length_of_record(records);
      switch (static_cast<RecordType>(value_at<std::uint8_t>(records))) {
        case RecordType::job: {
          const auto record = value_at<JobRecord>(records);
          visitor_.on_job(place, record, records.subspan(sizeof(JobRecord), record.payload_bytes));
          break;
        }
        case RecordType::ended:
          visitor_.on_ended(place, JobId(value_at<ShortRecord>(records).id));
          break;
        case RecordType::attempts: {
          const auto record = value_at<ShortRecord>(records);
          visitor_.on_attempts(place, JobId(record.id), record.value);
          break;
        }
        case RecordType::kind: {
          const auto record = value_at<KindRecord>(records);
          visitor_.on_kind(place, record.kind, as_text(records.subspan(sizeof(KindRecord), record.name_bytes)));
          break;
        }
        case RecordType::change: {
          const auto record = value_at<ChangeRecord>(records);
          visitor_.on_change(place, record, as_text(records.subspan(sizeof(ChangeRecord), record.text_bytes)));
          break;
        }
        case RecordType::options:
          visitor_.on_options(place, value_at<OptionsRecord>(records));
          break;
        case RecordType::links:
          visitor_.on_links(place, value_at<LinksRecord>(records));
          break;
        case RecordType::notes: {
          const auto record = value_at<NotesRecord>(records);
          visitor_.on_notes(place, record, as_text(records.subspan(sizeof(NotesRecord), record.tag_bytes)));
          break;
        }
        case RecordType::part: {
          const auto record = value_at<PartRecord>(records);
          visitor_.on_part(place, record, records.subspan(sizeof(PartRecord), record.part_bytes));
          break;
        }
        case RecordType::result_part: {
          const auto record = value_at<ResultPartRecord>(records);
          visitor_.on_result_part(place, record, records.subspan(sizeof(ResultPartRecord), record.part_bytes));
          break;
        }
        case RecordType::large_job:
          visitor_.on_large_job(place, value_at<LargeJobRecord>(records));
          break;
        case RecordType::retry_policy: {
          const auto record = value_at<KindRecord>(records);
          visitor_.on_retry_policy(place, record.kind, as_text(records.subspan(sizeof(KindRecord), record.name_bytes)));
          break;
        }
      }
      records = records.subspan(length);
    }
  }

  Result<void> add_damage(const SegmentCandidate& segment, const DamagedBytes& damage) {
    if (report_.damage.size() == most_named_damage) {
      ++unnamed_;
      return {};
    }
    JournalDamage found{.segment = damage.segment,
                        .slot = damage.slot,
                        .offset = damage.offset,
                        .bytes = damage.bytes,
                        .reason = damage.reason,
                        .suspects = {}};
    if (damage.segment == segment.head.segment) {
      auto suspects = suspects_in(segment, damage.offset, damage.offset + damage.bytes);
      if (!suspects) return std::unexpected(std::move(suspects.error()));
      found.suspects = *std::move(suspects);
    }
    note(std::move(found));
    return {};
  }

  void note(JournalDamage found) {
    if (report_.damage.size() < most_named_damage) {
      report_.damage.push_back(std::move(found));
    } else {
      ++unnamed_;
    }
  }

  Result<std::vector<JobId>> suspects_in(const SegmentCandidate& segment, std::uint64_t from, std::uint64_t to) {
    ReadableIds ids(most_suspects);
    chain_.bytes().use(segment.slot, segment.bytes);
    from = std::max<std::uint64_t>(from, journal_unit);
    to = std::min(to, segment.bytes);  // the file may have become shorter
    while (from + journal_unit <= to && !ids.has_enough()) {
      const auto bytes =
          chain_.bytes().view(from, std::min<std::uint64_t>(to - from, most_block_bytes) / journal_unit * journal_unit);
      if (!bytes) return std::unexpected(bytes.error());
      const auto head = value_at<BlockHead>(*bytes);
      const bool is_head = head.magic == block_magic;
      const bool is_sound = is_head && head.bytes != 0 && head.bytes % journal_unit == 0 && head.bytes <= bytes->size();
      const std::uint64_t length = is_sound ? head.bytes : bytes->size();
      // Bytes of an older segment in a reused file are no loss.
      const bool is_old = is_sound && head.segment < segment.head.segment;
      if (!is_old) ids.look_in(bytes->subspan(sizeof(BlockHead), length - sizeof(BlockHead)));
      from += length;
    }
    return std::move(ids).take();
  }

  JournalChain& chain_;
  JournalVisitor& visitor_;
  JournalReport report_;
  std::vector<SlotNumber> counting_;
  std::uint64_t unnamed_ = 0;  // places of damage beyond most_named_damage
};

}  // namespace

Result<JournalReport> read_journal(JournalDevice& device, std::uint64_t engine_id, JournalVisitor& visitor,
                                   const ReadOptions& options) {
  auto chain = JournalChain::open(device, engine_id, options.segment_bytes);
  if (!chain) return std::unexpected(std::move(chain.error()));
  if (options.progress) {
    std::uint64_t all = 0;
    for (const JournalChain::Slot& slot : chain->slots()) all += slot.bytes;
    chain->bytes().on_progress(
        [&progress = options.progress, all](std::uint64_t read) { progress(std::min(read, all), all); });
  }
  JournalReading reading(*chain, visitor);
  if (auto run = reading.run(); !run) return std::unexpected(std::move(run.error()));
  return reading.take_report();
}

}  // namespace ringmill
