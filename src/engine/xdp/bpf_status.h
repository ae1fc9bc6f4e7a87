// What libbpf and the kernel say when something fails, in words for the user.
//
// Thread-safety: any thread; a load and its status are of one thread.
#pragma once

#include <cstring>
#include <string>

#include "absl/status/status.h"

namespace sluice {

// `error` is an errno value; `what` what was tried. PermissionDeniedError says which capabilities are missing.
absl::Status BpfStatus(int error, const std::string& what);

// libbpf's own words (the driver's and the verifier's, too) go to the log from here on, and are remembered for
// LoadStatus.
void LogLibbpf();

// As BpfStatus, of a load since LogLibbpf: with the verifier's reason, if it is that, and what to do (load_hint.h).
absl::Status LoadStatus(int error, const std::string& what);

// libbpf's options carry their size, and it insists that their padding is zero too. (LIBBPF_OPTS is for C.)
template <typename Options>
void PrepareBpfOptions(Options* options) {
  std::memset(options, 0, sizeof(*options));
  options->sz = sizeof(*options);
}

}  // namespace sluice
