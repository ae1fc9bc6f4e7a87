// A small set of tables made by hand, for both compositions of the path: one virtual address of each family with a
// listener for every way of forwarding, and what else a packet can meet.
//
//   203.0.113.10, 2001:db8:10::10   echo and announce; TCP and UDP ports 8000 + pool; TCP 9000-9009 and 9100: pool 2
//   203.0.113.11, 2001:db8:10::11   neither; the same ports
#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <vector>

#include "sluice/hash.h"
#include "sluice/rewrite.h"
#include "sluice/tables.h"

namespace sluice::path_test {

inline constexpr char kVirtual4[] = "203.0.113.10";
inline constexpr char kVirtual6[] = "2001:db8:10::10";
inline constexpr char kQuiet4[] = "203.0.113.11";
inline constexpr char kQuiet6[] = "2001:db8:10::11";
inline constexpr uint16_t kFirstPort = 8000;
inline constexpr uint16_t kSmallMtu = 600;
inline constexpr uint16_t kGuePort = 6080;

enum Pool : uint32_t {
  kDsr,
  kDsrVlan,
  kIpipOver4,
  kIpipOver6,
  kGueOver4Vlan,
  kGueOver6,
  kDsrSmall,
  kIpipSmall,
  kNoNextHop,
  kEmpty,
  kPools,
};

inline sluice_address AddressOf(const char* text) {
  sluice_address address{};
  uint32_t ipv4 = 0;
  if (inet_pton(AF_INET, text, &ipv4) == 1) return sluice_ipv4(ipv4);
  inet_pton(AF_INET6, text, &address);
  return address;
}

class PathTables {
 public:
  static constexpr uint32_t kIndexSize = 256;
  static constexpr uint32_t kMaglevSize = 7;
  static constexpr uint32_t kBackendsPerPool = 2;

  std::vector<sluice_settings> settings{1};
  std::vector<sluice_index_entry> index{kIndexSize};
  std::vector<sluice_port_range> ranges{{9000, 9009, kIpipOver4}, {9100, 9100, kIpipOver4}};
  std::vector<sluice_listener> listeners;
  std::vector<sluice_pool> pools;
  std::vector<uint32_t> maglev;
  std::vector<sluice_backend> backends;
  std::vector<sluice_port> ports{{{2, 0, 0, 0, 0, 0x50}, 1500}, {{2, 0, 0, 0, 0, 0x51}, 1500}};

  PathTables() {
    uint32_t word = 0x9e3779b9;
    for (uint32_t& key : settings[0].hash_key) key = word = word * 1664525 + 1013904223;
    settings[0].index_mask = kIndexSize - 1;
    settings[0].longest_idle = 100;
    for (uint32_t pool = 0; pool < kPools; pool++) AddPool(pool);
    for (const char* address : {kVirtual4, kVirtual6, kQuiet4, kQuiet6}) {
      const bool quiet = address == kQuiet4 || address == kQuiet6;
      const uint32_t flags = quiet ? 0 : SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE;
      AddIndex(address, 0, 0, flags, 0, SLUICE_INDEX_VIRTUAL);
      AddIndex(address, SLUICE_IP_TCP, 0, 0, static_cast<uint16_t>(ranges.size()), SLUICE_INDEX_RANGES);
      for (uint16_t pool = 0; pool < kPools; pool++) {
        for (uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
          AddIndex(address, protocol, kFirstPort + pool, pool, 0, SLUICE_INDEX_LISTENER);
        }
      }
    }
  }

  sluice_tables view() const {
    return {settings.data(), index.data(),  ranges.data(),   listeners.data(),
            pools.data(),    maglev.data(), backends.data(), ports.data()};
  }

 private:
  void AddIndex(const char* text, uint32_t protocol, uint16_t port, uint32_t value, uint16_t count, uint16_t kind) {
    const sluice_address address = AddressOf(text);
    const uint32_t key = sluice_index_key(protocol, htons(port));
    uint32_t at = sluice_hash_index(&address, key);
    while (index[at % kIndexSize].kind != SLUICE_INDEX_EMPTY) at++;
    index[at % kIndexSize] = {address, key, value, count, kind, 0};
  }

  void AddPool(uint32_t pool) {
    // Listener i leads to pool i.
    listeners.push_back({pool, static_cast<uint16_t>(10 + pool * 10), 0});
    pools.push_back({static_cast<uint32_t>(maglev.size()), pool == kEmpty ? 0 : kMaglevSize});
    for (uint32_t i = 0; i < kMaglevSize; i++) {
      maglev.push_back(static_cast<uint32_t>(backends.size()) + i % kBackendsPerPool);
    }
    for (uint32_t i = 0; i < kBackendsPerPool; i++) AddBackend(pool, static_cast<uint8_t>(i));
  }

  void AddBackend(uint32_t pool, uint8_t number) {
    const bool outer_ipv6 = pool == kIpipOver6 || pool == kGueOver6;
    const bool ipip = pool == kIpipOver4 || pool == kIpipOver6 || pool == kIpipSmall;
    const bool gue = pool == kGueOver4Vlan || pool == kGueOver6;
    sluice_backend backend = {.destination_mac = {2, 0, 0, 1, static_cast<uint8_t>(pool), number},
                              .source_mac = {2, 0, 0, 0, 0, 0x51},
                              .port = 1,
                              .source = AddressOf(outer_ipv6 ? "2001:db8::99" : "192.0.2.99"),
                              .destination = AddressOf(outer_ipv6 ? "2001:db8::1" : "192.0.2.1"),
                              .pool = pool,
                              .mtu = pool == kDsrSmall || pool == kIpipSmall ? kSmallMtu : uint16_t{1500},
                              .flags = SLUICE_BACKEND_LIVE,
                              .idle = 100};
    if (pool == kDsrVlan || pool == kGueOver4Vlan) backend.vlan = 100;
    if (pool != kNoNextHop) backend.flags |= SLUICE_BACKEND_NEXT_HOP;
    if (outer_ipv6) backend.flags |= SLUICE_BACKEND_OUTER_IPV6;
    backend.forwarding = gue ? SLUICE_GUE : ipip ? SLUICE_IPIP : SLUICE_DSR_L2;
    if (gue || ipip) backend.outer_length = outer_ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES;
    if (gue) backend.outer_length += SLUICE_UDP_BYTES + SLUICE_GUE_BYTES;
    backend.outer_sum = sluice_outer_sum(backend.source.words[3], backend.destination.words[3]);
    backend.gue_port = htons(kGuePort);
    backends.push_back(backend);
  }
};

}  // namespace sluice::path_test
