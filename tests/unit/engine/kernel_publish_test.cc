// What the arrays in the kernel have after a generation was published into them, of which only what had changed was
// written: all that the generation says, over long random sequences of changes.
#include <unistd.h>

#include <memory>
#include <string_view>

#include "engine/xdp/inheritance.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/program_maps.h"
#include "gtest/gtest.h"
#include "tests/unit/tables/changing_world.h"
#include "tests/unit/tables/described_tables.h"

namespace sluice {
namespace {

constexpr uint32_t kBuckets = 64;
constexpr uint32_t kSteps = 250;

class KernelPublishTest : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
    const absl::StatusOr<int> array = MakeConnectionArray(kBuckets);
    ASSERT_TRUE(array.ok()) << array.status();
    array_ = *array;
  }
  void TearDown() override {
    if (array_ >= 0) close(array_);
  }

  void Load(const Tables& tables) {
    KernelPath::Options options;
    options.room = KernelRoom::For(tables);
    options.partitions = 1;
    options.buckets = kBuckets;
    options.connections = array_;
    absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
    ASSERT_TRUE(path.ok()) << path.status();
    path_ = *std::move(path);
  }

  template <typename Record>
  absl::StatusOr<Region> Read(std::string_view name) const {
    return ReadProgramMap(path_->program(), name, sizeof(Record));
  }

  // The records of the half that packets read; the kernel keeps 15 characters of a map's name.
  template <typename Record>
  void ExpectHas(std::string_view name, const Record* records, size_t count) const {
    const absl::StatusOr<Region> state = Read<sluice_kernel_state>("sluice_state_ma");
    const absl::StatusOr<Region> map = Read<Record>(name);
    ASSERT_TRUE(state.ok() && map.ok()) << name << state.status() << map.status();
    const size_t room = map->size() / sizeof(Record) / 2;
    ASSERT_LE(count, room) << name;
    const Record* half = map->template As<Record>() + room * state->As<sluice_kernel_state>()->half;
    ASSERT_EQ(Bytes(half, count), Bytes(records, count)) << name;
  }

  // But for where they have their places, which are looked at there.
  void ExpectHasPools(const Tables& tables) const {
    const absl::StatusOr<Region> state = Read<sluice_kernel_state>("sluice_state_ma");
    const absl::StatusOr<Region> map = Read<sluice_pool>("sluice_pools_ma");
    const absl::StatusOr<Region> places = Read<sluice_maglev_line>("sluice_maglev_m");
    ASSERT_TRUE(state.ok() && map.ok() && places.ok());
    const size_t room = map->size() / sizeof(sluice_pool) / 2;
    for (uint32_t i = 0; i < tables.pool_count(); i++) {
      sluice_pool wanted = tables.view().pools[i];
      sluice_pool has = map->As<sluice_pool>()[room * state->As<sluice_kernel_state>()->half + i];
      sluice_tables kernel{};
      kernel.maglev = places->As<uint32_t>();
      ASSERT_EQ(PlacesOf(kernel, has), PlacesOf(tables.view(), wanted)) << "pool " << i;
      has.offset = wanted.offset = 0;
      ASSERT_EQ(Bytes(&has, 1), Bytes(&wanted, 1)) << "pool " << i;
    }
  }

  void ExpectHasAll(const Tables& tables) const {
    const sluice_tables& view = tables.view();
    ASSERT_NO_FATAL_FAILURE(ExpectHas("sluice_settings", view.settings, 1));
    ASSERT_NO_FATAL_FAILURE(ExpectHas("sluice_index_ma", view.index, view.settings->index_mask + 1));
    ASSERT_NO_FATAL_FAILURE(ExpectHas("sluice_backends", view.backends, tables.backend_slots()));
    ASSERT_NO_FATAL_FAILURE(ExpectHas("sluice_ports_ma", view.ports, tables.port_count()));
    ASSERT_NO_FATAL_FAILURE(ExpectHas("sluice_nat_addr", view.nat_addresses, tables.nat_address_count()));
    ASSERT_NO_FATAL_FAILURE(ExpectHasPools(tables));
  }

  int array_ = -1;
  std::unique_ptr<KernelPath> path_;
};

// Some generations are never published, as when an engine could not.
TEST_P(KernelPublishTest, WhatPacketsReadIsWhatTheTablesSay) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  ChangingWorld world(GetParam());
  Builder builder;
  uint32_t published = 0;
  for (uint32_t step = 0; step < kSteps; step++) {
    const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(world.told());
    ASSERT_TRUE(tables.ok()) << tables.status();
    world.Built();
    // No flows are left.
    for (const uint32_t slot : builder.RetiredSlots()) builder.ReleaseSlot(slot);
    if (path_ == nullptr) {
      ASSERT_NO_FATAL_FAILURE(Load(**tables));
    }
    if (world.Below(6) != 0) {
      ASSERT_TRUE(path_->Fits(**tables));
      const absl::Status status = path_->Publish(*tables);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_NO_FATAL_FAILURE(ExpectHasAll(**tables)) << "step " << step;
      published++;
    }
    for (int changes = world.Below(3); changes >= 0; changes--) world.Change();
  }
  EXPECT_GT(published, kSteps / 2);
}

INSTANTIATE_TEST_SUITE_P(Seeds, KernelPublishTest, testing::Values(1, 2, 3));

}  // namespace
}  // namespace sluice
