#include "tests/journal/disk_model.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/core.h>

namespace ringmill::test {
namespace {

Error broken(const char* what, SlotNumber slot) {
  return Error(ErrorCode::system, what, fmt::format("slot {}: Input/output error", slot));
}

Error not_there(SlotNumber slot) { return Error(ErrorCode::not_found, "no such file", fmt::format("slot {}", slot)); }

std::uint64_t sectors_in(std::size_t bytes) { return bytes / sector_bytes; }

Disk::Sector sector_of(std::span<const std::byte> bytes, std::uint64_t sector) {
  Disk::Sector copy;
  std::memcpy(copy.data(), bytes.data() + sector * sector_bytes, sector_bytes);
  return copy;
}

/// What a sector holds whose write was cut: some bytes of each, or nothing that makes sense. A sector that was to stay
/// as it is stays: a keeper that finds a whole block may rely on it though a dead one still writes the block's zeros.
Disk::Sector torn(DiskRandom& random, const Disk::Sector& before, const Disk::Sector& after) {
  Disk::Sector mixed = before;
  if (before != after && random.one_in(8)) {
    for (std::byte& byte : mixed) byte = static_cast<std::byte>(random.next());
    return mixed;
  }
  const std::size_t from = random.below(sector_bytes);
  const std::size_t to = random.one_in(2) ? sector_bytes : from + random.below(sector_bytes - from);
  std::copy(after.begin() + static_cast<std::ptrdiff_t>(from), after.begin() + static_cast<std::ptrdiff_t>(to),
            mixed.begin() + static_cast<std::ptrdiff_t>(from));
  return mixed;
}

}  // namespace

std::uint64_t DiskRandom::next() noexcept {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

Disk::File* Disk::file(SlotNumber slot) {
  const auto at = files_.find(slot);
  return at == files_.end() ? nullptr : &at->second;
}

/// The file that the write was meant for, if it is still there.
Disk::File* Disk::target(const Flight& flight) {
  File* there = file(flight.slot);
  return there != nullptr && there->made == flight.made ? there : nullptr;
}

Disk::Bytes& Disk::writable(File& file) {
  if (file.durable.use_count() > 1) file.durable = std::make_shared<Bytes>(*file.durable);
  return *file.durable;
}

std::optional<DiskFault> Disk::count(DiskCall call) {
  const std::uint64_t nth = ++calls_.at(static_cast<std::size_t>(call));
  land_some();
  for (const DiskFault& fault : faults_) {
    if (fault.call != call || fault.nth != nth) continue;
    ++faults_met_;
    const bool a_lie = fault.kind == DiskFault::Kind::misdirect || fault.kind == DiskFault::Kind::forget ||
                       (fault.kind == DiskFault::Kind::fail && call == DiskCall::sync);
    if (a_lie) ++lies_told_;
    return fault;
  }
  return std::nullopt;
}

void Disk::land_sector(const Flight& flight, std::uint64_t sector) {
  File* there = target(flight);
  if (there == nullptr) return;
  const std::uint64_t at = flight.offset / sector_bytes + sector;
  there->landed[at] = sector_of(flight.data, sector);
  there->forsaken.erase(at);
}

void Disk::make_durable(File& file, std::uint64_t sector, const Sector& bytes) {
  std::memcpy(writable(file).data() + sector * sector_bytes, bytes.data(), sector_bytes);
  file.landed.erase(sector);
  file.forsaken.erase(sector);
}

/// Time goes by: sectors land, the writes of the dead come to their end.
void Disk::land_some() {
  for (std::size_t at = 0; at < flights_.size();) {
    Flight& flight = flights_[at];
    if (!flight.to_land.empty() && random_.one_in(4)) {
      for (std::uint64_t wanted = 1 + random_.below(flight.to_land.size()); wanted > 0; --wanted) {
        const auto sector =
            std::next(flight.to_land.begin(), static_cast<std::ptrdiff_t>(random_.below(flight.to_land.size())));
        land_sector(flight, *sector);
        flight.to_land.erase(sector);
      }
    }
    if (!flight.owner_lives && flight.wait_calls-- == 0) {
      for (const std::uint64_t sector : flight.to_land) land_sector(flight, sector);
      flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    ++at;
  }
}

void Disk::let_all_land() {
  for (Flight& flight : flights_) {
    if (flight.owner_lives) continue;
    for (const std::uint64_t sector : flight.to_land) land_sector(flight, sector);
  }
  std::erase_if(flights_, [](const Flight& flight) { return !flight.owner_lives; });
}

void Disk::end_of_owner(std::uint64_t owner) {
  for (Flight& flight : flights_) {
    if (flight.owner != owner || !flight.owner_lives) continue;
    flight.owner_lives = false;
    // Most of them soon, so that fences come free; some long after their segment was left.
    flight.wait_calls = random_.one_in(3) ? random_.below(400) : random_.below(12);
    const std::uint64_t fate = random_.below(4);
    if (fate == 0) flight.to_land.clear();
    if (fate == 1) std::erase_if(flight.to_land, [&](std::uint64_t) { return random_.one_in(2); });
  }
  open_.erase(owner);
}

/// Whether the fence of the slot is still its holder's: while it lives, and while writes that it left are in flight.
bool Disk::is_held(SlotNumber slot, std::uint64_t holder) const {
  if (open_.contains(holder)) return true;
  return std::any_of(flights_.begin(), flights_.end(),
                     [&](const Flight& flight) { return flight.owner == holder && flight.slot == slot; });
}

/// The outcome of the write is known: what of it is durable.
void Disk::complete(Flight& flight) {
  if (flight.buffer != nullptr && std::memcmp(flight.buffer, flight.data.data(), flight.data.size()) != 0) {
    violation(fmt::format("the buffer of write {} was touched while it was in flight", flight.token));
  }
  File* there = target(flight);
  if (there == nullptr || flight.error == ENOSPC || flight.forgotten) return;
  const std::uint64_t first = flight.offset / sector_bytes;
  for (std::uint64_t sector = 0; sector < sectors_in(flight.data.size()); ++sector) {
    if (flight.error == 0) {
      make_durable(*there, first + sector, sector_of(flight.data, sector));
    } else if (random_.one_in(2)) {
      land_sector(flight, sector);
    }
  }
}

std::shared_ptr<Disk> Disk::copy() const {
  auto other = std::make_shared<Disk>(0);
  for (const auto& [slot, file] : files_) {
    File& made = other->files_[slot];
    made.durable = file.durable;
    made.half_made = file.half_made;
    made.made = ++other->last_made_;
    for (const auto& [sector, bytes] : file.landed) other->make_durable(made, sector, bytes);
  }
  return other;
}

std::shared_ptr<Disk> Disk::power_cut(std::uint64_t seed) const {
  DiskRandom random(seed);
  auto after = std::make_shared<Disk>(random.next());
  const auto keep = [&](SlotNumber slot, const File& file) {
    if (file.half_made && random.one_in(3)) return;
    File& kept = after->files_[slot];
    kept.durable = file.durable;
    kept.made = ++after->last_made_;
    if (!file.half_made || random.one_in(2)) return;
    const std::uint64_t units = random.below(file.durable->size() / journal_unit + 1);
    kept.durable = std::make_shared<Bytes>(units * journal_unit);
    kept.half_made = true;
  };
  for (const auto& [slot, file] : files_) keep(slot, file);
  for (const auto& [slot, file] : removed_) {
    if (!files_.contains(slot) && random.one_in(2)) keep(slot, file);
  }
  // Everything kept, everything lost, or a mixture: the ends are as likely as what lies between.
  const std::uint64_t kept_of_16 = std::array<std::uint64_t, 6>{0, 1, 8, 8, 15, 16}.at(random.below(6));
  const auto settle = [&](SlotNumber slot, std::uint64_t sector, const Sector& bytes) {
    const auto at = after->files_.find(slot);
    if (at == after->files_.end() || at->second.half_made) return;
    if (random.below(16) >= kept_of_16) return;
    const bool whole = kept_of_16 == 16 || !random.one_in(8);
    const Sector before = sector_of(*at->second.durable, sector);
    after->make_durable(at->second, sector, whole ? bytes : torn(random, before, bytes));
  };
  for (const auto& [slot, file] : files_) {
    for (const auto& [sector, bytes] : file.landed) settle(slot, sector, bytes);
  }
  for (const Flight& flight : flights_) {
    const auto at = files_.find(flight.slot);
    if (at == files_.end() || at->second.made != flight.made) continue;
    for (const std::uint64_t sector : flight.to_land) {
      settle(flight.slot, flight.offset / sector_bytes + sector, sector_of(flight.data, sector));
    }
  }
  return after;
}

void Disk::flip(SlotNumber slot, std::uint64_t offset, std::byte bits) {
  File& there = files_.at(slot);
  writable(there).at(offset) ^= bits;
  const auto landed = there.landed.find(offset / sector_bytes);
  if (landed != there.landed.end()) landed->second.at(offset % sector_bytes) ^= bits;
}

std::vector<SlotNumber> Disk::slots() const {
  std::vector<SlotNumber> there;
  for (const auto& [slot, file] : files_) there.push_back(slot);
  return there;
}

std::uint64_t Disk::bytes_of(SlotNumber slot) const { return files_.at(slot).durable->size(); }

std::vector<std::byte> Disk::contents(SlotNumber slot) const {
  const File& there = files_.at(slot);
  Bytes bytes = *there.durable;
  for (const auto& [sector, landed] : there.landed) {
    std::memcpy(bytes.data() + sector * sector_bytes, landed.data(), sector_bytes);
  }
  return bytes;
}

void DiskModel::Freed::operator()(std::byte* at) const noexcept {
  ::operator delete[](at, std::align_val_t{journal_unit});
}

DiskModel::DiskModel(std::shared_ptr<Disk> disk) : disk_(std::move(disk)), owner_(++disk_->last_owner_) {
  disk_->open_.insert(owner_);
}

DiskModel::~DiskModel() {
  if (!killed_) kill();
}

void DiskModel::kill() {
  disk_->moment();
  for (Disk::Flight& flight : disk_->flights_) {
    if (flight.owner != owner_) continue;
    lost_tokens_.push_back(flight.token);
    flight.buffer = nullptr;
  }
  disk_->end_of_owner(owner_);
  killed_ = true;
}

Result<std::vector<SlotNumber>> DiskModel::slots() {
  if (killed_) return std::unexpected(broken("killed", 0));
  return disk_->slots();
}

Result<std::uint64_t> DiskModel::bytes_of(SlotNumber slot) {
  if (killed_) return std::unexpected(broken("killed", slot));
  if (disk_->file(slot) == nullptr) return std::unexpected(not_there(slot));
  return disk_->bytes_of(slot);
}

Result<void> DiskModel::prepare(SlotNumber slot, std::uint64_t bytes) {
  if (killed_) return std::unexpected(broken("killed", slot));
  if (bytes == 0 || bytes % journal_unit != 0) {
    disk_->violation(fmt::format("prepare of slot {} with {} bytes", slot, bytes));
  }
  disk_->moment();
  const std::optional<DiskFault> fault = disk_->count(DiskCall::prepare);
  const Disk::File* there = disk_->file(slot);
  if (there != nullptr && !there->half_made && there->durable->size() >= bytes) return {};
  const std::uint64_t taken = there == nullptr ? 0 : there->durable->size();
  if ((fault && fault->kind == DiskFault::Kind::no_space) || (disk_->space_ && *disk_->space_ + taken < bytes)) {
    return std::unexpected(
        Error(ErrorCode::no_space, "no space for a file of the journal", fmt::format("slot {}", slot)));
  }
  if (disk_->space_) *disk_->space_ -= bytes - taken;

  Disk::File made;
  made.durable = std::make_shared<Disk::Bytes>(bytes);
  made.made = ++disk_->last_made_;
  made.half_made = true;
  disk_->files_[slot] = std::move(made);
  disk_->moment();
  if (fault && fault->kind == DiskFault::Kind::fail) return std::unexpected(broken("prepare", slot));
  disk_->files_[slot].half_made = false;
  disk_->removed_.clear();
  disk_->moment();
  return {};
}

Result<void> DiskModel::remove(SlotNumber slot) {
  if (killed_) return std::unexpected(broken("killed", slot));
  disk_->moment();
  const std::optional<DiskFault> fault = disk_->count(DiskCall::remove);
  if (fault && fault->kind == DiskFault::Kind::fail) return std::unexpected(broken("remove", slot));
  const auto at = disk_->files_.find(slot);
  if (at == disk_->files_.end()) return std::unexpected(not_there(slot));
  if (disk_->space_) *disk_->space_ += at->second.durable->size();
  disk_->removed_[slot] = std::move(at->second);
  disk_->files_.erase(at);
  disk_->moment();
  return {};
}

Result<bool> DiskModel::try_fence(SlotNumber slot) {
  if (killed_) return std::unexpected(broken("killed", slot));
  const std::optional<DiskFault> fault = disk_->count(DiskCall::fence);
  Disk::File* there = disk_->file(slot);
  if (there == nullptr) return std::unexpected(not_there(slot));
  if (fault && fault->kind == DiskFault::Kind::fail) return std::unexpected(broken("lock", slot));
  if (fault && fault->kind == DiskFault::Kind::busy) return false;
  if (there->fence == owner_) return true;
  if (there->fence != 0 && disk_->is_held(slot, there->fence)) return false;
  there->fence = owner_;
  return true;
}

void DiskModel::release(SlotNumber slot) noexcept {
  Disk::File* there = disk_->file(slot);
  if (!killed_ && there != nullptr && there->fence == owner_) there->fence = 0;
}

Result<void> DiskModel::read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) {
  if (killed_) return std::unexpected(broken("killed", slot));
  const std::optional<DiskFault> fault = disk_->count(DiskCall::read);
  const Disk::File* there = disk_->file(slot);
  if (there == nullptr) return std::unexpected(not_there(slot));
  if (fault && fault->kind == DiskFault::Kind::fail) return std::unexpected(broken("read", slot));
  if (offset + to.size() > there->durable->size()) return std::unexpected(broken("read beyond the end", slot));
  std::memcpy(to.data(), there->durable->data() + offset, to.size());
  const std::uint64_t end = offset + to.size();
  for (auto at = there->landed.lower_bound(offset / sector_bytes); at != there->landed.end(); ++at) {
    const std::uint64_t begins = at->first * sector_bytes;
    if (begins >= end) break;
    const std::uint64_t from = std::max(begins, offset);
    const std::uint64_t upto = std::min(begins + sector_bytes, end);
    std::memcpy(to.data() + (from - offset), at->second.data() + (from - begins), upto - from);
  }
  return {};
}

Result<void> DiskModel::sync(SlotNumber slot) {
  if (killed_) return std::unexpected(broken("killed", slot));
  disk_->moment();
  const std::optional<DiskFault> fault = disk_->count(DiskCall::sync);
  Disk::File* there = disk_->file(slot);
  if (there == nullptr) return std::unexpected(not_there(slot));
  const bool failed = fault && fault->kind == DiskFault::Kind::fail;
  for (auto at = there->landed.begin(); at != there->landed.end();) {
    const auto [sector, bytes] = *at++;
    if (there->forsaken.contains(sector)) continue;
    if (!failed || disk_->random_.one_in(3)) {
      disk_->make_durable(*there, sector, bytes);
    } else if (disk_->random_.one_in(2)) {
      there->landed.erase(sector);
    } else {
      there->forsaken.insert(sector);
    }
  }
  disk_->moment();
  if (!failed) return {};
  ++disk_->syncs_failed_;
  return std::unexpected(broken("fdatasync", slot));
}

Result<std::vector<std::span<std::byte>>> DiskModel::buffers(std::size_t count, std::size_t bytes) {
  if (!buffers_.empty() || bytes % journal_unit != 0) disk_->violation("buffers() twice, or of an odd size");
  std::vector<std::span<std::byte>> spans;
  buffer_bytes_ = bytes;
  for (std::size_t n = 0; n < count; ++n) {
    buffers_.emplace_back(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{journal_unit})));
    std::memset(buffers_.back().get(), 0x5a, bytes);
    spans.emplace_back(buffers_.back().get(), bytes);
  }
  return spans;
}

void DiskModel::check(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data) {
  const bool in_a_buffer = std::any_of(buffers_.begin(), buffers_.end(), [&](const auto& buffer) {
    return data.data() >= buffer.get() && data.data() + data.size() <= buffer.get() + buffer_bytes_;
  });
  if (!in_a_buffer) disk_->violation("a write from outside of buffers()");
  if (offset % journal_unit != 0 || data.size() % journal_unit != 0 || data.empty()) {
    disk_->violation(fmt::format("a write of {} bytes at {}", data.size(), offset));
  }
  if (disk_->files_.at(slot).fence != owner_)
    disk_->violation(fmt::format("a write to slot {} without its fence", slot));
  for (const Disk::Flight& flight : disk_->flights_) {
    if (flight.owner != owner_ || flight.slot != slot) continue;
    if (flight.meant < offset + data.size() && offset < flight.meant + flight.data.size()) {
      disk_->violation(fmt::format("a write to slot {} over one that is in flight", slot));
    }
  }
}

void DiskModel::submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) {
  if (killed_) {
    lost_tokens_.push_back(token);
    return;
  }
  disk_->moment();
  const std::optional<DiskFault> fault = disk_->count(DiskCall::submit);
  Disk::Flight flight{.owner = owner_, .slot = slot, .meant = offset, .offset = offset, .token = token};
  const Disk::File* there = disk_->file(slot);
  if (there == nullptr || offset + data.size() > there->durable->size()) {
    disk_->violation(fmt::format("a write to slot {} at {}, where no file is", slot, offset));
    flight.error = EBADF;
  } else {
    check(slot, offset, data);
    flight.made = there->made;
    flight.data.assign(data.begin(), data.end());
    flight.buffer = data.data();
  }
  if (fault) {
    switch (fault->kind) {
      case DiskFault::Kind::fail:
        flight.error = EIO;
        break;
      case DiskFault::Kind::no_space:
        flight.error = ENOSPC;
        break;
      case DiskFault::Kind::delay:
        flight.wait_calls = fault->calls;
        break;
      case DiskFault::Kind::forget:
        flight.forgotten = true;
        break;
      case DiskFault::Kind::misdirect: {
        const std::uint64_t places = (disk_->bytes_of(slot) - data.size()) / journal_unit + 1;
        const std::uint64_t right = offset / journal_unit;
        if (places > 1) flight.offset = (right + 1 + disk_->random_.below(places - 1)) % places * journal_unit;
        break;
      }
      case DiskFault::Kind::busy:
        break;
    }
  }
  if (flight.error != ENOSPC && !flight.forgotten) {
    for (std::uint64_t sector = 0; sector < sectors_in(flight.data.size()); ++sector) flight.to_land.insert(sector);
  }
  disk_->flights_.push_back(std::move(flight));
  disk_->moment();
}

/// Writes whose outcome may come now.
std::vector<std::size_t> DiskModel::ready() {
  std::vector<std::size_t> found;
  for (std::size_t at = 0; at < disk_->flights_.size(); ++at) {
    Disk::Flight& flight = disk_->flights_[at];
    if (flight.owner != owner_) continue;
    if (flight.wait_calls > 0) {
      --flight.wait_calls;
      continue;
    }
    found.push_back(at);
  }
  return found;
}

void DiskModel::collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) {
  if (killed_) {
    for (const std::uint64_t token : std::exchange(lost_tokens_, {}))
      outcomes.push_back({.token = token, .error = EIO});
    return;
  }
  disk_->moment();
  disk_->land_some();
  std::size_t ended = 0;
  const std::size_t at_least = wait > std::chrono::nanoseconds::zero() ? 1 : 0;
  for (std::vector<std::size_t> from = ready(); !from.empty(); ++ended) {
    if (ended >= at_least && disk_->random_.one_in(2)) break;
    const std::size_t chosen = disk_->random_.below(from.size());
    Disk::Flight flight = std::move(disk_->flights_[from[chosen]]);
    disk_->flights_.erase(disk_->flights_.begin() + static_cast<std::ptrdiff_t>(from[chosen]));
    disk_->complete(flight);
    outcomes.push_back({.token = flight.token, .error = flight.error});
    disk_->moment();
    for (std::size_t n = chosen + 1; n < from.size(); ++n) --from[n];
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  if (ended == 0 && sleeps_) sleep(wait);
}

void DiskModel::sleep(std::chrono::nanoseconds wait) {
  std::unique_lock lock(mutex_);
  woken_changed_.wait_for(lock, wait, [&] { return woken_; });
  woken_ = false;
}

void DiskModel::wake() noexcept {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  woken_changed_.notify_one();
}

}  // namespace ringmill::test
