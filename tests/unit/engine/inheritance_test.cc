// What one instance leaves in the kernel, and what the next one makes of it.
#include "engine/xdp/inheritance.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/kernel_sessions.h"
#include "engine/xdp/program_maps.h"
#include "engine/xdp/session_inheritance.h"
#include "gtest/gtest.h"
#include "sluice/connection.h"
#include "sluice/kernel.h"
#include "sluice/session_owner.h"
#include "tables/builder.h"

namespace sluice {
namespace {

constexpr uint32_t kBuckets = 64;
constexpr uint32_t kPartitions = 2;
constexpr uint32_t kGone = SLUICE_NO_BACKEND;

// Pools by name, each with its backends' addresses.
using Pools = std::vector<std::pair<std::string, std::vector<std::string>>>;

std::shared_ptr<const Tables> Build(const Pools& pools) {
  v1::Config config;
  for (const auto& [name, addresses] : pools) {
    v1::Pool& pool = *config.add_pools();
    pool.set_name(name);
    pool.set_forwarding(v1::Pool::DSR_L2);
    pool.set_maglev_table_size(251);
    for (const std::string& address : addresses) {
      v1::Backend& backend = *pool.add_backends();
      backend.set_name(address);
      backend.set_address(address);
      backend.set_weight(1);
    }
  }
  const std::array<uint8_t, 32> key{1};
  const absl::flat_hash_map<Address, BackendNextHop> next_hops;
  const std::vector<PortDescription> ports = {{{2, 0, 0, 0, 0, 1}, 1500}};
  Builder builder;
  absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build({&config, key, &next_hops, ports});
  EXPECT_TRUE(tables.ok()) << tables.status();
  return *std::move(tables);
}

std::vector<sluice_backend> Backends(const Tables& tables) {
  return {tables.view().backends, tables.view().backends + tables.backend_slots()};
}

TEST(SlotsNow, ByAddressInTheSamePool) {
  const std::vector<sluice_backend> before =
      Backends(*Build({{"web", {"10.0.0.1", "10.0.0.2", "10.0.0.3"}}, {"one", {"10.0.0.1"}}}));
  EXPECT_EQ(SlotsNow(before, *Build({{"web", {"10.0.0.1", "10.0.0.2", "10.0.0.3"}}, {"one", {"10.0.0.1"}}})),
            (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(SlotsNow(before, *Build({{"web", {"10.0.0.2", "10.0.0.3"}}, {"one", {"10.0.0.2"}}})),
            (std::vector<uint32_t>{kGone, 0, 1, kGone}));
  EXPECT_EQ(SlotsNow(before, *Build({{"web", {"10.0.0.9", "10.0.0.3", "10.0.0.1"}}, {"one", {"10.0.0.1"}}})),
            (std::vector<uint32_t>{2, kGone, 1, 3}));
  // Nobody's, as far as the room of the array before goes.
  std::vector<sluice_backend> roomy = before;
  roomy.resize(6);
  EXPECT_EQ(SlotsNow(roomy, *Build({{"web", {"10.0.0.3"}}})),
            (std::vector<uint32_t>{kGone, kGone, 0, kGone, kGone, kGone}));
}

TEST(CopyConnections, EveryEntryKeepsItsPlaceAndAllButItsSlot) {
  std::mt19937_64 random(20261);
  std::vector<sluice_bucket> from(kBuckets);
  for (sluice_bucket& bucket : from) {
    for (uint64_t& entry : bucket.entries) {
      if (random() % 3 == 0) continue;
      entry = SLUICE_ENTRY_VACATED;
      if (random() % 4 == 0) continue;
      entry = sluice_entry_make(random() | uint64_t{1} << 40, static_cast<uint32_t>(random() % 5),
                                SLUICE_STATE_CONFIRMED, static_cast<uint32_t>(random() & SLUICE_TICK_MASK));
    }
  }
  // Slot 4 is none of the table before's.
  const std::vector<uint32_t> slots = {2, kGone, 0, 70'000};
  std::vector<sluice_bucket> to(kBuckets);
  CopyConnections(from, slots, absl::MakeSpan(to));
  int copied = 0;
  for (uint32_t i = 0; i < kBuckets; i++) {
    for (uint32_t at = 0; at < SLUICE_BUCKET_ENTRIES; at++) {
      const uint64_t was = from[i].entries[at];
      const uint64_t is = to[i].entries[at];
      const uint32_t slot = sluice_entry_slot(was);
      if (sluice_entry_is_empty(was) || slot >= slots.size() || slots[slot] == kGone) {
        // Somebody who is gone has left his mark.
        EXPECT_EQ(is, was == SLUICE_ENTRY_EMPTY ? SLUICE_ENTRY_EMPTY : SLUICE_ENTRY_VACATED);
        continue;
      }
      EXPECT_EQ(sluice_entry_slot(is), slots[slot]);
      EXPECT_EQ(is >> SLUICE_ENTRY_STATE_SHIFT, was >> SLUICE_ENTRY_STATE_SHIFT);
      EXPECT_EQ(sluice_entry_seen(is), sluice_entry_seen(was));
      copied++;
    }
  }
  EXPECT_GT(copied, 100);
}

// A flow may be in its secondary bucket where nothing says that it is not.
TEST(MarkCrowded, EveryBucketAndNoFlow) {
  std::vector<sluice_bucket> buckets(4);
  buckets[1].entries[0] = sluice_entry_make(7, 3, SLUICE_STATE_CONFIRMED, 5);
  buckets[2].entries[7] = sluice_entry_make(8, 3, SLUICE_STATE_CONFIRMED, 5);
  buckets[3].entries[0] = SLUICE_ENTRY_VACATED;
  const std::vector<sluice_bucket> before = buckets;
  MarkCrowded(absl::MakeSpan(buckets), 0);
  for (size_t i = 0; i < buckets.size(); i++) {
    EXPECT_TRUE(sluice_bucket_was_crowded(&buckets[i]));
    for (uint32_t at = 0; at < SLUICE_BUCKET_ENTRIES; at++) {
      if (sluice_entry_is_empty(before[i].entries[at])) {
        EXPECT_TRUE(sluice_entry_is_empty(buckets[i].entries[at]));
      } else {
        EXPECT_EQ(buckets[i].entries[at], before[i].entries[at]);
      }
    }
  }
}

class InheritTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
    const absl::StatusOr<int> array = MakeConnectionArray(uint64_t{kPartitions} * kBuckets);
    ASSERT_TRUE(array.ok()) << array.status();
    array_ = *array;
  }
  void TearDown() override {
    if (array_ >= 0) close(array_);
  }

  std::unique_ptr<KernelPath> Load(const Tables& tables,
                                   const std::optional<KernelSessionArrays>& sessions = std::nullopt) {
    KernelPath::Options options;
    options.sessions = sessions;
    options.room = KernelRoom::For(tables);
    options.partitions = kPartitions;
    options.buckets = kBuckets;
    options.connections = array_;
    absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
    EXPECT_TRUE(path.ok()) << path.status();
    return path.ok() ? *std::move(path) : nullptr;
  }

  int array_ = -1;
};

// By nothing but the program, as the next instance has it.
TEST_F(InheritTest, TheTableAndWhomItNames) {
  const std::shared_ptr<const Tables> first = Build({{"web", {"10.0.0.1", "10.0.0.2"}}});
  const std::shared_ptr<const Tables> second = Build({{"web", {"10.0.0.3", "10.0.0.2"}}});
  const std::unique_ptr<KernelPath> path = Load(*first);
  ASSERT_NE(path, nullptr);
  uint64_t bucket[SLUICE_BUCKET_ENTRIES] = {42};
  const uint32_t last = kPartitions * kBuckets - 1;
  ASSERT_EQ(bpf_map_update_elem(array_, &last, bucket, BPF_ANY), 0);
  for (const std::shared_ptr<const Tables>& tables : {first, second, first}) {
    ASSERT_TRUE(path->Publish(tables).ok());
    const absl::StatusOr<Inheritance> left = Inherit(path->program());
    ASSERT_TRUE(left.ok()) << left.status();
    EXPECT_EQ(left->state.partitions, kPartitions);
    EXPECT_EQ(left->state.partition_buckets, kBuckets);
    EXPECT_EQ(left->state.marks_vacated, SLUICE_MARKS_SESSIONS);
    ASSERT_GE(left->backends.size(), tables->backend_slots());
    EXPECT_EQ(
        std::memcmp(left->backends.data(), tables->view().backends, tables->backend_slots() * sizeof(sluice_backend)),
        0);
    EXPECT_EQ(SlotsNow(left->backends, *second)[1], 1u);
    uint64_t found[SLUICE_BUCKET_ENTRIES] = {};
    EXPECT_EQ(bpf_map_lookup_elem(left->connections, &last, found), 0);
    EXPECT_EQ(found[0], 42u);
    close(left->connections);
  }
}

// Whose flows may be in secondary buckets though the primary one was never crowded by what it says: where slots stay as
// they were, and where the entries go on in another array.
TEST_F(InheritTest, TheTableOfAVersionThatLeavesNoMarksIsMarked) {
  const std::shared_ptr<const Tables> first = Build({{"web", {"10.0.0.1", "10.0.0.2"}}});
  const std::shared_ptr<const Tables> renumbered = Build({{"web", {"10.0.0.3", "10.0.0.2"}}});
  const std::unique_ptr<KernelPath> path = Load(*first);
  ASSERT_NE(path, nullptr);
  ASSERT_TRUE(path->Publish(first).ok());
  // In place last, as marks in the array itself would be copied.
  for (const bool moves : {true, false}) {
    for (const uint32_t marks : {1u, 0u}) {
      absl::StatusOr<Inheritance> left = Inherit(path->program());
      ASSERT_TRUE(left.ok()) << left.status();
      left->state.marks_vacated = marks;
      std::vector<std::string> notes;
      const auto connections =
          KernelConnections::GoOn(kPartitions, uint64_t{kPartitions} * kBuckets * 5, *std::move(left), &notes);
      ASSERT_TRUE(connections.ok()) << connections.status();
      EXPECT_TRUE(notes.empty());
      const absl::StatusOr<bool> moved = (*connections)->Settle(moves ? *renumbered : *first);
      ASSERT_TRUE(moved.ok()) << moved.status();
      EXPECT_EQ(*moved, moves);
      for (const Partition& partition : (*connections)->tables().partitions()) {
        for (uint32_t i = 0; i < partition.count; i++) {
          ASSERT_EQ(sluice_bucket_was_crowded(&partition.buckets[i]), marks == 0) << i;
        }
      }
    }
  }
}

// The same of sessions, whose arrays may be those of an earlier version too.
TEST_F(InheritTest, SessionsOfAVersionThatLeavesNoMarks) {
  const std::shared_ptr<const Tables> tables = Build({{"web", {"10.0.0.1"}}});
  const auto sessions = KernelSessions::Open({0, kPartitions}, 1000, sluice_nat_ports_around(32768, 60999), {});
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  const std::unique_ptr<KernelPath> path = Load(*tables, (*sessions)->arrays());
  ASSERT_NE(path, nullptr);
  ASSERT_TRUE(path->Publish(tables).ok());
  std::optional<SessionInheritance> left = InheritSessions(path->program());
  ASSERT_TRUE(left.has_value());
  EXPECT_TRUE(left->marked);
  const ProgramMap map = OpenProgramMap(path->program(), "sluice_state_ma");
  ASSERT_GE(map.fd, 0);
  const uint32_t key = 0;
  sluice_kernel_state state{};
  ASSERT_EQ(bpf_map_lookup_elem(map.fd, &key, &state), 0);
  state.marks_vacated = SLUICE_MARKS_CONNECTIONS;
  ASSERT_EQ(bpf_map_update_elem(map.fd, &key, &state, BPF_ANY), 0);
  close(map.fd);
  left = InheritSessions(path->program());
  ASSERT_TRUE(left.has_value());
  EXPECT_FALSE(left->marked);
  const std::vector<SessionPartition>& partitions = (*sessions)->tables().partitions();
  const uint64_t entry = sluice_session_entry(0x123456789, SLUICE_ENTRY_FORWARD, 3);
  for (sluice_bucket* bucket : {&partitions[0].buckets[2], &partitions[1].buckets[3]}) {
    bucket->entries[SLUICE_SESSION_FILL - 1] = entry;
  }
  EXPECT_FALSE(sluice_sessions_were_crowded(&partitions[0].buckets[0]));
  MarkCrowdedSessions(left->arrays);
  for (const SessionPartition& partition : partitions) {
    for (uint32_t i = 0; i < partition.bucket_count; i++) {
      ASSERT_TRUE(sluice_sessions_were_crowded(&partition.buckets[i])) << i;
      ASSERT_TRUE(sluice_entry_is_empty(partition.buckets[i].entries[0])) << i;
    }
  }
  EXPECT_EQ(partitions[0].buckets[2].entries[SLUICE_SESSION_FILL - 1], entry);
  EXPECT_EQ(partitions[1].buckets[3].entries[SLUICE_SESSION_FILL - 1], entry);
}

TEST_F(InheritTest, RoomForTwiceAsMuchAndNoMore) {
  std::vector<std::string> many;
  for (int i = 0; i < 600; i++) many.push_back("10.1." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250));
  const std::shared_ptr<const Tables> small = Build({{"web", {"10.0.0.1"}}});
  const std::shared_ptr<const Tables> large = Build({{"web", many}});
  const std::unique_ptr<KernelPath> path = Load(*small);
  ASSERT_NE(path, nullptr);
  EXPECT_TRUE(path->Fits(*small));
  EXPECT_FALSE(path->Fits(*large));
  const std::unique_ptr<KernelPath> larger = Load(*large);
  ASSERT_NE(larger, nullptr);
  EXPECT_TRUE(larger->Fits(*large));
}

// A version that has records of other forms leaves them alone, whatever their sizes are.
TEST_F(InheritTest, NothingOfAnotherLayout) {
  const std::shared_ptr<const Tables> tables = Build({{"web", {"10.0.0.1"}}});
  const std::unique_ptr<KernelPath> path = Load(*tables);
  ASSERT_NE(path, nullptr);
  ASSERT_TRUE(path->Publish(tables).ok());
  const ProgramMap map = OpenProgramMap(path->program(), "sluice_state_ma");
  ASSERT_GE(map.fd, 0);
  const uint32_t key = 0;
  sluice_kernel_state state{};
  ASSERT_EQ(bpf_map_lookup_elem(map.fd, &key, &state), 0);
  ASSERT_EQ(state.layout, SLUICE_LAYOUT_VERSION);
  state.layout = SLUICE_LAYOUT_VERSION + 1;
  ASSERT_EQ(bpf_map_update_elem(map.fd, &key, &state, BPF_ANY), 0);
  close(map.fd);
  const absl::Status status = Inherit(path->program()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(status.message()), absl::StrCat("it has them in layout ", SLUICE_LAYOUT_VERSION + 1,
                                                        ", and this version in ", SLUICE_LAYOUT_VERSION));
  EXPECT_FALSE(InheritSessions(path->program()).has_value());
}

// A program of the same name that works on nothing of the kind.
TEST_F(InheritTest, NothingFromOthers) {
  const bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
                           {.code = BPF_JMP | BPF_EXIT}};
  const int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "sluice_xdp", "GPL", pass, 2, nullptr);
  ASSERT_GE(program, 0) << std::strerror(errno);
  EXPECT_EQ(Inherit(program).status().code(), absl::StatusCode::kFailedPrecondition);
  close(program);
}

}  // namespace
}  // namespace sluice
