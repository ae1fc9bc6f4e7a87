// Packets of clients, made quickly: the churn sends some hundred thousand. Checksums are zero; the path updates them
// and does not verify them.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"

namespace sluice::sim_test {

// As its client sends it, ports in host order.
struct Tuple {
  Address source;
  Address destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
};

using Bytes = std::vector<uint8_t>;

inline constexpr uint8_t kFlagFin = 1;
inline constexpr uint8_t kFlagSyn = 2;
inline constexpr uint8_t kFlagRst = 4;
inline constexpr uint8_t kFlagAck = 16;

Bytes TcpFrame(const Tuple& tuple, uint8_t flags, size_t payload);
Bytes UdpFrame(const Tuple& tuple, size_t payload);
// A datagram of 200 bytes in two fragments.
Bytes FirstFragment(const Tuple& tuple, uint32_t id);
Bytes LaterFragment(const Tuple& tuple, uint32_t id);
// Some router tells the virtual address that a packet to the client was too big.
Bytes IcmpError(const Tuple& tuple);

}  // namespace sluice::sim_test
