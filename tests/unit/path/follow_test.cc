#include "sluice/follow.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

constexpr uint32_t kTick = 1000;

class FollowTest : public testing::Test {
 protected:
  FollowTest() {
    pool_ = tables_.AddPool({0});
    slot_ = tables_.AddBackend({.pool = pool_});
    listener_ = tables_.AddListener("203.0.113.10", SLUICE_IP_TCP, 80, pool_, 50);
    terms_ = {pool_, 50};
  }

  bool Follows(uint64_t entry) {
    return sluice_follow(&tables_.view(), entry, &packet_, &terms_, kTick) == &tables_.view().backends[slot_];
  }
  uint64_t Entry(uint32_t state, uint32_t age) { return sluice_entry_make(0, slot_, state, kTick - age); }

  packet_test::HandTables tables_;
  uint32_t pool_ = 0;
  uint32_t slot_ = 0;
  uint32_t listener_ = 0;
  sluice_terms terms_{};
  sluice_packet packet_{};
};

TEST_F(FollowTest, Terms) {
  sluice_terms terms{};
  ASSERT_TRUE(sluice_terms_find(&tables_.view(), listener_, &terms));
  EXPECT_EQ(terms.pool, pool_);
  EXPECT_EQ(terms.idle, 50u);
  ASSERT_TRUE(sluice_terms_find(&tables_.view(), SLUICE_NO_LISTENER, &terms));
  EXPECT_EQ(terms.pool, SLUICE_NO_POOL);
  EXPECT_EQ(terms.idle, static_cast<uint32_t>(SLUICE_FRAGMENT_TICKS));
}

TEST_F(FollowTest, UntilIdle) {
  for (const uint32_t state : {SLUICE_STATE_NEW, SLUICE_STATE_CONFIRMED}) {
    EXPECT_TRUE(Follows(Entry(state, 0)));
    EXPECT_TRUE(Follows(Entry(state, 50)));
    EXPECT_FALSE(Follows(Entry(state, 51)));
  }
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_CLOSING, SLUICE_CLOSING_TICKS)));
  EXPECT_FALSE(Follows(Entry(SLUICE_STATE_CLOSING, SLUICE_CLOSING_TICKS + 1)));
  terms_.idle = 3;
  EXPECT_FALSE(Follows(Entry(SLUICE_STATE_CLOSING, 4))) << "closing never lasts longer than idle";
}

TEST_F(FollowTest, ANewConnectionDoesNotFollowAClosingOne) {
  packet_.flags = SLUICE_PACKET_SYN;
  EXPECT_FALSE(Follows(Entry(SLUICE_STATE_CLOSING, 1)));
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_CONFIRMED, 1))) << "a SYN alone must not move an open connection";
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_NEW, 1)));
}

TEST_F(FollowTest, ASynThatComesAgainDoesNotWaitForAServerThatIsDown) {
  tables_.backend(slot_).flags |= SLUICE_BACKEND_UNHEALTHY;
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_NEW, 1)));
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_CONFIRMED, 1)));
  packet_.flags = SLUICE_PACKET_SYN;
  EXPECT_FALSE(Follows(Entry(SLUICE_STATE_NEW, 1)));
  EXPECT_TRUE(Follows(Entry(SLUICE_STATE_CONFIRMED, 1))) << "it has been answered, and may be open";
}

TEST_F(FollowTest, ABackendOfAnyPoolThatFlowsAreSplitAmong) {
  const uint64_t entry = Entry(SLUICE_STATE_CONFIRMED, 1);
  const uint32_t other = tables_.AddPool({0});
  std::vector<uint32_t> members(SLUICE_SPLIT_POOLS - 1, other);
  members.push_back(pool_);
  terms_.pool = tables_.AddSplit({other}, members, 1);
  EXPECT_TRUE(Follows(entry)) << "one without places, and the last of all";
  EXPECT_TRUE(sluice_backend_serves(&tables_.view(), &tables_.backend(slot_), terms_.pool));
  EXPECT_TRUE(sluice_backend_serves(&tables_.view(), &tables_.backend(slot_), pool_));
  EXPECT_FALSE(sluice_backend_serves(&tables_.view(), &tables_.backend(slot_), other));
  EXPECT_FALSE(sluice_backend_serves(&tables_.view(), &tables_.backend(slot_), SLUICE_NO_POOL));
  terms_.pool = tables_.AddSplit({other, pool_}, {other}, 1);
  EXPECT_FALSE(Follows(entry)) << "a member it is not";
  tables_.backend(slot_).flags = 0;
  EXPECT_FALSE(sluice_backend_serves(&tables_.view(), &tables_.backend(slot_), pool_));
}

TEST_F(FollowTest, OnlyALiveBackendOfTheListenersPool) {
  const uint64_t entry = Entry(SLUICE_STATE_CONFIRMED, 1);
  tables_.backend(slot_).pool = pool_ + 1;
  EXPECT_FALSE(Follows(entry));
  terms_.pool = SLUICE_NO_POOL;
  EXPECT_TRUE(Follows(entry)) << "a later fragment takes whatever its first took";
  tables_.backend(slot_).flags = 0;
  EXPECT_FALSE(Follows(entry));
}

TEST_F(FollowTest, TouchWritesOnlyWhatChanges) {
  uint64_t at = Entry(SLUICE_STATE_CONFIRMED, 0);
  sluice_touch(&at, at, &packet_, kTick);
  EXPECT_EQ(at, Entry(SLUICE_STATE_CONFIRMED, 0));
  sluice_touch(&at, at, &packet_, kTick + 1);
  EXPECT_EQ(sluice_entry_seen(at), kTick + 1);
  packet_.kind = SLUICE_PACKET_ICMP_ERROR;
  sluice_touch(&at, at, &packet_, kTick + 2);
  EXPECT_EQ(sluice_entry_seen(at), kTick + 1) << "an error is no sign of life";
}

TEST_F(FollowTest, WhoGetsAnEntry) {
  packet_.kind = SLUICE_PACKET_FLOW;
  EXPECT_TRUE(sluice_makes_entry(&packet_));
  packet_.flags = SLUICE_PACKET_CLOSE;
  EXPECT_FALSE(sluice_makes_entry(&packet_));
  packet_.flags = 0;
  packet_.kind = SLUICE_PACKET_ICMP_ERROR;
  EXPECT_FALSE(sluice_makes_entry(&packet_));
  packet_.kind = SLUICE_PACKET_LATER_FRAGMENT;
  EXPECT_FALSE(sluice_makes_entry(&packet_));
}

TEST_F(FollowTest, LaterFragmentsHashAsTheirFirstNoted) {
  sluice_packet first{};
  first.kind = SLUICE_PACKET_FLOW;
  first.flow.protocol = SLUICE_IP_UDP;
  first.flow.ports = 0x12345678;
  first.fragment_id = 99;
  sluice_packet later = first;
  later.kind = SLUICE_PACKET_LATER_FRAGMENT;
  later.flow.ports = 0;
  const sluice_settings* settings = tables_.view().settings;
  const sluice_flow fragments = sluice_fragment_flow(&first);
  EXPECT_EQ(sluice_packet_hash(settings, &later), sluice_hash_flow(settings, &fragments));
  EXPECT_EQ(sluice_packet_hash(settings, &first), sluice_hash_flow(settings, &first.flow));
}

}  // namespace
}  // namespace sluice::path_test
