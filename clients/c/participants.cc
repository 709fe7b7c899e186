// Participants: attaching, leaving, waking, waits that are slept through elsewhere.
#include <utility>

#include "clients/c/codes.h"
#include "clients/c/handles.h"

using ringmill::BegunWait;
using ringmill::Binding;
using ringmill::Error;
using ringmill::c::guarded;
using ringmill::c::LeaseTable;
using ringmill::c::report;
using ringmill::c::wait_of;

namespace {

/// Of participants of this process, so that a lease of one is none of another.
std::uint64_t next_serial() noexcept {
  static std::atomic<std::uint64_t> last{0};
  constexpr std::uint64_t serials = std::uint64_t{1} << 22;
  return last.fetch_add(1) % serials;
}

}  // namespace

rm_participant::rm_participant(rm_engine* of_engine, std::unique_ptr<ringmill::Participant> attached,
                               std::uint64_t serial)
    : engine(of_engine), participant(std::move(attached)), leases(std::make_unique<LeaseTable>(serial)) {
  rm_engine_retain(engine);
}

rm_participant::~rm_participant() { rm_engine_release(engine); }

rm_code rm_participant::detached(rm_error* error) const noexcept {
  return report(error, RM_DETACHED, "this participant was detached or abandoned before: attach another");
}

rm_code rm_attach(rm_engine* engine, uint32_t role, uint32_t flags, rm_participant** participant, rm_error* error) {
  return guarded(error, [&] {
    if (engine == nullptr || participant == nullptr) return report(error, RM_INVALID_ARGUMENT, "an argument is NULL");
    *participant = nullptr;
    const auto known_role = ringmill::c::role_of(role);
    if (!known_role) return report(error, RM_INVALID_ARGUMENT, "no such role");
    if ((flags & ~std::uint32_t{RM_PROCESS_BOUND}) != 0) return report(error, RM_INVALID_ARGUMENT, "an unknown flag");
    const Binding binding = (flags & RM_PROCESS_BOUND) != 0 ? Binding::process : Binding::thread;
    auto attached = engine->engine.attach(*known_role, binding);
    if (!attached) return report(error, attached.error());
    *participant = new rm_participant(engine, *std::move(attached), next_serial());
    return rm_code{RM_OK};
  });
}

rm_code rm_participant_check(const rm_participant* participant) {
  if (participant->get() == nullptr) return RM_DETACHED;
  const auto owned = participant->get()->check_owner();
  return owned ? RM_OK : ringmill::c::code_of(owned.error().code());
}

rm_code rm_detach(rm_participant* participant, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    if (const auto owned = participant->get()->check_owner(); !owned) return report(error, owned.error());
    participant->leases.reset();  // releases them
    participant->participant.reset();
    return rm_code{RM_OK};
  });
}

void rm_abandon(rm_participant* participant) {
  if (participant == nullptr || participant->get() == nullptr) return;
  if (rm_detach(participant, nullptr) == RM_OK) return;
  // Not ours to leave: its jobs and its memory stay as they are until its own thread ends, or its process.
  static_cast<void>(participant->leases.release());
  static_cast<void>(participant->participant.release());
}

void rm_participant_retain(rm_participant* participant) {
  if (participant != nullptr) participant->references.fetch_add(1);
}

void rm_participant_release(rm_participant* participant) {
  if (participant == nullptr || participant->references.fetch_sub(1) != 1) return;
  rm_abandon(participant);
  delete participant;
}

void rm_wake(rm_participant* participant) {
  if (participant->get() != nullptr) participant->get()->wake();
}

int32_t rm_participant_number(const rm_participant* participant) {
  return participant->get() == nullptr ? -1 : participant->get()->number();
}

uint32_t rm_held(const rm_participant* participant) {
  return participant->leases == nullptr ? 0 : participant->leases->count();
}

rm_code rm_begin_wait(rm_participant* participant, uint32_t* mark, int* may_claim, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    if (mark == nullptr || may_claim == nullptr) return report(error, RM_INVALID_ARGUMENT, "an argument is NULL");
    const auto begun = participant->get()->begin_wait();
    if (!begun) return report(error, begun.error());
    *may_claim = begun->has_value() ? 0 : 1;
    *mark = begun->value_or(BegunWait{}).sequence;
    return rm_code{RM_OK};
  });
}

int rm_sleep(const rm_participant* participant, uint32_t mark, int64_t wait_ns) {
  if (participant->get() == nullptr) return 1;
  return participant->get()->sleep(BegunWait{mark}, wait_of(wait_ns)) ? 1 : 0;
}

void rm_end_wait(rm_participant* participant, int claims) {
  if (participant->get() != nullptr) participant->get()->end_wait(claims != 0);
}

void rm_pass_on_wake(const rm_participant* participant) {
  if (participant->get() != nullptr) participant->get()->pass_on_wake();
}
