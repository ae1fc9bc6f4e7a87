// What differs, in lines.
#include "config/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "config/load.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kBefore[] = R"(
engine: {interfaces: [{name: eth0}]}
listeners:
  - {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}
  - {name: dns, address: 203.0.113.10, ports: [53], protocol: udp, pool: web}
pools: [{name: web, backends: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2}]}]
)";

v1::Config Load(const std::string& yaml) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(yaml, "f.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->config : v1::Config();
}

TEST(DiffTest, NothingDiffers) {
  EXPECT_THAT(DiffConfigs(Load(kBefore), Load(kBefore)), IsEmpty());
}

TEST(DiffTest, NamesTellWhatIsTheSame) {
  const v1::Config after = Load(R"(
engine: {interfaces: [{name: eth0}, {name: eth1}]}
listeners:
  - {name: more, address: 203.0.113.11, ports: [80], protocol: tcp, pool: web}
  - {name: web, address: 203.0.113.10, ports: [80, 443], protocol: tcp, pool: web, idle_timeout: 60s}
pools: [{name: web, backends: [{name: c, address: 10.0.1.3}, {name: b, address: 10.0.1.2, weight: 5, state: drain}]}]
admin: {listen: "127.0.0.1:9910"}
)");
  EXPECT_THAT(DiffConfigs(Load(kBefore), after),
              ElementsAre("~ engine.interfaces: [{name: eth0}] -> [{name: eth0}, {name: eth1}]",
                          "~ listeners[web].ports: [80] -> [80, 443]", "~ listeners[web].idle_timeout: 350s -> 60s",
                          "- listeners[dns]", HasSubstr("+ listeners[more]: {name: more, address: \"203.0.113.11\""),
                          "- pools[web].backends[a]", "~ pools[web].backends[b].weight: 1 -> 5",
                          "~ pools[web].backends[b].state: ready -> drain",
                          R"(+ pools[web].backends[c]: {name: c, address: "10.0.1.3", weight: 1})",
                          "~ admin.listen: none -> 127.0.0.1:9910"));
}

TEST(DiffTest, TheHashKeyIsNotShown) {
  v1::Config after = Load(kBefore);
  after.mutable_engine()->set_hash_key(std::string(32, 'k'));
  EXPECT_THAT(DiffConfigs(Load(kBefore), after), ElementsAre("~ engine.hash_key"));
}

TEST(DiffTest, OfLongListsOnlyWhatComesAndGoes) {
  v1::Config before = Load(kBefore);
  v1::Access& access = *before.mutable_listeners(0)->mutable_access();
  for (int i = 0; i < 50; i++) access.add_deny(absl::StrCat("192.0.2.", i));
  v1::Config after = before;
  auto& deny = *after.mutable_listeners(0)->mutable_access()->mutable_deny();
  *deny.Mutable(3) = "198.51.100.0/24";
  EXPECT_THAT(DiffConfigs(before, after),
              ElementsAre("~ listeners[web].access.deny: 50 -> 50 elements, +198.51.100.0/24, -192.0.2.3"));
  deny = access.deny();
  std::swap(*deny.Mutable(0), *deny.Mutable(1));
  EXPECT_THAT(DiffConfigs(before, after),
              ElementsAre("~ listeners[web].access.deny: 50 -> 50 elements, in another order"));
  deny.Clear();
  EXPECT_THAT(DiffConfigs(before, after),
              ElementsAre("~ listeners[web].access.deny: 50 -> 0 elements, -192.0.2.0 -192.0.2.1 -192.0.2.2 -192.0.2.3 "
                          "-192.0.2.4 -192.0.2.5 -192.0.2.6 -192.0.2.7 -192.0.2.8 -192.0.2.9 -192.0.2.10 -192.0.2.11 "
                          "-192.0.2.12 -192.0.2.13 -192.0.2.14 -192.0.2.15 and 34 more"));
}

TEST(DiffTest, LongLinesAreCut) {
  v1::Config after;
  v1::Listener& listener = *after.add_listeners();
  listener.set_name("web");
  for (int i = 0; i < 1000; i++) listener.mutable_access()->add_deny("192.0.2.0/24");
  const std::vector<std::string> lines = DiffConfigs({}, after);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_LT(lines[0].size(), kMaxDiffLineBytes + 40);
  EXPECT_THAT(lines[0], testing::EndsWith(" bytes more)"));
}

TEST(DiffTest, LinesAreBounded) {
  v1::Config after;
  for (size_t i = 0; i < kMaxDiffLines + 7; i++) after.add_pools()->set_name(absl::StrCat("p", i));
  const std::vector<std::string> lines = DiffConfigs({}, after);
  EXPECT_EQ(lines.size(), kMaxDiffLines + 1);
  EXPECT_EQ(lines.back(), "... and 7 more");
}

}  // namespace
}  // namespace sluice
