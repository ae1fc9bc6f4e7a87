// What a builder makes of pools that translate: timeouts, ports, addresses of ours, who the servers are.
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sluice/listener.h"
#include "tables/builder.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kConfig[] = R"(
engine:
  interfaces: [{name: eth0}]
  nat_addresses: ["2001:db8:1::40/127", 198.51.100.64/30, 198.51.100.80]
listeners:
  - {name: web, address: 203.0.113.10, ports: [80, 443], protocol: tcp, pool: web, idle_timeout: 300s,
     handshake_timeout: 10s, half_closed_timeout: 60s, closed_timeout: 30s, reset_on_idle: true}
  - {name: dns, address: 203.0.113.10, ports: [53], protocol: udp, pool: dns, idle_timeout: 20s}
  - {name: media, address: 203.0.113.11, ports: ["8000-8009", "8010-8019", 9999, "10000-10999"], protocol: tcp_udp,
     pool: media}
  - {name: direct, address: 203.0.113.12, ports: ["80-90"], protocol: tcp, pool: direct}
pools:
  - name: web
    forwarding: nat
    backends: [{name: a, address: 10.0.0.1, port: 8080}, {name: b, address: 10.0.0.2}]
  - name: dns
    forwarding: full_nat
    backends: [{name: a, address: 10.0.0.3}]
  - name: media
    forwarding: full_nat
    backends: [{name: a, address: 10.0.0.4, port: 7000}, {name: b, address: 10.0.0.5}]
  - name: direct
    backends: [{name: a, address: 10.0.0.6}]
)";

class BuilderNatTest : public testing::Test {
 protected:
  void SetUp() override {
    input_.Load(kConfig);
    input_.ResolveAll();
    tables_ = input_.Build(builder_);
    ASSERT_NE(tables_, nullptr);
  }
  const sluice_tables& view() const { return tables_->view(); }
  const sluice_session_terms& TermsOf(const std::string& listener) const {
    return view().session_terms[ListenerOf(*tables_, listener)];
  }
  static sluice_address At(const std::string& text) {
    sluice_address address;
    std::memcpy(&address, TestInput::At(text).bytes.data(), sizeof(address));
    return address;
  }
  // Where a server of the pool is sent a packet to `port`, host order.
  uint16_t ServicePort(const std::string& address, uint16_t port, const std::string& pool, const std::string& backend,
                       uint32_t protocol = SLUICE_IP_TCP) const {
    sluice_flow flow{};
    flow.destination = At(address);
    flow.destination_port = SLUICE_16(port);
    flow.protocol = protocol;
    const sluice_backend& record = view().backends[SlotOf(*tables_, pool, backend)];
    return SLUICE_16(sluice_service_port(&view(), view().settings, &flow, &record));
  }
  bool IsServer(const std::string& text) const {
    const sluice_address address = At(text);
    return sluice_index_find(&view(), view().settings, &address, sluice_index_key(SLUICE_INDEX_SERVER_PROTOCOL, 0)) !=
           nullptr;
  }

  TestInput input_;
  Builder builder_;
  std::shared_ptr<const Tables> tables_;
};

// One tick is 2.147 s; they are rounded up, and one more for the tick that has begun.
TEST_F(BuilderNatTest, WritesTheTermsOfSessions) {
  const sluice_session_terms& web = TermsOf("web");
  const sluice_address address = At("203.0.113.10");
  EXPECT_TRUE(sluice_address_equal(&web.address, &address));
  EXPECT_EQ(web.established, 140 + 1);
  EXPECT_EQ(web.handshake, 5 + 1);
  EXPECT_EQ(web.half_closed, 28 + 1);
  EXPECT_EQ(web.closed, 14 + 1);
  EXPECT_EQ(web.flags, SLUICE_TERMS_RESET_ON_IDLE);
  EXPECT_EQ(web.pool, view().listeners[ListenerOf(*tables_, "web")].pool);
  EXPECT_EQ(TermsOf("dns").established, 10 + 1);
  // The defaults of TCP.
  EXPECT_EQ(TermsOf("media").established, 164);
  EXPECT_EQ(TermsOf("media").handshake, 14 + 1);
  EXPECT_EQ(TermsOf("media").half_closed, 56 + 1);
  EXPECT_EQ(TermsOf("media").closed, 28 + 1);
  EXPECT_EQ(TermsOf("media").flags, 0);
  for (const char* name : {"web", "dns", "media"}) {
    EXPECT_EQ(view().listeners[ListenerOf(*tables_, name)].flags, SLUICE_LISTENER_SESSIONS) << name;
  }
  EXPECT_EQ(view().settings->sessions, SLUICE_SESSIONS_SOME);
}

TEST_F(BuilderNatTest, AllListenersHaveSessionsWhereNoneIsDirect) {
  TestInput only;
  only.Load(
      "engine: {interfaces: [{name: eth0}]}\n"
      "listeners:\n"
      "  - {name: a, address: 203.0.113.12, ports: [80], protocol: tcp, pool: n}\n"
      "  - {name: b, address: 203.0.113.12, ports: [81], protocol: udp, pool: n}\n"
      "pools: [{name: n, forwarding: nat, backends: [{name: a, address: 10.0.0.6}]}]\n");
  Builder builder;
  EXPECT_EQ(only.Build(builder)->view().settings->sessions, SLUICE_SESSIONS_ALL);
}

// It has none, and whoever asks for them is told that they are over.
TEST_F(BuilderNatTest, DirectListenersHaveNoSessions) {
  EXPECT_EQ(view().listeners[ListenerOf(*tables_, "direct")].flags, 0);
  const sluice_session_terms& terms = TermsOf("direct");
  EXPECT_EQ(terms.established, 0);
  EXPECT_EQ(terms.handshake, 0);
  TestInput only;
  only.Load(
      "engine: {interfaces: [{name: eth0}]}\n"
      "listeners: [{name: d, address: 203.0.113.12, ports: [80], protocol: tcp, pool: d}]\n"
      "pools: [{name: d, backends: [{name: a, address: 10.0.0.6}]}]\n");
  Builder builder;
  const auto tables = only.Build(builder);
  EXPECT_EQ(tables->view().settings->sessions, SLUICE_SESSIONS_NONE);
  EXPECT_EQ(tables->view().settings->nat_ipv4 + tables->view().settings->nat_ipv6, 0);
  EXPECT_THAT(tables->services(), IsEmpty());
}

TEST_F(BuilderNatTest, WhatServersAreToldOfTheClient) {
  const auto told = [&](const char* pool) {
    return view().backends[SlotOf(*tables_, pool, "a")].flags & (SLUICE_BACKEND_PROXY | SLUICE_BACKEND_TOA);
  };
  EXPECT_EQ(told("web"), 0);
  const uint32_t slot = SlotOf(*tables_, "web", "a");
  for (auto [setting, flag] :
       {std::pair(v1::Pool::PROXY_V2, SLUICE_BACKEND_PROXY), {v1::Pool::TOA, SLUICE_BACKEND_TOA}}) {
    input_.config.mutable_pools(0)->set_client_address(setting);
    tables_ = input_.Build(builder_);
    ASSERT_NE(tables_, nullptr);
    EXPECT_EQ(told("web"), flag);
    EXPECT_EQ(told("dns"), 0);
    // Its sessions go on.
    EXPECT_EQ(SlotOf(*tables_, "web", "a"), slot);
  }
}

TEST_F(BuilderNatTest, NatAddressesOneByOneAndIpv4First) {
  EXPECT_EQ(view().settings->nat_ipv4, 5);
  EXPECT_EQ(view().settings->nat_ipv6, 2);
  const std::vector<std::string> expected = {"198.51.100.64", "198.51.100.65",  "198.51.100.66", "198.51.100.67",
                                             "198.51.100.80", "2001:db8:1::40", "2001:db8:1::41"};
  for (size_t i = 0; i < expected.size(); i++) {
    const sluice_address address = At(expected[i]);
    EXPECT_TRUE(sluice_address_equal(&view().nat_addresses[i].address, &address)) << expected[i];
    uint32_t flags = 0;
    ASSERT_TRUE(sluice_virtual_find(&view(), view().settings, &address, &flags)) << expected[i];
    EXPECT_EQ(flags, uint32_t{SLUICE_VIRTUAL_NAT | SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE});
  }
  uint32_t flags = 0;
  const sluice_address beside = At("198.51.100.68");
  EXPECT_FALSE(sluice_virtual_find(&view(), view().settings, &beside, &flags));
  const sluice_address listener = At("203.0.113.10");
  ASSERT_TRUE(sluice_virtual_find(&view(), view().settings, &listener, &flags));
  EXPECT_EQ(flags & SLUICE_VIRTUAL_NAT, 0u);
}

// Answers come to them; the engine announces them like any other.
TEST_F(BuilderNatTest, NatAddressesAreVirtual) {
  std::vector<VirtualAddress> nat;
  for (const VirtualAddress& address : tables_->virtual_addresses()) {
    if (address.nat) nat.push_back(address);
  }
  ASSERT_EQ(nat.size(), 7u);
  EXPECT_EQ(nat[0], (VirtualAddress{TestInput::At("198.51.100.64"), true, true, true}));
  EXPECT_EQ(tables_->virtual_addresses().size(), 7u + 3u);
}

TEST_F(BuilderNatTest, ServersOfNatAreKnown) {
  EXPECT_TRUE(IsServer("10.0.0.1"));
  EXPECT_TRUE(IsServer("10.0.0.2"));
  for (const char* address : {"10.0.0.3", "10.0.0.4", "10.0.0.6", "203.0.113.10"}) EXPECT_FALSE(IsServer(address));
}

TEST_F(BuilderNatTest, ServicesOfNatAlone) {
  const auto a = TestInput::At("10.0.0.1");
  const auto b = TestInput::At("10.0.0.2");
  // Both of the listener's ports become the one of `a`.
  EXPECT_THAT(tables_->services(), ElementsAre(Service{a, SLUICE_IP_TCP, 8080}, Service{b, SLUICE_IP_TCP, 80},
                                               Service{b, SLUICE_IP_TCP, 443}));
}

TEST_F(BuilderNatTest, ServicesOfRangesAndOfBothProtocols) {
  TestInput input;
  input.Load(
      "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64]}\n"
      "listeners: [{name: l, address: 203.0.113.12, ports: [\"80-81\"], protocol: tcp_udp, pool: p}]\n"
      "pools: [{name: p, forwarding: nat, backends: [{name: a, address: 10.0.0.6, port: 9000}]}]\n");
  Builder builder;
  const auto a = TestInput::At("10.0.0.6");
  EXPECT_THAT(input.Build(builder)->services(),
              ElementsAre(Service{a, SLUICE_IP_TCP, 9000}, Service{a, SLUICE_IP_TCP, 9001},
                          Service{a, SLUICE_IP_UDP, 9000}, Service{a, SLUICE_IP_UDP, 9001}));
}

// Pings go to the first listener of their address that forwards, and their replies come from its servers.
TEST_F(BuilderNatTest, PingsThatAreForwarded) {
  TestInput input;
  input.Load(
      "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64]}\n"
      "listeners:\n"
      "- {name: a, address: 203.0.113.12, ports: [80], protocol: tcp, pool: p, icmp_echo: forward}\n"
      "- {name: b, address: 203.0.113.12, ports: [53], protocol: udp, pool: q, icmp_echo: forward}\n"
      "- {name: c, address: 203.0.113.13, ports: [53], protocol: udp, pool: q, icmp_echo: drop}\n"
      "pools:\n"
      "- {name: p, forwarding: nat, backends: [{name: a, address: 10.0.0.6, port: 9000}]}\n"
      "- {name: q, forwarding: full_nat, backends: [{name: a, address: 10.0.0.7}]}\n");
  Builder builder;
  const auto tables = input.Build(builder);
  const auto listener_of_ping = [&](const char* address) {
    sluice_flow flow{};
    flow.destination = At(address);
    flow.source_port = SLUICE_16(7);
    flow.protocol = SLUICE_IP_ICMP;
    return sluice_listener_of(&tables->view(), tables->view().settings, &flow);
  };
  ASSERT_LT(listener_of_ping("203.0.113.12"), tables->listener_count());
  EXPECT_EQ(tables->listener_names()[listener_of_ping("203.0.113.12")], "a");
  EXPECT_EQ(listener_of_ping("203.0.113.13"), SLUICE_NO_LISTENER);
  EXPECT_EQ(listener_of_ping("198.51.100.64"), SLUICE_NO_LISTENER);
  uint32_t flags = 0;
  const sluice_address address = At("203.0.113.12");
  ASSERT_TRUE(sluice_virtual_find(&tables->view(), tables->view().settings, &address, &flags));
  EXPECT_EQ(flags & SLUICE_VIRTUAL_ECHO, 0u);
  const auto a = TestInput::At("10.0.0.6");
  EXPECT_THAT(tables->services(), ElementsAre(Service{a, SLUICE_IP_ICMP, 0}, Service{a, SLUICE_IP_TCP, 9000}));
}

// Each range that was written begins anew at the server's port: also one that another ends before, and a single port.
TEST_F(BuilderNatTest, PortsKeepTheirDistanceFromTheFirstOfTheirRange) {
  struct Case {
    uint16_t port;
    uint16_t expected;
  };
  for (const uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
    for (const Case& one : {Case{8000, 7000}, Case{8009, 7009}, Case{8010, 7000}, Case{8019, 7009}, Case{9999, 7000},
                            Case{10000, 7000}, Case{10500, 7500}, Case{10999, 7999}}) {
      EXPECT_EQ(ServicePort("203.0.113.11", one.port, "media", "a", protocol), one.expected) << one.port;
      EXPECT_EQ(ServicePort("203.0.113.11", one.port, "media", "b", protocol), one.port) << "it has none of its own";
    }
  }
  EXPECT_EQ(ServicePort("203.0.113.10", 443, "web", "a"), 8080);
  EXPECT_EQ(ServicePort("203.0.113.10", 443, "web", "b"), 443);
}

// So that the sessions' entries can be found, until they have been swept.
TEST_F(BuilderNatTest, RetiredListenersKeepTheirAddressAndNoTimeouts) {
  const uint32_t web = ListenerOf(*tables_, "web");
  input_.config.mutable_listeners()->DeleteSubrange(0, 1);
  tables_ = input_.Build(builder_);
  EXPECT_THAT(builder_.RetiredListeners(), ElementsAre(web));
  const sluice_address address = At("203.0.113.10");
  const sluice_session_terms& gone = view().session_terms[web];
  EXPECT_TRUE(sluice_address_equal(&gone.address, &address));
  EXPECT_EQ(gone.established | gone.handshake | gone.half_closed | gone.closed, 0);
  EXPECT_EQ(gone.pool, SLUICE_NO_POOL);
  EXPECT_EQ(view().listeners[web].flags, 0);

  // It comes back as the one that it was.
  input_.Load(kConfig);
  tables_ = input_.Build(builder_);
  EXPECT_EQ(ListenerOf(*tables_, "web"), web);
  EXPECT_THAT(builder_.RetiredListeners(), IsEmpty());
  EXPECT_EQ(TermsOf("web").established, 141);
}

// Another way of forwarding is another backend, and a listener's sessions end with it.
TEST_F(BuilderNatTest, APoolThatTranslatesNoMore) {
  const uint32_t slot = SlotOf(*tables_, "web", "a");
  const uint32_t web = ListenerOf(*tables_, "web");
  input_.config.mutable_pools(0)->set_forwarding(v1::Pool::DSR_L2);
  tables_ = input_.Build(builder_);
  EXPECT_EQ(ListenerOf(*tables_, "web"), web);
  EXPECT_EQ(TermsOf("web").established, 0);
  EXPECT_EQ(view().listeners[web].flags, 0);
  EXPECT_FALSE(view().backends[slot].flags & SLUICE_BACKEND_LIVE);
  const sluice_address address = At("10.0.0.1");
  EXPECT_TRUE(sluice_address_equal(&view().backends[slot].destination, &address));
  EXPECT_FALSE(IsServer("10.0.0.1"));
  EXPECT_THAT(tables_->services(), IsEmpty());
}

}  // namespace
}  // namespace sluice
