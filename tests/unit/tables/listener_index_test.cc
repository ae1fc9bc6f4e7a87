// The listener index as the path reads it, against an oracle that looks through the whole configuration.
#include "tables/listener_index.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "sluice/listener.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

struct Packet {
  Address destination;
  uint32_t protocol;
  uint16_t port;
};

// The oracle's answer: a listener's name; "none" when the address is virtual; "pass" when it is not.
std::string FindInConfig(const v1::Config& config, const Packet& packet) {
  std::string found = "pass";
  for (const v1::Listener& listener : config.listeners()) {
    if (ParseAddress(listener.address()).value() != packet.destination) continue;
    if (found == "pass") found = "none";
    if (packet.protocol == SLUICE_IP_TCP && listener.protocol() == v1::Listener::UDP) continue;
    if (packet.protocol == SLUICE_IP_UDP && listener.protocol() == v1::Listener::TCP) continue;
    for (const v1::PortRange& range : listener.ports()) {
      if (packet.port >= range.first() && packet.port <= range.last()) return listener.name();
    }
  }
  return found;
}

std::string FindInTables(const Tables& tables, const Packet& packet) {
  sluice_flow flow{};
  std::memcpy(&flow.destination, packet.destination.bytes.data(), 16);
  flow.protocol = packet.protocol;
  flow.destination_port = SLUICE_16(packet.port);
  uint32_t listener = SLUICE_NO_LISTENER;
  uint32_t pool = SLUICE_NO_POOL;
  const sluice_verdict verdict = sluice_listener_find(&tables.view(), tables.view().settings, &flow, &listener, &pool);
  if (verdict == SLUICE_CONTINUE) {
    EXPECT_EQ(pool, tables.view().listeners[listener].pool);
    return tables.listener_names().at(listener);
  }
  return verdict == SLUICE_VERDICT_no_listener ? "none" : "pass";
}

void AddListener(v1::Config& config, const std::string& address, v1::Listener::Protocol protocol) {
  v1::Listener& listener = *config.add_listeners();
  listener.set_name(absl::StrCat("l", config.listeners_size()));
  listener.set_address(address);
  listener.set_protocol(protocol);
  listener.set_pool("pool");
  listener.mutable_idle_timeout()->set_seconds(60);
}

void AddPorts(v1::Listener& listener, uint32_t first, uint32_t last) {
  v1::PortRange& range = *listener.add_ports();
  range.set_first(first);
  range.set_last(last);
}

// Three listeners share the ports of the address, in pieces of all lengths.
void AddRandomAddress(v1::Config& config, const std::string& address, std::mt19937& random) {
  const int first = config.listeners_size();
  for (int i = 0; i < 3; i++) AddListener(config, address, static_cast<v1::Listener::Protocol>(1 + random() % 3));
  const std::vector<uint32_t> lengths = {1, 2, 15, 16, 17, 18, 100, 1000, 30000};
  const bool short_ones = random() % 2 == 0;
  uint32_t port = 1 + random() % 3;
  while (port <= 65535) {
    const uint32_t length = lengths[random() % (short_ones ? 6 : lengths.size())];
    const uint32_t last = std::min(port + length - 1, uint32_t{65535});
    if (random() % 4 != 0) AddPorts(*config.mutable_listeners(first + static_cast<int>(random() % 3)), port, last);
    port = last + 1;
  }
}

void ExpectSameAsOracle(const v1::Config& config, const Tables& tables, const Packet& packet) {
  ASSERT_EQ(FindInTables(tables, packet), FindInConfig(config, packet))
      << FormatAddress(packet.destination) << " protocol " << packet.protocol << " port " << packet.port;
}

// What the path relies on: half full at most, and nobody behind a gap or too far away.
void ExpectWellPlaced(const Tables& tables) {
  const sluice_settings& settings = *tables.view().settings;
  const uint32_t size = settings.index_mask + 1;
  ASSERT_EQ(size & settings.index_mask, 0u);
  uint32_t used = 0;
  for (uint32_t i = 0; i < size; i++) {
    const sluice_index_entry& entry = tables.view().index[i];
    if (entry.kind == SLUICE_INDEX_EMPTY) continue;
    used++;
    ASSERT_EQ(sluice_index_find(&tables.view(), &settings, &entry.address, entry.key), &entry);
  }
  EXPECT_LE(used, size / 2);
}

TEST(ListenerIndex, RandomConfigurationsAgainstOracle) {
  std::mt19937 random(1);
  const std::vector<uint32_t> protocols = {SLUICE_IP_TCP, SLUICE_IP_UDP};
  for (int round = 0; round < 30; round++) {
    TestInput input;
    input.config.add_pools()->set_name("pool");
    input.hash_key[0] = static_cast<uint8_t>(round);
    std::vector<Address> addresses = {TestInput::At("192.0.2.99"), TestInput::At("2001:db8::99")};
    for (uint32_t i = 0; i < 1 + random() % 6; i++) {
      const std::string address = random() % 2 == 0 ? absl::StrCat("203.0.113.", i) : absl::StrCat("2001:db8::", i + 1);
      AddRandomAddress(input.config, address, random);
      addresses.push_back(TestInput::At(address));
    }
    Builder builder;
    const auto tables = input.Build(builder);
    ASSERT_NE(tables, nullptr);
    ExpectWellPlaced(*tables);
    for (int i = 0; i < 3000; i++) {
      const Packet packet{addresses[random() % addresses.size()], protocols[random() % 2],
                          static_cast<uint16_t>(1 + random() % 65535)};
      ExpectSameAsOracle(input.config, *tables, packet);
    }
    for (const v1::Listener& listener : input.config.listeners()) {
      for (const v1::PortRange& range : listener.ports()) {
        const Address address = TestInput::At(listener.address());
        for (const uint32_t port : {range.first(), range.last(), range.last() + 1}) {
          if (port > 65535 || random() % 8 != 0) continue;
          ExpectSameAsOracle(input.config, *tables, {address, SLUICE_IP_TCP, static_cast<uint16_t>(port)});
          ExpectSameAsOracle(input.config, *tables, {address, SLUICE_IP_UDP, static_cast<uint16_t>(port)});
        }
      }
    }
    if (::testing::Test::HasFailure()) return;
  }
}

// Of a port, of ports of which each has its key, and of a range.
TEST(ListenerIndex, PoolsAreThoseOfTheRecords) {
  TestInput input;
  for (const char* pool : {"pool", "other"}) input.config.add_pools()->set_name(pool);
  for (int i = 0; i < 2; i++) {
    AddListener(input.config, "203.0.113.1", v1::Listener::TCP);
    v1::Listener& listener = *input.config.mutable_listeners(i);
    const auto first = static_cast<uint32_t>(10000 * (i + 1));
    AddPorts(listener, first, first);
    AddPorts(listener, first + 10, first + 12);
    AddPorts(listener, first + 1000, first + 5000);
  }
  input.config.mutable_listeners(1)->set_pool("other");
  Builder builder;
  const auto tables = input.Build(builder);
  ASSERT_NE(tables, nullptr);
  ASSERT_NE(tables->view().listeners[0].pool, tables->view().listeners[1].pool);
  const Address address = TestInput::At("203.0.113.1");
  for (const uint16_t port : {0, 11, 2000}) {
    // Which compares the pool too.
    EXPECT_EQ(FindInTables(*tables, {address, SLUICE_IP_TCP, static_cast<uint16_t>(10000 + port)}), "l1");
    EXPECT_EQ(FindInTables(*tables, {address, SLUICE_IP_TCP, static_cast<uint16_t>(20000 + port)}), "l2");
  }
}

TEST(ListenerIndex, ManyListenersAreWellPlaced) {
  TestInput input;
  input.config.add_pools()->set_name("pool");
  for (uint32_t i = 0; i < 10000; i++) {
    AddListener(input.config, absl::StrCat("10.1.", i / 256, ".", i % 256), v1::Listener::TCP_UDP);
    v1::Listener& listener = *input.config.mutable_listeners(static_cast<int>(i));
    AddPorts(listener, 80, 80);
    AddPorts(listener, 443, 443);
    AddPorts(listener, 8000, 8008);
  }
  Builder builder;
  const auto tables = input.Build(builder);
  ASSERT_NE(tables, nullptr);
  ExpectWellPlaced(*tables);
  const Address address = TestInput::At("10.1.39.15");
  EXPECT_EQ(FindInTables(*tables, {address, SLUICE_IP_UDP, 8008}), "l10000");
  EXPECT_EQ(FindInTables(*tables, {address, SLUICE_IP_UDP, 8009}), "none");
  // 9,999 of 10,000 addresses times two protocols times eleven ports, and the address itself: 230,000 keys.
  EXPECT_EQ(tables->view().settings->index_mask + 1, 1u << 19) << "half full is enough";
}

// Addresses that differ in one place only, as people number them, each with as many listeners.
TEST(ListenerIndex, NeighboursAreWellPlaced) {
  for (const std::string pattern : {"10.0.0.$", "10.0.$.1", "10.$.0.1", "2001:db8::$", "2001:db8::$:0",
                                    "2001:db8::$:0:0", "2001:db8:0:0:$::1", "2001:db8:0:$::1", "2001:db8:$::1"}) {
    TestInput input;
    input.config.add_pools()->set_name("pool");
    for (uint32_t i = 1; i < 250; i++) {
      AddListener(input.config, absl::StrReplaceAll(pattern, {{"$", absl::StrCat(i)}}), v1::Listener::TCP);
      for (uint32_t port = 1; port < 40; port += 2) AddPorts(*input.config.mutable_listeners()->rbegin(), port, port);
    }
    Builder builder;
    const auto tables = input.Build(builder);
    ASSERT_NE(tables, nullptr) << pattern;
    ExpectWellPlaced(*tables);
    // 250 x 21 keys: no more than 1 MiB.
    EXPECT_EQ(tables->view().settings->index_mask + 1, 1u << 15) << pattern << ": where no key is far from home";
  }
}

TEST(ListenerIndex, MoreRangesThanThePathSearches) {
  TestInput input;
  input.config.add_pools()->set_name("pool");
  for (int i = 0; i < 2; i++) AddListener(input.config, "203.0.113.1", v1::Listener::TCP);
  // 300 ranges of 20 ports, taking turns so that none are joined, among them one of 10,000.
  for (uint32_t i = 0; i < 300; i++) {
    AddPorts(*input.config.mutable_listeners(static_cast<int>(i % 2)), 1000 + 20 * i, 1019 + 20 * i);
  }
  AddPorts(*input.config.mutable_listeners(0), 10000, 19999);
  Builder builder;
  const auto tables = input.Build(builder);
  ASSERT_NE(tables, nullptr);
  for (uint32_t port = 1; port < 21000; port += 3) {
    ExpectSameAsOracle(input.config, *tables,
                       {TestInput::At("203.0.113.1"), SLUICE_IP_TCP, static_cast<uint16_t>(port)});
    if (HasFailure()) return;
  }
  const sluice_address address = sluice_ipv4(SLUICE_32(0xcb007101));
  const sluice_index_entry* ranges =
      sluice_index_find(&tables->view(), tables->view().settings, &address, sluice_index_key(SLUICE_IP_TCP, 0));
  ASSERT_NE(ranges, nullptr);
  EXPECT_EQ(ranges->count, SLUICE_PORT_RANGES);
  // The longest one stays a range.
  EXPECT_EQ(sluice_index_find(&tables->view(), tables->view().settings, &address,
                              sluice_index_key(SLUICE_IP_TCP, SLUICE_16(15000))),
            nullptr);
}

TEST(ListenerIndex, WholePortSpaceIsOneRange) {
  TestInput input;
  input.config.add_pools()->set_name("pool");
  AddListener(input.config, "2001:db8::1", v1::Listener::TCP_UDP);
  AddPorts(*input.config.mutable_listeners(0), 1, 30000);
  AddPorts(*input.config.mutable_listeners(0), 30001, 65535);
  Builder builder;
  const auto tables = input.Build(builder);
  EXPECT_EQ(tables->view().settings->index_mask + 1, 256u);
  for (const int protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
    for (const uint32_t port : {1, 30000, 30001, 65535}) {
      EXPECT_EQ(FindInTables(*tables, {TestInput::At("2001:db8::1"), static_cast<uint32_t>(protocol),
                                       static_cast<uint16_t>(port)}),
                "l1");
    }
  }
}

TEST(ListenerIndex, VirtualAddressesHaveTheirFlags) {
  for (const bool echo : {false, true}) {
    for (const bool announce : {false, true}) {
      TestInput input;
      input.config.add_pools()->set_name("pool");
      AddListener(input.config, "203.0.113.1", v1::Listener::TCP);
      AddPorts(*input.config.mutable_listeners(0), 80, 80);
      input.config.mutable_listeners(0)->set_icmp_echo(echo ? v1::Listener::ANSWER : v1::Listener::DROP);
      input.config.mutable_listeners(0)->set_announce(announce ? v1::Listener::LINK : v1::Listener::NONE);
      Builder builder;
      const auto tables = input.Build(builder);
      const sluice_address address = sluice_ipv4(SLUICE_32(0xcb007101));
      uint32_t flags = 0;
      ASSERT_TRUE(sluice_virtual_find(&tables->view(), tables->view().settings, &address, &flags));
      EXPECT_EQ((flags & SLUICE_VIRTUAL_ECHO) != 0, echo);
      EXPECT_EQ((flags & SLUICE_VIRTUAL_ANNOUNCE) != 0, announce);
    }
  }
}

}  // namespace
}  // namespace sluice
