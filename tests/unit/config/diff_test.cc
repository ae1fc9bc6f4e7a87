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

TEST(DiffTest, LinesAreBounded) {
  v1::Config after;
  for (size_t i = 0; i < kMaxDiffLines + 7; i++) after.add_pools()->set_name(absl::StrCat("p", i));
  const std::vector<std::string> lines = DiffConfigs({}, after);
  EXPECT_EQ(lines.size(), kMaxDiffLines + 1);
  EXPECT_EQ(lines.back(), "... and 7 more");
}

}  // namespace
}  // namespace sluice
