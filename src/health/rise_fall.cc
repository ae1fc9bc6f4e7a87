#include "health/rise_fall.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {

namespace {

// 64 times as many.
constexpr uint32_t kMostFlaps = 6;
// Who has passed so many times as many checks as it needed to come back does not flap.
constexpr uint32_t kSettled = 10;

}  // namespace

bool RiseFall::Take(const CheckTerms& terms, const CheckResult& result) {
  last_ = result;
  if (result.outcome == CheckResult::Outcome::kNotMade) return false;
  const bool passed = result.outcome == CheckResult::Outcome::kPassed;
  const HealthState speaks_for = passed ? HealthState::kHealthy : HealthState::kUnhealthy;
  if (state_ == speaks_for) {
    against_ = 0;
    if (passed && passed_since_ < UINT32_MAX) passed_since_++;
    return false;
  }
  against_++;
  if (state_ != HealthState::kInitial && against_ < (passed ? NeededToRise(terms) : terms.fall)) return false;
  Enter(terms, speaks_for, result);
  return true;
}

bool RiseFall::Fall(const CheckTerms& terms, const CheckResult& seen) {
  against_ = 0;
  if (state_ == HealthState::kUnhealthy) return false;
  against_ = 1;
  Enter(terms, HealthState::kUnhealthy, seen);
  return true;
}

// It falls.
void RiseFall::CountFlaps(const CheckTerms& terms) {
  const bool soon = came_back_ && passed_since_ < uint64_t{kSettled} * NeededToRise(terms);
  flaps_ = terms.flap_dampening && soon ? std::min(flaps_ + 1, kMostFlaps) : 0;
  passed_since_ = 0;
}

void RiseFall::Enter(const CheckTerms& terms, HealthState state, const CheckResult& result) {
  if (state_ == HealthState::kHealthy) CountFlaps(terms);
  came_back_ = state_ == HealthState::kUnhealthy;
  reason_ = against_ == 1 ? result.reason
                          : absl::StrCat(result.reason, " (", against_, " checks in a row have ",
                                         state == HealthState::kHealthy ? "passed)" : "failed)");
  state_ = state;
  since_ = result.at;
  against_ = 0;
  if (state == HealthState::kUnhealthy && flaps_ > 0) {
    absl::StrAppend(&reason_, "; it has flapped ", flaps_, flaps_ == 1 ? " time" : " times", ", so ",
                    NeededToRise(terms), " in a row have to pass");
  }
}

absl::Duration RiseFall::Interval(const CheckTerms& terms) const {
  if (state_ == HealthState::kInitial || against_ > 0) return terms.fast_interval;
  return state_ == HealthState::kHealthy ? terms.interval : terms.down_interval;
}

}  // namespace sluice
