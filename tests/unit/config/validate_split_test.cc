// Listeners with several pools.
#include "absl/strings/str_cat.h"
#include "validate_case.h"

namespace sluice {
namespace {

const char kHead[] =
    "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64], hash_key: "
    "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}\n"
    "pools:\n"
    "  - {name: blue, backends: [{name: a, address: 10.0.0.1}]}\n"
    "  - {name: green, algorithm: round_robin, backends: [{name: a, address: 10.0.0.2}]}\n"
    "  - {name: six, backends: [{name: a, address: \"2001:db8:1::1\"}]}\n"
    "  - {name: proxy, forwarding: nat, client_address: proxy_v2, backends: [{name: a, address: 10.0.0.3, port: "
    "65535}]}\n"
    "  - {name: nat, forwarding: nat, backends: [{name: a, address: 10.0.0.4}]}\n"
    "listeners:\n"
    "  - {name: all, address: 203.0.113.9, ports: [80], protocol: tcp, pools: [{name: blue}, {name: green}]}\n"
    "  - {name: all6, address: \"2001:db8::9\", ports: [80], protocol: tcp, pool: six}\n"
    "  - {name: alltoo, address: 203.0.113.8, ports: [80], protocol: tcp, pools: [{name: nat}, {name: proxy}]}\n"
    "  - {name: web, address: 203.0.113.10, ports: [80, \"90-91\"], protocol: tcp_udp, ";

void CheckListener(const std::vector<Case>& cases) {
  Check(kHead, cases, "}\n");
}

TEST(ValidateSplit, Pools) {
  CheckListener({
      {"pools: [{name: blue, weight: 90}, {name: green, weight: 10}]", {}},
      {"pools: [{name: blue, weight: 65535}, {name: green, weight: 0}]", {}},
      {"pools: [{name: blue}]", {}},
      {"pools: []", {"12:5: a listener needs a pool; add pool: with the name of one under pools"}},
      {"pools: [blue, green]",
       {"12:89: pools has keys of its own; write it as {name: ...}",
        "12:95: pools has keys of its own; write it as {name: ...}"}},
      {"pool: blue, pools: [{name: green}]",
       {"12:100: a listener has either pool or pools; move the one of pool to pools, or remove pools"}},
      {"pools: [{name: blue, weight: 0}, {name: green, weight: 0}]",
       {"12:88: all weights are 0, so new flows have no pool; give one of them a weight"}},
      {"pools: [{name: blue, weight: 65536}]", {"12:110: weight 65536 is too large; choose from 0 to 65535"}},
      {"pools: [{weight: 1}, {name: blue}]", {"12:89: this needs a name; add name: with that of one under pools"}},
      {"pools: [{name: blue}, {name: green}, {name: blue}]",
       {"12:125: pool \"blue\" stands here already (f.yaml:12:96); add their weights up"}},
      {"pools: [{name: blue}, {name: grene}]", {"12:110: no pool is named \"grene\"; did you mean \"green\"?"}},
  });
}

TEST(ValidateSplit, AtMostEight) {
  std::string pools;
  for (int i = 0; i < 9; i++) absl::StrAppend(&pools, i == 0 ? "" : ", ", "{name: blue", i, "}");
  const std::vector<std::string> lines =
      Lines(LoadConfigText(absl::StrCat(kHead, "pools: [", pools, "]}\n"), "f.yaml").status());
  EXPECT_THAT(lines, ::testing::Contains("12:88: 9 pools; at most 8 are possible"));
}

// Each of the pools is as good as a single one.
TEST(ValidateSplit, WhatAPoolHasToBe) {
  CheckListener({
      {"pools: [{name: blue}, {name: nat}]",
       {"12:88: pool \"nat\" (f.yaml:7:5) of listener \"web\" translates and pool \"blue\" (f.yaml:3:5) does not; set "
        "forwarding: nat or full_nat in all of them, or in none"}},
      {"pools: [{name: blue}, {name: six}]",
       {"12:110: listener \"web\" is IPv4 but backend \"a\" (f.yaml:5:47) of its dsr_l2 pool \"six\" is not; use a "
        "pool of "
        "IPv4 backends, or forwarding: ipip, gue or full_nat"}},
      {"pools: [{name: nat}, {name: proxy}]",
       {"6:108: ports 90-91 of listener \"web\" (f.yaml:12:52) would become 65535-65536; choose from 1 to 65534",
        "12:72: pool \"proxy\" tells its servers the client's address (f.yaml:6:52), which only TCP can carry; set "
        "protocol: "
        "tcp, or take a pool without client_address for UDP"}},
      {"pools: [{name: blue}, {name: green}], affinity: source_ip_and_destination", {}},
      {"pools: [{name: blue}, {name: green}], icmp_echo: forward",
       {"12:130: icmp_echo: forward needs a pool that translates; set answer or drop, or set forwarding: nat or "
        "full_nat "
        "in its pool \"blue\" (f.yaml:3:5)"}},
      {"pools: [{name: green}, {name: blue}], handshake_timeout: 10s",
       {"12:138: handshake_timeout says nothing to this listener; remove it, or set forwarding: nat or full_nat in its "
        "pool \"green\" (f.yaml:4:5)"}},
      {"pools: [{name: nat}], handshake_timeout: 10s, icmp_echo: forward", {}},
  });
}

}  // namespace
}  // namespace sluice
