#include "config/validate.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "validate_case.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

// Line 1 is the engine; cases stand in line 2 and may go on.
const char kEngine[] = "engine: {interfaces: [{name: eth0}], tunnel_source: {ipv4: 10.9.9.9, ipv6: '2001:db8::9'}}\n";
const char kPools[] = "\npools: [{name: web, backends: [{name: a, address: 10.0.0.1}]}]\n";
const char kListener[] = "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n";

TEST(Validate, Listener) {
  Check(std::string(kEngine) + "listeners: [",
        {
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web}]", {}},
            {"{}]",
             {"2:13: a listener needs a name; add name: ...",
              "2:13: a listener needs an address; add address: with the virtual address",
              "2:13: a listener needs ports; add ports: [80] or ports: [\"8000-8099\"]",
              "2:13: a listener needs a protocol; add protocol: tcp, udp or tcp_udp",
              "2:13: a listener needs a pool; add pool: with the name of one under pools"}},
            {"{name: 'a b', address: 1.2.3.4, ports: [80], protocol: tcp, pool: web}]",
             {"2:20: \"a b\" is not a name; use letters, digits, \"_\", \".\" and \"-\""}},
            {"{name: " + std::string(63, 'x') + ", address: 1.2.3.4, ports: [80], protocol: tcp, pool: web}]", {}},
            {"{name: " + std::string(64, 'x') + ", address: 1.2.3.4, ports: [80], protocol: tcp, pool: web}]",
             {"2:20: a name of 64 bytes; use at most 63"}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: wbe}]",
             {"2:75: no pool is named \"wbe\"; did you mean \"web\"?"}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: other}]",
             {"2:75: no pool is named \"other\"; it is one of web"}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web, idle_timeout: 1s}]", {}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web, idle_timeout: 6000s}]", {}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web, idle_timeout: 6000001ms}]",
             {"2:94: idle_timeout is out of range; choose from 1s to 6000s"}},
            {"{name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web, idle_timeout: 999ms}]",
             {"2:94: idle_timeout is out of range; choose from 1s to 6000s"}},
        },
        kPools);
}

TEST(Validate, Algorithm) {
  const std::string pools =
      absl::StrCat(kEngine, kListener, "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]");
  Check(
      pools,
      {
          {", algorithm: round_robin}]", {}},
          {", algorithm: least_time, health_check: {type: tcp}}]", {}},
          {", algorithm: least_time}]",
           {"3:9: algorithm: least_time goes by the time that health checks take; add a health_check to pool \"web\", "
            "or use least_connections"}},
          {", algorithm: least_time, health_check: {type: none}}]",
           {"3:100: algorithm: least_time goes by the time that health checks take; add a health_check to pool "
            "\"web\", "
            "or use least_connections"}},
      },
      "");
}

TEST(Validate, Affinity) {
  const std::string listener = absl::StrCat(
      kEngine, "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web, affinity: ");
  const std::string pool = "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}], algorithm: ";
  Check(listener,
        {
            {"source_ip}]\n" + pool + "maglev}]", {}},
            {"source_ip_and_destination}]\n" + pool + "maglev}]", {}},
            {"five_tuple}]\n" + pool + "random}]", {}},
            {"source_ip}]\n" + pool + "source_hash}]", {}},
            {"source_ip_and_destination}]\n" + pool + "source_hash}]",
             {"2:97: affinity of listener \"web\" is for algorithm: maglev, and its pool \"web\" (f.yaml:3:74) goes by "
              "the "
              "source "
              "alone; remove affinity, or set algorithm: maglev"}},
            {"source_ip}]\n" + pool + "round_robin}]",
             {"2:97: affinity of listener \"web\" is for algorithm: maglev, and its pool \"web\" (f.yaml:3:74) does "
              "not hash; "
              "remove affinity, or set algorithm: maglev"}},
        },
        "");
}

TEST(Validate, ListenerAddress) {
  const std::string unicast = "; write the unicast address of one machine";
  std::vector<Case> cases;
  for (const auto& [address, reason] : std::vector<std::pair<std::string, std::string>>{
           {"0.1.2.3", "is of the unspecified network 0.0.0.0/8 (RFC 1122)"},
           {"127.1.2.3", "is a loopback address"},
           {"239.255.255.255", "is a multicast address"},
           {"240.0.0.1", "is reserved or broadcast (240.0.0.0/4)"},
           {"255.255.255.255", "is reserved or broadcast (240.0.0.0/4)"},
           {"::", "is the unspecified address"},
           {"::1", "is a loopback address"},
           {"fe80::1", "is a link-local address"},
           {"ff02::1", "is a multicast address"},
           {"::ffff:127.0.0.1", "is a loopback address"}}) {
    cases.push_back({absl::StrCat("'", address, "'"), {absl::StrCat("2:32: \"", address, "\" ", reason, unicast)}});
  }
  cases.push_back({"\"1.2.3.4\\0x\"", {"2:32: \"1.2.3.4\\x00x\" has a zero byte behind it" + unicast}});
  for (const char* valid : {"223.255.255.255", "1.0.0.0", "'2001:db8::1'", "'fec0::1'", "'::ffff:1.2.3.4'"}) {
    cases.push_back({valid, {}});
  }
  Check(std::string(kEngine) + "listeners: [{name: w, address: ", cases,
        ", ports: [80], protocol: tcp, pool: web}]\npools: [{name: web}]");
}

TEST(Validate, Ports) {
  Check(std::string(kEngine) + "listeners: [{name: w, address: 1.2.3.4, protocol: tcp, pool: web, ports: [",
        {
            {"1, 65535, '2-65534']}]", {}},
            {"0]}]", {"2:75: there is no port 0; ports are 1 to 65535"}},
            {"65536]}]", {"2:75: there is no port 65536; ports are 1 to 65535"}},
            {"80-65536]}]", {"2:75: there is no port 65536; ports are 1 to 65535"}},
            {"90-80]}]", {"2:75: the range 90-80 ends before it starts; write 80-90"}},
            {"80, 80]}]",
             {"2:79: port 80/tcp of listener \"w\" overlaps port 80 of listener \"w\" (f.yaml:2:75) on 1.2.3.4; give "
              "each port to one listener"}},
        },
        kPools);
}

TEST(Validate, Overlaps) {
  const auto line = [](const std::string& name, const std::string& address, const std::string& protocol,
                       const std::string& ports) {
    return "  - {pool: web, name: " + name + ", address: " + address + ", protocol: " + protocol + ", ports: [" +
           ports + "]}\n";
  };
  const std::string end = "; give each port to one listener";
  Check(
      std::string(kEngine) + "listeners:\n",
      {
          {line("a", "1.2.3.4", "tcp", "80") + line("b", "1.2.3.4", "udp", "80") + line("c", "1.2.3.5", "tcp", "80"),
           {}},
          {line("a", "1.2.3.4", "tcp", "80-90") + line("b", "1.2.3.4", "tcp", "91"), {}},
          {line("b", "1.2.3.4", "tcp", "8000-8099") + line("a", "1.2.3.4", "tcp", "8080"),
           {"4:67: port 8080/tcp of listener \"a\" overlaps ports 8000-8099 of listener \"b\" (f.yaml:3:67) on "
            "1.2.3.4" +
            end}},
          {line("b", "1.2.3.4", "tcp_udp", "53") + line("a", "::ffff:1.2.3.4", "udp", "50-60"),
           {"4:74: ports 50-60/udp of listener \"a\" overlaps port 53 of listener \"b\" (f.yaml:3:71) on 1.2.3.4" +
            end}},
          {line("b", "1.2.3.4", "tcp_udp", "53") + line("a", "1.2.3.4", "tcp_udp", "53"),
           {"4:71: port 53/tcp of listener \"a\" overlaps port 53 of listener \"b\" (f.yaml:3:71) on 1.2.3.4" + end}},
          // The long range still covers what comes after a short one.
          {line("a", "1.2.3.4", "tcp", "1-100") + line("b", "1.2.3.4", "tcp", "2") + line("c", "1.2.3.4", "tcp", "9"),
           {"4:67: port 2/tcp of listener \"b\" overlaps ports 1-100 of listener \"a\" (f.yaml:3:67) on 1.2.3.4" + end,
            "5:67: port 9/tcp of listener \"c\" overlaps ports 1-100 of listener \"a\" (f.yaml:3:67) on 1.2.3.4" +
                end}},
          {line("a", "1.2.3.4", "tcp", "80") + line("a", "1.2.3.4", "tcp", "81"),
           {"4:23: name \"a\" is taken by f.yaml:3:23; choose another"}},
      },
      kPools);
}

TEST(Validate, RangesOfOneAddress) {
  const auto errors = [](int ranges) {
    v1::Config config;
    config.mutable_engine()->add_interfaces()->set_name("eth0");
    config.add_pools()->set_name("p");
    for (int i = 0; i < ranges; ++i) {
      v1::Listener& listener = *config.add_listeners();
      listener.set_name(absl::StrCat("l", i));
      listener.set_address(i % 2 == 0 ? "1.2.3.4" : "1.2.3.5");
      listener.set_protocol(v1::Listener::UDP);
      listener.set_pool("p");
      for (uint32_t port = 10; port < 20; port += 5) {
        v1::PortRange& range = *listener.add_ports();
        range.set_first(static_cast<uint32_t>(i) * 20 + port);
        range.set_last(range.first() + (port == 10 ? 1 : 0));
      }
    }
    config::Report report;
    ValidateConfig(config, report);
    return report.Errors();
  };
  EXPECT_THAT(errors(256), ElementsAre());
  EXPECT_THAT(errors(257), ElementsAre("listeners[256].ports[0]: 1.2.3.4 has more than 128 ranges of udp ports; join "
                                       "neighbours, or write single ports"));
}

TEST(Validate, ListenersOfOneAddressAgree) {
  Check(
      std::string(kEngine) +
          "listeners:\n- {name: a, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web}\n"
          "- {name: b, address: 1.2.3.4, ports: [81], protocol: tcp, pool: web, ",
      {
          {"icmp_echo: true, announce: link}", {}},
          {"icmp_echo: answer}", {}},
          {"icmp_echo: false, announce: none}",
           {"4:81: listeners \"b\" and \"a\" (f.yaml:3:3) share 1.2.3.4 but differ in icmp_echo; set the same in both",
            "4:98: listeners \"b\" and \"a\" (f.yaml:3:3) share 1.2.3.4 but differ in announce; set the same in "
            "both"}},
      },
      kPools);
}

TEST(Validate, PoolsAndBackends) {
  Check(std::string(kEngine) + "pools: [",
        {
            {"{name: web, backends: [{name: a, address: 10.0.0.1}]}]", {}},
            {"{name: web}, {name: web}]", {"2:29: name \"web\" is taken by f.yaml:2:16; choose another"}},
            {"{name: web}, {}]", {"2:22: a pool needs a name; add name: ..."}},
            {"{name: web, backends: [{}]}]",
             {"2:32: a backend needs a name; add name: ...",
              "2:32: a backend needs an address; add address: with the server's own address"}},
            {"{name: web, backends: [{name: a, address: 10.0.0.1}, {name: a, address: 10.0.0.2}]}]",
             {"2:69: name \"a\" is taken by f.yaml:2:39; choose another"}},
            {"{name: web, backends: [{name: a, address: 10.0.0.1}, {name: b, address: '::ffff:10.0.0.1'}]}]",
             {"2:81: ::ffff:10.0.0.1 is already backend \"a\" (f.yaml:2:51) of this pool; raise that one's weight "
              "instead"}},
            {"{name: web, backends: [{name: a, address: 203.0.113.10}]}]",
             {"2:51: 203.0.113.10 is the virtual address of listener \"web\" (f.yaml:3:34); write the server's own "
              "address"}},
            {"{name: web, backends: [{name: a, address: 10.0.0.1, weight: 65535}]}]", {}},
            {"{name: web, backends: [{name: a, address: 10.0.0.1, weight: 65536}]}]",
             {"2:69: weight 65536 is too large; choose from 0 to 65535"}},
            {"{name: web, gue_port: 6080}]",
             {"2:31: gue_port says nothing to this pool; remove it or set forwarding: gue"}},
            {"{name: web, forwarding: gue, gue_port: 65535}]", {}},
            {"{name: web, forwarding: gue, gue_port: 0}]", {"2:48: there is no port 0; ports are 1 to 65535"}},
            {"{name: web, forwarding: gue, gue_port: 65536}]", {"2:48: there is no port 65536; ports are 1 to 65535"}},
            {"{name: web, maglev_table_size: 251}]", {}},
            {"{name: web, maglev_table_size: 16777213}]", {}},
            {"{name: web, maglev_table_size: 241}]",
             {"2:40: maglev_table_size 241 is out of range; choose a prime from 251 to 16777213"}},
            {"{name: web, maglev_table_size: 16777259}]",
             {"2:40: maglev_table_size 16777259 is out of range; choose a prime from 251 to 16777213"}},
            {"{name: web, maglev_table_size: 65536}]", {"2:40: maglev_table_size 65536 is not a prime; use 65537"}},
            {"{name: web, maglev_table_size: 253}]", {"2:40: maglev_table_size 253 is not a prime; use 257"}},
        },
        std::string("\n") + kListener);
}

TEST(Validate, DsrKeepsTheFamily) {
  Check(
      std::string(kEngine) + kListener + "pools: [{name: web, forwarding: ",
      {
          {"dsr_l2, backends: [{name: a, address: 10.0.0.1}]}]", {}},
          {"ipip, backends: [{name: a, address: 'fd00::1'}]}]", {}},
          {"dsr_l2, backends: [{name: a, address: 10.0.0.1}, {name: b, address: 'fd00::1'}]}]",
           {"2:82: listener \"web\" is IPv4 but backend \"b\" (f.yaml:3:101) of its dsr_l2 pool \"web\" is not; use a "
            "pool of IPv4 backends, or forwarding: ipip, gue or full_nat"}},
      },
      "");
}

std::string ManyBackends(int count, const std::string& rest) {
  std::string text = std::string(kEngine) + kListener + "pools:\n- name: web\n" + rest + "  backends:\n";
  for (int i = 0; i < count; ++i) {
    absl::StrAppend(&text, "  - {name: b", i, ", address: 10.1.", i / 250, ".", i % 250 + 1, "}\n");
  }
  return text;
}

TEST(Validate, TableFitsTheBackends) {
  EXPECT_THAT(Lines(LoadConfigText(ManyBackends(252, "  maglev_table_size: 251\n"), "f.yaml").status()),
              ElementsAre("5:22: a table of 251 has no entry for each of 252 backends; use 25219"));
  const absl::StatusOr<LoadedConfig> uneven = LoadConfigText(ManyBackends(656, ""), "f.yaml");
  ASSERT_TRUE(uneven.ok()) << uneven.status();
  EXPECT_THAT(uneven->warnings,
              ElementsAre("f.yaml:4:3: pool \"web\" spreads 656 backends unevenly; set maglev_table_size: 65609"));
  EXPECT_THAT(LoadConfigText(ManyBackends(655, ""), "f.yaml")->warnings, ElementsAre());
}

TEST(Validate, FillsEveryDefault) {
  v1::Config config = LoadConfigText(
                          "engine: {interfaces: [{pci: '0000:3b:00.0'}, {device: d}]}\n"
                          "listeners:\n"
                          "- {name: t, address: 1.2.3.4, ports: [80], protocol: tcp, pool: p}\n"
                          "- {name: u, address: 1.2.3.4, ports: [80], protocol: udp, pool: p}\n"
                          "- {name: b, address: 1.2.3.4, ports: [53], protocol: tcp_udp, pool: p}\n"
                          "pools:\n- {name: p, backends: [{name: a, address: 10.0.0.1}]}\n- {name: g, forwarding: gue}",
                          "f.yaml")
                          ->config;
  EXPECT_EQ(config.engine().ShortDebugString(),
            "workers: 1 max_connections: 1000000 interfaces { pci: \"0000:3b:00.0\" tap: \"sluice0\" mtu: 1500 } "
            "interfaces { device: \"d\" mtu: 1500 } max_sessions: 0");
  EXPECT_EQ(config.listeners(0).idle_timeout().seconds(), 350);
  EXPECT_EQ(config.listeners(1).idle_timeout().seconds(), 120);
  EXPECT_EQ(config.listeners(2).idle_timeout().seconds(), 350);
  for (const v1::Listener& listener : config.listeners()) EXPECT_EQ(listener.icmp_echo(), v1::Listener::ANSWER);
  EXPECT_EQ(config.pools(0).ShortDebugString(),
            "name: \"p\" forwarding: DSR_L2 backends { name: \"a\" address: \"10.0.0.1\" weight: 1 } "
            "maglev_table_size: 65537");
  EXPECT_EQ(config.pools(1).ShortDebugString(), "name: \"g\" forwarding: GUE maglev_table_size: 65537 gue_port: 6080");
  for (const v1::Listener& listener : config.listeners()) {
    EXPECT_FALSE(listener.has_handshake_timeout() || listener.has_half_closed_timeout() ||
                 listener.has_closed_timeout() || listener.has_reset_on_idle());
  }
}

TEST(Validate, NamesPathsForTheApi) {
  v1::Config config;
  v1::Listener& listener = *config.add_listeners();
  listener.set_name("web");
  listener.set_address("1.2.3.4");
  listener.set_protocol(static_cast<v1::Listener::Protocol>(17));
  listener.set_announce(static_cast<v1::Listener::Announce>(17));
  listener.set_pool("wbe");
  listener.mutable_idle_timeout()->set_seconds(5);
  listener.mutable_idle_timeout()->set_nanos(-1);
  v1::Pool& pool = *config.add_pools();
  pool.set_name("web");
  pool.set_forwarding(static_cast<v1::Pool::Forwarding>(17));
  pool.set_algorithm(static_cast<v1::Pool::Algorithm>(17));
  pool.add_backends()->set_address("nowhere");
  config.mutable_engine()->set_type(static_cast<v1::Engine::Type>(17));
  config::Report report;
  ValidateConfig(config, report);
  EXPECT_THAT(
      report.Errors(),
      ElementsAre("listeners[0].ports: a listener needs ports; add ports: [80] or ports: [\"8000-8099\"]",
                  "listeners[0].protocol: unknown protocol 17; use tcp, udp or tcp_udp",
                  "listeners[0].announce: unknown value 17; use link or none",
                  "listeners[0].idle_timeout: idle_timeout is out of range; choose from 1s to 6000s",
                  "pools[0].backends[0].name: a backend needs a name; add name: ...",
                  "pools[0].backends[0].address: \"nowhere\" is not an IP address; write one like 203.0.113.10 or "
                  "2001:db8::10",
                  "pools[0].forwarding: unknown forwarding 17; use dsr_l2, ipip, gue, nat or full_nat",
                  "pools[0].algorithm: unknown algorithm 17; use maglev, round_robin, source_hash, random, "
                  "least_connections or least_time",
                  "listeners[0].pool: no pool is named \"wbe\"; did you mean \"web\"?",
                  "engine.type: unknown value 17; leave it out",
                  "engine.interfaces: the engine needs an interface; add interfaces: [{name: eth0}] under engine"));
}

v1::Config Many(int listeners, int pools, int backends) {
  v1::Config config;
  config.mutable_engine()->add_interfaces()->set_name("eth0");
  for (int i = 0; i < listeners; ++i) {
    v1::Listener& listener = *config.add_listeners();
    listener.set_name(absl::StrCat("l", i));
    listener.set_address(absl::StrCat("20.0.", i % 7, ".1"));
    listener.add_ports()->set_first(static_cast<uint32_t>(i / 7 + 1));
    listener.mutable_ports(0)->set_last(static_cast<uint32_t>(i / 7 + 1));
    listener.set_protocol(v1::Listener::TCP_UDP);
    listener.set_pool(absl::StrCat("p", i % pools));
  }
  for (int i = 0; i < pools; ++i) {
    v1::Pool& pool = *config.add_pools();
    pool.set_name(absl::StrCat("p", i));
    if (pools > 4'096) pool.set_maglev_table_size(251);
    for (int j = 0; j < backends; ++j) {
      v1::Backend& backend = *pool.add_backends();
      backend.set_name(absl::StrCat("b", j));
      backend.set_address(absl::StrCat("10.", j / 65536, ".", j / 256 % 256, ".", j % 256));
    }
  }
  return config;
}

TEST(Validate, TakesTenThousandListenersQuickly) {
  v1::Config config = Many(10'000, 1'000, 10);
  config::Report report;
  const auto start = std::chrono::steady_clock::now();
  ValidateConfig(config, report);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  EXPECT_TRUE(report.ok()) << report.ToStatus();
  EXPECT_LT(spent.count(), 5.0) << "some 20 ms when nothing is quadratic; this leaves room for sanitizers and load";
}

TEST(Validate, TenThousandMistakesAreQuickToo) {
  v1::Config config = Many(10'000, 1'000, 1);
  for (v1::Listener& listener : *config.mutable_listeners()) {
    listener.set_pool("q" + listener.pool());
    listener.mutable_ports(0)->set_first(1);
    listener.mutable_ports(0)->set_last(65'535);
  }
  config::Report report;
  const auto start = std::chrono::steady_clock::now();
  ValidateConfig(config, report);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  // Each pool is unknown, each range but an address's first overlaps, and of 7 addresses' tcp and udp there are too
  // many.
  EXPECT_EQ(report.error_count(), 10'000u + (10'000u - 7u) + 14u);
  EXPECT_LT(spent.count(), 5.0);
}

TEST(Validate, HoldsItsLimits) {
  const auto last = [](v1::Config config) {
    config::Report report;
    ValidateConfig(config, report);
    return report.ok() ? "" : report.Errors().back();
  };
  EXPECT_EQ(last(Many(65'535, 1, 1)), "");
  EXPECT_EQ(last(Many(65'536, 1, 1)), "listeners: 65536 listeners; at most 65535 are possible");
  EXPECT_EQ(last(Many(0, 16'384, 1)), "");
  EXPECT_EQ(last(Many(0, 16'385, 1)), "pools: 16385 pools; at most 16384 are possible");
  EXPECT_EQ(last(Many(0, 4'095, 1)), "");
  EXPECT_EQ(
      last(Many(0, 4'096, 1)),
      "pools: the tables of all pools have 268439552 entries, more than 268435456; set maglev_table_size: 4099 in "
      "pools of few backends");
  EXPECT_EQ(last(Many(0, 2, 500'001)), "pools: 1000002 backends in all pools; at most 1000000 are possible");
}

TEST(Validate, WeightsMayNotOverflow) {
  v1::Config config = Many(1, 1, 65'600);
  config.mutable_pools(0)->set_maglev_table_size(config::kMaxMaglevTableSize);
  for (v1::Backend& backend : *config.mutable_pools(0)->mutable_backends()) backend.set_weight(config::kMaxWeight);
  config::Report report;
  ValidateConfig(config, report);
  EXPECT_THAT(report.Errors(), ElementsAre("pools[0]: the weights of pool \"p0\" add up to 4299096000; divide them so "
                                           "that they stay below 4294967295"));
}

}  // namespace
}  // namespace sluice
