// Sessions of one owner: made, replaced and ended; which ports they get, and who gives way to whom.
#include "engine/session_owner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "engine/sim/rss.h"
#include "tests/unit/engine/session_testbed.h"

namespace sluice {
namespace {

constexpr uint32_t kNow = 3000;
// Sixteen ports: 1024 to 1039.
const sluice_nat_ports kSixteen = sluice_nat_ports_around(1040, 65535);

class SessionOwnerTest : public testing::Test {
 protected:
  explicit SessionOwnerTest(uint32_t sessions = 1000, uint32_t buckets = 400, uint32_t self = 0, uint32_t owners = 1)
      : memory_(sessions, buckets),
        partition_(memory_.view()),
        owner_(partition_, self, std::make_shared<NatOwners>(owners), kSixteen) {}

  std::optional<uint32_t> Open(const sluice_session& wanted) {
    const sluice_tables tables = tables_.view();
    return owner_.Open(tables, wanted, ForwardHashOf(tables, wanted), ReverseHashOf(tables, wanted), kNow);
  }
  uint32_t OpenIn(enum sluice_session_state state, uint16_t client_port, uint16_t source_port, uint32_t age = 0) {
    const std::optional<uint32_t> index = Open(FullNatSession(client_port, source_port));
    EXPECT_TRUE(index.has_value());
    Set(*index, state, age);
    return *index;
  }
  void Set(uint32_t index, enum sluice_session_state state, uint32_t age = 0) {
    const SessionWords words = SessionWords::In(state, kNow - age);
    partition_.sessions[index].forward = words.forward;
    partition_.sessions[index].reverse = words.reverse;
  }
  uint16_t TakePort(uint32_t slot = 3, bool early = false) {
    sluice_flow flow{};
    flow.source = tables_.nat_addresses[0].address;
    flow.destination = tables_.backends[slot].destination;
    flow.destination_port = SLUICE_16(80);
    flow.protocol = SLUICE_IP_TCP;
    return owner_.TakePort(tables_.view(), flow, kNow, early);
  }
  bool Lives(uint32_t index) const { return partition_.sessions[index].protocol != 0; }
  // Entries that name the session, by kind.
  uint32_t Entries(uint32_t index, uint32_t kind) const {
    uint32_t count = 0;
    for (uint32_t i = 0; i < partition_.bucket_count; i++) {
      for (const uint64_t entry : partition_.buckets[i].entries) {
        const bool names = !sluice_entry_is_empty(entry) && static_cast<uint32_t>(entry) == index;
        count += names && sluice_entry_state(entry) == kind;
      }
    }
    return count;
  }
  uint32_t EntriesIn(uint32_t bucket) const {
    const auto& entries = partition_.buckets[bucket].entries;
    return static_cast<uint32_t>(SLUICE_BUCKET_ENTRIES -
                                 std::count_if(std::begin(entries), std::end(entries), sluice_entry_is_empty));
  }

  SessionTestTables tables_;
  PartitionMemory memory_;
  SessionPartition partition_;
  SessionOwner owner_;
};

TEST_F(SessionOwnerTest, OpenedOnesAreFoundFromBothSides) {
  const std::optional<uint32_t> index = Open(FullNatSession(5000, 1024));
  ASSERT_TRUE(index.has_value());
  EXPECT_EQ(owner_.live(), 1u);
  EXPECT_EQ(owner_.counters().opened, 1u);
  EXPECT_EQ(Entries(*index, SLUICE_ENTRY_FORWARD), 1u);
  EXPECT_EQ(Entries(*index, SLUICE_ENTRY_REVERSE), 1u);
  owner_.Close(tables_.view(), *index);
  EXPECT_EQ(owner_.live(), 0u);
  EXPECT_FALSE(Lives(*index));
  EXPECT_EQ(Entries(*index, SLUICE_ENTRY_FORWARD) + Entries(*index, SLUICE_ENTRY_REVERSE), 0u);
}

TEST_F(SessionOwnerTest, AReplacedOneIsFoundByItsServerAlone) {
  const std::optional<uint32_t> index = Open(FullNatSession(5000, 1024));
  owner_.Replace(tables_.view(), *index);
  EXPECT_EQ(Entries(*index, SLUICE_ENTRY_FORWARD), 0u);
  EXPECT_EQ(Entries(*index, SLUICE_ENTRY_REVERSE), 1u);
  const sluice_session& session = partition_.sessions[*index];
  EXPECT_TRUE(session.flags & SLUICE_SESSION_REPLACED);
  const sluice_flow flow = sluice_session_forward_flow(&session, &tables_.terms[1].address);
  EXPECT_FALSE(sluice_session_is_forward(&session, &flow, 1));
  // The next one of the same client has its place, and ends without it.
  const std::optional<uint32_t> next = Open(FullNatSession(5000, 1025));
  owner_.Close(tables_.view(), *index);
  EXPECT_EQ(Entries(*next, SLUICE_ENTRY_FORWARD), 1u);
  EXPECT_EQ(owner_.live(), 1u);
}

TEST_F(SessionOwnerTest, RecordsAreUsedInTurn) {
  const std::optional<uint32_t> first = Open(FullNatSession(5000, 1024));
  owner_.Close(tables_.view(), *first);
  std::set<uint32_t> used;
  for (uint32_t i = 1; i < partition_.session_count; i++) {
    const std::optional<uint32_t> index = Open(FullNatSession(5001, 1024));
    EXPECT_NE(index, first);
    used.insert(*index);
    owner_.Close(tables_.view(), *index);
  }
  EXPECT_EQ(used.size(), partition_.session_count - 1);
  EXPECT_EQ(Open(FullNatSession(5001, 1024)), first);
}

TEST_F(SessionOwnerTest, EachPortOnceTowardAServer) {
  std::set<uint16_t> ports;
  for (uint16_t i = 0; i < 16; i++) {
    const uint16_t port = TakePort();
    ASSERT_TRUE(ports.insert(port).second) << port;
    OpenIn(SLUICE_SESSION_ESTABLISHED, 5000 + i, port);
  }
  EXPECT_EQ(*ports.begin(), 1024);
  EXPECT_EQ(*ports.rbegin(), 1039);
  EXPECT_EQ(TakePort(), 0);
  EXPECT_EQ(TakePort(3, true), 0) << "none of them is closed";
  // Another server is another matter.
  EXPECT_NE(TakePort(4), 0);
}

// The order is the quarantine: every other port is used before one that was given back.
TEST_F(SessionOwnerTest, APortThatWasGivenBackIsTheLastToBeTakenAgain) {
  for (int round = 0; round < 50; round++) {
    const uint16_t first = TakePort();
    const std::optional<uint32_t> index = Open(FullNatSession(5000, first));
    owner_.Close(tables_.view(), *index);
    std::set<uint16_t> others;
    for (int i = 0; i < 15; i++) others.insert(TakePort());
    EXPECT_EQ(others.size(), 15u);
    EXPECT_FALSE(others.contains(first));
    EXPECT_EQ(TakePort(), first);
  }
}

TEST_F(SessionOwnerTest, TheOldestClosedOneGivesItsPortUpEarly) {
  std::vector<uint32_t> sessions;
  for (uint16_t i = 0; i < 16; i++) {
    const uint16_t port = TakePort();
    const uint32_t age = i == 7 ? 19 : i % 5;
    sessions.push_back(OpenIn(i % 2 ? SLUICE_SESSION_CLOSED : SLUICE_SESSION_HALF_CLOSED, 5000 + i, port, age));
  }
  const uint16_t port = SLUICE_16(partition_.sessions[sessions[7]].source_port);
  EXPECT_EQ(TakePort(3, false), 0);
  EXPECT_EQ(owner_.counters().ports_taken_early, 0u);
  EXPECT_EQ(TakePort(3, true), port);
  EXPECT_FALSE(Lives(sessions[7]));
  EXPECT_EQ(owner_.counters().ports_taken_early, 1u);
  EXPECT_EQ(owner_.counters().expired, 0u);
  EXPECT_EQ(owner_.live(), 15u);
}

TEST_F(SessionOwnerTest, OneThatIsOverGivesItsPortUpAtOnce) {
  std::vector<uint32_t> sessions;
  for (uint16_t i = 0; i < 16; i++) sessions.push_back(OpenIn(SLUICE_SESSION_ESTABLISHED, 5000 + i, TakePort()));
  Set(sessions[3], SLUICE_SESSION_ESTABLISHED, 101);
  EXPECT_EQ(TakePort(), SLUICE_16(partition_.sessions[sessions[3]].source_port));
  EXPECT_EQ(owner_.counters().expired, 1u);
  EXPECT_FALSE(Lives(sessions[3]));
}

class SessionOwnersTest : public SessionOwnerTest {
 protected:
  SessionOwnersTest() : SessionOwnerTest(1000, 400, 2, 4) {}
};

TEST_F(SessionOwnersTest, OnlyItsOwnPorts) {
  std::set<uint16_t> expected;
  for (uint16_t port = 1024; port < 1040; port++) {
    if (sluice_nat_owner(port, 4) == 2) expected.insert(port);
  }
  std::set<uint16_t> ports;
  for (uint16_t i = 0; i < expected.size(); i++) {
    const uint16_t port = TakePort();
    OpenIn(SLUICE_SESSION_ESTABLISHED, 5000 + i, port);
    ports.insert(port);
  }
  EXPECT_EQ(ports, expected);
}

// Each of the owners by itself, until it has none left: together they have each port once, and each port is had by the
// worker that the answer's hash names, taken whole.
TEST_F(SessionOwnerTest, OfRssEachTakesThePortsWhoseAnswersComeToIt) {
  constexpr uint32_t kOwners = 4;
  constexpr uint32_t kHashes = 128;
  NatOwners::Rss rss;
  rss.hash = [](const NatOwners::Input& input) { return ToeplitzHash(input); };
  for (uint32_t i = 0; i < kHashes; i++) rss.worker_of_hash.push_back(static_cast<uint16_t>(i % kOwners));
  rss.with_ports = NatOwners::kAllKinds;
  const auto owners = std::make_shared<NatOwners>(kOwners, rss, kSixteen);
  ASSERT_EQ(owners->by_rss(), NatOwners::kAllKinds);
  std::set<uint16_t> taken;
  for (uint32_t self = 0; self < kOwners; self++) {
    PartitionMemory memory(1000, 400);
    SessionOwner owner(memory.view(), self, owners, kSixteen);
    const sluice_tables tables = tables_.view();
    const sluice_session any = FullNatSession(5000, 0);
    const sluice_flow answer = ReverseFlowOf(tables, any);
    const sluice_flow toward = {answer.destination, answer.source, {{0, answer.source_port}}, answer.protocol};
    while (const uint16_t port = owner.TakePort(tables, toward, kNow, false)) {
      sluice_session wanted = FullNatSession(5000 + port, port);
      wanted.forward = SessionWords::In(SLUICE_SESSION_ESTABLISHED, kNow).forward;
      ASSERT_TRUE(owner.Open(tables, wanted, ForwardHashOf(tables, wanted), ReverseHashOf(tables, wanted), kNow));
      EXPECT_TRUE(taken.insert(port).second) << port << " is taken twice";
      const sluice_flow flow = ReverseFlowOf(tables, wanted);
      std::array<uint8_t, 12> input;
      std::memcpy(input.data(), &flow.source.words[3], 4);
      std::memcpy(input.data() + 4, &flow.destination.words[3], 4);
      std::memcpy(input.data() + 8, &flow.ports, 4);
      EXPECT_EQ(ToeplitzHash(input) % kHashes % kOwners, self) << port;
    }
  }
  EXPECT_EQ(taken.size(), 16u);
}

TEST_F(SessionOwnerTest, AServersAnswersHaveOneSession) {
  sluice_session own{};
  own.client = PathAddress("192.0.2.7");
  own.ports = SLUICE_16(5000) | static_cast<uint32_t>(SLUICE_16(80)) << 16;
  own.backend = 1;
  own.source_port = SLUICE_16(5000);
  own.server_port = SLUICE_16(8080);
  own.nat_address = SLUICE_NO_NAT_ADDRESS;
  own.protocol = SLUICE_IP_TCP;
  const auto makes_way = [&](const sluice_session& wanted) {
    const sluice_flow reverse = ReverseFlowOf(tables_.view(), wanted);
    return owner_.MakeWay(tables_.view(), wanted, reverse, ReverseHashOf(tables_.view(), wanted), kNow);
  };
  EXPECT_TRUE(makes_way(own));
  const std::optional<uint32_t> index = Open(own);
  Set(*index, SLUICE_SESSION_CLOSED);
  EXPECT_FALSE(makes_way(own));
  owner_.Replace(tables_.view(), *index);
  sluice_session other = own;
  other.listener = 1;
  EXPECT_FALSE(makes_way(other)) << "of another listener";
  EXPECT_TRUE(makes_way(own)) << "the client's own earlier one";
  EXPECT_FALSE(Lives(*index));
  EXPECT_EQ(owner_.counters().expired, 0u);
  const std::optional<uint32_t> again = Open(own);
  Set(*again, SLUICE_SESSION_ESTABLISHED, 101);
  EXPECT_TRUE(makes_way(other)) << "that one is over";
  EXPECT_EQ(owner_.counters().expired, 1u);
}

class FullOwnerTest : public SessionOwnerTest {
 protected:
  FullOwnerTest() : SessionOwnerTest(8, 6) {}

  // In the order that they give way: expired, closed, handshakes; the oldest first.
  void Fill() {
    for (uint16_t i = 0; i < 8; i++) sessions_.push_back(OpenIn(SLUICE_SESSION_ESTABLISHED, 5000 + i, 1024 + i));
    Set(sessions_[5], SLUICE_SESSION_ESTABLISHED, 101);
    Set(sessions_[2], SLUICE_SESSION_CLOSED, 9);
    Set(sessions_[6], SLUICE_SESSION_CLOSED, 4);
    Set(sessions_[1], SLUICE_SESSION_HANDSHAKE, 8);
    Set(sessions_[7], SLUICE_SESSION_HANDSHAKE, 2);
    Set(sessions_[3], SLUICE_SESSION_HALF_CLOSED, 39);
  }

  std::vector<uint32_t> sessions_;
};

TEST_F(FullOwnerTest, TheLeastValuableGivesWayAndNobodyEstablished) {
  Fill();
  for (const uint32_t victim : {5, 2, 6, 1, 7}) {
    const uint32_t index = sessions_[victim];
    const std::optional<uint32_t> fresh = Open(FullNatSession(static_cast<uint16_t>(6000 + victim), 1035));
    ASSERT_EQ(fresh, index) << victim;
    Set(*fresh, SLUICE_SESSION_ESTABLISHED);
    // Its ports, for the next.
    partition_.sessions[*fresh].source_port = SLUICE_16(static_cast<uint16_t>(2000 + victim));
  }
  EXPECT_FALSE(Open(FullNatSession(7000, 1036)).has_value()) << "what is left is established or half closed";
  const SessionCounters& counters = owner_.counters();
  EXPECT_EQ(counters.expired, 1u);
  EXPECT_EQ(counters.evicted_closed, 2u);
  EXPECT_EQ(counters.evicted_handshake, 2u);
  EXPECT_EQ(counters.opened, 13u);
  EXPECT_EQ(owner_.live(), 8u);
}

class LargeOwnerTest : public SessionOwnerTest {
 protected:
  static constexpr uint32_t kRecords = 2048;
  LargeOwnerTest() : SessionOwnerTest(kRecords, 800) {}

  // So many more, each with a port of its own; how many found room.
  uint32_t OpenMore(uint32_t count, enum sluice_session_state state) {
    uint32_t opened = 0;
    for (uint32_t i = 0; i < count; i++, next_++) {
      const std::optional<uint32_t> index = Open(FullNatSession(next_, next_));
      if (!index.has_value()) continue;
      Set(*index, state, 1);
      opened++;
    }
    return opened;
  }
  uint32_t spare() const { return partition_.state->spare; }

  uint16_t next_ = 1024;
};

TEST_F(LargeOwnerTest, HasRoomWhileClosedOnesAreBehindARunOfEstablishedOnes) {
  EXPECT_EQ(OpenMore(1000, SLUICE_SESSION_ESTABLISHED), 1000u);
  EXPECT_EQ(OpenMore(5 * kRecords, SLUICE_SESSION_CLOSED), 5 * kRecords);
  EXPECT_EQ(owner_.counters().evicted_closed, 1000 + 5 * kRecords - owner_.live());
  EXPECT_EQ(OpenMore(kRecords, SLUICE_SESSION_ESTABLISHED), kRecords - 1000 - spare());
}

TEST_F(LargeOwnerTest, HandshakesGiveWayOnlyWhenNothingElseIsLeft) {
  const uint32_t most = kRecords - spare();
  EXPECT_EQ(OpenMore(most, SLUICE_SESSION_HANDSHAKE), most);
  EXPECT_EQ(owner_.counters().evicted_handshake, 0u);
  EXPECT_EQ(OpenMore(10, SLUICE_SESSION_HANDSHAKE), 10u);
  EXPECT_EQ(owner_.counters().evicted_handshake, 10u);
  EXPECT_EQ(owner_.live(), most);
}

// Whatever has been opened, closed and moved: a flow is in its first bucket, or that says that it may be elsewhere.
TEST_F(LargeOwnerTest, WhoIsInTheSecondBucketIsLookedForThere) {
  std::mt19937 random(5);
  uint32_t in_second = 0;
  uint32_t uncrowded = 0;
  for (uint32_t turn = 0; turn < 200; turn++) {
    OpenMore(40, random() % 3 ? SLUICE_SESSION_CLOSED : SLUICE_SESSION_ESTABLISHED);
    for (uint32_t i = 0; i < 30; i++) {
      const uint32_t index = static_cast<uint32_t>(random() % kRecords);
      if (Lives(index)) owner_.Close(tables_.view(), index);
    }
    for (uint32_t i = 0; i < kRecords; i++) {
      const sluice_session& session = partition_.sessions[i];
      if (!Lives(i)) continue;
      for (const uint64_t hash : {ForwardHashOf(tables_.view(), session), ReverseHashOf(tables_.view(), session)}) {
        const sluice_bucket& first = partition_.buckets[sluice_primary_bucket(hash, partition_.bucket_count)];
        const bool found = std::any_of(std::begin(first.entries), std::end(first.entries), [&](uint64_t entry) {
          return sluice_entry_matches(entry, hash) && static_cast<uint32_t>(entry) == i;
        });
        in_second += !found;
        uncrowded += !sluice_sessions_were_crowded(&first);
        ASSERT_TRUE(found || sluice_sessions_were_crowded(&first)) << turn << " " << i;
      }
    }
  }
  EXPECT_GT(in_second, 100u);
  EXPECT_GT(uncrowded, 100u);
}

TEST_F(FullOwnerTest, OneWhoseBackendIsGoneGivesWayFirst) {
  Fill();
  tables_.backends[4] = tables_.backends[3];
  tables_.backends[4].flags = 0;
  partition_.sessions[sessions_[5]].forward = partition_.sessions[sessions_[0]].forward;
  partition_.sessions[sessions_[5]].backend = 4;
  EXPECT_EQ(Open(FullNatSession(6000, 1035)), sessions_[5]);
}

class FullTableTest : public SessionOwnerTest {
 protected:
  FullTableTest() : SessionOwnerTest(320, 200) {}
};

// Others may have read it just now, and write into it yet.
TEST_F(FullTableTest, ARecordRestsBeforeItIsUsedAgain) {
  std::vector<uint32_t> turn(320);
  uint32_t least = UINT32_MAX;
  for (uint32_t i = 1; i < 5000; i++) {
    const std::optional<uint32_t> index = Open(FullNatSession(static_cast<uint16_t>(i), static_cast<uint16_t>(i)));
    ASSERT_TRUE(index.has_value());
    Set(*index, SLUICE_SESSION_HANDSHAKE, (5000 - i) / 1000);
    if (turn[*index] != 0) least = std::min(least, i - turn[*index]);
    turn[*index] = i;
  }
  EXPECT_EQ(owner_.live(), 300u);
  EXPECT_GE(least, 20u);
}

TEST_F(FullOwnerTest, NoSessionsAtAll) {
  PartitionMemory none(0, 1);
  SessionOwner owner(none.view(), 0, std::make_shared<NatOwners>(1), kSixteen);
  const sluice_session wanted = FullNatSession(5000, 1024);
  EXPECT_FALSE(owner.Open(tables_.view(), wanted, 1, 2, kNow).has_value());
  EXPECT_EQ(owner.live(), 0u);
}

// Sixteen entries, all of them taken.
class FullBucketsTest : public SessionOwnerTest {
 protected:
  FullBucketsTest() : SessionOwnerTest(20, 2) {}

  bool InBoth(const sluice_session& session) const {
    for (const uint64_t hash : {ForwardHashOf(tables_.view(), session), ReverseHashOf(tables_.view(), session)}) {
      if (sluice_primary_bucket(hash, 2) != 0 || sluice_secondary_bucket(hash, 2) != 1) return false;
    }
    return true;
  }
  // Whose both entries may be in either bucket, the first being the primary one.
  sluice_session Next() {
    do {
      client_port_++;
    } while (!InBoth(FullNatSession(client_port_, client_port_)));
    return FullNatSession(client_port_, client_port_);
  }
  void Fill() {
    for (int i = 0; i < 8; i++) {
      sessions_.push_back(*Open(Next()));
      Set(sessions_.back(), SLUICE_SESSION_ESTABLISHED);
    }
    ASSERT_EQ(EntriesIn(0), 8u);
    ASSERT_EQ(EntriesIn(1), 8u);
  }
  uint32_t EntriesOf(uint32_t index, uint32_t bucket) const {
    uint32_t count = 0;
    for (const uint64_t entry : partition_.buckets[bucket].entries) {
      count += !sluice_entry_is_empty(entry) && static_cast<uint32_t>(entry) == index;
    }
    return count;
  }

  uint16_t client_port_ = 2000;
  std::vector<uint32_t> sessions_;
};

TEST_F(FullBucketsTest, NobodyEstablishedGivesWayAndNothingStays) {
  Fill();
  const uint64_t before = owner_.counters().opened;
  EXPECT_FALSE(Open(Next()).has_value());
  EXPECT_EQ(owner_.live(), 8u);
  EXPECT_EQ(owner_.counters().opened, before);
  EXPECT_EQ(EntriesIn(0) + EntriesIn(1), 16u);
}

// Whichever of the buckets it is in.
TEST_F(FullBucketsTest, AClosedOneOfEitherBucketGivesWay) {
  Fill();
  for (const uint32_t bucket : {0, 1}) {
    const auto only_there =
        std::find_if(sessions_.begin(), sessions_.end(), [&](uint32_t index) { return EntriesOf(index, bucket) == 2; });
    ASSERT_NE(only_there, sessions_.end());
    Set(*only_there, SLUICE_SESSION_CLOSED);
    const std::optional<uint32_t> fresh = Open(Next());
    ASSERT_TRUE(fresh.has_value()) << "bucket " << bucket;
    EXPECT_FALSE(Lives(*only_there));
    Set(*fresh, SLUICE_SESSION_ESTABLISHED);
    sessions_.erase(only_there);
  }
  EXPECT_EQ(owner_.counters().evicted_closed, 2u);
}

TEST_F(SessionOwnerTest, EndsWhatTheSweepHasFoundAndLooksAgain) {
  const uint32_t over = OpenIn(SLUICE_SESSION_CLOSED, 5000, 1024, 21);
  const uint32_t lives = OpenIn(SLUICE_SESSION_CLOSED, 5001, 1025, 20);
  ExpiredSessions& queue = *partition_.expired;
  for (const uint32_t index : {over, lives, over, 17u}) queue.ring[queue.tail++] = index;
  EndExpired(&owner_, tables_.view(), kNow);
  EXPECT_FALSE(Lives(over));
  EXPECT_TRUE(Lives(lives));
  EXPECT_EQ(owner_.counters().expired, 1u);
  EXPECT_EQ(owner_.live(), 1u);
  EXPECT_EQ(queue.head, 4u);
  EndExpired(&owner_, tables_.view(), kNow);
  EXPECT_EQ(queue.head, 4u);
}

TEST_F(SessionOwnerTest, EndsAFewAtATime) {
  for (uint16_t i = 0; i < 100; i++) {
    const uint32_t index = OpenIn(SLUICE_SESSION_HANDSHAKE, 5000 + i, 2000 + i, 11);
    partition_.expired->ring[partition_.expired->tail++] = index;
  }
  uint32_t rounds = 0;
  for (; owner_.live() > 0 && rounds < 100; rounds++) {
    const uint32_t before = owner_.live();
    EndExpired(&owner_, tables_.view(), kNow);
    EXPECT_LE(before - owner_.live(), 16u);
  }
  EXPECT_EQ(rounds, 7u);
}

}  // namespace
}  // namespace sluice
