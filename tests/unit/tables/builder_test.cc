// What a builder makes of a configuration: records, generations, what stays and what is made anew.
#include "tables/builder.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sluice/listener.h"
#include "sluice/rewrite.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kEngine[] = R"(
engine:
  interfaces: [{name: eth0}]
  tunnel_source: {ipv4: 198.51.100.2, ipv6: "2001:db8:1::2"}
)";

constexpr char kTwoPools[] = R"(
listeners:
  - {name: web, address: 203.0.113.10, ports: [80, 443], protocol: tcp, pool: web, idle_timeout: 350s}
  - {name: web6, address: "2001:db8::10", ports: [80], protocol: tcp, pool: tunnels, icmp_echo: false}
  - {name: dns, address: 203.0.113.53, ports: [53], protocol: tcp_udp, pool: tunnels, announce: none, idle_timeout: 1000s}
pools:
  - name: web
    forwarding: dsr_l2
    maglev_table_size: 251
    backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]
  - name: tunnels
    forwarding: gue
    gue_port: 6081
    maglev_table_size: 257
    backends: [{name: a, address: 10.0.0.1}, {name: c, address: "2001:db8:2::1"}]
)";

std::string Text(const std::string& rest) {
  return kEngine + rest;
}

std::string PoolText(const std::string& name, const std::vector<std::string>& backends) {
  std::string text = absl::StrCat("  - name: ", name, "\n    maglev_table_size: 251\n    backends:\n");
  for (const std::string& backend : backends) absl::StrAppend(&text, "      - ", backend, "\n");
  return text;
}

std::string WebWith(const std::vector<std::string>& backends) {
  return Text("listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\npools:\n" +
              PoolText("web", backends));
}

std::vector<uint32_t> MaglevTableOf(const Tables& tables, const std::string& listener) {
  const sluice_pool& pool = PoolOf(tables, listener);
  return {tables.view().maglev + pool.offset, tables.view().maglev + pool.offset + pool.size};
}

TEST(Builder, EmptyConfigurationHasTables) {
  TestInput input;
  input.Load(kEngine);
  Builder builder;
  const auto tables = input.Build(builder);
  ASSERT_NE(tables, nullptr);
  EXPECT_EQ(tables->generation(), 1u);
  EXPECT_EQ(tables->listener_count(), 0u);
  EXPECT_EQ(tables->backend_slots(), 0u);
  EXPECT_EQ(tables->view().ports[1].mtu, 9000);
  EXPECT_EQ(tables->view().ports[1].mac[5], 2);
  uint32_t flags = 0;
  const sluice_address address = sluice_ipv4(SLUICE_32(0xcb00710a));
  EXPECT_FALSE(sluice_virtual_find(&tables->view(), tables->view().settings, &address, &flags));
}

TEST(Builder, WritesListenersAndPools) {
  TestInput input;
  input.Load(Text(kTwoPools));
  input.ResolveAll();
  Builder builder;
  const auto tables = input.Build(builder);
  const sluice_tables& view = tables->view();
  EXPECT_THAT(tables->listener_names(), ElementsAre("web", "web6", "dns"));
  // 350 s are 162.98 ticks, 1000 s are 465.66.
  EXPECT_EQ(view.listeners[0].idle, 163 + 1);
  EXPECT_EQ(view.listeners[2].idle, 466 + 1);
  EXPECT_EQ(view.settings->longest_idle, 466 + 1);
  EXPECT_EQ(PoolOf(*tables, "web").size, 251u);
  EXPECT_EQ(PoolOf(*tables, "dns").size, 257u);
  EXPECT_EQ(view.listeners[1].pool, view.listeners[2].pool);
  EXPECT_THAT(tables->virtual_addresses(), ElementsAre(VirtualAddress{TestInput::At("203.0.113.10"), true, true},
                                                       VirtualAddress{TestInput::At("2001:db8::10"), true, false},
                                                       VirtualAddress{TestInput::At("203.0.113.53"), false, true}));
}

TEST(Builder, WritesBackendsOfEachForwarding) {
  TestInput input;
  input.Load(Text(kTwoPools));
  input.next_hops[TestInput::At("10.0.0.1")] = {
      .port = 1, .vlan = 7, .source = {2, 0, 0, 0, 0, 9}, .destination = {2, 0, 0, 0, 0, 8}, .mtu = 1400};
  Builder builder;
  const auto tables = input.Build(builder);

  const sluice_backend& dsr = tables->view().backends[SlotOf(*tables, "web", "a")];
  EXPECT_EQ(dsr.forwarding, SLUICE_DSR_L2);
  EXPECT_EQ(dsr.flags, SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP);
  EXPECT_EQ(dsr.outer_length, 0);
  EXPECT_EQ(dsr.port, 1);
  EXPECT_EQ(dsr.vlan, 7);
  EXPECT_EQ(dsr.mtu, 1400);
  EXPECT_EQ(dsr.source_mac[5], 9);
  EXPECT_EQ(dsr.destination_mac[5], 8);
  EXPECT_EQ(dsr.idle, 164);
  EXPECT_EQ(dsr.destination.words[3], SLUICE_32(0x0a000001));

  const sluice_backend& gue = tables->view().backends[SlotOf(*tables, "tunnels", "a")];
  EXPECT_EQ(gue.forwarding, SLUICE_GUE);
  EXPECT_EQ(gue.outer_length, 20 + 8 + 4);
  EXPECT_EQ(gue.service_port, SLUICE_16(6081));
  EXPECT_EQ(gue.source.words[3], SLUICE_32(0xc6336402));
  EXPECT_EQ(gue.outer_sum, sluice_outer_sum(SLUICE_32(0xc6336402), SLUICE_32(0x0a000001)));
  EXPECT_EQ(gue.idle, 467);
  EXPECT_NE(gue.pool, dsr.pool);

  const sluice_backend& gue6 = tables->view().backends[SlotOf(*tables, "tunnels", "c")];
  EXPECT_EQ(gue6.flags, SLUICE_BACKEND_LIVE | SLUICE_BACKEND_OUTER_IPV6);
  EXPECT_EQ(gue6.outer_length, 40 + 8 + 4);
  EXPECT_EQ(gue6.source.words[0], SLUICE_32(0x20010db8));
  EXPECT_EQ(gue6.outer_sum, 0);
}

TEST(Builder, PathMtuIsThePortsAtMost) {
  TestInput input;
  input.Load(WebWith({"{name: a, address: 10.0.0.1}"}));
  input.next_hops[TestInput::At("10.0.0.1")] = {.port = 0, .mtu = 9000};
  Builder builder;
  EXPECT_EQ(input.Build(builder)->view().backends[0].mtu, 1500);
}

TEST(Builder, BackendsWithoutNextHopOrWeightTakeNoFlows) {
  TestInput input;
  input.Load(WebWith(
      {"{name: a, address: 10.0.0.1}", "{name: b, address: 10.0.0.2}", "{name: c, address: 10.0.0.3, weight: 0}"}));
  Builder builder;
  EXPECT_EQ(PoolOf(*input.Build(builder), "web").size, 0u);
  EXPECT_EQ(builder.pools_rebuilt(), 0u);

  input.Resolve("10.0.0.2");
  input.Resolve("10.0.0.3");
  const auto tables = input.Build(builder);
  const std::vector<uint32_t> table = MaglevTableOf(*tables, "web");
  EXPECT_EQ(table, std::vector<uint32_t>(251, SlotOf(*tables, "web", "b")));
  EXPECT_EQ(tables->view().backends[SlotOf(*tables, "web", "a")].flags, SLUICE_BACKEND_LIVE);
  EXPECT_EQ(tables->view().backends[SlotOf(*tables, "web", "c")].flags, SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP);
}

TEST(Builder, GenerationsIncreaseAndOldOnesStay) {
  TestInput input;
  input.Load(WebWith({"{name: a, address: 10.0.0.1}", "{name: b, address: 10.0.0.2}"}));
  input.ResolveAll();
  Builder builder;
  std::vector<std::shared_ptr<const Tables>> generations;
  std::vector<std::vector<uint32_t>> expected;
  for (uint32_t i = 0; i < 20; i++) {
    input.config.mutable_pools(0)->mutable_backends(0)->set_weight(1 + i);
    generations.push_back(input.Build(builder));
    EXPECT_EQ(generations.back()->generation(), i + 1);
    EXPECT_EQ(generations.back()->view().settings->generation, i + 1);
    expected.push_back(MaglevTableOf(*generations.back(), "web"));
  }
  for (uint32_t i = 0; i < 20; i++) EXPECT_EQ(MaglevTableOf(*generations[i], "web"), expected[i]);
}

TEST(Builder, OnlyChangedPoolsAreRebuilt) {
  TestInput input;
  input.Load(Text(kTwoPools));
  input.ResolveAll();
  Builder builder;
  auto tables = input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 2u);
  tables = input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 0u);

  // A listener, a gateway's MAC, an order: none changes a table.
  input.config.mutable_listeners(0)->set_address("203.0.113.11");
  input.next_hops[TestInput::At("10.0.0.1")].destination[5] = 99;
  input.config.mutable_pools(0)->mutable_backends()->SwapElements(0, 1);
  input.config.mutable_pools()->SwapElements(0, 1);
  const auto reordered = input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 0u);
  EXPECT_EQ(reordered->view().maglev + PoolOf(*reordered, "web").offset,
            tables->view().maglev + PoolOf(*tables, "web").offset)
      << "not even copied";

  input.config.mutable_pools(1)->mutable_backends(0)->set_weight(3);
  const auto reweighted = input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 1u);
  EXPECT_EQ(MaglevTableOf(*reweighted, "dns"), MaglevTableOf(*tables, "dns"));
  EXPECT_NE(MaglevTableOf(*reweighted, "web"), MaglevTableOf(*tables, "web"));

  // One backend alone loses its next hop; the other pool has the address, too.
  input.next_hops.erase(TestInput::At("10.0.0.2"));
  input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 1u);
  input.next_hops.erase(TestInput::At("10.0.0.1"));
  const auto without = input.Build(builder);
  EXPECT_EQ(builder.pools_rebuilt(), 1u) << "the one with another backend; the first has none left";
  EXPECT_EQ(PoolOf(*without, "web").size, 0u);
}

TEST(Builder, NodesAgreeWhateverTheOrderAndTheNames) {
  TestInput one;
  TestInput other;
  one.Load(WebWith({"{name: a, address: 10.0.0.1, weight: 3}", "{name: b, address: 10.0.0.2}",
                    "{name: c, address: 10.0.0.3, weight: 2}"}));
  other.Load(WebWith({"{name: z, address: 10.0.0.3, weight: 2}", "{name: y, address: 10.0.0.1, weight: 3}",
                      "{name: x, address: 10.0.0.2}"}));
  one.ResolveAll();
  other.ResolveAll();
  Builder builder;
  Builder other_builder;
  const auto tables = one.Build(builder);
  const auto other_tables = other.Build(other_builder);
  const auto a = MaglevTableOf(*tables, "web");
  const auto b = MaglevTableOf(*other_tables, "web");
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); i++) {
    ASSERT_TRUE(sluice_address_equal(&tables->view().backends[a[i]].destination,
                                     &other_tables->view().backends[b[i]].destination));
  }
  EXPECT_TRUE(std::equal(tables->view().settings->hash_key, tables->view().settings->hash_key + 10,
                         other_tables->view().settings->hash_key));
}

TEST(Builder, RetiredSlotWaitsForItsRelease) {
  TestInput input;
  input.Load(WebWith({"{name: a, address: 10.0.0.1}", "{name: b, address: 10.0.0.2}"}));
  input.ResolveAll();
  Builder builder;
  auto tables = input.Build(builder);
  ASSERT_EQ(SlotOf(*tables, "web", "a"), 0u);

  // Another address is another backend.
  input.Load(WebWith({"{name: a, address: 10.0.0.9}", "{name: b, address: 10.0.0.2}"}));
  tables = input.Build(builder);
  EXPECT_EQ(SlotOf(*tables, "web", "a"), 2u);
  EXPECT_EQ(SlotOf(*tables, "web", "b"), 1u);
  // Only the address is left, which its sessions are found by.
  sluice_backend gone{};
  std::memcpy(&gone.destination, TestInput::At("10.0.0.1").bytes.data(), sizeof(gone.destination));
  EXPECT_EQ(std::memcmp(&tables->view().backends[0], &gone, sizeof(gone)), 0);
  EXPECT_THAT(builder.RetiredSlots(), ElementsAre(0));
  input.Load(WebWith({"{name: a, address: 10.0.0.9}", "{name: b, address: 10.0.0.2}", "{name: c, address: 10.0.0.4}"}));
  EXPECT_EQ(SlotOf(*input.Build(builder), "web", "c"), 3u);

  builder.ReleaseSlot(1);  // not retired
  builder.ReleaseSlot(7);  // never given
  builder.ReleaseSlot(0);
  EXPECT_THAT(builder.RetiredSlots(), IsEmpty());
  input.Load(WebWith({"{name: a, address: 10.0.0.9}", "{name: b, address: 10.0.0.2}", "{name: c, address: 10.0.0.4}",
                      "{name: d, address: 10.0.0.3}"}));
  tables = input.Build(builder);
  EXPECT_EQ(SlotOf(*tables, "web", "d"), 0u) << "lowest first";
  EXPECT_EQ(SlotOf(*tables, "web", "b"), 1u);
}

TEST(Builder, BackendThatComesBackHasItsSlotAgain) {
  TestInput input;
  const std::string with = WebWith({"{name: a, address: 10.0.0.1}", "{name: b, address: 10.0.0.2}"});
  input.Load(with);
  Builder builder;
  input.Build(builder);
  input.Load(WebWith({"{name: b, address: 10.0.0.2}"}));
  input.Build(builder);
  input.Load(with);
  const auto tables = input.Build(builder);
  EXPECT_EQ(SlotOf(*tables, "web", "a"), 0u);
  EXPECT_THAT(builder.RetiredSlots(), IsEmpty());
}

TEST(Builder, AnotherForwardingIsAnotherBackendAndAnotherWeightIsNot) {
  TestInput input;
  input.Load(WebWith({"{name: a, address: 10.0.0.1}"}));
  Builder builder;
  input.Build(builder);
  input.config.mutable_pools(0)->mutable_backends(0)->set_weight(0);
  input.Build(builder);
  EXPECT_THAT(builder.RetiredSlots(), IsEmpty());
  input.config.mutable_pools(0)->set_forwarding(v1::Pool::IPIP);
  const auto tables = input.Build(builder);
  EXPECT_THAT(builder.RetiredSlots(), ElementsAre(0));
  EXPECT_EQ(tables->view().backends[1].outer_length, 20);
}

TEST(Builder, FailedBuildChangesNothing) {
  TestInput input;
  input.Load(Text(kTwoPools));
  input.ResolveAll();
  Builder builder;
  input.Build(builder);

  // Renamed backends would take new slots, if it were not for the mistake.
  const v1::Config good = input.config;
  input.config.mutable_pools(0)->mutable_backends(0)->set_name("renamed");
  input.config.mutable_engine()->mutable_tunnel_source()->clear_ipv6();
  const auto no_source = builder.Build(input.input());
  EXPECT_THAT(std::string(no_source.status().message()), HasSubstr("set engine.tunnel_source.ipv6"));
  input.config = good;
  input.config.mutable_listeners(0)->set_pool("nobody");
  EXPECT_EQ(builder.Build(input.input()).status().code(), absl::StatusCode::kInvalidArgument);
  input.config = good;
  input.config.mutable_pools(1)->set_maglev_table_size(250);
  const auto not_prime = builder.Build(input.input());
  EXPECT_THAT(std::string(not_prime.status().message()), HasSubstr("pool \"tunnels\": "));
  input.config = good;

  input.hash_key[0]++;
  EXPECT_EQ(builder.Build(input.input()).status().code(), absl::StatusCode::kFailedPrecondition);
  input.hash_key[0]--;
  BuildInput short_key = input.input();
  short_key.hash_key = short_key.hash_key.subspan(1);
  Builder fresh;
  EXPECT_EQ(fresh.Build(short_key).status().code(), absl::StatusCode::kInvalidArgument);
  input.next_hops[TestInput::At("10.0.0.1")].port = 2;
  EXPECT_THAT(std::string(builder.Build(input.input()).status().message()), HasSubstr("leaves by port 2; there are 2"));
  input.ResolveAll();
  input.ports.resize(SLUICE_PORTS + 1);
  EXPECT_EQ(builder.Build(input.input()).status().code(), absl::StatusCode::kInvalidArgument);
  input.ports.resize(2);

  const auto tables = input.Build(builder);
  EXPECT_EQ(tables->generation(), 2u);
  EXPECT_EQ(tables->backend_slots(), 4u);
  EXPECT_EQ(builder.pools_rebuilt(), 0u);
  EXPECT_THAT(builder.RetiredSlots(), IsEmpty());
}

TEST(Builder, ListenersKeepTheirIndexWhileTheyAndTheirSessionsLive) {
  TestInput input;
  input.Load(Text(kTwoPools));
  Builder builder;
  input.Build(builder);
  input.config.mutable_listeners()->DeleteSubrange(0, 1);
  const auto without = input.Build(builder);
  EXPECT_THAT(without->listener_names(), ElementsAre("", "web6", "dns"));
  // It may have sessions, which are found by its address; they have no timeouts, so they are over.
  const sluice_session_terms& gone = without->view().session_terms[0];
  EXPECT_TRUE(sluice_address_is_ipv4(&gone.address));
  EXPECT_EQ(gone.established, 0);
  EXPECT_THAT(builder.RetiredListeners(), ElementsAre(0));
  // Another address is another listener.
  input.config.mutable_listeners(0)->set_address("2001:db8::11");
  EXPECT_THAT(input.Build(builder)->listener_names(), ElementsAre("", "", "dns", "web6"));
  EXPECT_THAT(builder.RetiredListeners(), ElementsAre(0, 1));
  builder.ReleaseListener(0);
  v1::Listener* added = input.config.add_listeners();
  *added = input.config.listeners(0);
  added->set_name("new");
  added->set_address("2001:db8::12");
  EXPECT_THAT(input.Build(builder)->listener_names(), ElementsAre("new", "", "dns", "web6"));
}

TEST(BuilderAlgorithmTest, PlacesAndWhatBackendsAreWeighedBy) {
  TestInput input;
  Builder builder;
  const std::string listener =
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n";
  const std::string backends =
      "backends: [{name: a, address: 10.0.0.1, weight: 20}, {name: b, address: 10.0.0.2, weight: 10}, "
      "{name: c, address: 10.0.0.3, weight: 0}]";
  const auto build = [&](const std::string& algorithm) {
    input.Load("engine: {interfaces: [{name: eth0}, {name: eth1}]}\n" + listener + "pools: [{name: web, " + backends +
               ", health_check: {type: tcp}, algorithm: " + algorithm + "}]\n");
    input.ResolveAll();
    return input.Build(builder);
  };
  std::shared_ptr<const Tables> tables = build("source_hash");
  EXPECT_EQ(PoolOf(*tables, "web").algorithm, SLUICE_SOURCE_HASH);
  EXPECT_EQ(PoolOf(*tables, "web").size, 65537u);
  EXPECT_TRUE(tables->load_terms().empty());
  tables = build("round_robin");
  const sluice_pool& pool = PoolOf(*tables, "web");
  EXPECT_EQ(pool.algorithm, SLUICE_ROUND_ROBIN);
  const uint32_t a = SlotOf(*tables, "web", "a");
  const uint32_t b = SlotOf(*tables, "web", "b");
  const uint32_t* places = tables->view().maglev + pool.offset;
  EXPECT_EQ(std::vector<uint32_t>(places, places + pool.size), (std::vector<uint32_t>{a, b, a}));
  EXPECT_TRUE(tables->load_terms().empty());
  tables = build("least_time");
  // The sequence is the same, so it stays.
  EXPECT_EQ(builder.pools_rebuilt(), 0u);
  EXPECT_EQ(PoolOf(*tables, "web").algorithm, SLUICE_LEAST_TIME);
  ASSERT_EQ(tables->load_terms().size(), 2u);
  EXPECT_EQ(tables->load_terms()[0].slot, a);
  EXPECT_EQ(tables->load_terms()[0].weight, 20u);
  EXPECT_TRUE(tables->load_terms()[0].by_time);
  EXPECT_FALSE(tables->load_terms()[0].translates);
}

// All backends that may have flows are counted, of that listener's pool alone.
TEST(BuilderAlgorithmTest, AListenerWithALimit) {
  TestInput input;
  Builder builder;
  input.Load(
      "engine: {interfaces: [{name: eth0}, {name: eth1}]}\n"
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web},\n"
      "  {name: few, address: 203.0.113.10, ports: [81], protocol: tcp, pool: few, max_connections: 7}]\n"
      "pools: [{name: web, backends: [{name: x, address: 10.0.0.1}]},\n"
      "  {name: few, algorithm: least_time, health_check: {type: tcp}, backends: [{name: a, address: 10.0.0.1}, "
      "{name: b, address: 10.0.0.2, weight: 0}, {name: c, address: 10.0.0.3, state: drain}, "
      "{name: d, address: 10.0.0.4, state: disabled}]}]\n");
  input.ResolveAll();
  const std::shared_ptr<const Tables> tables = input.Build(builder);
  ASSERT_NE(tables, nullptr);
  std::vector<uint32_t> slots;
  for (const LoadTerms& terms : tables->load_terms()) {
    slots.push_back(terms.slot);
    EXPECT_EQ(terms.takes_flows, terms.slot == SlotOf(*tables, "few", "a"));
    EXPECT_EQ(terms.by_time, terms.takes_flows);
  }
  EXPECT_EQ(slots, (std::vector<uint32_t>{SlotOf(*tables, "few", "a"), SlotOf(*tables, "few", "b"),
                                          SlotOf(*tables, "few", "c")}));
  ASSERT_EQ(tables->listener_terms().size(), 1u);
  EXPECT_EQ(tables->listener_terms()[0].listener, ListenerOf(*tables, "few"));
  EXPECT_EQ(tables->listener_terms()[0].max_connections, 7u);
  EXPECT_EQ(tables->listener_terms()[0].pools, std::vector<uint32_t>{tables->load_terms()[0].pool});
}

}  // namespace
}  // namespace sluice
