// What a worker may leave that is killed between any two of its stores, made whole again.
#include "engine/session_repair.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/engine/session_testbed.h"

namespace sluice {
namespace {

constexpr uint32_t kTick = 500;
constexpr uint32_t kSessions = 2000;

class SessionRepairTest : public testing::Test {
 protected:
  SessionRepairTest() {
    absl::StatusOr<SessionTables> created = SessionTables::Create(1, kSessions, HugePages::kOff);
    EXPECT_TRUE(created.ok()) << created.status();
    sessions_ = std::make_unique<SessionTables>(*std::move(created));
  }

  const SessionPartition& partition() const { return sessions_->partitions()[0]; }
  SessionOwner NewOwner() const {
    return {partition(), 0, std::make_shared<NatOwners>(1), sluice_nat_ports_around(32768, 60999)};
  }

  // The record, or none.
  std::optional<uint32_t> Open(SessionOwner* owner, uint16_t port) {
    sluice_session wanted = FullNatSession(port, port);
    const SessionWords words = SessionWords::In(SLUICE_SESSION_ESTABLISHED, kTick);
    wanted.forward = words.forward;
    wanted.reverse = words.reverse;
    return owner->Open(tables_.view(), wanted, ForwardHashOf(tables_.view(), wanted),
                       ReverseHashOf(tables_.view(), wanted), kTick);
  }

  // Places of the entries of this kind that name the record.
  std::vector<uint64_t*> EntriesOf(uint32_t record, uint32_t kind) const {
    std::vector<uint64_t*> found;
    for (uint32_t i = 0; i < partition().bucket_count; i++) {
      for (uint64_t& entry : partition().buckets[i].entries) {
        const bool names = !sluice_entry_is_empty(entry) && static_cast<uint32_t>(entry) == record;
        if (names && sluice_entry_state(entry) == kind) found.push_back(&entry);
      }
    }
    return found;
  }

  // An empty place in any bucket.
  uint64_t* Room() const {
    for (uint32_t i = 0;; i = (i + 7) % partition().bucket_count) {
      for (uint64_t& entry : partition().buckets[i].entries) {
        if (sluice_entry_is_empty(entry)) return &entry;
      }
    }
  }

  // All that has to hold of a partition; how many sessions it has.
  uint32_t CheckWhole() const {
    std::map<uint64_t, uint32_t> entries;
    for (uint32_t i = 0; i < partition().bucket_count; i++) {
      for (const uint64_t entry : partition().buckets[i].entries) {
        if (sluice_entry_is_empty(entry)) continue;
        EXPECT_LT(static_cast<uint32_t>(entry), partition().session_count);
        entries[uint64_t{static_cast<uint32_t>(entry)} << 2 | sluice_entry_state(entry)]++;
      }
    }
    uint32_t live = 0;
    for (uint32_t i = 0; i < partition().session_count; i++) {
      const bool used = partition().sessions[i].protocol != 0;
      const bool replaced = partition().sessions[i].flags & SLUICE_SESSION_REPLACED;
      live += used;
      EXPECT_EQ(entries[uint64_t{i} << 2 | SLUICE_ENTRY_FORWARD], used && !replaced) << i;
      EXPECT_EQ(entries[uint64_t{i} << 2 | SLUICE_ENTRY_REVERSE], used) << i;
    }
    std::vector<uint32_t> listed(partition().session_count);
    const sluice_session_owner& state = *partition().state;
    for (uint32_t i = 0; i < state.free_count; i++) {
      listed[partition().free[(state.free_head + i) % partition().session_count]]++;
    }
    for (uint32_t i = 0; i < partition().session_count; i++)
      EXPECT_EQ(listed[i], partition().sessions[i].protocol == 0);
    return live;
  }

  SessionTestTables tables_;
  std::unique_ptr<SessionTables> sessions_;
};

TEST_F(SessionRepairTest, WhatIsWholeStays) {
  SessionOwner owner = NewOwner();
  for (uint16_t port = 1; port <= 1000; port++) ASSERT_TRUE(Open(&owner, port).has_value());
  for (uint32_t record = 0; record < 1000; record += 3) owner.Close(tables_.view(), record);
  for (uint32_t record = 1; record < 1000; record += 3) owner.Replace(tables_.view(), record);
  EXPECT_EQ(CheckWhole(), 666u);
  RepairSessions(partition());
  EXPECT_EQ(CheckWhole(), 666u);
}

TEST_F(SessionRepairTest, AfterAnEndAnywhere) {
  const uint32_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  SessionOwner owner = NewOwner();
  for (uint16_t port = 1; port <= 1000; port++) ASSERT_TRUE(Open(&owner, port).has_value());
  uint32_t ended = 0;
  for (uint32_t record = 0; record < 1000; record++) {
    switch (random() % 8) {
      case 0:  // Opened, but not yet found by its client; or no longer.
        *EntriesOf(record, SLUICE_ENTRY_FORWARD)[0] = SLUICE_ENTRY_EMPTY;
        ended++;
        break;
      case 1:
        *EntriesOf(record, SLUICE_ENTRY_REVERSE)[0] = SLUICE_ENTRY_EMPTY;
        ended++;
        break;
      case 2:  // Closed, but its entries are still there.
        partition().sessions[record].protocol = 0;
        ended++;
        break;
      case 3:  // An entry on its way to its other bucket is in both.
        *Room() = *EntriesOf(record, SLUICE_ENTRY_FORWARD)[0];
        break;
      default:
        break;
    }
  }
  // One was taken out of the list, and one was put into it twice.
  partition().state->free_head++;
  partition().free[(partition().state->free_head + 5) % kSessions] = 3;
  RepairSessions(partition());
  EXPECT_EQ(CheckWhole(), 1000 - ended);

  SessionOwner next = NewOwner();
  uint32_t opened = 0;
  for (uint16_t port = 10'000; Open(&next, port).has_value(); port++) opened++;
  EXPECT_EQ(opened, kSessions - (1000 - ended) - partition().state->spare);
  CheckWhole();
}

}  // namespace
}  // namespace sluice
