// What one check of one backend has found.
//
// Thread-safety: as of a struct.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "health/agent.h"

namespace sluice {

struct CheckResult {
  enum class Outcome {
    kPassed,
    kFailed,
    // This node had no file descriptor, port or memory for it: it says nothing about the backend.
    kNotMade,
  };
  Outcome outcome = Outcome::kNotMade;
  // In words: "connected", "answered 503 Service Unavailable; expected 200-399".
  std::string reason;
  absl::Duration duration;
  // When it ended, by the wall clock.
  absl::Time at;
  // Of an agent that was understood.
  std::optional<AgentAnswer> agent = std::nullopt;
};

}  // namespace sluice
