// A claimed job.
#pragma once

#include "clients/python/native/handles.h"

namespace ringmill::python {

class Job {
 public:
  Job(std::shared_ptr<ParticipantHandle> holder, const rm_claimed& claimed);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  /// An unsettled job goes back, if its participant may be used from here.
  ~Job();

  rm_lease lease() const noexcept { return claimed_.lease; }
  const rm_claimed& claimed() const noexcept { return claimed_; }
  nb::bytes payload() const { return payload_; }
  bool is_held() const noexcept { return claimed_.lease != 0; }
  rm_participant* participant() const noexcept { return holder_->participant; }
  /// Settles it in one of the ways of rm_settlement.what; returns what became of it.
  std::uint32_t settle(std::uint32_t what, rm_bytes text = {}, rm_bytes said = {}, double delay_s = 0);
  /// It was settled by a list.
  void forget() noexcept { claimed_.lease = 0; }

 private:
  std::shared_ptr<ParticipantHandle> holder_;
  rm_claimed claimed_;
  nb::bytes payload_;
};

}  // namespace ringmill::python
