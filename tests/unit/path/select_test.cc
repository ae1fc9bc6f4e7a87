#include "sluice/select.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "sluice/unplaced.h"
#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

constexpr auto kNone = static_cast<uint32_t>(SLUICE_NO_BACKEND);

// A worker's own memory, and one pool with a listener.
class SelectTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlots = 16;

  uint32_t AddPool(const std::vector<uint32_t>& slots, sluice_algorithm algorithm) {
    return AddListener(tables_.AddPool(slots, algorithm));
  }
  uint32_t AddListener(uint32_t pool) {
    return tables_.AddListener("203.0.113.10", SLUICE_IP_TCP, static_cast<uint16_t>(80 + listeners_++), pool);
  }
  uint32_t Select(uint32_t listener, uint64_t hash, const sluice_flow& flow = {}, uint32_t own = 0) {
    sluice_packet packet{};
    packet.flow = flow;
    return SelectFor(listener, hash, packet, own);
  }
  uint32_t SelectFor(uint32_t listener, uint64_t hash, const sluice_packet& packet, uint32_t own = 0) {
    const sluice_selector selector{own,     0,      cursors_.at(own).data(), loads_.data(), traffic_.data(), nullptr, 0,
                                   nullptr, nullptr};
    return sluice_select(&tables_.view(), &selector, listener, &packet, hash);
  }
  // The verdict for a new flow without a place; *slot is what it has selected, and then where it goes.
  int Unplaced(uint32_t listener, uint64_t hash, const sluice_packet& packet, uint32_t* slot) {
    const sluice_selector selector{0,       0,      cursors_[0].data(), loads_.data(), traffic_.data(), nullptr, 0,
                                   nullptr, nullptr};
    sluice_unplaced flow{hash, listener, *slot};
    const int verdict = sluice_admit_unplaced(&tables_.view(), &selector, &packet, &flow);
    *slot = flow.slot;
    return verdict;
  }
  void Open(uint32_t slot) { traffic_[slot].new_flows++; }

  packet_test::HandTables tables_;
  uint16_t listeners_ = 0;
  std::array<std::array<sluice_cursor, 4>, 2> cursors_{};
  std::array<sluice_load, kSlots> loads_{};
  std::array<sluice_traffic, kSlots> traffic_{};
  std::mt19937_64 random_{1};
};

TEST_F(SelectTest, MaglevSharesOfTheTable) {
  const uint32_t alone = AddPool({7, 7, 7}, SLUICE_MAGLEV);
  std::vector<uint32_t> slots(997, 1);
  for (size_t i = 0; i < slots.size() / 4; i++) slots[i] = 2;
  const uint32_t listener = AddPool(slots, SLUICE_MAGLEV);
  uint32_t twos = 0;
  constexpr uint32_t kFlows = 100000;
  for (uint32_t i = 0; i < kFlows; i++) {
    const uint32_t slot = Select(listener, random_());
    ASSERT_TRUE(slot == 1 || slot == 2);
    twos += slot == 2;
  }
  EXPECT_NEAR(twos, kFlows * 249.0 / 997, 800);
  EXPECT_EQ(Select(alone, 0), 7u);
  EXPECT_EQ(Select(alone, ~0ull), 7u);
}

TEST_F(SelectTest, EmptyPools) {
  for (const auto algorithm : {SLUICE_MAGLEV, SLUICE_SOURCE_HASH, SLUICE_ROUND_ROBIN, SLUICE_RANDOM}) {
    EXPECT_EQ(Select(AddPool({}, algorithm), 1), kNone) << algorithm;
  }
}

TEST_F(SelectTest, PoolsOfOnePlace) {
  for (const auto algorithm : {SLUICE_ROUND_ROBIN, SLUICE_RANDOM, SLUICE_LEAST_CONNECTIONS}) {
    const uint32_t listener = AddPool({5}, algorithm);
    for (uint64_t i = 0; i < 4; i++) EXPECT_EQ(Select(listener, random_()), 5u) << algorithm;
  }
}

TEST_F(SelectTest, SourceHashKnowsTheSourceAlone) {
  const uint32_t listener = AddPool({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, SLUICE_SOURCE_HASH);
  std::map<uint32_t, uint32_t> count;
  for (uint32_t client = 0; client < 1000; client++) {
    sluice_flow flow{.source = sluice_ipv4(client), .destination = packet_test::PathAddress("203.0.113.10")};
    const uint32_t slot = Select(listener, random_(), flow);
    count[slot]++;
    flow.destination = packet_test::PathAddress("203.0.113.11");
    flow.ports = static_cast<uint32_t>(random_());
    flow.protocol = SLUICE_IP_UDP;
    EXPECT_EQ(Select(listener, random_(), flow), slot);
  }
  EXPECT_EQ(count.size(), 11u);
}

TEST_F(SelectTest, AffinityOfMaglev) {
  const uint32_t listener = AddPool({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, SLUICE_MAGLEV);
  tables_.listener(listener).flags = SLUICE_LISTENER_BY_SOURCE | SLUICE_LISTENER_BY_DESTINATION;
  uint32_t moved = 0;
  for (uint32_t client = 0; client < 200; client++) {
    sluice_flow flow{.source = sluice_ipv4(client), .destination = packet_test::PathAddress("203.0.113.10")};
    const uint32_t slot = Select(listener, random_(), flow);
    flow.ports = static_cast<uint32_t>(random_());
    EXPECT_EQ(Select(listener, random_(), flow), slot);
    flow.destination = packet_test::PathAddress("203.0.113.11");
    moved += Select(listener, random_(), flow) != slot;
  }
  EXPECT_GT(moved, 150u);
}

TEST_F(SelectTest, RoundRobinGoesThroughTheSequence) {
  const uint32_t listener = AddPool({3, 1, 3, 2}, SLUICE_ROUND_ROBIN);
  std::vector<uint32_t> slots;
  for (uint32_t i = 0; i < 9; i++) slots.push_back(Select(listener, 0));
  EXPECT_EQ(slots, (std::vector<uint32_t>{3, 1, 3, 2, 3, 1, 3, 2, 3}));
  // Another worker begins elsewhere, and goes on in its own rounds.
  slots.clear();
  for (uint32_t i = 0; i < 4; i++) slots.push_back(Select(listener, 0, {}, 1));
  EXPECT_EQ(slots, (std::vector<uint32_t>{3, 2, 3, 1}));
  EXPECT_EQ(Select(listener, 0), 1u);
}

TEST_F(SelectTest, RoundRobinOfAShorterSequence) {
  const uint32_t listener = AddPool({3, 1}, SLUICE_ROUND_ROBIN);
  cursors_[0][0].place = 77;
  EXPECT_EQ(Select(listener, 0), 3u);
  EXPECT_EQ(Select(listener, 0), 1u);
  EXPECT_EQ(Select(listener, 0), 3u);
}

// Beside the plainest of oracles: all backends are looked at, so none has fewer flows by weight than the one selected.
TEST_F(SelectTest, LeastConnectionsOfFewBackends) {
  const uint32_t listener = AddPool({0, 1, 2, 3, 4, 5, 6, 7}, SLUICE_LEAST_CONNECTIONS);
  for (uint32_t slot = 0; slot < 8; slot++) {
    loads_[slot].weight = 1 + slot;
    loads_[slot].others = static_cast<int32_t>(random_() % 100);
  }
  loads_[4].others = -5;
  for (uint32_t i = 0; i < 10000; i++) {
    const uint32_t selected = Select(listener, random_());
    ASSERT_LT(selected, 8u);
    const auto cost = [this](uint32_t slot) {
      const int64_t flows = static_cast<int64_t>(traffic_[slot].new_flows - traffic_[slot].ended) + loads_[slot].others;
      return static_cast<double>(std::max<int64_t>(flows, 0) + 1) / loads_[slot].weight;
    };
    for (uint32_t slot = 0; slot < 8; slot++) ASSERT_GE(cost(slot) * (1 + 1e-9), cost(selected)) << i;
    Open(selected);
    if (random_() % 2 == 0) traffic_[random_() % 8].ended++;
  }
}

TEST_F(SelectTest, LeastConnectionsWithoutWeights) {
  const uint32_t listener = AddPool({0, 1, 2}, SLUICE_LEAST_CONNECTIONS);
  for (uint32_t i = 0; i < 300; i++) Open(Select(listener, random_()));
  for (uint32_t slot = 0; slot < 3; slot++) EXPECT_EQ(traffic_[slot].new_flows, 100u);
}

TEST_F(SelectTest, LeastTimeWeighsFlowsByTime) {
  const uint32_t listener = AddPool({0, 1, 2}, SLUICE_LEAST_TIME);
  for (uint32_t slot = 0; slot < 3; slot++) loads_[slot].latency = slot == 2 ? 10000 : 1000;
  for (uint32_t i = 0; i < 2100; i++) Open(Select(listener, random_()));
  EXPECT_NEAR(static_cast<double>(traffic_[0].new_flows), 1000, 2);
  EXPECT_NEAR(static_cast<double>(traffic_[2].new_flows), 100, 2);
}

// The largest of everything does not wrap around.
TEST_F(SelectTest, LeastTimeOfTheLargest) {
  const uint32_t listener = AddPool({0, 1}, SLUICE_LEAST_TIME);
  loads_[0] = {INT32_MAX, 65535, 0xfffff, 0};
  loads_[1] = {INT32_MAX, 65534, 0xfffff, 0};
  for (uint32_t i = 0; i < 100; i++) EXPECT_EQ(Select(listener, random_()), 0u);
}

// Two at random: the fullest of all is selected only where both are it.
TEST_F(SelectTest, RandomTakesTheLessLoadedOfTwo) {
  const uint32_t listener = AddPool({0, 1, 2, 3}, SLUICE_RANDOM);
  loads_[3].others = 100;
  std::array<uint32_t, 4> count{};
  constexpr uint32_t kFlows = 30000;
  for (uint32_t i = 0; i < kFlows; i++) count.at(Select(listener, random_()))++;
  EXPECT_EQ(count[3], 0u);
  for (uint32_t slot = 0; slot < 3; slot++) EXPECT_NEAR(count.at(slot), kFlows / 3, 500);
}

constexpr auto kFull = static_cast<uint32_t>(SLUICE_BACKENDS_FULL);
constexpr sluice_algorithm kAll[] = {SLUICE_MAGLEV, SLUICE_SOURCE_HASH,       SLUICE_ROUND_ROBIN,
                                     SLUICE_RANDOM, SLUICE_LEAST_CONNECTIONS, SLUICE_LEAST_TIME};

// Up to its limit each backend is filled, whichever way flows come to it, then they are refused.
TEST_F(SelectTest, LimitsHoldAndAreReached) {
  for (const sluice_algorithm algorithm : kAll) {
    const uint32_t listener = AddListener(tables_.AddLimitedPool({1, 2, 1, 3, 1}, algorithm));
    traffic_ = {};
    for (uint32_t slot = 1; slot <= 3; slot++) loads_[slot].limit = 10 * slot;
    for (uint32_t i = 0; i < 60; i++) {
      const uint32_t slot = Select(listener, random_(), {.source = sluice_ipv4(i)});
      ASSERT_TRUE(slot != kFull && slot != kNone) << algorithm << " after " << i;
      Open(slot);
    }
    for (uint32_t slot = 1; slot <= 3; slot++) EXPECT_EQ(traffic_.at(slot).new_flows, 10 * slot) << algorithm;
    EXPECT_EQ(Select(listener, random_()), kFull) << algorithm;
    traffic_[2].ended++;
    EXPECT_EQ(Select(listener, random_()), 2u) << algorithm;
  }
}

TEST_F(SelectTest, FlowsOfAFullBackendSpreadOverAllOthers) {
  const uint32_t listener = AddListener(tables_.AddLimitedPool({0, 1, 2, 3, 4}, SLUICE_MAGLEV));
  loads_[0] = {5, 0, 0, 5};
  std::array<uint32_t, 5> count{};
  constexpr uint32_t kFlows = 50000;
  for (uint32_t i = 0; i < kFlows; i++) count.at(Select(listener, random_()))++;
  EXPECT_EQ(count[0], 0u);
  for (uint32_t slot = 1; slot < 5; slot++) EXPECT_GT(count.at(slot), kFlows / 5 - 500) << slot;
  // The one behind the full one gets no more than others.
  EXPECT_LT(count[1], kFlows / 3);
}

TEST_F(SelectTest, SoftLimitsGiveWayAndHardOnesDoNot) {
  const uint32_t listener = AddListener(tables_.AddLimitedPool({0, 1, 2}, SLUICE_MAGLEV));
  for (uint32_t slot = 0; slot < 3; slot++) loads_[slot] = {7, 0, 0, 7};
  loads_[1].limit |= SLUICE_LIMIT_SOFT;
  for (uint32_t i = 0; i < 100; i++) ASSERT_EQ(Select(listener, random_()), 1u);
  // Of several, the least loaded.
  loads_[0] = {6, 0, 0, 5 | SLUICE_LIMIT_SOFT};
  for (uint32_t i = 0; i < 100; i++) ASSERT_EQ(Select(listener, random_()), 0u);
  loads_[2].others = 6;
  for (uint32_t i = 0; i < 100; i++) ASSERT_EQ(Select(listener, random_()), 2u);
}

// It is no new connection: another node may have it.
TEST_F(SelectTest, PacketsFromTheMidstOfAConnectionGoByHashAlone) {
  const uint32_t listener = AddListener(tables_.AddLimitedPool({0, 1, 2}, SLUICE_MAGLEV));
  loads_[0] = {1, 0, 0, 1};
  sluice_packet packet{};
  packet.flow.protocol = SLUICE_IP_TCP;
  uint64_t hash = 0;
  while (SelectFor(listener, hash, packet) != 0) hash = random_();
  packet.flags = SLUICE_PACKET_SYN;
  EXPECT_NE(SelectFor(listener, hash, packet), 0u);
}

// Nine of ten flows go to the first pool; and in each pool, all backends get the same.
TEST_F(SelectTest, ASplitSharesFlowsAmongPoolsAndEachPoolAmongItsBackends) {
  const uint32_t blue = tables_.AddPool({0, 1, 2, 3}, SLUICE_MAGLEV);
  const uint32_t green = tables_.AddPool({4, 5, 6, 7}, SLUICE_MAGLEV);
  std::vector<uint32_t> places(1000, blue);
  std::fill(places.begin() + 300, places.begin() + 400, green);
  const uint32_t listener = AddListener(tables_.AddSplit(places, {blue, green}, 2));
  constexpr double kFlows = 400000;
  std::array<uint32_t, 8> count{};
  for (uint32_t i = 0; i < kFlows; i++) count.at(Select(listener, random_()))++;
  for (uint32_t slot = 0; slot < 8; slot++) {
    const double share = slot < 4 ? 0.225 : 0.025;
    EXPECT_NEAR(count.at(slot), kFlows * share, 4 * std::sqrt(kFlows * share * (1 - share))) << slot;
  }
}

TEST_F(SelectTest, ASplitOfOtherPlacesMovesTheirFlowsAlone) {
  const uint32_t blue = tables_.AddPool({0, 1, 2}, SLUICE_MAGLEV);
  const uint32_t green = tables_.AddPool({3}, SLUICE_MAGLEV);
  std::vector<uint32_t> places(4099, blue);
  for (size_t i = 0; i < 200; i++) places[(i * 1237) % places.size()] = green;
  const uint32_t before = AddListener(tables_.AddSplit(places, {blue, green}, 2));
  for (size_t i = 200; i < 400; i++) places[(i * 1237) % places.size()] = green;
  const uint32_t after = AddListener(tables_.AddSplit(places, {blue, green}, 2));
  constexpr uint32_t kFlows = 100000;
  uint32_t moved = 0;
  for (uint32_t i = 0; i < kFlows; i++) {
    const uint64_t hash = random_();
    const uint32_t from = Select(before, hash);
    const uint32_t to = Select(after, hash);
    if (from == to) continue;
    moved++;
    ASSERT_NE(from, 3u);
    ASSERT_EQ(to, 3u);
  }
  EXPECT_NEAR(moved, kFlows * 200.0 / 4099, 300);
}

TEST_F(SelectTest, ASplitHasAnAffinityWhateverItsPoolsAlgorithms) {
  const uint32_t turns = tables_.AddPool({0, 1}, SLUICE_ROUND_ROBIN);
  const uint32_t least = tables_.AddPool({2, 3}, SLUICE_LEAST_CONNECTIONS);
  const uint32_t listener = AddListener(tables_.AddSplit({turns, least}, {turns, least}, 2));
  tables_.listener(listener).flags = SLUICE_LISTENER_BY_SOURCE;
  uint32_t of_turns = 0;
  for (uint32_t client = 0; client < 400; client++) {
    sluice_flow flow{.source = sluice_ipv4(client), .destination = packet_test::PathAddress("203.0.113.10")};
    const bool first = Select(listener, random_(), flow) < 2;
    for (int i = 0; i < 10; i++) {
      flow.ports = static_cast<uint32_t>(random_());
      ASSERT_EQ(Select(listener, random_(), flow) < 2, first);
    }
    of_turns += first;
  }
  EXPECT_NEAR(of_turns, 200, 40);
}

TEST_F(SelectTest, WhoFindsAPoolOfASplitFullGoesToTheNextThatTakesFlows) {
  const uint32_t blue = tables_.AddLimitedPool({0, 1}, SLUICE_MAGLEV);
  const uint32_t green = tables_.AddLimitedPool({2}, SLUICE_ROUND_ROBIN);
  const uint32_t red = tables_.AddPool({3}, SLUICE_MAGLEV);
  const uint32_t white = tables_.AddPool({4}, SLUICE_MAGLEV);
  const uint32_t listener = AddListener(tables_.AddSplit({blue, blue, blue, green, red}, {green, blue, red, white}, 3));
  const uint32_t closed = AddListener(tables_.AddSplit({blue, green}, {green, blue, white}, 2));
  for (const uint32_t slot : {0, 1}) loads_[slot].limit = 1;
  loads_[2].limit = 1000;
  Open(0);
  std::array<uint32_t, 5> count{};
  for (uint32_t i = 0; i < 10000; i++) count.at(Select(listener, random_()))++;
  EXPECT_EQ(count[0], 0u);
  EXPECT_NEAR(count[1], 6000, 300) << "blue has room";
  Open(1);
  count = {};
  for (uint32_t i = 0; i < 10000; i++) count.at(Select(listener, random_()))++;
  EXPECT_NEAR(count[2], 8000, 300) << "those of blue as well";
  EXPECT_NEAR(count[3], 2000, 300);
  loads_[2].limit = 1;
  Open(2);
  for (uint32_t i = 0; i < 100; i++) EXPECT_EQ(Select(listener, random_()), 3u);
  for (uint32_t i = 0; i < 100; i++) EXPECT_EQ(Select(closed, random_()), kFull) << "white has no share";
}

// Packets in the midst of a flow and ICMP errors about it, of which none finds an entry, follow its first one, whatever
// has happened to loads and turns meanwhile.
TEST_F(SelectTest, PacketsOfAFlowWithoutAPlaceGoTheSameWay) {
  std::vector<uint32_t> listeners;
  for (const sluice_algorithm algorithm : kAll) {
    listeners.push_back(AddPool({0, 1, 2, 3, 4, 5, 6}, algorithm));
    listeners.push_back(AddListener(tables_.AddLimitedPool({0, 1, 2, 3, 4, 5, 6}, algorithm)));
  }
  const uint32_t turns = tables_.AddPool({0, 1, 2}, SLUICE_ROUND_ROBIN);
  const uint32_t least = tables_.AddPool({3, 4, 5}, SLUICE_LEAST_CONNECTIONS);
  listeners.push_back(AddListener(tables_.AddSplit({turns, least, turns}, {turns, least}, 2)));
  for (const uint32_t listener : listeners) {
    std::array<uint32_t, 7> count{};
    for (int i = 0; i < 500; i++) {
      const uint64_t hash = random_();
      sluice_packet packet{};
      packet.flow.source = sluice_ipv4(static_cast<uint32_t>(random_()));
      packet.flow.protocol = SLUICE_IP_TCP;
      packet.flags = SLUICE_PACKET_SYN;
      loads_.at(random_() % 7) = {static_cast<int32_t>(random_() % 9), 0, 0, 5 | SLUICE_LIMIT_SOFT};
      uint32_t first = SelectFor(listener, hash, packet);
      ASSERT_EQ(Unplaced(listener, hash, packet, &first), SLUICE_CONTINUE);
      count.at(first)++;
      packet.flags = 0;
      loads_.at(first) = {1000, 0, 0, 5 | SLUICE_LIMIT_SOFT};
      for (const uint8_t kind : {SLUICE_PACKET_FLOW, SLUICE_PACKET_ICMP_ERROR}) {
        packet.kind = kind;
        uint32_t next = SelectFor(listener, hash, packet);
        ASSERT_EQ(next, first) << listener;
        ASSERT_EQ(Unplaced(listener, hash, packet, &next), SLUICE_CONTINUE);
        ASSERT_EQ(next, first) << listener;
      }
    }
    for (uint32_t slot = 0; slot < 6; slot++) EXPECT_GT(count.at(slot), 30u) << listener;
  }
}

// Nobody would count them.
TEST_F(SelectTest, FlowsWithoutAPlaceAreRefusedWhereTheyAreToBeCounted) {
  const uint32_t limited = AddListener(tables_.AddLimitedPool({3}, SLUICE_MAGLEV));
  const uint32_t listener = AddPool({3}, SLUICE_MAGLEV);
  sluice_packet packet{};
  uint32_t slot = 3;
  loads_[3] = {0, 0, 0, 5};
  EXPECT_EQ(Unplaced(limited, 1, packet, &slot), SLUICE_VERDICT_backends_full);
  loads_[3].limit |= SLUICE_LIMIT_SOFT;
  EXPECT_EQ(Unplaced(limited, 1, packet, &slot), SLUICE_CONTINUE);
  tables_.Admit(listener, {.flags = SLUICE_ACCESS_LIMITED}, {});
  EXPECT_EQ(Unplaced(listener, 1, packet, &slot), SLUICE_VERDICT_listener_full);
  tables_.Admit(listener, {.flags = SLUICE_ACCESS_LIMITED | SLUICE_ACCESS_TELLS}, {});
  EXPECT_EQ(Unplaced(listener, 1, packet, &slot), SLUICE_VERDICT_replied_listener_full);
  packet.flow.protocol = SLUICE_IP_TCP;
  EXPECT_EQ(Unplaced(listener, 1, packet, &slot), SLUICE_CONTINUE) << "in the midst of what was counted elsewhere";
  packet.flags = SLUICE_PACKET_SYN;
  EXPECT_EQ(Unplaced(AddPool({}, SLUICE_MAGLEV), 1, packet, &slot), SLUICE_VERDICT_no_backend);
}

TEST_F(SelectTest, ASplitWithoutPlaces) {
  const uint32_t blue = tables_.AddPool({0}, SLUICE_MAGLEV);
  EXPECT_EQ(Select(AddListener(tables_.AddSplit({}, {blue}, 0)), 1), kNone);
}

}  // namespace
}  // namespace sluice::path_test
