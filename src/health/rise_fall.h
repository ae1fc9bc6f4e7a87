// From results to a state: healthy after `rise` checks in a row have passed, unhealthy after `fall` have failed. The
// first result of all settles the state by itself: a balancer that starts need not send traffic to a dead backend for
// as long as `fall` checks take.
//
// Pure: no clock, no socket. Thread-safety: as of a struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "health/check.h"
#include "health/check_result.h"

namespace sluice {

enum class HealthState { kInitial, kHealthy, kUnhealthy };

class RiseFall {
 public:
  // `now`: by the wall clock.
  explicit RiseFall(absl::Time now) : since_(now) {}

  // Returns whether the state is another one now. What was not made counts neither way.
  bool Take(const CheckTerms& terms, const CheckResult& result);

  // What was seen besides checks and is enough by itself: unhealthy, and the checks that have passed since it was
  // unhealthy count no more. Returns whether the state is another one now.
  bool Fall(const CheckTerms& terms, const CheckResult& seen);

  // From the start of the last check to that of the next.
  absl::Duration Interval(const CheckTerms& terms) const;

  HealthState state() const { return state_; }
  // Since when it is in this state, and why, in words.
  absl::Time since() const { return since_; }
  const std::string& reason() const { return reason_; }
  const std::optional<CheckResult>& last() const { return last_; }

 private:
  void Enter(const CheckTerms& terms, HealthState state, const CheckResult& result);
  uint32_t NeededToRise(const CheckTerms& terms) const { return terms.rise << flaps_; }
  void CountFlaps(const CheckTerms& terms);

  HealthState state_ = HealthState::kInitial;
  absl::Time since_;
  std::string reason_ = "not checked yet";
  std::optional<CheckResult> last_;
  // Results in a row that speak against the state.
  uint32_t against_ = 0;
  // Flap dampening: how often in a row it fell soon after it had come back; whether it has come back, and how many
  // checks have passed since.
  uint32_t flaps_ = 0;
  bool came_back_ = false;
  uint32_t passed_since_ = 0;
};

}  // namespace sluice
