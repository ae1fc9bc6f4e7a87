// Builds that are told what has changed, over long random sequences of changes: the same tables, record for record, as
// of a builder that reads everything each time, and, whatever numbers things have, as of one that knows nothing before.
#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/service.h"
#include "gtest/gtest.h"
#include "tables/builder.h"
#include "tests/unit/tables/changing_world.h"
#include "tests/unit/tables/described_tables.h"

namespace sluice {
namespace {

void ExpectSame(const Tables& told, const Tables& read) {
  const sluice_tables& a = told.view();
  const sluice_tables& b = read.view();
  ASSERT_EQ(Bytes(a.settings, 1), Bytes(b.settings, 1));
  ASSERT_EQ(told.listener_names(), read.listener_names());
  ASSERT_EQ(told.pool_names(), read.pool_names());
  ASSERT_EQ(told.backend_names(), read.backend_names());
  ASSERT_EQ(told.virtual_addresses(), read.virtual_addresses());
  ASSERT_EQ(told.services(), read.services());
  ASSERT_EQ(told.load_terms(), read.load_terms());
  ASSERT_EQ(told.listener_terms(), read.listener_terms());
  ASSERT_EQ(told.reset_slots(), read.reset_slots());
  ASSERT_EQ(told.limits_sources(), read.limits_sources());
  ASSERT_EQ(told.range_count(), read.range_count());
  ASSERT_EQ(told.pool_count(), read.pool_count());
  ASSERT_EQ(told.port_count(), read.port_count());
  ASSERT_EQ(told.nat_address_count(), read.nat_address_count());
  ASSERT_EQ(told.access_node_count(), read.access_node_count());
  ASSERT_EQ(Bytes(a.index, a.settings->index_mask + 1), Bytes(b.index, b.settings->index_mask + 1));
  ASSERT_EQ(Bytes(a.ranges, told.range_count()), Bytes(b.ranges, read.range_count()));
  ASSERT_EQ(Bytes(a.listeners, told.listener_count()), Bytes(b.listeners, read.listener_count()));
  ASSERT_EQ(Bytes(a.session_terms, told.listener_count()), Bytes(b.session_terms, read.listener_count()));
  ASSERT_EQ(Bytes(a.backends, told.backend_slots()), Bytes(b.backends, read.backend_slots()));
  ASSERT_EQ(Bytes(a.ports, told.port_count()), Bytes(b.ports, read.port_count()));
  ASSERT_EQ(Bytes(a.nat_addresses, told.nat_address_count()), Bytes(b.nat_addresses, read.nat_address_count()));
  ASSERT_EQ(Bytes(a.access, told.listener_count()), Bytes(b.access, read.listener_count()));
  ASSERT_EQ(Bytes(a.access_nodes, told.access_node_count()), Bytes(b.access_nodes, read.access_node_count()));
  for (uint32_t i = 0; i < told.pool_count(); i++) {
    ASSERT_EQ(PlacesOf(a, a.pools[i]), PlacesOf(b, b.pools[i])) << "pool " << i;
    // Where in the arena it lies is no matter.
    sluice_pool one = a.pools[i];
    sluice_pool other = b.pools[i];
    one.offset = other.offset = 0;
    ASSERT_EQ(Bytes(&one, 1), Bytes(&other, 1)) << "pool " << i;
  }
}

class IncrementalTest : public testing::TestWithParam<uint32_t> {
 protected:
  // No flows are left of some.
  void ReleaseSome() {
    for (const uint32_t slot : told_.RetiredSlots()) {
      if (world_.Below(4) != 0) continue;
      told_.ReleaseSlot(slot);
      read_.ReleaseSlot(slot);
    }
  }

  ChangingWorld world_{GetParam()};
  Builder told_;
  Builder read_;
};

TEST_P(IncrementalTest, SameTablesAsFromNothing) {
  uint64_t pools_read = 0;
  for (int step = 0; step < 1500; step++) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), ", step ", step));
    for (int i = world_.Below(4); i >= 0; i--) world_.Change();
    ReleaseSome();
    const absl::StatusOr<std::shared_ptr<const Tables>> told = told_.Build(world_.told());
    const absl::StatusOr<std::shared_ptr<const Tables>> read = read_.Build(world_.read());
    ASSERT_TRUE(told.ok() && read.ok()) << told.status() << read.status();
    ASSERT_NO_FATAL_FAILURE(ExpectSame(**told, **read));
    ASSERT_EQ(told_.RetiredSlots(), read_.RetiredSlots());
    pools_read += told_.pools_read();
    world_.Built();
    if (step % 10 != 0) continue;
    Builder fresh;
    const absl::StatusOr<std::shared_ptr<const Tables>> nothing_before = fresh.Build(world_.read());
    ASSERT_TRUE(nothing_before.ok());
    ASSERT_EQ(Describe(**told), Describe(**nothing_before));
  }
  // Most of them were not looked at.
  EXPECT_LT(pools_read, 1500u * 7 * 3 / 4);
}

INSTANTIATE_TEST_SUITE_P(Seeds, IncrementalTest, testing::Values(1, 2, 3, 4));

// A build that fails is as if it had not been: the next one still knows what has changed.
TEST(Incremental, AFailureIsMadeUpFor) {
  TestInput input;
  input.Load(R"(
engine: {interfaces: [{name: eth0}]}
listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]
pools: [{name: web, backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]}]
)");
  input.ResolveAll();
  Builder builder;
  const std::shared_ptr<const Tables> first = input.Build(builder);
  ASSERT_NE(first, nullptr);
  const InputChange change{{"web"}, {TestInput::At("10.0.0.1")}};
  BuildInput told = input.input();
  told.change = &change;
  input.unhealthy["web"].insert("b");
  input.next_hops[TestInput::At("10.0.0.1")].port = 9;
  EXPECT_FALSE(builder.Build(told).ok());
  input.Resolve("10.0.0.1");
  const absl::StatusOr<std::shared_ptr<const Tables>> second = builder.Build(told);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->generation(), 2u);
  EXPECT_EQ((*second)->front(), first->front());
  EXPECT_NE((*second)->view().backends[SlotOf(**second, "web", "b")].flags & SLUICE_BACKEND_UNHEALTHY, 0);
}

}  // namespace
}  // namespace sluice
