// Receive-side scaling as devices do it: the Toeplitz hash, with the key of Microsoft's verification suite if no other
// is given, over both addresses and, for whole TCP and UDP packets, both ports. Fragments have no ports in common, so
// all of a datagram is hashed by addresses alone; so are ICMP and IPv6 packets with extension headers. What is not IP
// has hash 0.
//
// Source: "Verifying the RSS hash calculation", Windows driver documentation; Intel 82599 datasheet section 7.1.2.8.
// Thread-safety: a pure function.
#pragma once

#include <array>
#include <cstdint>

#include "absl/types/span.h"

namespace sluice {

using RssKey = std::array<uint8_t, 40>;
inline constexpr RssKey kVerificationKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

// Of up to 36 bytes.
uint32_t ToeplitzHash(absl::Span<const uint8_t> input, const RssKey& key = kVerificationKey);

// Without `with_ports`, addresses alone are hashed of everything.
uint32_t RssHash(absl::Span<const uint8_t> frame, const RssKey& key = kVerificationKey, bool with_ports = true);

}  // namespace sluice
