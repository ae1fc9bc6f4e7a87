// The balancer's packet rate over a device that brings its own traffic: a file that is played over and over (net_pcap),
// or a NIC or a cable with a generator at its other end.
//
// Thread-safety: the main thread; once a process, which the EAL takes hold of.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "results.h"

namespace sluice::bench {

// Of `settings.device`. Of the traffic's settings only `flows` counts: so many the device is to bring, of the clients
// and to the address of site.h. `progress` hears of each step. Errors: as of the engine; too few packets come.
absl::StatusOr<Results> MeasureDevice(const Settings& settings,
                                      const std::function<void(const std::string&)>& progress);

}  // namespace sluice::bench
