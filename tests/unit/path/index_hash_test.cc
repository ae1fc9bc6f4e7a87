// The hash of the index spreads what operators configure: runs of addresses and of ports, in tables half full.
#include <arpa/inet.h>

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "sluice/hash.h"

namespace sluice {
namespace {

struct Shape {
  uint32_t addresses, ports, size;
};

sluice_address Nth(bool ipv6, uint32_t n) {
  if (ipv6) return {{htonl(0x20010db8), htonl(0x00100000), 0, htonl(n)}};
  return sluice_ipv4(htonl(0xcb007100 + n));
}

// Probes that the unluckiest of the keys needs when all are put in, as the builder does.
uint32_t MostProbes(bool ipv6, const Shape& shape) {
  std::vector<bool> used(shape.size);
  uint32_t most = 0;
  for (uint32_t address = 0; address < shape.addresses; address++) {
    const sluice_address bytes = Nth(ipv6, address);
    for (uint32_t port = 0; port < shape.ports; port++) {
      for (uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
        const uint32_t key = sluice_index_key(protocol, htons(static_cast<uint16_t>(8000 + port)));
        uint32_t at = sluice_hash_index(&bytes, key);
        uint32_t probes = 1;
        for (; used[at & (shape.size - 1)]; at++) probes++;
        used[at & (shape.size - 1)] = true;
        most = std::max(most, probes);
      }
    }
  }
  return most;
}

TEST(IndexHashTest, RunsOfAddressesAndPortsNeedFewProbes) {
  for (const bool ipv6 : {false, true}) {
    for (const Shape& shape : {Shape{4, 10, 256}, {200, 1, 1024}, {1, 200, 1024}, {100, 50, 32768}, {5000, 1, 32768}}) {
      EXPECT_LT(MostProbes(ipv6, shape), uint32_t{SLUICE_INDEX_PROBES})
          << (ipv6 ? "IPv6, " : "IPv4, ") << shape.addresses << " addresses, " << shape.ports << " ports";
    }
  }
}

}  // namespace
}  // namespace sluice
