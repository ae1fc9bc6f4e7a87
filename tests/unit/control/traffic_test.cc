// What indices have counted, by whose they are.
#include "control/traffic.h"

#include <gtest/gtest.h>

#include "config/load.h"
#include "tables/builder.h"
#include "tests/unit/control/fake_engine.h"

namespace sluice {
namespace {

class TrafficTest : public testing::Test {
 protected:
  std::shared_ptr<const Tables> Build(const std::string& pool) {
    config_ = LoadConfigText("engine: {interfaces: [{name: eth0}]}\n" + pool, "f.yaml")->config;
    BuildInput input;
    input.config = &config_;
    input.hash_key = key_;
    input.next_hops = &next_hops_;
    const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder_.Build(input);
    EXPECT_TRUE(tables.ok()) << tables.status();
    return tables.ok() ? *tables : nullptr;
  }
  void Count(uint64_t packets) {
    engine_.counters.backends.resize(4);
    engine_.counters.backend_answers.resize(4);
    engine_.counters.backends[0].packets += packets;
    engine_.counters.backend_answers[0].packets += 2 * packets;
    engine_.counters.backend_answers[0].failed += packets;
  }
  uint64_t Packets() const { return traffic_.OfBackend(engine_.counters, 0).forwarded.packets; }
  uint64_t Answers() const { return traffic_.OfBackend(engine_.counters, 0).answers.packets; }

  std::array<uint8_t, 32> key_{};
  v1::Config config_;
  absl::flat_hash_map<Address, BackendNextHop> next_hops_;
  Builder builder_;
  FakeEngine engine_;
  Traffic traffic_;
};

constexpr char kA[] = "pools: [{name: web, backends: [{name: a, address: 10.0.1.1}]}]";
constexpr char kB[] = "pools: [{name: web, backends: [{name: b, address: 10.0.1.2}]}]";
constexpr char kNone[] = "pools: [{name: web}]";

TEST_F(TrafficTest, ANewOwnerBeginsAtNothing) {
  traffic_.Follow(*Build(kA), &engine_);
  Count(5);
  EXPECT_EQ(Packets(), 5u);
  EXPECT_EQ(Answers(), 10u);
  traffic_.Follow(*Build(kNone), &engine_);
  builder_.ReleaseSlot(0);
  traffic_.Follow(*Build(kB), &engine_);
  EXPECT_EQ(Packets(), 0u);
  EXPECT_EQ(Answers(), 0u);
  Count(3);
  EXPECT_EQ(Packets(), 3u);
  EXPECT_EQ(Answers(), 6u);
  EXPECT_EQ(traffic_.OfBackend(engine_.counters, 0).answers.failed, 3u);
}

TEST_F(TrafficTest, OneThatComesBackGoesOn) {
  traffic_.Follow(*Build(kA), &engine_);
  Count(5);
  traffic_.Follow(*Build(kNone), &engine_);
  Count(1);
  traffic_.Follow(*Build(kA), &engine_);
  EXPECT_EQ(Packets(), 6u);
}

}  // namespace
}  // namespace sluice
