// Traffic as a file, for devices that play one (net_pcap).
//
// Thread-safety: pure function.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "traffic.h"

namespace sluice::bench {

// A packet of each flow, established, in random order. Errors: the file can't be written.
absl::Status WritePcap(const std::string& path, const TrafficOptions& options);

}  // namespace sluice::bench
