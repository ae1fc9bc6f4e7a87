// Packets of this node's own that go to a backend as clients' packets do.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "sluice/parse.h"
#include "sluice/tables.h"

namespace sluice {

struct OwnPacket {
  // With room for an Ethernet header in front.
  std::vector<uint8_t> frame;
  sluice_packet parsed;
};

// An IP packet of a flow; none when it is something else, a later fragment too.
std::optional<OwnPacket> ReadOwnPacket(absl::Span<const uint8_t> ip);

// The frame that leaves by backend.port, as the path would make it (rewrite.h). None when the backend has no next hop
// or is one of a pool that translates, and for a packet that is too large or has no hop left for the tunnel. `hash` is
// the flow's.
std::optional<std::vector<uint8_t>> FrameToBackend(const OwnPacket& packet, const sluice_backend& backend,
                                                   uint64_t hash);

}  // namespace sluice
