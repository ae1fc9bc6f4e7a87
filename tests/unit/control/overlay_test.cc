// Changes of backends over a base, and what becomes of them when the base changes.
#include "control/overlay.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "config/load.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;

// A pool "web" with these backends.
v1::Config Base(const std::string& backends) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(
      absl::StrCat("engine: {interfaces: [{name: eth0}]}\npools: [{name: web, backends: [", backends, "]}]\n"), "f");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->config : v1::Config();
}

constexpr char kA[] = "{name: a, address: 10.0.1.1}";
constexpr const char* kNames[] = {"a", "b", "c", "d", "e"};
constexpr char kB[] = "{name: b, address: 10.0.1.2, weight: 7}";

v1::Backend Backend(const std::string& name, const std::string& address, uint32_t weight = 1) {
  v1::Backend backend;
  backend.set_name(name);
  backend.set_address(address);
  backend.set_weight(weight);
  return backend;
}

std::string Names(const v1::Config& config) {
  std::string names;
  for (const v1::Backend& backend : config.pools(0).backends()) absl::StrAppend(&names, backend.name());
  return names;
}

class OverlayTest : public testing::Test {
 protected:
  void Set(const v1::Backend& wanted) { RecordChange(base_, "web", wanted.name(), &wanted, changes_); }
  void Remove(const std::string& name) { RecordChange(base_, "web", name, nullptr, changes_); }
  v1::Config Merge() { return MergeChanges(base_, changes_).config; }

  v1::Config base_ = Base(absl::StrCat(kA, ", ", kB));
  BackendChanges changes_;
};

TEST_F(OverlayTest, WeightAndStateAreKeptAlone) {
  v1::Backend b = Backend("b", "10.0.1.2", 3);
  b.set_state(v1::Backend::DRAIN);
  Set(b);
  ASSERT_EQ(changes_.size(), 1);
  EXPECT_FALSE(changes_[0].has_added());
  // What the file changes of the rest is followed.
  base_ = Base(absl::StrCat(kA, ", {name: b, address: 10.0.1.9, weight: 1}"));
  const v1::Config config = Merge();
  const v1::Backend& merged = config.pools(0).backends(1);
  EXPECT_EQ(merged.address(), "10.0.1.9");
  EXPECT_EQ(merged.weight(), 3u);
  EXPECT_EQ(merged.state(), v1::Backend::DRAIN);
}

TEST_F(OverlayTest, WhatComesToTheSameIsNoChange) {
  Set(Backend("a", "10.0.1.1", 5));
  Set(Backend("a", "10.0.1.1", 1));
  EXPECT_EQ(changes_.size(), 0);
  Set(Backend("new", "10.0.1.3"));
  Remove("new");
  EXPECT_EQ(changes_.size(), 0);
  Remove("a");
  EXPECT_EQ(changes_.size(), 1);
  Set(base_.pools(0).backends(0));
  EXPECT_EQ(changes_.size(), 0);
}

TEST_F(OverlayTest, AnAddedOneIsTheFilesWhenTheFileHasIt) {
  Set(Backend("c", "10.0.1.3", 4));
  EXPECT_EQ(Names(Merge()), "abc");
  base_ = Base("{name: c, address: 10.0.1.33}");
  const Merged merged = MergeChanges(base_, changes_);
  EXPECT_EQ(merged.config.pools(0).backends(0).address(), "10.0.1.33");
  EXPECT_EQ(merged.changes.size(), 0);
  EXPECT_THAT(merged.dropped, ElementsAre("the addition of backend web/c is dropped: the configuration has a backend "
                                          "of this name itself now"));
}

TEST_F(OverlayTest, AReplacedOneStaysInItsPlace) {
  Set(Backend("a", "10.0.1.77"));
  const v1::Config merged = Merge();
  EXPECT_EQ(Names(merged), "ab");
  EXPECT_EQ(merged.pools(0).backends(0).address(), "10.0.1.77");
}

TEST_F(OverlayTest, WhatHasNoMeaningAnyMoreIsDropped) {
  Set(Backend("a", "10.0.1.1", 9));
  Remove("b");
  base_ = Base("{name: x, address: 10.0.1.8}");
  Merged merged = MergeChanges(base_, changes_);
  EXPECT_EQ(Names(merged.config), "x");
  EXPECT_THAT(merged.dropped, ElementsAre(HasSubstr("the change of backend web/a is dropped: there is no such backend"),
                                          HasSubstr("the removal of backend web/b is dropped: there is no such")));
  base_.mutable_pools(0)->set_name("other");
  merged = MergeChanges(base_, changes_);
  EXPECT_THAT(merged.dropped, ElementsAre(HasSubstr("no such pool"), HasSubstr("no such pool")));
}

TEST_F(OverlayTest, WhatWouldNotBeValidIsDroppedAlone) {
  Set(Backend("a", "10.0.1.1", 9));
  Set(Backend("c", "10.0.1.3"));
  Set(Backend("d", "10.0.1.4"));
  // The file has got c by another name.
  base_ = Base(absl::StrCat(kA, ", {name: other, address: 10.0.1.3}"));
  const Merged merged = MergeChanges(base_, changes_);
  EXPECT_EQ(Names(merged.config), "aotherd");
  EXPECT_EQ(merged.config.pools(0).backends(0).weight(), 9u);
  EXPECT_THAT(merged.dropped, ElementsAre(HasSubstr("the addition of backend web/c is dropped: ")));
  EXPECT_THAT(merged.dropped[0], HasSubstr("10.0.1.3 is already backend \"other\""));
}

TEST_F(OverlayTest, AnySequenceOfChangesComesToWhatWasWanted) {
  std::mt19937 random(5);
  v1::Config model = base_;
  for (int i = 0; i < 2'000; i++) {
    const size_t which = random() % 5;
    const std::string name = kNames[which];
    v1::Pool& pool = *model.mutable_pools(0);
    v1::Backend* there = FindBackend(pool, name);
    if (random() % 3 == 0) {
      if (there == nullptr) continue;
      auto& backends = *pool.mutable_backends();
      backends.erase(std::find_if(backends.begin(), backends.end(), [&](const auto& one) { return &one == there; }));
      Remove(name);
      continue;
    }
    // A name has one address, or now and then another.
    v1::Backend wanted = Backend(name, absl::StrCat("10.0.", random() % 8 == 0 ? 2 : 1, ".", which + 1),
                                 1 + static_cast<uint32_t>(random() % 9));
    wanted.set_state(static_cast<v1::Backend::State>(random() % 3));
    *(there == nullptr ? pool.add_backends() : there) = wanted;
    Set(wanted);
    v1::Config merged = Merge();
    const auto by_name = [](const v1::Backend& a, const v1::Backend& b) { return a.name() < b.name(); };
    std::sort(merged.mutable_pools(0)->mutable_backends()->begin(), merged.mutable_pools(0)->mutable_backends()->end(),
              by_name);
    v1::Config expected = model;
    std::sort(expected.mutable_pools(0)->mutable_backends()->begin(),
              expected.mutable_pools(0)->mutable_backends()->end(), by_name);
    ASSERT_TRUE(MessageDifferencer::Equals(merged, expected)) << i << merged.DebugString() << expected.DebugString();
  }
}

}  // namespace
}  // namespace sluice
