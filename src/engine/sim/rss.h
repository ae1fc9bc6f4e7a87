// Receive-side scaling as devices do it: the Toeplitz hash with the key of Microsoft's verification suite, over both
// addresses and, for whole TCP and UDP packets, both ports. Fragments have no ports in common, so all of a datagram is
// hashed by addresses alone; so are ICMP and IPv6 packets with extension headers. What is not IP has hash 0.
//
// Source: "Verifying the RSS hash calculation", Windows driver documentation; Intel 82599 datasheet section 7.1.2.8.
// Thread-safety: a pure function.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace sluice {

uint32_t RssHash(absl::Span<const uint8_t> frame);

}  // namespace sluice
