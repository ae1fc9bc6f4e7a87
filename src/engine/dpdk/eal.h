// DPDK's environment, once a process: memory and worker lcores.
//
// Thread-safety: call from the main thread, which becomes the main lcore.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/region.h"

namespace sluice {

struct EalOptions {
  uint32_t workers = 1;
  HugePages huge_pages = HugePages::kPreferred;
  // PCI addresses that DPDK may take; no other device is touched.
  std::vector<std::string> pci;
  // Memory for mbufs when there are no huge pages, MiB (with huge pages DPDK takes what it needs).
  uint32_t memory_mib = 64;
  // All of it in one file, as net_memif wants it for zero-copy.
  bool single_file = false;
};

// Starts the environment on the first call; later calls are refused when they want more workers than the first.
// Worker lcores are 1 ... workers, each pinned to a CPU of its own while there are enough (the last ones that this
// process may use; the main lcore floats). `notes` gets sentences for the log, such as what missing huge pages cost.
// Errors: no permission, no huge pages when required, EAL's own with its text.
absl::Status StartEal(const EalOptions& options, std::vector<std::string>* notes);

}  // namespace sluice
