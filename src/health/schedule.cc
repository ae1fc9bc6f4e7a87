#include "health/schedule.h"

#include <utility>

namespace sluice {

void CheckSchedule::Set(uint64_t id, absl::Time due) {
  Remove(id);
  by_id_.emplace(id, due);
  by_time_.emplace(due, id);
}

void CheckSchedule::Remove(uint64_t id) {
  const auto known = by_id_.find(id);
  if (known == by_id_.end()) return;
  by_time_.erase({known->second, id});
  by_id_.erase(known);
}

std::optional<CheckSchedule::Due> CheckSchedule::TakeDue(absl::Time now) {
  if (by_time_.empty() || by_time_.begin()->first > now) return std::nullopt;
  const Due due{by_time_.begin()->second, by_time_.begin()->first};
  Remove(due.id);
  return due;
}

absl::Duration SpreadOver(absl::Duration period, uint64_t n) {
  // The fraction of n times the golden ratio, in units of 2^-64.
  const uint64_t fraction = n * 0x9e3779b97f4a7c15ULL;
  return period * (static_cast<double>(fraction >> 11) * 0x1p-53);
}

}  // namespace sluice
