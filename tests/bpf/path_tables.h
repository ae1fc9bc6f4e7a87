// A small set of tables for both compositions of the path: virtual addresses of both families with a listener for every
// way of forwarding, and what else a packet can meet.
//
//   203.0.113.10, 2001:db8:10::10   echo and announce; TCP and UDP ports 8000 + pool; TCP 9000-9009 and 9100:
//   kIpipOver4 203.0.113.11, 2001:db8:10::11   neither; the same ports
#pragma once

#include "absl/strings/str_cat.h"
#include "sluice/tables.h"
#include "tests/packet/hand_tables.h"

namespace sluice::path_test {

inline constexpr uint16_t kFirstPort = 8000;
inline constexpr uint16_t kSmallMtu = 600;
// The port that backends are behind; packets come by port 0.
inline constexpr uint16_t kBackendPort = 1;

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

// Two backends in all pools but kEmpty; their slots are 2 * pool and the one behind it.
inline void AddPools(packet_test::HandTables& tables) {
  for (uint32_t pool = 0; pool < kEmpty; pool++) {
    const bool ipv6 = pool == kIpipOver6 || pool == kGueOver6;
    packet_test::HandBackend backend = {
        .source = ipv6 ? "2001:db8::99" : "192.0.2.99", .port = kBackendPort, .pool = pool};
    if (pool == kIpipOver4 || pool == kIpipOver6 || pool == kIpipSmall) backend.forwarding = SLUICE_IPIP;
    if (pool == kGueOver4Vlan || pool == kGueOver6) backend.forwarding = SLUICE_GUE;
    if (pool == kDsrVlan || pool == kGueOver4Vlan) backend.vlan = 100;
    if (pool == kDsrSmall || pool == kIpipSmall) backend.mtu = kSmallMtu;
    for (uint32_t i = 0; i < 2; i++) {
      const std::string address = absl::StrCat(ipv6 ? "2001:db8::" : "192.0.2.", 10 + 2 * pool + i);
      backend.address = address;
      const uint32_t slot = tables.AddBackend(backend);
      if (pool == kNoNextHop) tables.backend(slot).flags = SLUICE_BACKEND_LIVE;
    }
    tables.AddPool({2 * pool, 2 * pool + 1, 2 * pool});
  }
  tables.AddPool({});
}

inline void FillTables(packet_test::HandTables& tables) {
  AddPools(tables);
  for (const char* address : {"203.0.113.10", "2001:db8:10::10", "203.0.113.11", "2001:db8:10::11"}) {
    const bool quiet = std::string_view(address).ends_with('1');
    tables.AddVirtual(address, quiet ? 0 : SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE);
    tables.AddRanges(address, SLUICE_IP_TCP, {{9000, 9009}, {9100, 9100}}, kIpipOver4);
    for (uint32_t pool = 0; pool < kPools; pool++) {
      for (uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
        tables.AddListener(address, protocol, static_cast<uint16_t>(kFirstPort + pool), pool,
                           static_cast<uint16_t>(10 + 10 * pool));
      }
    }
  }
  tables.AddPort({{2, 0, 0, 0, 0, 0x50}, 1500});
  tables.AddPort({{2, 0, 0, 0, 0, 0x51}, 1500});
}

}  // namespace sluice::path_test
