// sluicebench --engine=xdp: the program that the engine attaches to interfaces, with the engine's own loader and
// tables, under BPF_PROG_TEST_RUN, in turns with the least that forwards a packet. Before either a program writes the
// packet, on the same CPU: in the place of a device and of its generator that is in both rates.
//
// Needs root. Thread-safety: the main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "results.h"

namespace sluice::bench {

// Bytes on the wire of each packet, of both families.
inline constexpr uint16_t kKernelFrame = 82;

// `progress` hears of each step. Errors: the kernel refuses a program; packets that were not forwarded.
absl::StatusOr<Results> MeasureKernel(const Settings& settings,
                                      const std::function<void(const std::string&)>& progress);

}  // namespace sluice::bench
