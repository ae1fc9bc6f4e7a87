// How long a worker that has had no packet may sleep.
//
// Thread-safety: pure function.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice {

// A worker that has had a packet within this time polls on. Pauses of a stream of packets are shorter: a sender that
// its scheduler has interrupted, a round trip between machines that are not far from each other.
inline constexpr uint64_t kAwakeNs = 1'000'000;
// Where its queues wake it a packet waits only until it runs again, and none is lost.
inline constexpr uint64_t kAwakeWhereWokenNs = 100'000;
// What a packet may wait at most where nothing wakes it: half a percent of a CPU for an idle worker.
inline constexpr uint64_t kLongestNapNs = 500'000;
// A packet waits for no more than such a share of the time in which there was none.
inline constexpr uint64_t kNapShare = 8;
// Of one that is woken. The kernel wants to hear that it lives (Worker::Hold).
inline constexpr uint64_t kLongestSleepNs = 50'000'000;

// `idle_ns`: since the last packet; `woken`: by its queues, when packets come. 0: it stays awake.
constexpr uint64_t NapNs(uint64_t idle_ns, bool woken) {
  if (idle_ns < (woken ? kAwakeWhereWokenNs : kAwakeNs)) return 0;
  return woken ? kLongestSleepNs : std::min(idle_ns / kNapShare, kLongestNapNs);
}

}  // namespace sluice
