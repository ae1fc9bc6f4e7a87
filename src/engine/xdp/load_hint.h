// What to do when the kernel refuses a BPF program or map: by what it and libbpf say, and by what this process may do.
//
// Thread-safety: any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// What decides whether a load succeeds, beside the program.
struct LoadEnvironment {
  // Effective ones, a bit each.
  uint64_t capabilities = 0;
  // Of Linux; 0 when it is not known.
  uint32_t kernel_major = 0;
  uint32_t kernel_minor = 0;
  // RLIMIT_MEMLOCK, bytes.
  uint64_t locked_memory = 0;
  // The mode in brackets of /sys/kernel/security/lockdown; empty when there is none.
  std::string lockdown;

  // This process, now.
  static LoadEnvironment Read();
};

// `error` is an errno value; `words` the lines that libbpf wrote meanwhile, the verifier's among them, or nothing. A
// sentence without a period.
std::string LoadHint(int error, absl::string_view words, const LoadEnvironment& environment);

// The line of a verifier's log that says what is wrong: the last one before its statistics. Empty without a log.
absl::string_view VerifierReason(absl::string_view words);

}  // namespace sluice
