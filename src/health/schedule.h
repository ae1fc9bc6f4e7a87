// When each check is due. Times are of whatever clock the caller uses.
//
// Thread-safety: as of a container.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace sluice {

class CheckSchedule {
 public:
  // Each id is due once, at the time that was set last.
  void Set(uint64_t id, absl::Time due);
  void Remove(uint64_t id);

  struct Due {
    uint64_t id = 0;
    absl::Time at;
  };
  // The earliest of those that are due, taken out; none when none is.
  std::optional<Due> TakeDue(absl::Time now);

  size_t size() const { return by_time_.size(); }

 private:
  absl::btree_set<std::pair<absl::Time, uint64_t>> by_time_;
  absl::flat_hash_map<uint64_t, absl::Time> by_id_;
};

// Where in `period` the n-th of any number of checks begins, such that they lie evenly over it however many there are:
// multiples of the golden ratio (Knuth, The Art of Computer Programming 3, 6.4, theorem S).
absl::Duration SpreadOver(absl::Duration period, uint64_t n);

}  // namespace sluice
