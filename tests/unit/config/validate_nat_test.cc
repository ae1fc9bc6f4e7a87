// What nat and full_nat need, and the keys that they alone know.
#include <chrono>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/validate.h"
#include "validate_case.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

// Line 1 is the engine, line 2 the listener, line 3 the pool; cases stand in one of them.
const char kEngine[] = "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64/28, '2001:db8:1::/120']}\n";
const char kListener[] = "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n";
const char kPool[] = "pools: [{name: web, forwarding: full_nat, backends: [{name: a, address: 10.0.0.1}]}]\n";

TEST(ValidateNat, Addresses) {
  Check("engine: {interfaces: [{name: eth0}], nat_addresses: [",
        {
            {"198.51.100.7]}", {}},
            {"198.51.100.64/28, '2001:db8:1::/120', 198.51.100.7, '2001:db8:1::100']}", {}},
            {"198.51.100.7/32, '2001:db8:1::1/128', 198.51.100.0/31]}", {}},
            {"198.51.100.65/28]}",
             {"1:54: \"198.51.100.65/28\" is not the start of a prefix; write 198.51.100.64/28, or 198.51.100.65 for "
              "this one address"}},
            {"'2001:db8:1::ff/120']}",
             {"1:54: \"2001:db8:1::ff/120\" is not the start of a prefix; write 2001:db8:1::/120, or 2001:db8:1::ff "
              "for this one address"}},
            {"198.51.100.300]}",
             {"1:54: \"198.51.100.300\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"}},
            {"198.51.100.0/33]}", {"1:54: \"33\" is not a prefix length; it would be between 0 and 32"}},
            {"198.51.100.0/]}", {"1:54: \"\" is not a prefix length; it would be between 0 and 32"}},
            {"'']}", {"1:54: \"\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"}},
            {"224.0.0.1]}", {"1:54: \"224.0.0.1\" is a multicast address; write the unicast address of one machine"}},
            {"127.0.0.0/24]}", {"1:54: \"127.0.0.0/24\" is a loopback address; write addresses of this node"}},
            {"0.0.0.0/0]}",
             {"1:54: \"0.0.0.0/0\" is of the unspecified network 0.0.0.0/8 (RFC 1122); write addresses of this node"}},
            {"'fe80::/120']}", {"1:54: \"fe80::/120\" is a link-local address; write addresses of this node"}},
        },
        std::string("\n") + kListener + kPool);
}

TEST(ValidateNat, AddressesAreFewAndApart) {
  const std::string many =
      ": nat_addresses holds more than 1024 addresses up to here; take fewer, such as one /22 of IPv4 or /118 of IPv6";
  Check("engine: {interfaces: [{name: eth0}], nat_addresses: [",
        {
            {"198.51.100.0/22]}", {}},
            {"198.51.100.0/23, '2001:db8:1::/119']}", {}},
            {"198.51.96.0/21]}", {"1:54" + many}},
            {"198.51.100.1, '2001:db8:1::/118', '2001:db8:2::/118']}", {"1:68" + many}},
            {"198.51.100.1, '::ffff:0:0:0/0', '2001:db8::/32']}",
             {"1:68: \"::ffff:0:0:0/0\" is the unspecified address; write addresses of this node", "1:86" + many}},
            {"198.51.100.70, 198.51.100.64/28, 198.51.100.79, 198.51.100.80]}",
             {"1:69: 198.51.100.64/28 overlaps 198.51.100.70 (f.yaml:1:54); keep one of the two",
              "1:87: 198.51.100.79 overlaps 198.51.100.64/28 (f.yaml:1:69); keep one of the two"}},
            {"198.51.100.70, '::ffff:198.51.100.70']}",
             {"1:69: ::ffff:198.51.100.70 overlaps 198.51.100.70 (f.yaml:1:54); keep one of the two"}},
            {"'2001:db8:1::/121', 198.51.100.1, '2001:db8:1::80', '2001:db8:1::/120']}",
             {"1:106: 2001:db8:1::/120 overlaps 2001:db8:1::/121 (f.yaml:1:54); keep one of the two",
              "1:106: 2001:db8:1::/120 overlaps 2001:db8:1::80 (f.yaml:1:88); keep one of the two"}},
        },
        std::string("\n") + kListener + kPool);
}

TEST(ValidateNat, AddressesAreNobodyElses) {
  const std::string end = "; take addresses here that nothing else has";
  Check("engine: {nat_addresses: [",
        {
            {"203.0.113.10], interfaces: [{name: eth0}]}",
             {"1:26: 203.0.113.10 is the virtual address of listener \"web\" (f.yaml:2:34)" + end}},
            // Two of a kind are one line.
            {"10.0.0.0/30, 203.0.113.0/28], interfaces: [{name: eth0}]}",
             {"1:26: 10.0.0.1 is the address of backend \"a\" (f.yaml:3:73)" + end,
              "1:39: 203.0.113.10 is the virtual address of listener \"web\" (f.yaml:2:34)" + end}},
            {"10.9.9.0/24, '2001:db8::9'], tunnel_source: {ipv4: 10.9.9.9, ipv6: '2001:db8::9'}, interfaces: [{device: "
             "d, tap: t, addresses: [10.9.9.1/16, 10.9.9.2/16, 10.9.8.1/24]}]}",
             {"1:26: 10.9.9.9 is in engine.tunnel_source (f.yaml:1:77)" + end,
              "1:26: 10.9.9.1 is an address of an interface (f.yaml:1:154)" + end,
              "1:39: 2001:db8::9 is in engine.tunnel_source (f.yaml:1:93)" + end}},
            {"10.0.0.0/32, 10.0.0.3, 203.0.113.9, 203.0.113.11], interfaces: [{name: eth0}]}", {}},
        },
        std::string("\n") + kListener +
            "pools: [{name: web, forwarding: full_nat, backends: [{name: a, address: 10.0.0.1}, {name: b, address: "
            "10.0.0.2}]}]");
}

TEST(ValidateNat, Sessions) {
  Check("engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.7], ",
        {
            {"max_sessions: 1k}", {}},
            {"max_sessions: 1G}", {}},
            {"max_sessions: 999}", {"1:83: max_sessions 999 is out of range; choose from 1k to 1G"}},
            {"max_sessions: 1000000001}", {"1:83: max_sessions 1000000001 is out of range; choose from 1k to 1G"}},
            {"max_sessions: 0}",
             {"1:83: max_sessions 0 leaves no session to pool \"web\" (f.yaml:3:9), which translates; remove it for as "
              "many as max_connections, or choose from 1k to 1G"}},
            // One mistake, one line.
            {"max_connections: 999}", {"1:86: max_connections 999 is out of range; choose from 1k to 1G"}},
        },
        std::string("\n") + kListener + kPool);
  // Without a pool that translates: room for one to come by a reload, or none.
  Check("engine: {interfaces: [{name: eth0}], max_sessions: ",
        {
            {"0}", {}},
            {"4M}", {}},
            {"1}", {"1:52: max_sessions 1 is out of range; choose from 1k to 1G"}},
        },
        std::string("\n") + kListener + "pools: [{name: web}]");
}

TEST(ValidateNat, PingsAreForwardedByWhoTranslates) {
  const std::string end = "\n- {name: nat, forwarding: nat}\n- {name: full, forwarding: full_nat}\n- {name: web}";
  Check(std::string(kEngine) + "listeners:\n- {name: a, address: 1.2.3.4, ports: [80], protocol: tcp, ",
        {
            {"pool: nat, icmp_echo: forward}", {}},
            {"pool: full, icmp_echo: forward}", {}},
            {"pool: web, icmp_echo: answer}", {}},
            {"pool: web, icmp_echo: drop}", {}},
            {"pool: web, icmp_echo: forward}",
             {"3:81: icmp_echo: forward needs a pool that translates; set answer or drop, or set forwarding: nat or "
              "full_nat in its pool \"web\" (f.yaml:7:3)"}},
        },
        "\npools:" + end);
  // They agree, as on all of icmp_echo.
  Check(
      std::string(kEngine) + "listeners:\n- {name: a, address: 1.2.3.4, ports: [80], protocol: tcp, ",
      {
          {"pool: full, icmp_echo: forward}\n- {name: b, address: 1.2.3.4, ports: [81], protocol: tcp, pool: full}",
           {"4:3: listeners \"b\" and \"a\" (f.yaml:3:3) share 1.2.3.4 but differ in icmp_echo; set the same in both"}},
      },
      "\npools:" + end);
}

TEST(ValidateNat, ClientAddress) {
  const std::string end = ", backends: [{name: a, address: 10.0.0.1}]}]\n";
  const std::string nothing =
      "client_address says nothing to this pool, whose servers get the client's own packets; remove it or set "
      "forwarding: nat or full_nat";
  Check(
      std::string(kEngine) + kListener + "pools: [{name: web, ",
      {
          {"forwarding: nat, client_address: proxy_v2", {}},
          {"forwarding: full_nat, client_address: toa", {}},
          {"forwarding: full_nat, client_address: none", {}},
          {"forwarding: dsr_l2, client_address: none", {}},
          {"forwarding: dsr_l2, client_address: proxy_v2", {"3:57: " + nothing}},
          {"client_address: toa", {"3:37: " + nothing}},
          {"forwarding: nat, client_address: proxy",
           {"3:54: client_address \"proxy\" is not known; it is one of none, proxy_v2, toa"}},
          // One mistake, one line.
          {"forwarding: natt, client_address: toa", {"3:33: forwarding \"natt\" is not known; did you mean \"nat\"?"}},
      },
      end);
  const auto udp = [](int column) {
    return absl::StrCat("2:", column,
                        ": pool \"web\" tells its servers the client's address (f.yaml:3:59), which only TCP can "
                        "carry; set protocol: tcp, or take a pool without client_address for UDP");
  };
  Check(absl::StrCat(kEngine, "listeners: [{name: web, address: 203.0.113.10, ports: [80], pool: web, protocol: "),
        {{"tcp}", {}},
         {"udp}", {udp(82)}},
         {"tcp_udp}", {udp(82)}},
         {"tcp}, {name: d, address: 203.0.113.10, ports: [53], protocol: udp, pool: web}", {udp(144)}}},
        "]\npools: [{name: web, forwarding: full_nat, client_address: toa" + end);
  // What only the API can say.
  v1::Config config;
  config.add_pools()->set_client_address(static_cast<v1::Pool::ClientAddress>(9));
  config::Report report;
  ValidateConfig(config, report);
  EXPECT_THAT(Lines(report.ToStatus()),
              testing::Contains(testing::HasSubstr("unknown client_address 9; use none, proxy_v2 or toa")));
}

TEST(ValidateNat, SessionKeys) {
  const auto listener = [](const std::string& protocol, const std::string& keys) {
    return absl::StrCat("listeners: [{name: w, address: 1.2.3.4, ports: [80], protocol: ", protocol, ", pool: web, ",
                        keys, "}]\n");
  };
  Check(kEngine,
        {
            {listener("tcp", "handshake_timeout: 1s, half_closed_timeout: 6000s, closed_timeout: 1500ms"), {}},
            {listener("tcp_udp", "handshake_timeout: 10s, reset_on_idle: true"), {}},
            {listener("tcp", "handshake_timeout: 0s, half_closed_timeout: 999ms, closed_timeout: 6001s"),
             {"2:99: handshake_timeout is out of range; choose from 1s to 6000s",
              "2:124: half_closed_timeout is out of range; choose from 1s to 6000s",
              "2:147: closed_timeout is out of range; choose from 1s to 6000s"}},
            {listener("udp", "idle_timeout: 60s"), {}},
            {listener("udp", "handshake_timeout: 0s, half_closed_timeout: 1s, closed_timeout: 1s, reset_on_idle: true"),
             {"2:99: handshake_timeout is for TCP alone; remove it, or set protocol: tcp or tcp_udp",
              "2:124: half_closed_timeout is for TCP alone; remove it, or set protocol: tcp or tcp_udp",
              "2:144: closed_timeout is for TCP alone; remove it, or set protocol: tcp or tcp_udp",
              "2:163: reset_on_idle is for TCP alone; remove it, or set protocol: tcp or tcp_udp"}},
        },
        kPool);
  const std::string end =
      " says nothing to this listener; remove it, or set forwarding: nat or full_nat in its pool \"web\" (f.yaml:3:9)";
  Check(
      kEngine,
      {
          {listener("tcp", "handshake_timeout: 0s, half_closed_timeout: 1s, closed_timeout: 1s, reset_on_idle: false"),
           {"2:99: handshake_timeout" + end, "2:124: half_closed_timeout" + end, "2:144: closed_timeout" + end,
            "2:163: reset_on_idle" + end}},
      },
      "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]}]");
  // Which pool it will be is not known.
  Check(kEngine,
        {{listener("tcp", "handshake_timeout: 1s"), {"2:75: no pool is named \"web\"; did you mean \"wbe\"?"}}},
        "pools: [{name: wbe, backends: [{name: a, address: 10.0.0.1}]}]");
}

TEST(ValidateNat, BackendPorts) {
  Check(std::string(kEngine) + kListener + "pools: [{name: web, forwarding: ",
        {
            {"nat, backends: [{name: a, address: 10.0.0.1, port: 1}, {name: b, address: 10.0.0.2, port: 65535}]}]", {}},
            {"full_nat, backends: [{name: a, address: 10.0.0.1, port: 0}, {name: b, address: 10.0.0.2, port: 65536}]}]",
             {"3:89: there is no port 0; ports are 1 to 65535", "3:128: there is no port 65536; ports are 1 to 65535"}},
            {"dsr_l2, backends: [{name: a, address: 10.0.0.1, port: 0}]}]",
             {"3:87: port says nothing to this pool, which keeps the listener's; remove it or set forwarding: nat or "
              "full_nat"}},
            {"full_nat, gue_port: 6080, backends: [{name: a, address: 10.0.0.1}]}]",
             {"3:53: gue_port says nothing to this pool; remove it or set forwarding: gue"}},
        },
        "");
}

TEST(ValidateNat, BackendPortsHoldTheRanges) {
  const std::string pool = "\npools: [{name: web, forwarding: nat, backends: [{name: a, address: 10.0.0.1, port: ";
  const auto listeners = [&](const std::string& ports, const std::string& port) {
    return absl::StrCat("listeners: [{name: w, address: 1.2.3.4, protocol: tcp_udp, pool: web, ports: [", ports, "]}]",
                        pool, port, "}]}]");
  };
  Check(kEngine,
        {
            {listeners("80, 443", "65535"), {}},
            {listeners("80, 443, 8000-8099", "65436"), {}},
            {listeners("80, 8000-8009, 8010-8109, 9000-9098", "65437"),
             {"3:84: ports 8010-8109 of listener \"w\" (f.yaml:2:94) would become 65437-65536; choose from 1 to "
              "65436"}},
            {listeners("1-65535", "1"), {}},
            {listeners("1-65535", "2"),
             {"3:84: ports 1-65535 of listener \"w\" (f.yaml:2:79) would become 2-65536; choose from 1 to 1"}},
            // A range that is wrong by itself.
            {listeners("9-8, 0-9, 65535-65536", "65535"),
             {"2:79: the range 9-8 ends before it starts; write 8-9", "2:84: there is no port 0; ports are 1 to 65535",
              "2:89: there is no port 65536; ports are 1 to 65535"}},
            // The second listener's range is the one that counts, and another pool's says nothing.
            {"listeners: [{name: v, address: 1.2.3.4, protocol: tcp, pool: web, ports: [80-89]}, {name: w, address: "
             "1.2.3.5, protocol: tcp, pool: web, ports: [80-90]}, {name: x, address: 1.2.3.6, protocol: tcp, pool: o, "
             "ports: [1-1000]}]" +
                 pool + "65526}]}, {name: o}]",
             {"3:84: ports 80-90 of listener \"w\" (f.yaml:2:146) would become 65526-65536; choose from 1 to 65525"}},
        },
        "");
}

TEST(ValidateNat, BackendsShareAnAddressWithPortsOfTheirOwn) {
  Check(
      std::string(kEngine) + kListener + "pools: [{name: web, forwarding: ",
      {
          {"nat, backends: [{name: a, address: 10.0.0.1, port: 80}, {name: b, address: 10.0.0.1, port: 81}, {name: "
           "c, address: 10.0.0.1}]}]",
           {}},
          {"nat, backends: [{name: a, address: 10.0.0.1, port: 80}, {name: b, address: 10.0.0.1, port: 80}]}]",
           {"3:108: 10.0.0.1 port 80 is already backend \"a\" (f.yaml:3:68) of this pool; raise that one's weight "
            "instead, or give each a port of its own"}},
          {"full_nat, backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.1}]}]",
           {"3:103: 10.0.0.1 is already backend \"a\" (f.yaml:3:73) of this pool; raise that one's weight instead, or "
            "give each a port of its own"}},
          {"dsr_l2, backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.1, port: 81}]}]",
           {"3:101: 10.0.0.1 is already backend \"a\" (f.yaml:3:71) of this pool; raise that one's weight instead",
            "3:117: port says nothing to this pool, which keeps the listener's; remove it or set forwarding: nat or "
            "full_nat"}},
      },
      "");
}

TEST(ValidateNat, FullNatNeedsASourceOfEachFamily) {
  const std::string rest = std::string("\n") + kListener +
                           "pools: [{name: web, forwarding: full_nat, backends: [{name: a, address: 10.0.0.1}, {name: "
                           "b, address: 'fd00::1'}, {name: c, address: 'fd00::2'}]}]\n";
  const std::string no_ipv4 =
      "3:73: pool \"web\" sends to this IPv4 backend from an IPv4 address of this node; add one to "
      "engine.nat_addresses";
  const std::string no_ipv6 =
      "3:103: pool \"web\" sends to this IPv6 backend from an IPv6 address of this node; add one to "
      "engine.nat_addresses";
  Check("engine: {interfaces: [{name: eth0}], nat_addresses: [",
        {
            {"198.51.100.7, '2001:db8:1::7']}", {}},
            {"198.51.100.7]}", {no_ipv6}},
            {"'2001:db8:1::/120']}", {no_ipv4}},
            {"]}", {no_ipv4, no_ipv6}},
            // It may have been meant to be one of the other family.
            {"198.51.100.7, 2001-db8]}",
             {"1:68: \"2001-db8\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"}},
        },
        rest);
}

TEST(ValidateNat, NatKeepsTheFamilyAndFullNatDoesNot) {
  Check(
      std::string(kEngine) + kListener + "pools: [{name: web, forwarding: ",
      {
          {"nat, backends: [{name: a, address: 10.0.0.1}]}]", {}},
          {"full_nat, backends: [{name: a, address: 'fd00::1'}, {name: b, address: 10.0.0.1}]}]", {}},
          {"nat, backends: [{name: a, address: 10.0.0.1}, {name: b, address: 'fd00::1'}]}]",
           {"2:82: listener \"web\" is IPv4 but backend \"b\" (f.yaml:3:98) of its nat pool \"web\" is not; use a pool "
            "of IPv4 backends, or forwarding: full_nat"}},
      },
      "");
}

TEST(ValidateNat, NatWarnsOfClientsThatAreBackends) {
  const auto warnings = [](const std::string& addresses) {
    return LoadConfigText("engine: {interfaces: [{name: eth0}], nat_addresses: [" + addresses + "]}\n" + kListener +
                              "pools: [{name: web, forwarding: nat, backends: [{name: a, address: 10.0.0.1}]}]\n",
                          "f.yaml")
        ->warnings;
  };
  EXPECT_THAT(warnings("198.51.100.7"), ElementsAre());
  EXPECT_THAT(warnings("'2001:db8:1::7'"),
              ElementsAre("f.yaml:3:9: pool \"web\" does not serve clients that are its own IPv4 backends; add an IPv4 "
                          "address to engine.nat_addresses for them"));
}

TEST(ValidateNat, FillsEveryDefault) {
  const auto load = [](const std::string& engine) {
    return LoadConfigText("engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.7]" + engine +
                              "}\n"
                              "listeners:\n"
                              "- {name: t, address: 1.2.3.4, ports: [80], protocol: tcp, pool: n}\n"
                              "- {name: b, address: 1.2.3.4, ports: [53], protocol: tcp_udp, pool: f}\n"
                              "- {name: u, address: 1.2.3.4, ports: [80], protocol: udp, pool: f}\n"
                              "- {name: d, address: 1.2.3.4, ports: [81], protocol: tcp, pool: d}\n"
                              "- {name: s, address: 1.2.3.4, ports: [82], protocol: tcp, pool: n, closed_timeout: 9s, "
                              "half_closed_timeout: 8s, handshake_timeout: 7s, reset_on_idle: true}\n"
                              "pools: [{name: n, forwarding: nat}, {name: f, forwarding: full_nat}, {name: d}]",
                          "f.yaml")
        ->config;
  };
  const v1::Config config = load("");
  for (const int i : {0, 1}) {
    const v1::Listener& listener = config.listeners(i);
    EXPECT_EQ(listener.idle_timeout().seconds(), 350);
    EXPECT_EQ(listener.handshake_timeout().seconds(), 30);
    EXPECT_EQ(listener.half_closed_timeout().seconds(), 120);
    EXPECT_EQ(listener.closed_timeout().seconds(), 60);
    EXPECT_TRUE(listener.has_reset_on_idle());
    EXPECT_FALSE(listener.reset_on_idle());
  }
  for (const int i : {2, 3}) {
    const v1::Listener& listener = config.listeners(i);
    EXPECT_FALSE(listener.has_handshake_timeout() || listener.has_half_closed_timeout() ||
                 listener.has_closed_timeout() || listener.has_reset_on_idle());
  }
  EXPECT_EQ(config.listeners(4).handshake_timeout().seconds(), 7);
  EXPECT_EQ(config.listeners(4).half_closed_timeout().seconds(), 8);
  EXPECT_EQ(config.listeners(4).closed_timeout().seconds(), 9);
  EXPECT_TRUE(config.listeners(4).reset_on_idle());
  EXPECT_EQ(config.engine().max_sessions(), 1'000'000u);
  EXPECT_EQ(load(", max_connections: 4M").engine().max_sessions(), 4'000'000u);
  EXPECT_EQ(load(", max_connections: 4M, max_sessions: 2k").engine().max_sessions(), 2'000u);
}

TEST(ValidateNat, NamesPathsForTheApi) {
  v1::Config config;
  v1::Engine& engine = *config.mutable_engine();
  engine.add_interfaces()->set_name("eth0");
  engine.add_nat_addresses(std::string("1.2.3.4\0/30", 11));
  engine.add_nat_addresses("10.0.0.1");
  engine.set_max_sessions(0);
  v1::Listener& listener = *config.add_listeners();
  listener.set_name("web");
  listener.set_address("1.2.3.4");
  listener.add_ports()->set_first(80);
  listener.mutable_ports(0)->set_last(80);
  listener.set_protocol(v1::Listener::TCP);
  listener.set_pool("web");
  listener.mutable_closed_timeout()->set_seconds(5);
  listener.mutable_closed_timeout()->set_nanos(-1);
  v1::Pool& pool = *config.add_pools();
  pool.set_name("web");
  pool.set_forwarding(v1::Pool::NAT);
  pool.add_backends()->set_name("a");
  pool.mutable_backends(0)->set_address("10.0.0.1");
  pool.mutable_backends(0)->set_port(4'000'000'000);
  config::Report report;
  ValidateConfig(config, report);
  EXPECT_THAT(report.Errors(),
              ElementsAre("engine.nat_addresses[0]: \"1.2.3.4\\x00\" is not an IP address; write one like 203.0.113.10 "
                          "or 2001:db8::10",
                          "engine.nat_addresses[1]: 10.0.0.1 is the address of backend \"a\" "
                          "(pools[0].backends[0].address); take addresses here that nothing else has",
                          "listeners[0].closed_timeout: closed_timeout is out of range; choose from 1s to 6000s",
                          "pools[0].backends[0].port: there is no port 4000000000; ports are 1 to 65535",
                          "engine.max_sessions: max_sessions 0 leaves no session to pool \"web\" (pools[0]), which "
                          "translates; remove it for as many as max_connections, or choose from 1k to 1G"));
}

TEST(ValidateNat, ManyAreQuick) {
  v1::Config config;
  v1::Engine& engine = *config.mutable_engine();
  engine.add_interfaces()->set_name("eth0");
  for (int i = 0; i < 1'024; ++i) engine.add_nat_addresses(absl::StrCat("20.1.", i / 256, ".", i % 256));
  v1::Pool& pool = *config.add_pools();
  pool.set_name("p");
  pool.set_forwarding(v1::Pool::FULL_NAT);
  pool.set_maglev_table_size(config::kMaxMaglevTableSize);
  for (int i = 0; i < 100'000; ++i) {
    v1::Backend& backend = *pool.add_backends();
    backend.set_name(absl::StrCat("b", i));
    backend.set_address(absl::StrCat("10.0.", i / 256 % 256, ".", i % 256));
    backend.set_port(static_cast<uint32_t>(i / 65'536 + 1));
  }
  for (int i = 0; i < 10'000; ++i) {
    v1::Listener& listener = *config.add_listeners();
    listener.set_name(absl::StrCat("l", i));
    listener.set_address("30.0.0.1");
    listener.add_ports()->set_first(static_cast<uint32_t>(i + 1));
    listener.mutable_ports(0)->set_last(static_cast<uint32_t>(i + 1));
    listener.set_protocol(v1::Listener::TCP_UDP);
    listener.set_pool("p");
  }
  config::Report report;
  const auto start = std::chrono::steady_clock::now();
  ValidateConfig(config, report);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  EXPECT_TRUE(report.ok()) << report.ToStatus();
  EXPECT_LT(spent.count(), 5.0) << "well below a second when nothing is quadratic";
}

}  // namespace
}  // namespace sluice
