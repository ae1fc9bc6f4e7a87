#include "engine/sim/rss.h"

#include "sluice/types.h"

namespace sluice {
namespace {

// The hash of a packet's fields, in the order that they are added.
class Toeplitz {
 public:
  explicit Toeplitz(const RssKey& key)
      : key_(key), window_(uint32_t{key[0]} << 24 | uint32_t{key[1]} << 16 | uint32_t{key[2]} << 8 | key[3]) {}

  void Add(absl::Span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) {
      const uint8_t next = key_[at_++];
      for (int bit = 7; bit >= 0; bit--) {
        if (byte >> bit & 1) hash_ ^= window_;
        window_ = window_ << 1 | (next >> bit & 1);
      }
    }
  }
  uint32_t hash() const { return hash_; }

 private:
  const RssKey& key_;
  uint32_t hash_ = 0;
  // The key's 32 bits under the next bit of input.
  uint32_t window_;
  size_t at_ = 4;
};

uint32_t Word(absl::Span<const uint8_t> bytes, size_t at) {
  return uint32_t{bytes[at]} << 8 | bytes[at + 1];
}

// `addresses` is where both lie in `ip`, behind one another; `ports` where the transport header begins.
uint32_t Hash(absl::Span<const uint8_t> ip, size_t addresses, size_t length, size_t ports, bool with_ports,
              const RssKey& key) {
  Toeplitz toeplitz(key);
  toeplitz.Add(ip.subspan(addresses, length));
  if (with_ports && ip.size() >= ports + 4) toeplitz.Add(ip.subspan(ports, 4));
  return toeplitz.hash();
}

bool HasPorts(uint32_t protocol) {
  return protocol == SLUICE_IP_TCP || protocol == SLUICE_IP_UDP;
}

}  // namespace

uint32_t ToeplitzHash(absl::Span<const uint8_t> input, const RssKey& key) {
  Toeplitz toeplitz(key);
  toeplitz.Add(input);
  return toeplitz.hash();
}

uint32_t RssHash(absl::Span<const uint8_t> frame, const RssKey& key, bool with_ports) {
  size_t type = 12;
  while (frame.size() >= type + 2 &&
         (Word(frame, type) == SLUICE_ETHERTYPE_VLAN || Word(frame, type) == SLUICE_ETHERTYPE_QINQ)) {
    type += SLUICE_VLAN_BYTES;
  }
  if (frame.size() < type + 2) return 0;
  const absl::Span<const uint8_t> ip = frame.subspan(type + 2);
  if (Word(frame, type) == SLUICE_ETHERTYPE_IPV4 && ip.size() >= SLUICE_IPV4_BYTES) {
    const bool whole = (Word(ip, 6) & 0x3fff) == 0;
    return Hash(ip, 12, 8, (ip[0] & 0xfu) * 4, with_ports && whole && HasPorts(ip[9]), key);
  }
  if (Word(frame, type) == SLUICE_ETHERTYPE_IPV6 && ip.size() >= SLUICE_IPV6_BYTES) {
    return Hash(ip, 8, 32, SLUICE_IPV6_BYTES, with_ports && HasPorts(ip[6]), key);
  }
  return 0;
}

}  // namespace sluice
