// The memory of sessions, and the sweep: what it counts, and what it hands to the owners.
#include "engine/session_tables.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "sluice/time.h"
#include "tests/unit/engine/session_testbed.h"

namespace sluice {
namespace {

constexpr uint64_t kTickNs = uint64_t{1} << SLUICE_TICK_SHIFT;
constexpr uint32_t kNow = 5000;

class SessionTablesTest : public testing::Test {
 protected:
  explicit SessionTablesTest(uint32_t workers = 3, uint64_t sessions = 30'000) {
    absl::StatusOr<SessionTables> created = SessionTables::Create(workers, sessions, HugePages::kOff);
    EXPECT_TRUE(created.ok()) << created.status();
    sessions_ = std::make_unique<SessionTables>(*std::move(created));
    for (uint32_t i = 0; i < workers; i++) {
      owners_.emplace_back(sessions_->partitions()[i], i, std::make_shared<NatOwners>(workers),
                           sluice_nat_ports_around(32768, 60999));
    }
  }

  // Of any owner, last seen `age` ticks ago.
  sluice_session& Open(uint32_t owner, enum sluice_session_state state, uint32_t age, uint32_t slot = 3) {
    const sluice_tables tables = tables_.view();
    next_++;
    sluice_session wanted = FullNatSession(static_cast<uint16_t>(next_), static_cast<uint16_t>(next_), slot);
    const SessionWords words = SessionWords::In(state, kNow - age);
    wanted.forward = words.forward;
    wanted.reverse = words.reverse;
    const std::optional<uint32_t> index = owners_[owner].Open(tables, wanted, ForwardHashOf(tables, wanted),
                                                              ReverseHashOf(tables, wanted), kNow & SLUICE_TICK_MASK);
    EXPECT_TRUE(index.has_value());
    return sessions_->partitions()[owner].sessions[*index];
  }
  uint32_t SweepOnce(uint32_t tick = kNow) {
    const uint64_t before = sessions_->occupancy().sweeps;
    uint32_t calls = 0;
    while (sessions_->occupancy().sweeps == before) {
      sessions_->Sweep(tables_.view(), tick * kTickNs);
      calls++;
    }
    return calls;
  }
  uint32_t Queued(uint32_t owner) const {
    const ExpiredSessions& queue = *sessions_->partitions()[owner].expired;
    return queue.tail - queue.head;
  }
  void EndAll(uint32_t owner, uint32_t tick = kNow) {
    while (Queued(owner) > 0) EndExpired(&owners_[owner], tables_.view(), tick);
  }

  SessionTestTables tables_;
  std::unique_ptr<SessionTables> sessions_;
  std::vector<SessionOwner> owners_;
  uint32_t next_ = 1023;
};

TEST_F(SessionTablesTest, TakesNinetySixBytesASessionAtMost) {
  for (const uint64_t wanted : {uint64_t{1000}, uint64_t{100'000}, uint64_t{1'000'001}}) {
    const absl::StatusOr<SessionTables> tables = SessionTables::Create(3, wanted, HugePages::kOff);
    ASSERT_TRUE(tables.ok()) << tables.status();
    uint64_t bytes = 0;
    uint64_t sessions = 0;
    for (const SessionPartition& partition : tables->partitions()) {
      const auto* begin = reinterpret_cast<const uint8_t*>(partition.buckets);
      const auto* end = reinterpret_cast<const uint8_t*>(partition.free + partition.session_count);
      bytes += static_cast<uint64_t>(end - begin) - SLUICE_FRAGMENTS * sizeof(sluice_fragment);
      sessions += partition.session_count;
    }
    EXPECT_GE(sessions, wanted);
    EXPECT_LT(sessions, wanted + 3);
    EXPECT_LE(bytes, 96 * sessions) << wanted;
    EXPECT_GE(bytes, 88 * sessions) << wanted;
  }
}

// Nothing is taken after the start.
TEST_F(SessionTablesTest, AllOfItsMemoryIsThere) {
  const absl::StatusOr<SessionTables> tables = SessionTables::Create(2, 1 << 18, HugePages::kOff);
  ASSERT_TRUE(tables.ok()) << tables.status();
  const SessionPartition& last = tables->partitions()[1];
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* begin = reinterpret_cast<uint8_t*>(tables->partitions()[0].buckets);
  const auto bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(last.free + last.session_count) - begin);
  std::vector<unsigned char> resident((bytes + page - 1) / page);
  ASSERT_EQ(mincore(begin, bytes, resident.data()), 0);
  for (size_t i = 0; i < resident.size(); i++) ASSERT_EQ(resident[i] & 1, 1) << "page " << i;
}

TEST_F(SessionTablesTest, PartitionsAreApartAndAligned) {
  const uint8_t* end = nullptr;
  for (const SessionPartition& partition : sessions_->partitions()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(partition.buckets) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(partition.sessions) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(partition.fragments) % 64, 0u);
    EXPECT_GE(reinterpret_cast<const uint8_t*>(partition.buckets), end);
    EXPECT_GE(reinterpret_cast<const uint8_t*>(partition.sessions),
              reinterpret_cast<const uint8_t*>(partition.buckets + partition.bucket_count));
    EXPECT_GE(reinterpret_cast<const uint8_t*>(partition.fragments),
              reinterpret_cast<const uint8_t*>(partition.sessions + partition.session_count));
    EXPECT_GE(reinterpret_cast<const uint8_t*>(partition.free),
              reinterpret_cast<const uint8_t*>(partition.fragments + SLUICE_FRAGMENTS));
    end = reinterpret_cast<const uint8_t*>(partition.free + partition.session_count);
  }
}

TEST_F(SessionTablesTest, PortsBeginElsewhereForEachSeed) {
  SessionTables tables = *SessionTables::Create(3, 300, HugePages::kOff);
  const sluice_nat_ports ports = sluice_nat_ports_around(32768, 60999);
  std::set<std::vector<uint16_t>> seen;
  for (uint64_t seed = 0; const SessionPartition& partition : tables.partitions()) {
    ScatterPorts(partition, ports, ++seed);
    const std::vector<uint16_t> cursors(std::begin(partition.state->cursors), std::end(partition.state->cursors));
    for (const uint16_t cursor : cursors) EXPECT_LT(cursor, ports.count);
    seen.insert(cursors);
    ScatterPorts(partition, ports, seed);
    EXPECT_TRUE(std::equal(cursors.begin(), cursors.end(), partition.state->cursors));
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(SessionTablesTest, AWholeSweepTakesAHundredCalls) {
  EXPECT_LE(SweepOnce(), 100u);
  EXPECT_GE(SweepOnce(), 90u);
  EXPECT_EQ(sessions_->occupancy().sweeps, 2u);
}

// Who waits for sweeps waits for nothing.
TEST_F(SessionTablesTest, WithoutSessionsEverySweepIsWhole) {
  absl::StatusOr<SessionTables> none = SessionTables::Create(2, 0, HugePages::kRequired);
  ASSERT_TRUE(none.ok()) << none.status();
  ASSERT_EQ(none->partitions().size(), 2u);
  EXPECT_EQ(none->partitions()[1].bucket_count, 1u);
  EXPECT_EQ(none->partitions()[1].session_count, 0u);
  for (uint64_t i = 1; i <= 5; i++) {
    none->Sweep(tables_.view(), kNow * kTickNs);
    EXPECT_EQ(none->occupancy().sweeps, i);
  }
  EXPECT_EQ(none->occupancy().sessions, 0u);
  EXPECT_EQ(none->occupancy().of_slot[1], 0u);
}

TEST_F(SessionTablesTest, CountsSessionsBySlotAndListener) {
  Open(0, SLUICE_SESSION_ESTABLISHED, 0);
  Open(1, SLUICE_SESSION_CLOSED, 5);
  sluice_session& other = Open(2, SLUICE_SESSION_HANDSHAKE, 5, 4);
  other.listener = 0;
  SweepOnce();
  const Engine::SessionOccupancy& occupancy = sessions_->occupancy();
  EXPECT_EQ(occupancy.sessions, 3u);
  EXPECT_EQ(occupancy.of_slot[3], 2u);
  EXPECT_EQ(occupancy.of_slot[4], 1u);
  EXPECT_EQ(occupancy.of_slot[1], 0u);
  // The closed one only keeps its port from being used again.
  EXPECT_EQ(occupancy.open_of_slot[3], 1u);
  EXPECT_EQ(occupancy.open_of_slot[4], 1u);
  EXPECT_EQ(occupancy.of_listener[0], 1u);
  EXPECT_EQ(occupancy.of_listener[1], 2u);
  other.protocol = 0;
  SweepOnce();
  EXPECT_EQ(sessions_->occupancy().sessions, 2u);
  EXPECT_EQ(sessions_->occupancy().of_slot[4], 0u);
  EXPECT_EQ(sessions_->occupancy().of_listener[0], 0u);
}

TEST_F(SessionTablesTest, HandsOnWhatIsOver) {
  struct Case {
    enum sluice_session_state state;
    uint32_t timeout;
  };
  for (const Case& one : {Case{SLUICE_SESSION_HANDSHAKE, 10}, Case{SLUICE_SESSION_ESTABLISHED, 100},
                          Case{SLUICE_SESSION_HALF_CLOSED, 40}, Case{SLUICE_SESSION_CLOSED, 20}}) {
    sluice_session& lives = Open(1, one.state, one.timeout);
    sluice_session& over = Open(1, one.state, one.timeout + 1);
    SweepOnce();
    EXPECT_EQ(Queued(0), 0u);
    EXPECT_EQ(Queued(1), 1u) << one.state;
    EndAll(1);
    EXPECT_EQ(over.protocol, 0);
    EXPECT_EQ(lives.protocol, SLUICE_IP_TCP);
  }
  SweepOnce();
  EXPECT_EQ(sessions_->occupancy().sessions, 4u);
}

TEST_F(SessionTablesTest, BackendsAndListenersThatAreGoneEndTheirSessions) {
  Open(0, SLUICE_SESSION_ESTABLISHED, 0);
  Open(0, SLUICE_SESSION_ESTABLISHED, 0, 4);
  tables_.backends[4].flags = SLUICE_BACKEND_NEXT_HOP;
  SweepOnce();
  EndAll(0);
  EXPECT_EQ(owners_[0].live(), 1u);
  tables_.terms[1].handshake = tables_.terms[1].established = 0;
  tables_.terms[1].half_closed = tables_.terms[1].closed = 0;
  SweepOnce();
  EndAll(0);
  EXPECT_EQ(owners_[0].live(), 0u);
  EXPECT_EQ(owners_[0].counters().expired, 2u);
}

TEST_F(SessionTablesTest, SweepsAcrossTheWrapOfTheClock) {
  sluice_session& session = Open(0, SLUICE_SESSION_ESTABLISHED, 0);
  session.forward = SLUICE_WORD_SYN | SLUICE_WORD_ACK | 4090;
  session.reverse = SLUICE_WORD_SYN | SLUICE_WORD_ACK | 4095;
  SweepOnce(4096 + 99);
  EXPECT_EQ(Queued(0), 0u);
  SweepOnce(4096 + 100);
  EXPECT_EQ(Queued(0), 1u);
}

// What finds no room in the queue is found again.
TEST_F(SessionTablesTest, AFullQueueWaitsForItsOwner) {
  constexpr uint32_t kMany = SLUICE_EXPIRED + 1000;
  for (uint32_t i = 0; i < kMany; i++) Open(0, SLUICE_SESSION_HANDSHAKE, 11);
  sluice_session& other = Open(1, SLUICE_SESSION_HANDSHAKE, 11);
  SweepOnce();
  EXPECT_EQ(Queued(0), SLUICE_EXPIRED);
  EXPECT_EQ(Queued(1), 1u) << "another owner's queue is not full";
  SweepOnce();
  EXPECT_EQ(Queued(0), SLUICE_EXPIRED);
  EndAll(0);
  EXPECT_EQ(owners_[0].live(), 1000u);
  SweepOnce();
  EXPECT_EQ(Queued(0), 1000u);
  EndAll(0);
  EndAll(1);
  EXPECT_EQ(owners_[0].live(), 0u);
  EXPECT_EQ(other.protocol, 0);
  EXPECT_EQ(owners_[0].counters().expired, kMany);
}

// The owner opens and ends beside the sweep; what lives is never ended.
TEST_F(SessionTablesTest, SweepsBesideTheOwner) {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> rounds = 0;
  sluice_session& lives = Open(0, SLUICE_SESSION_ESTABLISHED, 0);
  std::thread owner([&] {
    const uint32_t first = next_;
    while (!stop) {
      next_ = first;
      for (uint32_t i = 0; i < 200; i++) Open(0, SLUICE_SESSION_HANDSHAKE, i % 2 ? 11 : 0);
      for (uint32_t i = 0; i < 200; i++) EndExpired(&owners_[0], tables_.view(), kNow);
      EXPECT_EQ(lives.protocol, SLUICE_IP_TCP);
      const SessionPartition& partition = sessions_->partitions()[0];
      for (uint32_t i = 0; i < partition.session_count; i++) {
        if (partition.sessions[i].protocol != 0 && &partition.sessions[i] != &lives) {
          owners_[0].Close(tables_.view(), i);
        }
      }
      rounds++;
    }
  });
  while (rounds < 50) SweepOnce();
  stop = true;
  owner.join();
  SweepOnce();
  EXPECT_EQ(sessions_->occupancy().sessions, 1u);
}

}  // namespace
}  // namespace sluice
