#include "engine/sim/rss.h"

#include <array>

#include "sluice/types.h"

namespace sluice {
namespace {

constexpr std::array<uint8_t, 40> kKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                          0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                          0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                          0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

// The hash of a packet's fields, in the order that they are added.
class Toeplitz {
 public:
  void Add(absl::Span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) {
      const uint8_t next = kKey[at_++];
      for (int bit = 7; bit >= 0; bit--) {
        if (byte >> bit & 1) hash_ ^= window_;
        window_ = window_ << 1 | (next >> bit & 1);
      }
    }
  }
  uint32_t hash() const { return hash_; }

 private:
  uint32_t hash_ = 0;
  // The key's 32 bits under the next bit of input.
  uint32_t window_ = uint32_t{kKey[0]} << 24 | uint32_t{kKey[1]} << 16 | uint32_t{kKey[2]} << 8 | kKey[3];
  size_t at_ = 4;
};

uint32_t Word(absl::Span<const uint8_t> bytes, size_t at) {
  return uint32_t{bytes[at]} << 8 | bytes[at + 1];
}

// `addresses` is where both lie in `ip`, behind one another; `ports` where the transport header begins.
uint32_t Hash(absl::Span<const uint8_t> ip, size_t addresses, size_t length, size_t ports, bool with_ports) {
  Toeplitz toeplitz;
  toeplitz.Add(ip.subspan(addresses, length));
  if (with_ports && ip.size() >= ports + 4) toeplitz.Add(ip.subspan(ports, 4));
  return toeplitz.hash();
}

bool HasPorts(uint32_t protocol) {
  return protocol == SLUICE_IP_TCP || protocol == SLUICE_IP_UDP;
}

}  // namespace

uint32_t RssHash(absl::Span<const uint8_t> frame) {
  size_t type = 12;
  while (frame.size() >= type + 2 &&
         (Word(frame, type) == SLUICE_ETHERTYPE_VLAN || Word(frame, type) == SLUICE_ETHERTYPE_QINQ)) {
    type += SLUICE_VLAN_BYTES;
  }
  if (frame.size() < type + 2) return 0;
  const absl::Span<const uint8_t> ip = frame.subspan(type + 2);
  if (Word(frame, type) == SLUICE_ETHERTYPE_IPV4 && ip.size() >= SLUICE_IPV4_BYTES) {
    const bool whole = (Word(ip, 6) & 0x3fff) == 0;
    return Hash(ip, 12, 8, (ip[0] & 0xfu) * 4, whole && HasPorts(ip[9]));
  }
  if (Word(frame, type) == SLUICE_ETHERTYPE_IPV6 && ip.size() >= SLUICE_IPV6_BYTES) {
    return Hash(ip, 8, 32, SLUICE_IPV6_BYTES, HasPorts(ip[6]));
  }
  return 0;
}

}  // namespace sluice
