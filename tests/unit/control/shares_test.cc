// Which backends of a pool are in use, and with which weights.
#include "control/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using Role = Share::Role;

v1::Pool Pool(const std::string& keys, const std::string& backends) {
  return Load(absl::StrCat("engine: {interfaces: [{name: eth0}], zone: here}\n", kListener, "pools: [{name: web", keys,
                           ", backends: [", backends, "]}]\n"))
      .pools(0);
}

std::vector<uint32_t> Weights(const v1::Pool& pool, const std::vector<Candidate>& candidates,
                              const std::string& zone = "here") {
  std::vector<uint32_t> weights;
  for (const Share& share : ShareOut(pool, zone, candidates)) weights.push_back(share.weight);
  return weights;
}

constexpr Candidate kWell{};
constexpr Candidate kDown{.usable = false};

TEST(SharesTest, WithoutRolesTheFileDecides) {
  const v1::Pool pool = Pool("", "{name: a, address: 10.0.0.1, weight: 3}, {name: b, address: 10.0.0.2, weight: 0}");
  EXPECT_FALSE(HasRoles(pool));
  EXPECT_THAT(Weights(pool, {kWell, kWell}), ElementsAre(3, 0));
}

TEST(SharesTest, BackupsAreUsedWhenAllOthersAreDown) {
  const v1::Pool pool = Pool("",
                             "{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}, "
                             "{name: spare, address: 10.0.0.3, weight: 5, backup: true}");
  EXPECT_TRUE(HasRoles(pool));
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell}), ElementsAre(1, 1, 0));
  EXPECT_THAT(Weights(pool, {kWell, kDown, kWell}), ElementsAre(1, 1, 0));
  EXPECT_THAT(Weights(pool, {kDown, kDown, kWell}), ElementsAre(1, 1, 5));
  // The builder may fail open: all of them have their weights.
  EXPECT_THAT(Weights(pool, {kDown, kDown, kDown}), ElementsAre(1, 1, 5));
  EXPECT_EQ(ShareOut(pool, "", std::vector<Candidate>(3))[2].role, Role::kReserve);
}

TEST(SharesTest, BackupsJoinWhenTooFewAreHealthy) {
  const v1::Pool pool = Pool(", minimum_healthy: 2",
                             "{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}, "
                             "{name: spare, address: 10.0.0.3, backup: true}");
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell}), ElementsAre(1, 1, 0));
  EXPECT_THAT(Weights(pool, {kWell, kDown, kWell}), ElementsAre(1, 1, 1));
}

TEST(SharesTest, ADrainedOrWeightlessOneDoesNotCount) {
  const v1::Pool pool = Pool("",
                             "{name: a, address: 10.0.0.1, state: drain}, {name: b, address: 10.0.0.2, weight: 0}, "
                             "{name: spare, address: 10.0.0.3, backup: true}");
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell}), ElementsAre(1, 0, 1));
}

TEST(SharesTest, ZonesThatArePreferred) {
  const v1::Pool pool = Pool(", cross_zone: prefer_local",
                             "{name: a, address: 10.0.0.1, zone: here}, {name: b, address: 10.0.0.2, zone: there}, "
                             "{name: any, address: 10.0.0.3}, "
                             "{name: far, address: 10.0.0.4, zone: there, backup: true}");
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell, kWell}), ElementsAre(1, 0, 1, 0));
  EXPECT_EQ(ShareOut(pool, "here", std::vector<Candidate>(4))[1].role, Role::kOtherZone);
  EXPECT_THAT(Weights(pool, {kDown, kWell, kDown, kWell}), ElementsAre(1, 1, 1, 0));
  EXPECT_THAT(Weights(pool, {kDown, kDown, kDown, kWell}), ElementsAre(1, 1, 1, 1));
  // A node of no zone knows no difference.
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell, kWell}, ""), ElementsAre(1, 1, 1, 0));
}

TEST(SharesTest, ZonesThatAreNeverCrossed) {
  const v1::Pool pool = Pool(", cross_zone: never",
                             "{name: a, address: 10.0.0.1, zone: here}, {name: b, address: 10.0.0.2, zone: there}, "
                             "{name: far, address: 10.0.0.4, zone: there, backup: true}, "
                             "{name: near, address: 10.0.0.5, zone: here, backup: true}");
  EXPECT_THAT(Weights(pool, {kWell, kWell, kWell, kWell}), ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(Weights(pool, {kDown, kWell, kWell, kWell}), ElementsAre(1, 0, 0, 1));
}

TEST(SharesTest, ASlowStartIsATenthAtATimeOfAnyWeight) {
  const v1::Pool pool = Pool(", slow_start: 10s", "{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}");
  EXPECT_THAT(Weights(pool, {{true, 1}, kWell}), ElementsAre(1, 10));
  EXPECT_THAT(Weights(pool, {{true, 7}, kWell}), ElementsAre(7, 10));
  EXPECT_THAT(Weights(pool, {kWell, kWell}), ElementsAre(1, 1));
  // Who takes no flows does not start.
  EXPECT_THAT(Weights(pool, {{false, 1}, kWell}), ElementsAre(1, 1));
  const v1::Pool heavy =
      Pool(", slow_start: 10s", "{name: a, address: 10.0.0.1, weight: 65535}, {name: b, address: 10.0.0.2}");
  EXPECT_THAT(Weights(heavy, {{true, 1}, kWell}), ElementsAre(6553, 1));
}

TEST(SharesTest, APercentageIsRightOfAnyWeight) {
  const v1::Pool pool = Pool(", agent: {port: 9}", "{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}");
  EXPECT_TRUE(HasRoles(pool));
  EXPECT_THAT(Weights(pool, {{.percent = 75}, kWell}), ElementsAre(75, 100));
  EXPECT_THAT(Weights(pool, {{.percent = 0}, kWell}), ElementsAre(0, 1));
  EXPECT_THAT(Weights(pool, {{.percent = 200}, kWell}), ElementsAre(200, 100));
  EXPECT_THAT(Weights(pool, {kWell, kWell}), ElementsAre(1, 1));
  // While it starts slowly as well.
  EXPECT_THAT(Weights(pool, {{true, 5, 50}, kWell}), ElementsAre(250, 1000));
  const v1::Pool heavy =
      Pool(", agent: {port: 9}", "{name: a, address: 10.0.0.1, weight: 40000}, {name: b, address: 10.0.0.2}");
  EXPECT_THAT(Weights(heavy, {{.percent = 1}, kWell}), ElementsAre(400, 1));
  EXPECT_THAT(Weights(heavy, {{.percent = 1000}, kWell}), ElementsAre(65535, 1));
  EXPECT_THAT(Weights(heavy, {kWell, {.percent = 1}}), ElementsAre(40000, 1));
}

TEST(SharesTest, WhoHasNoShareByItsAgentCallsABackup) {
  const v1::Pool pool =
      Pool(", agent: {port: 9}", "{name: a, address: 10.0.0.1}, {name: spare, address: 10.0.0.3, backup: true}");
  EXPECT_THAT(Weights(pool, {kWell, kWell}), ElementsAre(1, 0));
  EXPECT_THAT(Weights(pool, {{.percent = 0}, kWell}), ElementsAre(0, 1));
}

}  // namespace
}  // namespace sluice
