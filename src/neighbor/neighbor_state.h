// One neighbour: what the kernel's entry means for us, and when to ask the kernel for more.
//
// The kernel resolves an entry only while it sends through it, and forgets it otherwise; Sluice's packets bypass the
// kernel. So this machine keeps the entry in use: an entry that goes stale is probed (a changed or silent host is
// noticed within the kernel's reachable time, 15 to 45 s by default, and three probes), one that failed is tried again
// with exponential back-off. States: RFC 4861 section 7.3.2, which Linux uses for ARP too.
//
// Pure: time comes in, actions go out. Thread-safety: none needed, plain object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/address.h"

namespace sluice {

class NeighborState {
 public:
  // Between two tries at a neighbour that does not answer; each try is three solicitations of the kernel's, a second
  // apart.
  static constexpr absl::Duration kFirstRetry = absl::Seconds(1);
  static constexpr absl::Duration kLongestRetry = absl::Seconds(8);
  // An entry is used or probed at most this often, whatever the kernel does to it meanwhile (its garbage collector may
  // work against us).
  static constexpr absl::Duration kAskInterval = absl::Seconds(1);
  // When the kernel has been asked and has told nothing: longer than its three solicitations.
  static constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);
  // A look at entries that need nothing, in case a notification was missed.
  static constexpr absl::Duration kLookInterval = absl::Seconds(60);

  enum class Action { kLook, kUse, kProbe };

  // The kernel's entry as it is now. `mac` is there when the entry has one; `state` is one of NUD_*.
  void Report(uint16_t state, const std::optional<Mac>& mac, absl::Time now);
  // The kernel has no entry (any more). A MAC that was known stays in use until the neighbour fails to answer: deleting
  // an entry (ip neigh flush) says nothing about the host.
  void Gone(absl::Time now);
  // The kernel refused kUse.
  void Refused(const absl::Status& why, absl::Time now);

  // When Next() is to be called.
  absl::Time due() const { return due_; }
  // What to do at due(). The caller does it and calls Report, Gone or Refused with what it learns.
  Action Next(absl::Time now);

  bool resolved() const { return mac_.has_value(); }
  // Sticky: stays while it is tried again, until the neighbour answers.
  bool failed() const { return failed_; }
  const Mac& mac() const { return *mac_; }
  // Why the kernel would not even try; empty otherwise.
  const std::string& refusal() const { return refusal_; }
  // Resolved, failed, MAC and refusal are the same.
  bool SameAnswer(const NeighborState& other) const {
    return mac_ == other.mac_ && failed_ == other.failed_ && refusal_ == other.refusal_;
  }

 private:
  void Fail(absl::Time now);
  absl::Time Soon(absl::Time now) const;

  // The kernel's state as far as we know; NUD_NONE when there is no entry. kUse makes it NUD_INCOMPLETE, of which the
  // kernel does not notify.
  uint16_t state_ = 0;
  std::optional<Mac> mac_;
  bool failed_ = false;
  std::string refusal_;
  absl::Duration retry_ = kFirstRetry;
  absl::Time last_asked_ = absl::InfinitePast();
  absl::Time due_ = absl::InfinitePast();
};

}  // namespace sluice
