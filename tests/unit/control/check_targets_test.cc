// From the file to what is checked.
#include "control/check_targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"
#include "health/tls_context.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kHead[] =
    "engine: {interfaces: [{name: eth0}], nat_addresses: [192.0.2.1], tunnel_source: {ipv4: 192.0.2.2}}\n"
    "listeners:\n"
    "  - {name: a, address: 203.0.113.10, ports: [8000-8099, 443], protocol: tcp, pool: web}\n"
    "  - {name: b, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}\n";

absl::StatusOr<std::vector<CheckedBackend>> Read(const std::string& pools) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(kHead + ("pools:\n" + pools), "test.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? ReadCheckTargets(loaded->config) : loaded.status();
}

TEST(CheckTargetsTest, PoolsWithoutACheckHaveNone) {
  EXPECT_THAT(*Read("  - {name: web, backends: [{name: a, address: 10.0.0.1}]}"), IsEmpty());
  EXPECT_THAT(*Read("  - {name: web, health_check: {type: none}, backends: [{name: a, address: 10.0.0.1}]}"),
              IsEmpty());
}

TEST(CheckTargetsTest, ThePortIsTheChecksOrTheBackendsOrTheFirstListeners) {
  const auto ports = [](const std::string& check) {
    std::vector<int> found;
    const auto targets = Read("  - {name: web, forwarding: nat, health_check: " + check +
                              ", backends: [{name: a, address: 10.0.0.1, port: 81}, {name: b, address: 10.0.0.2}]}");
    for (const CheckedBackend& target : *targets) found.push_back(target.target.port);
    return found;
  };
  EXPECT_THAT(ports("{type: tcp}"), ElementsAre(81, 8000));
  EXPECT_THAT(ports("{type: http, port: 9000}"), ElementsAre(9000, 9000));
  EXPECT_THAT(ports("{type: icmp}"), ElementsAre(0, 0));
}

TEST(CheckTargetsTest, ByTheWayOfClientsTheVirtualAddressIsAsked) {
  const auto read = [](const std::string& keys) {
    return (*Read("  - {name: web, health_check: {type: tcp" + keys + ", backends: [{name: a, address: 10.0.0.1}]}"))[0]
        .target;
  };
  const CheckTarget direct = read(", via: vip}");
  ASSERT_TRUE(direct.via.has_value());
  EXPECT_EQ(FormatAddress(direct.address), "10.0.0.1");
  EXPECT_EQ(FormatAddress(direct.asked()), "203.0.113.10");
  EXPECT_EQ(direct.via->pool, "web");
  EXPECT_EQ(direct.port, 8000) << "the first one's of the first listener";
  EXPECT_EQ(direct.via->hops, 1) << "a server that would forward it is found out";
  EXPECT_EQ(read(", via: vip, port: 90}").port, 90);
  EXPECT_EQ(read(", via: vip}, forwarding: ipip").via->hops, 3);
  const CheckTarget own = read("}");
  EXPECT_FALSE(own.via.has_value());
  EXPECT_EQ(FormatAddress(own.asked()), "10.0.0.1");
}

TEST(CheckTargetsTest, TheFirstListenerIsAlsoOneOfSeveralPools) {
  const std::string config =
      std::string(kHead) +
      "  - {name: c, address: 203.0.113.11, ports: [81], protocol: tcp, pools: [{name: web}, {name: next}]}\n"
      "  - {name: d, address: 203.0.113.12, ports: [82], protocol: tcp, pool: next}\n"
      "pools:\n"
      "  - {name: web, backends: [{name: a, address: 10.0.0.1}]}\n"
      "  - {name: next, health_check: {type: tcp, via: vip}, backends: [{name: a, address: 10.0.0.2}]}\n";
  const auto targets = ReadCheckTargets(LoadConfigText(config, "test.yaml")->config);
  ASSERT_TRUE(targets.ok()) << targets.status();
  ASSERT_THAT(*targets, SizeIs(1));
  EXPECT_EQ((*targets)[0].target.port, 81);
  EXPECT_EQ(FormatAddress((*targets)[0].target.asked()), "203.0.113.11");
}

TEST(CheckTargetsTest, EveryKeyArrives) {
  const auto targets = Read(
      "  - {name: web, health_check: {type: https, interval: 3s, fast_interval: 500ms, down_interval: 1m, timeout: "
      "250ms, "
      "rise: 4, fall: 5, path: /health, host: web.example, method: POST, expect: '200, 301-302', expect_body: fine, "
      "insecure: true}, backends: [{name: a, address: 10.0.0.1}]}");
  ASSERT_TRUE(targets.ok()) << targets.status();
  ASSERT_THAT(*targets, SizeIs(1));
  EXPECT_EQ((*targets)[0].id, (BackendId{"web", "a"}));
  EXPECT_EQ(FormatAddress((*targets)[0].target.address), "10.0.0.1");
  const CheckSpec& spec = *(*targets)[0].target.spec;
  EXPECT_EQ(spec.type, CheckType::kHttps);
  const CheckTerms terms{absl::Seconds(3), absl::Milliseconds(500), absl::Minutes(1), 4, 5};
  EXPECT_EQ(spec.terms, terms);
  EXPECT_EQ(spec.timeout, absl::Milliseconds(250));
  EXPECT_EQ(spec.path, "/health");
  EXPECT_EQ(spec.host, "web.example");
  EXPECT_EQ(spec.method, "POST");
  EXPECT_THAT(spec.statuses, ElementsAre(StatusRange{200, 200}, StatusRange{301, 302}));
  EXPECT_EQ(spec.expected_statuses, "200, 301-302");
  EXPECT_EQ(spec.expect_body, "fine");
  ASSERT_NE(spec.tls, nullptr);
  EXPECT_TRUE(spec.tls->options().insecure);
  EXPECT_EQ(spec.tls->options().server_name, "web.example");
}

TEST(CheckTargetsTest, GrpcHasTlsWhereItIsWanted) {
  const auto spec = [](const std::string& keys) {
    const auto targets = Read("  - {name: web, health_check: {type: grpc, service: shop.Cart, host: shop.example" +
                              keys + "}, backends: [{name: a, address: 10.0.0.1}]}");
    return (*targets)[0].target.spec;
  };
  EXPECT_EQ(spec("")->type, CheckType::kGrpc);
  EXPECT_EQ(spec("")->service, "shop.Cart");
  EXPECT_EQ(spec("")->host, "shop.example");
  EXPECT_EQ(spec("")->tls, nullptr);
  ASSERT_NE(spec(", tls: true")->tls, nullptr);
  EXPECT_EQ(spec(", tls: true")->tls->options().server_name, "shop.example");
  EXPECT_TRUE(spec(", tls: true")->tls->options().http2);
}

TEST(CheckTargetsTest, EscapesAreRead) {
  const auto targets = Read(
      "  - {name: web, health_check: {type: udp, send: 'a\\x00\\r\\n', expect: \"\\\\xff\"}, "
      "backends: [{name: a, address: 10.0.0.1}]}");
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_EQ((*targets)[0].target.spec->send, std::string("a\0\r\n", 4));
  EXPECT_EQ((*targets)[0].target.spec->expect, "\xff");
}

TEST(CheckTargetsTest, AScriptAndDampeningArrive) {
  const auto targets = Read(
      "  - {name: web, health_check: {type: tcp, flap_dampening: true, script: [{expect: '220 '}, {send: 'QUIT\\r\\n', "
      "expect: '221'}]}, backends: [{name: a, address: 10.0.0.1}]}");
  ASSERT_TRUE(targets.ok()) << targets.status();
  const CheckSpec& spec = *(*targets)[0].target.spec;
  EXPECT_TRUE(spec.terms.flap_dampening);
  ASSERT_THAT(spec.script, SizeIs(2));
  EXPECT_EQ(spec.script[0].expect, "220 ");
  EXPECT_EQ(spec.script[1].send, "QUIT\r\n");
}

TEST(CheckTargetsTest, WhatIsObservedArrives) {
  const auto targets = Read(
      "  - {name: web, forwarding: nat, health_check: {type: tcp, observe: {failed_percent: 30, minimum_failed: 7}}, "
      "backends: [{name: a, address: 10.0.0.1}]}");
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_EQ((*targets)[0].target.spec->terms.observe, (ObserveTerms{30, 7}));
}

TEST(CheckTargetsTest, AFileThatCannotBeReadIsNamedWithItsPool) {
  const auto targets = Read(
      "  - {name: web, health_check: {type: https, ca_file: /nowhere/ca.pem}, backends: [{name: a, address: "
      "10.0.0.1}]}");
  EXPECT_THAT(std::string(targets.status().message()),
              HasSubstr("pool \"web\": health_check.ca_file: /nowhere/ca.pem cannot be used"));
}

TEST(CheckTargetsTest, AgentsAreAskedBesideThem) {
  const std::string pools =
      "  - {name: web, agent: {port: 9000, interval: 5s, timeout: 200ms, send: 'a\\n'}, backends: [{name: a, address: "
      "10.0.0.1}, {name: b, address: 10.0.0.2}]}\n"
      "  - {name: other, backends: [{name: c, address: 10.0.0.3}]}";
  EXPECT_THAT(*Read(pools), IsEmpty());
  const std::vector<CheckedBackend> targets =
      ReadAgentTargets(LoadConfigText(kHead + ("pools:\n" + pools), "f")->config);
  ASSERT_THAT(targets, SizeIs(2));
  EXPECT_EQ(targets[1].id, (BackendId{"web", "b"}));
  EXPECT_EQ(FormatAddress(targets[1].target.address), "10.0.0.2");
  EXPECT_EQ(targets[1].target.port, 9000);
  const CheckSpec& spec = *targets[1].target.spec;
  EXPECT_EQ(spec.type, CheckType::kAgent);
  EXPECT_EQ(spec.send, "a\n");
  EXPECT_EQ(spec.timeout, absl::Milliseconds(200));
  EXPECT_EQ(spec.terms.interval, absl::Seconds(5));
  EXPECT_EQ(spec.terms.down_interval, absl::Seconds(5));
}

}  // namespace
}  // namespace sluice
