// Whether servers' answers can be brought to their owners by RSS: what the ports' devices say of theirs.
//
// One rule has to hold for all ports, because routes change and answers with them. It is that of the first port whose
// RSS is known; the others are given the same key where they take one. At a port that spreads otherwise all the same,
// answers are looked up.
//
// Thread-safety: the control thread's, once at start.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/dpdk/port.h"
#include "engine/nat_owners.h"

namespace sluice {

struct AnswerRss {
  std::shared_ptr<const NatOwners> owners;
  // What is in force, and why, for the log.
  std::vector<std::string> messages;
};

// The ports have started; their queue q is served by worker q % workers.
AnswerRss ChooseAnswerRss(absl::Span<Port* const> ports, uint32_t workers, const sluice_nat_ports& nat_ports);

}  // namespace sluice
