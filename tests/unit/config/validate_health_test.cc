// Health checks, and what becomes of a pool whose backends are unhealthy.
#include "validate_case.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char kHead[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
    "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}],\n";

v1::Pool Load(const std::string& text) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(kHead + text + "}]\n", "f.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->config.pools(0) : v1::Pool();
}

TEST(ValidateHealth, Defaults) {
  EXPECT_FALSE(Load("").has_health_check());
  const v1::HealthCheck tcp = Load("health_check: {type: tcp}").health_check();
  EXPECT_EQ(tcp.interval().seconds(), 2);
  EXPECT_EQ(tcp.fast_interval().seconds(), 2);
  EXPECT_EQ(tcp.down_interval().seconds(), 2);
  EXPECT_EQ(tcp.timeout().seconds(), 1);
  EXPECT_EQ(tcp.rise(), 2u);
  EXPECT_EQ(tcp.fall(), 3u);
  EXPECT_EQ(tcp.path(), "");
  const v1::HealthCheck http = Load("health_check: {type: http, interval: 500ms}").health_check();
  EXPECT_EQ(http.timeout().nanos(), 500'000'000);
  EXPECT_EQ(http.path(), "/");
  EXPECT_EQ(http.method(), "GET");
  EXPECT_EQ(http.expect(), "200-399");
  EXPECT_FALSE(Load("health_check: {type: none}").health_check().has_interval());
}

TEST(ValidateHealth, TheServerNameIsTheHostWhereThatIsAName) {
  const auto name = [](const std::string& keys) {
    return Load("health_check: {type: https" + keys + "}").health_check().server_name();
  };
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(name(", host: web.example"), "web.example");
  EXPECT_EQ(name(", host: 'web.example:8443'"), "web.example");
  EXPECT_EQ(name(", host: 192.0.2.1"), "");
  EXPECT_EQ(name(", host: web.example, server_name: other.example"), "other.example");
  const v1::HealthCheck grpc = Load("health_check: {type: grpc, tls: true, host: web.example}").health_check();
  EXPECT_EQ(grpc.server_name(), "web.example");
  EXPECT_FALSE(Load("health_check: {type: grpc}").health_check().tls());
}

TEST(ValidateHealth, Types) {
  Check(kHead,
        {
            {"health_check: {type: tcp, port: 8080, send: 'PING\\r\\n', expect: PONG}", {}},
            {"health_check: {type: tcp, flap_dampening: true, script: [{expect: '220 '}, {send: QUIT, expect: '221'}]}",
             {}},
            {"health_check: {type: udp, send: '\\x00\\x01', expect: '\\x80'}", {}},
            {"health_check: {type: icmp}", {}},
            {"health_check: {type: none}", {}},
            {"health_check: {type: http, path: /health, host: web.example, method: HEAD, expect: '200, 301-302'}", {}},
            {"health_check: {type: grpc, service: shop.Cart, host: shop.example}", {}},
            {"health_check: {type: grpc, tls: true, ca_file: /a, certificate_file: /b, key_file: /c}", {}},
            {"health_check: {type: https, insecure: true, certificate_file: /a, key_file: /b}", {}},
            {"health_check: {port: 80}",
             {"4:15: a health_check needs a type; add type: tcp, http, https, grpc, udp, icmp or none"}},
            {"health_check: {type: htpp}", {"4:22: type \"htpp\" is not known; did you mean \"http\"?"}},
            {"health_check: {type: udp}",
             {"4:15: a check of type udp sends something that is answered; add send: 'text'"}},
        },
        "}]\n");
}

TEST(ValidateHealth, WhatIsObserved) {
  const v1::HealthCheck check = Load("forwarding: nat, health_check: {type: tcp, observe: {}}").health_check();
  EXPECT_EQ(check.observe().failed_percent(), 50u);
  EXPECT_EQ(check.observe().minimum_failed(), 20u);
  EXPECT_TRUE(check.flap_dampening());
  EXPECT_FALSE(Load("forwarding: nat, health_check: {type: tcp, observe: {}, flap_dampening: false}")
                   .health_check()
                   .flap_dampening());
  EXPECT_FALSE(Load("forwarding: nat, health_check: {type: tcp}").health_check().has_flap_dampening());
  Check(kHead,
        {
            {"forwarding: nat, health_check: {type: http, observe: {failed_percent: 100, minimum_failed: 1}}", {}},
            {"health_check: {type: tcp, observe: {}}",
             {"4:36: answers come back through this node with nat and full_nat alone; remove this, or set forwarding: "
              "nat or full_nat"}},
            {"forwarding: dsr_l2, health_check: {type: tcp, observe: {}}",
             {"4:56: answers come back through this node with nat and full_nat alone; remove this, or set forwarding: "
              "nat or full_nat"}},
            {"forwarding: nat, health_check: {type: none, observe: {}}",
             {"4:54: observe is for a check, which brings back what it has found; remove it or set another type"}},
            {"forwarding: nat, health_check: {type: tcp, observe: {failed_percent: 0, minimum_failed: 0}}",
             {"4:70: failed_percent 0 is out of range; choose from 1 to 100",
              "4:89: minimum_failed 0 is out of range; choose from 1 to 1000000"}},
            {"forwarding: nat, health_check: {type: tcp, observe: {failed_percent: 101, minimum_failed: 1000001}}",
             {"4:70: failed_percent 101 is out of range; choose from 1 to 100",
              "4:91: minimum_failed 1000001 is out of range; choose from 1 to 1000000"}},
        },
        "}]\n");
  Check(
      "engine: {interfaces: [{name: eth0}]}\n"
      "listeners: [{name: dns, address: 203.0.113.10, ports: [53], protocol: udp, pool: dns}]\n"
      "pools: [{name: dns, forwarding: nat, backends: [{name: a, address: 10.0.0.1}],\n",
      {{"health_check: {type: tcp, observe: {}}",
        {"4:36: no listener of tcp leads to this pool, and only flows of TCP are observed; remove this"}}},
      "}]\n");
}

TEST(ValidateHealth, KeysOfOtherTypes) {
  Check(
      kHead,
      {
          {"health_check: {type: none, interval: 1s}",
           {"4:38: interval is for a check; remove it or set another type"}},
          {"health_check: {type: icmp, port: 80}",
           {"4:34: port is for tcp, http, https, grpc and udp; remove it or set another type"}},
          {"health_check: {type: http, script: [{send: x}]}",
           {"4:36: script is for tcp; remove it or set another type"}},
          {"health_check: {type: tcp, send: x, script: [{send: x}]}",
           {"4:44: a check has a script, or send and expect; write them as its first step"}},
          {"health_check: {type: tcp, script: [{}, {send: '\\q'}]}",
           {"4:36: a step does nothing; add send: or expect:",
            "4:47: script[1].send has an escape that is none (Unknown escape sequence: \\q); write \\\\ for a "
            "backslash"}},
          {"health_check: {type: grpc, path: /}", {"4:34: path is for http and https; remove it or set another type"}},
          {"health_check: {type: grpc, server_name: web.example}",
           {"4:41: server_name is for https, and grpc with tls: true; remove it or set another type"}},
          {"health_check: {type: https, tls: true, service: a}",
           {"4:34: tls is for grpc; remove it or set another type",
            "4:49: service is for grpc; remove it or set another type"}},
          {"health_check: {type: grpc, service: 'a b'}",
           {"4:37: service is not a name; write it like package.Service"}},
          {"health_check: {type: tcp, path: /}", {"4:33: path is for http and https; remove it or set another type"}},
          {"health_check: {type: http, send: x, ca_file: /x}",
           {"4:34: send is for tcp and udp; remove it or set another type",
            "4:46: ca_file is for https, and grpc with tls: true; remove it or set another type"}},
          {"health_check: {type: icmp, expect: x}",
           {"4:36: expect is for tcp, http, https and udp; remove it or set another type"}},
          {"health_check: {type: http, insecure: false}",
           {"4:38: insecure is for https, and grpc with tls: true; remove it or set another type"}},
      },
      "}]\n");
}

TEST(ValidateHealth, TimesAndCounts) {
  Check(
      kHead,
      {
          {"health_check: {type: tcp, interval: 100ms, timeout: 10ms, rise: 1, fall: 100}", {}},
          {"health_check: {type: tcp, interval: 1h, down_interval: 1h}", {}},
          {"health_check: {type: tcp, interval: 99ms}", {"4:37: interval is out of range; choose from 100ms to 1h"}},
          {"health_check: {type: tcp, down_interval: 2h}",
           {"4:42: down_interval is out of range; choose from 100ms to 1h"}},
          {"health_check: {type: tcp, fast_interval: 3s}",
           {"4:42: fast_interval is longer than interval, 2s; make it shorter, or remove it"}},
          {"health_check: {type: tcp, interval: 1500ms, timeout: 2s}",
           {"4:54: timeout is longer than interval, 1500ms, and checks would be late; make one of them shorter or "
            "longer"}},
          {"health_check: {type: tcp, timeout: 1ms}", {"4:36: timeout is out of range; choose from 10ms to interval"}},
          {"health_check: {type: tcp, rise: 0, fall: 101}",
           {"4:33: rise 0 is out of range; choose from 1 to 100",
            "4:42: fall 101 is out of range; choose from 1 to 100"}},
      },
      "}]\n");
}

TEST(ValidateHealth, WhatIsSentAndExpected) {
  Check(kHead,
        {
            {"health_check: {type: tcp, send: 'a\\q'}",
             {"4:33: send has an escape that is none (Unknown escape sequence: \\q); write \\\\ for a backslash"}},
            {"health_check: {type: tcp, expect: " + std::string(1025, 'x') + "}",
             {"4:35: expect has 1025 bytes; at most 1024 are possible"}},
            {"health_check: {type: http, path: health}",
             {"4:34: path is not one of HTTP; begin with / and write spaces and the like as %20"}},
            {"health_check: {type: http, path: '/a b', host: 'a b'}",
             {"4:34: path is not one of HTTP; begin with / and write spaces and the like as %20",
              "4:48: host is not a name; write it like web.example or web.example:8080"}},
            {"health_check: {type: http, method: get}", {"4:36: \"get\" is not a method; write it like GET or HEAD"}},
            {"health_check: {type: http, expect: OK}",
             {"4:36: \"OK\" is not a status; write it like \"200-399\" or \"200, 204\""}},
            {"health_check: {type: http, method: HEAD, expect_body: x}",
             {"4:55: answers to HEAD have no body; remove this or set method: GET"}},
            {"health_check: {type: https, insecure: true, ca_file: /x}",
             {"4:39: insecure takes every certificate, whoever signed it; remove this or ca_file"}},
            {"health_check: {type: https, key_file: /x}",
             {"4:15: certificate_file and key_file belong together; add certificate_file"}},
        },
        "}]\n");
}

TEST(ValidateHealth, Ports) {
  Check(kHead, {{"health_check: {type: tcp, port: 0}", {"4:33: there is no port 0; ports are 1 to 65535"}}}, "}]\n");
  const char spare[] =
      "engine: {interfaces: [{name: eth0}], nat_addresses: [192.0.2.1]}\n"
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
      "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]},\n"
      "{name: spare, ";
  Check(spare,
        {
            {"health_check: {type: tcp, port: 80}, backends: [{name: a, address: 10.0.0.2}]", {}},
            {"health_check: {type: icmp}, backends: [{name: a, address: 10.0.0.2}]", {}},
            {"health_check: {type: tcp}, forwarding: nat, backends: [{name: a, address: 10.0.0.2, port: 80}]", {}},
            {"health_check: {type: tcp}, backends: [{name: a, address: 10.0.0.2}]",
             {"4:29: no listener leads to this pool, so its health_check needs a port; add port:"}},
        },
        "}]\n");
}

TEST(ValidateHealth, Via) {
  EXPECT_EQ(Load("health_check: {type: tcp}").health_check().via(), v1::HealthCheck::BACKEND);
  EXPECT_EQ(Load("health_check: {type: tcp, via: vip}").health_check().via(), v1::HealthCheck::VIP);
  const std::string translated =
      "a server of a nat or full_nat pool does not have the virtual address; remove this, or "
      "set forwarding: dsr_l2, ipip or gue";
  Check(
      kHead,
      {
          {"health_check: {type: tcp, via: backend}", {}},
          {"health_check: {type: udp, send: x, via: vip, port: 53}", {}},
          {"health_check: {type: tcp, via: server}", {"4:32: via \"server\" is not known; it is one of backend, vip"}},
          {"health_check: {type: icmp, via: vip}",
           {"4:33: via is for tcp, http, https, grpc and udp; remove it or set another type"}},
          {"health_check: {type: none, via: vip}",
           {"4:33: via is for tcp, http, https, grpc and udp; remove it or set another type"}},
          {"health_check: {type: tcp, via: vip}, forwarding: nat", {"4:32: " + translated}},
          {"health_check: {type: tcp, via: backend}, forwarding: nat", {}},
      },
      "}]\n");
  const char spare[] =
      "engine: {interfaces: [{name: eth0}], nat_addresses: [192.0.2.1], tunnel_source: {ipv4: 192.0.2.9}}\n"
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
      "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]},\n"
      "{name: spare, backends: [{name: a, address: 10.0.0.2}], ";
  const std::string nobody =
      "no listener leads to this pool, so there is no virtual address to check; add one, or set via: backend";
  Check(spare,
        {
            {"health_check: {type: tcp, via: vip}", {"4:88: " + nobody}},
            {"health_check: {type: tcp, via: vip, port: 80}, forwarding: gue", {"4:88: " + nobody}},
            {"health_check: {type: tcp, via: vip, port: 80}, forwarding: full_nat", {"4:88: " + translated}},
        },
        "}]\n");
}

TEST(ValidateHealth, WhenUnhealthy) {
  Check(kHead,
        {
            {"health_check: {type: tcp}, on_unhealthy: move, when_all_unhealthy: fail_closed", {}},
            {"health_check: {type: tcp}, on_unhealthy: keep, when_all_unhealthy: fail_open", {}},
            {"on_unhealthy: move",
             {"4:15: without a health_check or an agent no backend gets unhealthy; remove this or add one"}},
            {"health_check: {type: none}, when_all_unhealthy: fail_closed",
             {"4:49: without a health_check or an agent no backend gets unhealthy; remove this or add one"}},
            {"health_check: {type: tcp}, on_unhealthy: end",
             {"4:42: on_unhealthy \"end\" is not known; it is one of keep, move, reset"}},
            {"health_check: {type: tcp}, on_unhealthy: reset",
             {"4:42: nobody believes a RST without the sequence numbers of its flow, which only nat and full_nat know; "
              "use move, after which the next server resets them, or set forwarding: nat or full_nat"}},
            {"forwarding: nat, health_check: {type: tcp}, on_unhealthy: reset", {}},
            {"forwarding: nat, on_unhealthy: reset",
             {"4:32: without a health_check or an agent no backend gets unhealthy; remove this or add one"}},
        },
        "}]\n");
}

TEST(ValidateHealth, ManyChecksAreWarnedOf) {
  std::string text(kHead);
  text.resize(text.size() - 3);
  text.erase(text.rfind("{name: a"));
  for (int i = 0; i < 1'001; i++) {
    text += "{name: b" + std::to_string(i) + ", address: 10.0." + std::to_string(1 + i / 250) + "." +
            std::to_string(1 + i % 250) + "},\n";
  }
  const absl::StatusOr<LoadedConfig> loaded =
      LoadConfigText(text + "], maglev_table_size: 1000003, health_check: {type: tcp, interval: 100ms}}]", "f.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("the health checks of all pools are 10010 a second")));
}

}  // namespace
}  // namespace sluice
