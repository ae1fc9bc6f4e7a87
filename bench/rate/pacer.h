// When packets are due at an offered rate.
//
// Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::bench {

class Pacer {
 public:
  // A clock that has stood still (a CPU that was taken away) is no reason to send all that was due meanwhile at once,
  // as no link could: what is due beyond this is not offered.
  static constexpr double kMostLate = 128;

  // The first packet is due a moment after `now`.
  Pacer(double packets_per_cycle, uint64_t now) : packets_per_cycle_(packets_per_cycle), last_(now) {}

  // At most `limit`; they count as offered.
  uint32_t Due(uint64_t now, uint32_t limit) {
    due_ = std::min(due_ + static_cast<double>(now - last_) * packets_per_cycle_, kMostLate);
    last_ = now;
    const uint32_t count = std::min(static_cast<uint32_t>(due_), limit);
    due_ -= count;
    return count;
  }

 private:
  const double packets_per_cycle_;
  uint64_t last_;
  double due_ = 0;
};

}  // namespace sluice::bench
