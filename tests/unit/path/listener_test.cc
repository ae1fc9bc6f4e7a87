#include "sluice/listener.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

using packet_test::HandTables;
using packet_test::PathAddress;

constexpr uint32_t kTcp = SLUICE_IP_TCP;
constexpr uint32_t kUdp = SLUICE_IP_UDP;

struct Found {
  sluice_verdict verdict;
  uint32_t listener;
  bool operator==(const Found&) const = default;
};

Found Find(HandTables& tables, std::string_view address, uint32_t protocol, uint16_t port) {
  sluice_flow flow{};
  flow.destination = PathAddress(address);
  flow.destination_port = SLUICE_16(port);
  flow.protocol = protocol;
  Found found{SLUICE_CONTINUE, SLUICE_NO_LISTENER};
  uint32_t pool = 12345;
  found.verdict = sluice_listener_find(&tables.view(), tables.view().settings, &flow, &found.listener, &pool);
  if (found.verdict == SLUICE_CONTINUE) {
    EXPECT_EQ(pool, tables.view().listeners[found.listener].pool);
  }
  return found;
}

constexpr Found kNotVirtual{SLUICE_VERDICT_pass_not_virtual, SLUICE_NO_LISTENER};
constexpr Found kNoListener{SLUICE_VERDICT_no_listener, SLUICE_NO_LISTENER};

TEST(ListenerTest, ExactThenRangesThenVirtual) {
  HandTables tables;
  tables.AddVirtual("203.0.113.10");
  const uint32_t web = tables.AddListener("203.0.113.10", kTcp, 80, 3);
  const uint32_t low = tables.AddRanges("203.0.113.10", kTcp, {{70, 90}, {8000, 8099}, {65535, 65535}}, 4);
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 80), (Found{SLUICE_CONTINUE, web}));
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 81), (Found{SLUICE_CONTINUE, low}));
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 8000), (Found{SLUICE_CONTINUE, low + 1}));
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 8099), (Found{SLUICE_CONTINUE, low + 1}));
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 65535), (Found{SLUICE_CONTINUE, low + 2}));
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 8100), kNoListener);
  EXPECT_EQ(Find(tables, "203.0.113.10", kUdp, 80), kNoListener);
  EXPECT_EQ(Find(tables, "203.0.113.11", kTcp, 80), kNotVirtual);
  EXPECT_EQ(Find(tables, "::", kTcp, 80), kNotVirtual);
}

TEST(ListenerTest, EmptyTables) {
  HandTables tables(1);
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 80), kNotVirtual);
}

// The address's family is part of it: 203.0.113.10 is not ::cb00:710a.
TEST(ListenerTest, FamiliesDoNotMeet) {
  HandTables tables;
  tables.AddListener("203.0.113.10", kTcp, 80, 0);
  EXPECT_EQ(Find(tables, "::203.0.113.10", kTcp, 80), kNotVirtual);
}

// Every port of every number of ranges, against walking through them.
TEST(ListenerTest, RangesLikeALinearSearch) {
  std::mt19937 random(1);
  for (const uint32_t count : {1u, 2u, 3u, 7u, 64u, 127u, static_cast<uint32_t>(SLUICE_PORT_RANGES)}) {
    std::set<uint16_t> edges;
    while (edges.size() < 2 * count) edges.insert(static_cast<uint16_t>(1 + random() % 65535));
    std::vector<std::pair<uint16_t, uint16_t>> ranges;
    for (auto edge = edges.begin(); edge != edges.end(); std::advance(edge, 2)) {
      ranges.emplace_back(*edge, random() % 4 == 0 ? *edge : *std::next(edge));
    }
    HandTables tables;
    tables.AddVirtual("203.0.113.10");
    tables.AddRanges("203.0.113.9", kTcp, {{1, 65535}}, 0);
    const uint32_t first = tables.AddRanges("203.0.113.10", kTcp, ranges, 0);
    for (uint32_t port = 1; port < 65536; port++) {
      Found expected = kNoListener;
      for (uint32_t i = 0; i < ranges.size(); i++) {
        if (port >= ranges[i].first && port <= ranges[i].second) expected = {SLUICE_CONTINUE, first + i};
      }
      ASSERT_EQ(Find(tables, "203.0.113.10", kTcp, static_cast<uint16_t>(port)), expected) << port;
    }
  }
}

// A full index with long probe sequences, against a map.
TEST(ListenerTest, IndexLikeAMap) {
  std::mt19937 random(2);
  HandTables tables(4096);
  std::map<std::tuple<std::string, uint32_t, uint16_t>, uint32_t> map;
  for (int i = 0; i < 500; i++) {
    const std::string address =
        random() % 2 ? absl::StrCat("203.0.113.", random() % 16) : absl::StrCat("2001:db8::", absl::Hex(random() % 16));
    const uint32_t protocol = random() % 2 ? kTcp : kUdp;
    const auto port = static_cast<uint16_t>(1 + random() % 100);
    if (map.contains({address, protocol, port})) continue;
    map[{address, protocol, port}] = tables.AddListener(address, protocol, port, 0);
  }
  for (int last = 0; last < 16; last++) {
    for (const std::string& address : {absl::StrCat("203.0.113.", last), absl::StrCat("2001:db8::", absl::Hex(last))}) {
      for (const uint32_t protocol : {kTcp, kUdp}) {
        for (uint16_t port = 1; port <= 100; port++) {
          const auto listener = map.find({address, protocol, port});
          ASSERT_EQ(Find(tables, address, protocol, port),
                    listener == map.end() ? kNotVirtual : (Found{SLUICE_CONTINUE, listener->second}));
        }
      }
    }
  }
}

// Where no entry is empty a miss ends all the same.
TEST(ListenerTest, ProbesAreBounded) {
  HandTables tables(16);
  for (uint16_t port = 1; port <= 16; port++) tables.AddListener("203.0.113.10", kTcp, port, 0);
  for (uint16_t port = 1; port <= 16; port++) {
    EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, port), (Found{SLUICE_CONTINUE, port - 1u}));
  }
  EXPECT_EQ(Find(tables, "203.0.113.10", kTcp, 17), kNotVirtual);
}

TEST(SourceTest, AddressesThatNoClientHas) {
  HandTables tables;
  tables.AddVirtual("203.0.113.10");
  tables.AddVirtual("2001:db8::10");
  const auto bad = [&](std::string_view text) {
    const sluice_address address = PathAddress(text);
    return sluice_source_is_bad(&tables.view(), &address);
  };
  for (const char* address : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.2.3",
                              "240.0.0.1", "255.255.255.255", "203.0.113.10", "::", "::1", "ff02::1", "2001:db8::10"}) {
    EXPECT_TRUE(bad(address)) << address;
  }
  for (const char* address : {"1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255", "203.0.113.11", "10.0.0.1",
                              "::2", "fe80::1", "fd00::1", "2001:db8::11", "::1.0.0.1"}) {
    EXPECT_FALSE(bad(address)) << address;
  }
}

}  // namespace
}  // namespace sluice::path_test
