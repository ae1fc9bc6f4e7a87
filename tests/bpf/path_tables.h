// A small set of tables for both compositions of the path: virtual addresses of both families with a listener for every
// way of forwarding, and what else a packet can meet.
//
//   203.0.113.10, 2001:db8:10::10   echo and announce; TCP and UDP ports 8000 + pool; TCP 9000-9009 and 9100:
//   kIpipOver4 203.0.113.11, 2001:db8:10::11   neither; the same ports
//   On the first two ports 9300 and 9301 as well: kDsr, no new flows from 198.51.100.32/27 and 2001:db8:7::20/123; on
//   9301 clients are told. Ports 9302 and 9303 likewise, for sources that open a second flow within a window; 9304 and
//   9305, which have a limit of flows.
#pragma once

#include <cstring>

#include "absl/strings/str_cat.h"
#include "sluice/access.h"
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

inline constexpr uint16_t kSilentPort = 9300;
inline constexpr uint16_t kTellingPort = 9301;

// Addresses whose last byte is from 0x20 to 0x3f.
inline void AddAccess(packet_test::HandTables& tables, const char* network, uint32_t listener, bool tells) {
  const sluice_address lowest = packet_test::PathAddress(network);
  sluice_access_node node;
  std::memset(&node, 0xff, sizeof(node));
  node.ends[0] = node.ends[1] = sluice_number_of(&lowest);
  node.ends[0].low += 0x1f;
  node.ends[1].low += 0x3f;
  const auto flags = static_cast<uint16_t>(SLUICE_ACCESS_LOWEST | (tells ? SLUICE_ACCESS_TELLS : 0));
  tables.Admit(listener, {0, 1, flags, 0, 0}, {node});
}

inline constexpr uint16_t kSilentRatePort = 9302;
inline constexpr uint16_t kTellingRatePort = 9303;

// One flow of a source within a window.
inline void AddRate(packet_test::HandTables& tables, uint32_t listener, bool tells) {
  const auto flags = static_cast<uint16_t>(SLUICE_ACCESS_LOWEST | (tells ? SLUICE_ACCESS_TELLS : 0));
  tables.Admit(listener, {0, 0, flags, 1, 0}, {});
}

inline constexpr uint16_t kSilentLimitPort = 9304;
inline constexpr uint16_t kTellingLimitPort = 9305;

inline void AddLimit(packet_test::HandTables& tables, uint32_t listener, bool tells) {
  const auto flags =
      static_cast<uint16_t>(SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED | (tells ? SLUICE_ACCESS_TELLS : 0));
  tables.Admit(listener, {0, 0, flags, 0, 0}, {});
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
      if (pool != kDsr || quiet) continue;
      const char* network = std::string_view(address).starts_with("2001") ? "2001:db8:7::" : "198.51.100.0";
      for (uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
        AddAccess(tables, network, tables.AddListener(address, protocol, kSilentPort, kDsr, 30), false);
        AddAccess(tables, network, tables.AddListener(address, protocol, kTellingPort, kDsr, 30), true);
        AddRate(tables, tables.AddListener(address, protocol, kSilentRatePort, kDsr, 30), false);
        AddRate(tables, tables.AddListener(address, protocol, kTellingRatePort, kDsr, 30), true);
        AddLimit(tables, tables.AddListener(address, protocol, kSilentLimitPort, kDsr, 30), false);
        AddLimit(tables, tables.AddListener(address, protocol, kTellingLimitPort, kDsr, 30), true);
      }
    }
  }
  tables.AddPort({{2, 0, 0, 0, 0, 0x50}, 1500});
  tables.AddPort({{2, 0, 0, 0, 0, 0x51}, 1500});
}

}  // namespace sluice::path_test
