#include "engine/loads.h"

#include <gtest/gtest.h>

#include <array>

namespace sluice {
namespace {

// Two workers and one backend, in slot 3; a sweep takes a hundred calls.
class LoadsTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlot = 3;
  using Traffic = std::array<sluice_traffic, 8>;
  using Told = std::array<sluice_load, 8>;

  LoadsTest() {
    connections_.active_of_slot.resize(8);
    sessions_.active_of_slot.resize(8);
  }
  std::vector<LoadedWorker> Workers() {
    return {{traffic_[0].data(), told_[0].data(), 8}, {traffic_[1].data(), told_[1].data(), 8}};
  }
  void Follow(uint32_t weight, bool translates = false) {
    loads_.Follow({{kSlot, weight, translates}}, {}, Workers(), gone_);
  }
  void Tell() { loads_.Tell(Workers(), gone_, connections_, sessions_); }
  void Open(uint32_t worker, uint64_t flows) { traffic_.at(worker)[kSlot].new_flows += flows; }
  void End(uint32_t worker, uint64_t flows) { traffic_.at(worker)[kSlot].ended += flows; }
  // What the worker takes for the number of active flows.
  int64_t SeenBy(uint32_t worker) const {
    const sluice_traffic& traffic = traffic_.at(worker)[kSlot];
    return static_cast<int64_t>(traffic.new_flows - traffic.ended) + told_.at(worker)[kSlot].others;
  }
  // A whole sweep; `change` happens in the midst of it, when the sweep has found `found` flows by its end.
  template <typename Change>
  void Sweep(uint32_t found, Change change) {
    for (int i = 0; i < 50; i++) Tell();
    change();
    for (int i = 0; i < 49; i++) Tell();
    connections_.active_of_slot[kSlot] = found;
    connections_.sweeps++;
    Tell();
  }

  Loads loads_;
  std::array<Traffic, 2> traffic_{};
  std::array<Told, 2> told_{};
  std::vector<sluice_traffic> gone_;
  Engine::Occupancy connections_;
  Engine::SessionOccupancy sessions_;
};

TEST_F(LoadsTest, WorkersHearOfEachOther) {
  Follow(5);
  EXPECT_EQ(told_[1][kSlot].weight, 5u);
  Open(0, 10);
  Open(1, 1);
  EXPECT_EQ(SeenBy(0), 10);
  EXPECT_EQ(SeenBy(1), 1);
  Tell();
  EXPECT_EQ(SeenBy(0), 11);
  EXPECT_EQ(SeenBy(1), 11);
  Open(0, 4);
  End(1, 2);
  Tell();
  EXPECT_EQ(SeenBy(0), 13);
  EXPECT_EQ(SeenBy(1), 13);
}

TEST_F(LoadsTest, ASlotThatHasBeenAnothers) {
  Open(0, 30);
  gone_.resize(8);
  gone_[kSlot].new_flows = 9;
  // What is left of them: most have not been seen to end.
  connections_.active_of_slot[kSlot] = 4;
  Follow(1);
  Open(1, 2);
  Tell();
  EXPECT_EQ(SeenBy(0), 6);
  EXPECT_EQ(SeenBy(1), 6);
}

TEST_F(LoadsTest, TheSweepFindsWhatNobodyHasSeenEnd) {
  Follow(1);
  Tell();
  Open(0, 1000);
  Open(1, 500);
  Tell();
  EXPECT_EQ(SeenBy(1), 1500);
  Sweep(1500, [] {});
  // Three hundred of them have expired.
  Sweep(1200, [] {});
  EXPECT_EQ(SeenBy(0), 1200);
  EXPECT_EQ(SeenBy(1), 1200);
  // What comes in the second half of a sweep is not counted twice, nor forgotten.
  Sweep(1200, [this] { Open(0, 70); });
  EXPECT_EQ(SeenBy(1), 1270);
  Sweep(1270, [this] { End(0, 200); });
  EXPECT_EQ(SeenBy(0), 1070);
}

TEST_F(LoadsTest, TheFirstSweepFindsWhatWasThereBefore) {
  Follow(1);
  Tell();
  Open(0, 5);
  EXPECT_EQ(SeenBy(1), 0);
  // It has seen three of the five; others have come and gone.
  Sweep(23, [this] {
    Open(1, 30);
    End(1, 30);
  });
  EXPECT_EQ(SeenBy(0), 23);
  Sweep(25, [] {});
  EXPECT_EQ(SeenBy(0), 25);
  EXPECT_EQ(SeenBy(1), 25);
}

// A sweep that has been over some of their places is no reason to think that they have ended.
TEST_F(LoadsTest, AllThatBeginInASweepAreThere) {
  for (const uint32_t flows : {8u, 1000u}) {
    SCOPED_TRACE(flows);
    loads_ = {};
    traffic_ = {};
    connections_.sweeps = 0;
    connections_.active_of_slot[kSlot] = 0;
    Follow(1);
    Tell();
    Open(0, flows);
    Sweep(flows / 2, [] {});
    EXPECT_EQ(SeenBy(1), flows);
    Sweep(flows, [] {});
    EXPECT_EQ(SeenBy(1), flows);
    Sweep(2 * flows - flows / 4, [=, this] { Open(1, flows); });
    EXPECT_EQ(SeenBy(0), 2 * flows);
  }
}

TEST_F(LoadsTest, WhatIsFoundTwiceWhileFlowsComeIsTaken) {
  Follow(1);
  Tell();
  Open(0, 1000);
  Sweep(1000, [] {});
  // Four hundred expire, and then a hundred.
  Sweep(600, [this] { Open(0, 1); });
  EXPECT_EQ(SeenBy(0), 1001);
  Sweep(500, [this] { Open(0, 1); });
  EXPECT_EQ(SeenBy(0), 602);
  Sweep(502, [this] { Open(0, 1); });
  EXPECT_EQ(SeenBy(0), 503);
  // So many that expire with each sweep are known with the next one.
  for (uint32_t left = 400; left > 0; left -= 100) Sweep(left, [this] { Open(0, 1); });
  EXPECT_NEAR(static_cast<double>(SeenBy(0)), 200, 10);
}

TEST_F(LoadsTest, WhatMayBeChanceIsTakenSlowly) {
  Follow(1);
  Tell();
  const auto turnover = [this] {
    Open(0, 100);
    End(0, 100);
  };
  Open(0, 100);
  Sweep(100, turnover);
  EXPECT_EQ(SeenBy(0), 100);
  Sweep(116, turnover);
  EXPECT_EQ(SeenBy(0), 102);
  for (int i = 0; i < 40; i++) Sweep(100, turnover);
  EXPECT_EQ(SeenBy(0), 100);
  // And that they are few is no reason to be wrong for ever.
  End(0, 97);
  for (int i = 0; i < 40; i++) Sweep(0, turnover);
  EXPECT_EQ(SeenBy(0), 0);
}

TEST_F(LoadsTest, NeverLessThanNone) {
  Follow(1);
  Tell();
  End(0, 3);
  Tell();
  EXPECT_EQ(SeenBy(0), 0);
  EXPECT_EQ(SeenBy(1), 0);
}

TEST_F(LoadsTest, AWorkerThatIsNoMore) {
  Follow(1);
  Tell();
  Open(0, 10);
  Open(1, 5);
  Tell();
  gone_.resize(8);
  gone_[kSlot] = traffic_[0][kSlot];
  traffic_[0][kSlot] = {};
  told_[0][kSlot] = {};
  Tell();
  EXPECT_EQ(SeenBy(0), 15);
  EXPECT_EQ(SeenBy(1), 15);
  EXPECT_EQ(told_[0][kSlot].weight, 1u);
}

TEST_F(LoadsTest, SessionsHaveTheirOwnSweep) {
  Follow(1, true);
  Tell();
  Open(0, 1000);
  connections_.active_of_slot[kSlot] = 7777;
  sessions_.active_of_slot[kSlot] = 800;
  for (int sweep = 0; sweep < 2; sweep++) {
    for (int i = 0; i < 60; i++) Tell();
    connections_.sweeps++;
    sessions_.sweeps++;
    Tell();
  }
  EXPECT_EQ(SeenBy(1), 800);
}

TEST_F(LoadsTest, LatenciesStayUntilTheyAreToldAnew) {
  Follow(1);
  loads_.SetLatencies(std::vector<BackendLatency>{{kSlot, 1500}, {5, 9}}, Workers());
  EXPECT_EQ(told_[0][kSlot].latency, 1500u);
  EXPECT_EQ(told_[0][5].latency, 0u);
  Follow(2);
  EXPECT_EQ(told_[1][kSlot].latency, 1500u);
  EXPECT_EQ(told_[1][kSlot].weight, 2u);
  loads_.SetLatencies(std::vector<BackendLatency>{{kSlot, 10'000'000}}, Workers());
  EXPECT_EQ(told_[1][kSlot].latency, 0xfffffu);
}

TEST_F(LoadsTest, AWorkerWithoutRoomForTheSlot) {
  std::vector<LoadedWorker> workers = Workers();
  workers[1].slots = kSlot;
  loads_.Follow({{kSlot, 9, false}}, {}, workers, gone_);
  loads_.Tell(workers, gone_, connections_, sessions_);
  EXPECT_EQ(told_[0][kSlot].weight, 9u);
  EXPECT_EQ(told_[1][kSlot].weight, 0u);
}

TEST_F(LoadsTest, ALimitHoldsFromTheFirstPacketOn) {
  LoadTerms terms;
  terms.slot = kSlot;
  terms.max_connections = 40;
  loads_.Follow({terms}, {}, Workers(), gone_);
  EXPECT_EQ(told_[0][kSlot].limit, 40u);
  EXPECT_EQ(told_[1][kSlot].limit, 40u);
  terms.max_connections = 0;
  loads_.Follow({terms}, {}, Workers(), gone_);
  EXPECT_EQ(told_[1][kSlot].limit, 0u) << "the limit is gone";
}

TEST_F(LoadsTest, TheBoundOfAShareGoesWithThePool) {
  std::vector<LoadTerms> all(3);
  for (uint32_t i = 0; i < 3; i++) {
    all[i].slot = i;
    all[i].weight = i == 2 ? 2 : 1;
    all[i].pool = i == 1 ? 4 : 9;
    all[i].hash_balance_factor = 150;
  }
  all[0].max_connections = 50;
  all[2].max_connections = 50;
  loads_.Follow(all, {}, Workers(), gone_);
  EXPECT_EQ(told_[0][0].limit, 1 | SLUICE_LIMIT_SOFT) << "of the one flow that asks";
  Tell();
  traffic_[0][0].new_flows = 10;
  traffic_[1][2].new_flows = 19;
  Tell();
  // Of thirty with the one that asks, a third and half as many more; and two thirds.
  EXPECT_EQ(told_[1][0].limit, 15 | SLUICE_LIMIT_SOFT);
  EXPECT_EQ(told_[1][2].limit, 30 | SLUICE_LIMIT_SOFT);
  EXPECT_EQ(told_[1][1].limit, 2 | SLUICE_LIMIT_SOFT) << "alone in its pool";
  traffic_[0][0].new_flows = 60;
  Tell();
  EXPECT_EQ(told_[1][2].limit, 50u) << "its own limit is below its bound, and does not give way";
  traffic_[1][2].ended = 19;
  Tell();
  EXPECT_EQ(told_[1][0].limit, 50u) << "its bound is lower, but gives way: it has more than its limit";
}

// Two backends that serve listener 5 alone, in slots 1 and 2; of the second its flows are sessions.
class ListenerLoadsTest : public LoadsTest {
 protected:
  static constexpr uint32_t kListener = 5;
  static constexpr uint32_t kPool = 3;
  static constexpr uint32_t kFirst = 1;
  static constexpr uint32_t kSecond = 2;

  std::vector<LoadedWorker> Workers() {
    std::vector<LoadedWorker> workers = LoadsTest::Workers();
    for (size_t i = 0; i < workers.size(); i++) {
      workers[i].listener_traffic = listener_traffic_.at(i).data();
      workers[i].listener_loads = listener_told_.at(i).data();
      workers[i].listeners = 8;
    }
    return workers;
  }
  static LoadTerms Terms(uint32_t slot, bool takes_flows = true) {
    LoadTerms terms;
    terms.slot = slot;
    terms.weight = 1;
    terms.translates = slot == kSecond;
    terms.takes_flows = takes_flows;
    terms.pool = kPool;
    return terms;
  }
  void FollowLimit(uint32_t limit) {
    loads_.Follow({Terms(kFirst), Terms(kSecond)}, {{kListener, limit, {kPool}}}, Workers(), gone_);
  }
  void Tell() { loads_.Tell(Workers(), gone_, connections_, sessions_); }
  void OpenOne(uint32_t worker, uint32_t slot) {
    traffic_.at(worker)[slot].new_flows++;
    listener_traffic_.at(worker)[kListener].new_flows++;
  }
  void EndOne(uint32_t worker, uint32_t slot) {
    traffic_.at(worker)[slot].ended++;
    listener_traffic_.at(worker)[kListener].ended++;
  }
  uint32_t Limit(uint32_t worker) const { return sluice_told_limit(listener_told_.at(worker)[kListener].told); }
  int64_t Seen(uint32_t worker) const {
    const sluice_traffic& traffic = listener_traffic_.at(worker)[kListener];
    return static_cast<int64_t>(traffic.new_flows - traffic.ended) +
           sluice_told_others(listener_told_.at(worker)[kListener].told);
  }

  std::array<Traffic, 2> listener_traffic_{};
  std::array<std::array<sluice_listener_load, 8>, 2> listener_told_{};
};

TEST_F(ListenerLoadsTest, FlowsOfAllItsBackendsOverAllWorkers) {
  FollowLimit(9);
  EXPECT_EQ(Limit(0), 9u) << "from the first packet on";
  EXPECT_EQ(Limit(1), 9u);
  OpenOne(0, kFirst);
  OpenOne(0, kSecond);
  OpenOne(1, kSecond);
  EXPECT_EQ(Seen(0), 2);
  EXPECT_EQ(Seen(1), 1);
  Tell();
  EXPECT_EQ(Seen(0), 3);
  EXPECT_EQ(Seen(1), 3);
  // Whoever sees it end.
  EndOne(1, kFirst);
  EXPECT_EQ(Seen(1), 2);
  Tell();
  EXPECT_EQ(Seen(0), 2);
  EXPECT_EQ(Seen(1), 2);
}

TEST_F(ListenerLoadsTest, TheSweepFindsWhatNobodyHasSeenEnd) {
  FollowLimit(1000);
  Tell();
  for (int i = 0; i < 600; i++) OpenOne(i % 2, kFirst);
  for (int i = 0; i < 30; i++) OpenOne(0, kSecond);
  connections_.active_of_slot[kFirst] = 100;
  for (int sweep = 0; sweep < 2; sweep++) {
    for (int i = 0; i < 99; i++) Tell();
    EXPECT_EQ(Seen(1), 630);
    connections_.sweeps++;
    Tell();
  }
  EXPECT_EQ(Seen(0), 130);
  EXPECT_EQ(Seen(1), 130);
}

// A listener that had no limit has flows, which many workers have not seen end, and a pool that had none as well.
TEST_F(ListenerLoadsTest, ALimitThatIsSetWhileItRuns) {
  listener_traffic_[0][kListener].new_flows = 100000;
  traffic_[0][kFirst].new_flows = 100000;
  connections_.active_of_slot[kFirst] = 20;
  FollowLimit(50);
  EXPECT_LT(Seen(0), 50) << "nobody is refused for what has ended long ago";
  Tell();
  EXPECT_EQ(Seen(0), 20);
  EXPECT_EQ(Seen(1), 20);
}

TEST_F(ListenerLoadsTest, ChangesBetweenTwoCalls) {
  FollowLimit(9);
  OpenOne(0, kFirst);
  FollowLimit(8);
  EXPECT_EQ(Seen(1), 1) << "not told for the first time yet";
  Tell();
  OpenOne(0, kFirst);
  OpenOne(1, kSecond);
  FollowLimit(7);
  EXPECT_EQ(Limit(0), 7u);
  EXPECT_EQ(Seen(0), 3) << "as of now, not as last told";
  EXPECT_EQ(Seen(1), 3);
}

TEST_F(ListenerLoadsTest, WhatIsToldGoesWithTheLimit) {
  FollowLimit(9);
  Tell();
  loads_.Follow({Terms(kFirst)}, {}, Workers(), gone_);
  EXPECT_EQ(listener_told_[0][kListener].told, 0u);
  EXPECT_EQ(listener_told_[1][kListener].told, 0u);
  FollowLimit(9);
  loads_.Follow({}, {}, Workers(), gone_);
  EXPECT_EQ(listener_told_[0][kListener].told, 0u);
}

TEST_F(ListenerLoadsTest, BackendsThatGetNoNewFlowsCountAndHaveNoShare) {
  LoadTerms ready = Terms(kSecond);
  ready.hash_balance_factor = 150;
  loads_.Follow({Terms(kFirst, /*takes_flows=*/false), ready}, {{kListener, 90, {kPool}}}, Workers(), gone_);
  for (int i = 0; i < 10; i++) OpenOne(0, kFirst);
  for (int i = 0; i < 3; i++) OpenOne(0, kSecond);
  Tell();
  EXPECT_EQ(Seen(1), 13);
  EXPECT_EQ(told_[1][kSecond].limit, 6 | SLUICE_LIMIT_SOFT) << "of four: its three and the one that asks";
}

TEST_F(ListenerLoadsTest, FlowsOfOthersThatUseItsPoolsCount) {
  constexpr uint32_t kOther = 6;
  LoadTerms alone = Terms(kSecond);
  alone.pool = kPool + 1;
  loads_.Follow({Terms(kFirst), alone}, {{kListener, 9, {kPool, kPool + 1}}, {kOther, 8, {kPool}}}, Workers(), gone_);
  OpenOne(0, kSecond);
  traffic_[0][kFirst].new_flows = 4;
  listener_traffic_[0][kOther].new_flows = 4;
  Tell();
  EXPECT_EQ(Seen(0), 5);
  EXPECT_EQ(Seen(1), 5);
  EXPECT_EQ(sluice_told_others(listener_told_[1][kOther].told), 4) << "not those of a pool that it does not use";
  EXPECT_EQ(sluice_told_limit(listener_told_[1][kOther].told), 8u);
  loads_.Follow({Terms(kFirst), alone}, {{kListener, 9, {kPool, 77}}}, Workers(), gone_);
  EXPECT_EQ(Seen(1), 4) << "of a pool without backends there are none";
  EXPECT_EQ(listener_told_[1][kOther].told, 0u);
}

TEST_F(ListenerLoadsTest, AWorkerThatIsNoMore) {
  FollowLimit(9);
  Tell();
  for (int i = 0; i < 3; i++) OpenOne(0, kFirst);
  OpenOne(1, kFirst);
  Tell();
  gone_.resize(8);
  gone_[kFirst] = traffic_[0][kFirst];
  traffic_[0] = {};
  listener_traffic_[0] = {};
  listener_told_[0] = {};
  EXPECT_EQ(Limit(0), 0u) << "until it is told";
  Tell();
  EXPECT_EQ(Limit(0), 9u);
  EXPECT_EQ(Seen(0), 4);
  EXPECT_EQ(Seen(1), 4);
}

TEST_F(ListenerLoadsTest, AWorkerWithoutRoomForIt) {
  std::vector<LoadedWorker> workers = Workers();
  workers[1].listeners = kListener;
  loads_.Follow({Terms(kFirst)}, {{kListener, 9, {kPool}}}, workers, gone_);
  EXPECT_EQ(Limit(0), 9u);
  EXPECT_EQ(listener_told_[1][kListener].told, 0u);
}

}  // namespace
}  // namespace sluice
