// The arena of Maglev tables, and sets of them that follow each other.
#include "tables/maglev_set.h"

#include <array>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr std::array<uint8_t, kMaglevHashKeySize> kKey = {9, 8, 7};

std::shared_ptr<MaglevArena> Arena(uint32_t capacity) {
  absl::StatusOr<std::shared_ptr<MaglevArena>> arena = MaglevArena::Create(capacity, HugePages::kOff);
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *arena;
}

TEST(MaglevArena, GivesGapsOutFromTheFront) {
  const auto arena = Arena(100);
  auto a = arena->Take(40);
  const auto b = arena->Take(40);
  EXPECT_EQ(a->offset(), 0u);
  EXPECT_EQ(b->offset(), 40u);
  EXPECT_EQ(arena->Take(21), nullptr);
  const auto c = arena->Take(20);
  EXPECT_EQ(c->offset(), 80u);
  EXPECT_EQ(arena->Take(1), nullptr);
  a.reset();
  EXPECT_EQ(arena->Take(41), nullptr);
  EXPECT_EQ(arena->Take(40)->offset(), 0u);
}

TEST(MaglevArena, PartOutlivesTheNameOfItsArena) {
  auto arena = Arena(10);
  const auto part = arena->Take(10);
  arena.reset();
  part->data()[9] = 7;
  EXPECT_EQ(part->arena().region().As<uint32_t>()[9], 7u);
}

TEST(MaglevArena, PartsNeverOverlap) {
  std::mt19937 random(3);
  const auto arena = Arena(1000);
  std::vector<std::shared_ptr<MaglevArena::Part>> parts;
  for (int step = 0; step < 20000; step++) {
    if (!parts.empty() && random() % 2 == 0) {
      const size_t gone = random() % parts.size();
      for (uint32_t i = 0; i < parts[gone]->size(); i++) ASSERT_EQ(parts[gone]->data()[i], parts[gone]->offset());
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(gone));
      continue;
    }
    auto part = arena->Take(1 + random() % 200);
    if (part == nullptr) continue;
    ASSERT_LE(part->offset() + part->size(), arena->capacity());
    std::fill_n(part->data(), part->size(), part->offset());
    parts.push_back(std::move(part));
  }
}

MaglevDemand Demand(uint32_t size, uint32_t first_slot, uint32_t backends) {
  MaglevDemand demand{size, {}};
  for (uint32_t i = 0; i < backends; i++) {
    Address address;
    address.bytes[15] = static_cast<uint8_t>(i);
    demand.members.push_back({first_slot + i, 1, address});
  }
  return demand;
}

std::vector<MaglevChange> All(const std::vector<MaglevDemand>& demands) {
  std::vector<MaglevChange> changes;
  for (uint32_t i = 0; i < demands.size(); i++) changes.push_back({i, "pool", demands[i]});
  return changes;
}

MaglevSet Build(const MaglevSet& previous, const std::vector<MaglevDemand>& demands) {
  absl::StatusOr<MaglevSet> set = BuildMaglevSet(previous, demands.size(), All(demands), kKey, HugePages::kOff);
  EXPECT_TRUE(set.ok()) << set.status();
  return set.ok() ? *std::move(set) : MaglevSet();
}

TEST(MaglevSet, NoDemandNeedsNoMemory) {
  const MaglevSet set = Build({}, {Demand(251, 0, 0), MaglevDemand()});
  EXPECT_EQ(set.arena, nullptr);
  EXPECT_EQ(set.pools[0]->part, nullptr);
  EXPECT_EQ(set.rebuilt, 0u);
}

TEST(MaglevSet, MembersStandBehindTheTableWhereTheyAreAskedFor) {
  MaglevDemand demand = Demand(251, 20, 7);
  const MaglevSet before = Build({}, {demand});
  demand.lists_members = true;
  const MaglevSet set = Build(before, {demand});
  EXPECT_EQ(set.rebuilt, 1u);
  const MaglevArena::Part& part = *set.pools[0]->part;
  ASSERT_EQ(part.size(), 251u + 7);
  EXPECT_TRUE(std::equal(part.data(), part.data() + 251, before.pools[0]->part->data()));
  for (uint32_t i = 0; i < 7; i++) EXPECT_EQ(part.data()[251 + i], 20 + i);
}

TEST(MaglevSet, MemoryFollowsTheDemandBothWays) {
  std::vector<MaglevDemand> demands;
  for (uint32_t i = 0; i < 100; i++) demands.push_back(Demand(251, 10 * i, 10));
  MaglevSet set = Build({}, demands);
  EXPECT_EQ(set.rebuilt, 100u);
  const std::weak_ptr<MaglevArena> first = set.arena;
  const std::vector<uint32_t> table(set.pools[0]->part->data(), set.pools[0]->part->data() + 251);

  // One changes, a thousand times: always in the same arena.
  for (uint32_t i = 0; i < 1000; i++) {
    demands[i % 100].members[0].weight++;
    set = Build(set, demands);
    ASSERT_EQ(set.rebuilt, 1u);
    ASSERT_EQ(set.arena, first.lock());
  }
  // More pools than it has room for: all are copied to a larger one, none is computed that did not change.
  demands.resize(300, Demand(257, 5000, 3));
  set = Build(set, demands);
  EXPECT_EQ(set.rebuilt, 200u);
  EXPECT_TRUE(first.expired());
  const MaglevSet again = Build({}, demands);
  for (size_t i = 0; i < demands.size(); i++) {
    const MaglevArena::Part& part = *set.pools[i]->part;
    const MaglevArena::Part& expected = *again.pools[i]->part;
    ASSERT_EQ(std::vector<uint32_t>(part.data(), part.data() + part.size()),
              std::vector<uint32_t>(expected.data(), expected.data() + expected.size()));
    EXPECT_EQ(&part.arena(), set.arena.get());
  }
  // Most go: the memory, too.
  const uint32_t large = set.arena->capacity();
  demands.resize(10);
  set = Build(set, demands);
  EXPECT_EQ(set.rebuilt, 0u);
  EXPECT_LT(set.arena->capacity(), large / 4);
}

TEST(MaglevSet, WhatIsNotSaidToChangeStaysWhereItIs) {
  const MaglevSet before = Build({}, {Demand(251, 0, 3), Demand(251, 10, 3), Demand(251, 20, 3)});
  const absl::StatusOr<MaglevSet> set =
      BuildMaglevSet(before, 3, {{1, "pool", Demand(251, 10, 2)}}, kKey, HugePages::kOff);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->moved, std::vector<uint32_t>{1});
  EXPECT_EQ(set->pools[0], before.pools[0]);
  EXPECT_EQ(set->pools[1]->demand, Demand(251, 10, 2));
  EXPECT_EQ(set->pools[2], before.pools[2]);
}

TEST(MaglevSet, RefusesWhatCannotBeAddressed) {
  const std::vector<MaglevDemand> demands(300, Demand(16'777'213, 0, 1));
  const auto set = BuildMaglevSet({}, demands.size(), All(demands), kKey, HugePages::kOff);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace sluice
