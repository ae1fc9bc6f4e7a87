// The sweep: what it empties, what it counts, and that it takes nothing from a worker that works meanwhile.
#include "engine/connection_tables.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "sluice/time.h"
#include "tests/unit/engine/hand_tables.h"

namespace sluice {
namespace {

constexpr uint64_t kTickNs = uint64_t{1} << SLUICE_TICK_SHIFT;
constexpr uint16_t kIdle = 10;
constexpr uint32_t kNow = 5000;

class ConnectionTablesTest : public testing::Test {
 protected:
  ConnectionTablesTest() {
    absl::StatusOr<ConnectionTables> created = ConnectionTables::Create(3, 3000, HugePages::kOff);
    EXPECT_TRUE(created.ok()) << created.status();
    connections_ = *std::move(created);
    tables_.AddPool(1);
    tables_.AddBackend(1, 0, kIdle);
    tables_.AddBackend(2, 0, kIdle);
  }

  uint64_t& Entry(uint32_t partition, uint32_t bucket, uint32_t at) {
    return connections_.partitions()[partition].buckets[bucket].entries[at];
  }
  static uint64_t Made(uint32_t slot, uint32_t state, uint32_t tick) {
    return sluice_entry_make(7, slot, state, tick & SLUICE_TICK_MASK);
  }
  uint32_t SweepOnce(uint32_t tick = kNow) {
    const uint64_t before = connections_.occupancy().sweeps;
    uint32_t calls = 0;
    while (connections_.occupancy().sweeps == before) {
      connections_.Sweep(tables_.view(), tick * kTickNs);
      calls++;
    }
    return calls;
  }

  HandTables tables_;
  ConnectionTables connections_;
};

TEST_F(ConnectionTablesTest, TakesTwelveBytesAFlow) {
  uint64_t bytes = 0;
  for (const Partition& partition : connections_.partitions()) bytes += partition.count * sizeof(sluice_bucket);
  EXPECT_GE(bytes, 3000u * 12);
  EXPECT_LT(bytes, 3000u * 12 + 3 * sizeof(sluice_bucket));
  EXPECT_EQ(BucketsFor(0), 2u);
  EXPECT_EQ(BucketsFor(16), 3u);
  EXPECT_EQ(BucketsFor(UINT64_MAX / 12 - 64), UINT32_MAX);
}

// Nothing is taken after the start.
TEST_F(ConnectionTablesTest, AllOfItsMemoryIsThere) {
  const absl::StatusOr<ConnectionTables> tables = ConnectionTables::Create(2, 1 << 20, HugePages::kOff);
  ASSERT_TRUE(tables.ok()) << tables.status();
  const Partition& first = tables->partitions()[0];
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t bytes = 2 * sizeof(sluice_bucket) * first.count;
  std::vector<unsigned char> resident((bytes + page - 1) / page);
  ASSERT_EQ(mincore(first.buckets, bytes, resident.data()), 0);
  for (size_t i = 0; i < resident.size(); i++) ASSERT_EQ(resident[i] & 1, 1) << "page " << i;
}

TEST_F(ConnectionTablesTest, AWholeSweepTakesAHundredCalls) {
  EXPECT_LE(SweepOnce(), 100u);
  EXPECT_GE(SweepOnce(), 90u);
  EXPECT_EQ(connections_.occupancy().sweeps, 2u);
}

TEST_F(ConnectionTablesTest, CountsLiveEntriesBySlotInEveryPartition) {
  const uint32_t last = connections_.partitions()[2].count - 1;
  Entry(0, 0, 0) = Made(1, SLUICE_STATE_NEW, kNow);
  Entry(1, 3, 7) = Made(1, SLUICE_STATE_CONFIRMED, kNow - kIdle);
  Entry(2, last, 7) = Made(2, SLUICE_STATE_CLOSING, kNow - 5);
  SweepOnce();
  EXPECT_EQ(connections_.occupancy().flows_of_slot[1], 2u);
  EXPECT_EQ(connections_.occupancy().flows_of_slot[2], 1u);
  EXPECT_EQ(connections_.occupancy().flows_of_slot[3], 0u);
  Entry(0, 0, 0) = SLUICE_ENTRY_EMPTY;
  SweepOnce();
  EXPECT_EQ(connections_.occupancy().flows_of_slot[1], 1u);
}

TEST_F(ConnectionTablesTest, CountsClosedFlowsAsOpenWhileThereArePackets) {
  Entry(0, 0, 0) = Made(1, SLUICE_STATE_CLOSING, kNow - 1);
  Entry(0, 0, 1) = Made(1, SLUICE_STATE_CLOSING, kNow - 2);
  Entry(0, 0, 2) = Made(1, SLUICE_STATE_CONFIRMED, kNow - 2);
  SweepOnce();
  EXPECT_EQ(connections_.occupancy().flows_of_slot[1], 3u);
  EXPECT_EQ(connections_.occupancy().open_of_slot[1], 2u);
  Entry(0, 0, 2) = SLUICE_ENTRY_EMPTY;
  SweepOnce(kNow + 1);
  EXPECT_EQ(connections_.occupancy().flows_of_slot[1], 2u);
  EXPECT_EQ(connections_.occupancy().open_of_slot[1], 0u);
}

TEST_F(ConnectionTablesTest, EmptiesWhatIsExpired) {
  Entry(0, 0, 0) = Made(1, SLUICE_STATE_CONFIRMED, kNow - kIdle - 1);
  Entry(0, 0, 1) = Made(1, SLUICE_STATE_CONFIRMED, kNow - kIdle);
  SweepOnce();
  EXPECT_EQ(Entry(0, 0, 0), SLUICE_ENTRY_VACATED);
  EXPECT_EQ(Entry(0, 0, 1), Made(1, SLUICE_STATE_CONFIRMED, kNow - kIdle));
}

TEST_F(ConnectionTablesTest, EmptiesClosingFlowsSooner) {
  tables_.backends[1].idle = 1000;
  Entry(0, 0, 0) = Made(1, SLUICE_STATE_CLOSING, kNow - SLUICE_CLOSING_TICKS - 1);
  Entry(0, 0, 1) = Made(1, SLUICE_STATE_CLOSING, kNow - SLUICE_CLOSING_TICKS);
  Entry(0, 0, 2) = Made(1, SLUICE_STATE_CONFIRMED, kNow - SLUICE_CLOSING_TICKS - 1);
  SweepOnce();
  EXPECT_EQ(Entry(0, 0, 0), SLUICE_ENTRY_VACATED);
  EXPECT_FALSE(sluice_entry_is_empty(Entry(0, 0, 1)));
  EXPECT_FALSE(sluice_entry_is_empty(Entry(0, 0, 2)));
}

TEST_F(ConnectionTablesTest, EmptiesWhatNamesABackendThatIsGone) {
  Entry(1, 0, 0) = Made(2, SLUICE_STATE_CONFIRMED, kNow);
  tables_.backends[2].flags = 0;
  SweepOnce();
  EXPECT_EQ(Entry(1, 0, 0), SLUICE_ENTRY_VACATED);
  EXPECT_EQ(connections_.occupancy().flows_of_slot[2], 0u);
}

// A tick of 12 bits comes round; entries before that are gone.
TEST_F(ConnectionTablesTest, SweepsAcrossTheWrapOfTheClock) {
  Entry(0, 0, 0) = Made(1, SLUICE_STATE_CONFIRMED, 4095);
  Entry(0, 0, 1) = Made(1, SLUICE_STATE_CONFIRMED, 4090);
  SweepOnce(4096 + 5);
  EXPECT_FALSE(sluice_entry_is_empty(Entry(0, 0, 0)));
  EXPECT_EQ(Entry(0, 0, 1), SLUICE_ENTRY_VACATED);
}

// A worker that makes and touches entries beside the sweep finds each as it left it, or emptied when it had expired.
TEST_F(ConnectionTablesTest, SweepsBesideAWorker) {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> rounds = 0;
  const Partition partition = connections_.partitions()[0];
  std::thread worker([&] {
    while (!stop) {
      for (uint32_t i = 0; i < partition.count; i++) {
        uint64_t* fresh = &partition.buckets[i].entries[0];
        uint64_t* expired = &partition.buckets[i].entries[1];
        SLUICE_STORE_ENTRY(fresh, Made(1, SLUICE_STATE_NEW, kNow));
        SLUICE_STORE_ENTRY(expired, Made(2, SLUICE_STATE_NEW, kNow - kIdle - 1));
        const uint64_t entry = SLUICE_LOAD_ENTRY(fresh);
        EXPECT_EQ(entry, Made(1, SLUICE_STATE_NEW, kNow));
        SLUICE_STORE_ENTRY(fresh, sluice_entry_touch(entry, kNow & SLUICE_TICK_MASK, false, false));
        const uint64_t other = SLUICE_LOAD_ENTRY(expired);
        EXPECT_TRUE(other == SLUICE_ENTRY_VACATED || other == Made(2, SLUICE_STATE_NEW, kNow - kIdle - 1));
      }
      rounds++;
    }
  });
  while (rounds < 20) SweepOnce();
  stop = true;
  worker.join();
  SweepOnce();
  EXPECT_EQ(connections_.occupancy().flows_of_slot[1], partition.count);
  EXPECT_EQ(connections_.occupancy().flows_of_slot[2], 0u);
}

}  // namespace
}  // namespace sluice
