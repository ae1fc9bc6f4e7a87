// What an agent on a server says of it, in the words of HAProxy's agent-check, and what that makes of its backend.
//
// Pure. Thread-safety: as of a struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace sluice {

// Its word for it: ready, drain, maint.
enum class AgentOrder { kReady, kDrain, kDisabled };

// One line. What is absent was not said.
struct AgentAnswer {
  // Of the configured weight.
  std::optional<uint32_t> percent;
  std::optional<AgentOrder> order;
  std::optional<bool> down;
  // The line as it may be shown: printable, and not longer than kMaxShownLine.
  std::string line;
};

inline constexpr size_t kMaxShownLine = 200;
inline constexpr uint32_t kMaxAgentPercent = 1'000;

// Words in any order and case, parted by spaces, tabs and commas: "75%" (0 to kMaxAgentPercent), "ready", "drain",
// "maint", "up", "down", "stopped", "fail" ("failed"); "maxconn:N" is passed over. From a "#", or from the first other
// word on, it is a reason. The error says what is not understood: a line without any of the words.
absl::StatusOr<AgentAnswer> ParseAgentAnswer(absl::string_view line);

// What counts now, of each kind of word for itself.
struct AgentState {
  // Since when by the wall clock (always, when nothing was said), and the line that said it last.
  struct Said {
    absl::Time since = absl::InfinitePast();
    std::string line;
  };
  uint32_t percent = 100;
  Said percent_said;
  AgentOrder order = AgentOrder::kReady;
  Said order_said;
  bool down = false;
  Said down_said;

  enum class Change { kNone, kShare, kState };
  // What the answer has changed; kShare: the percentage alone.
  Change Take(const AgentAnswer& answer, absl::Time now);
};

}  // namespace sluice
