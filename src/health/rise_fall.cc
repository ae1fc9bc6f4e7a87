#include "health/rise_fall.h"

#include "absl/strings/str_cat.h"

namespace sluice {

bool RiseFall::Take(const CheckTerms& terms, const CheckResult& result) {
  last_ = result;
  if (result.outcome == CheckResult::Outcome::kNotMade) return false;
  const bool passed = result.outcome == CheckResult::Outcome::kPassed;
  const HealthState speaks_for = passed ? HealthState::kHealthy : HealthState::kUnhealthy;
  if (state_ == speaks_for) {
    against_ = 0;
    return false;
  }
  against_++;
  if (state_ != HealthState::kInitial && against_ < (passed ? terms.rise : terms.fall)) return false;
  Enter(speaks_for, result);
  return true;
}

void RiseFall::Enter(HealthState state, const CheckResult& result) {
  reason_ = against_ == 1 ? result.reason
                          : absl::StrCat(result.reason, " (", against_, " checks in a row have ",
                                         state == HealthState::kHealthy ? "passed)" : "failed)");
  state_ = state;
  since_ = result.at;
  against_ = 0;
}

absl::Duration RiseFall::Interval(const CheckTerms& terms) const {
  if (state_ == HealthState::kInitial || against_ > 0) return terms.fast_interval;
  return state_ == HealthState::kHealthy ? terms.interval : terms.down_interval;
}

}  // namespace sluice
