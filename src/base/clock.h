// The clock of the path and of the control thread: CLOCK_MONOTONIC, which the kernel's programs read too.
#pragma once

#include <cstdint>
#include <ctime>

namespace sluice {

// Nanoseconds. Any thread; no system call where the kernel offers its vDSO.
inline uint64_t MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace sluice
