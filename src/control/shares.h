// What share of a pool's new flows each of its backends gets at a moment, by its role: backup backends, zones, slow
// start and the percentages of agents are weights to the tables.
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "config/sluice.pb.h"

namespace sluice {

// The weight of a backend that has just come grows in so many steps.
inline constexpr uint32_t kSlowStartSteps = 10;

// What is known of one backend.
struct Candidate {
  // Neither its health nor its next hop nor its agent keeps new flows from it.
  bool usable = true;
  // How many of the steps of its slow start it has reached, from 1 on.
  uint32_t steps = kSlowStartSteps;
  // Per cent of its weight that its agent leaves it.
  uint32_t percent = 100;
};

struct Share {
  enum class Role {
    kInUse,
    // A backup backend, and enough others take flows.
    kReserve,
    // Enough backends of this node's zone take flows, or those of another one never do.
    kOtherZone,
  };
  Role role = Role::kInUse;
  // 0 in any role but kInUse.
  uint32_t weight = 0;
};

// By backend of `pool`, each with its candidate. `zone` is this node's; a backend without a zone is of every one.
std::vector<Share> ShareOut(const v1::Pool& pool, const std::string& zone, absl::Span<const Candidate> candidates);

// Whether ShareOut has anything to say but the weights of the file.
bool HasRoles(const v1::Pool& pool);

}  // namespace sluice
