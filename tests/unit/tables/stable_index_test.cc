// Numbers that stay with their things.
#include "tables/stable_index.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Keys = std::vector<std::string>;

std::vector<uint32_t> Take(StableIndex<std::string>& index, const Keys& keys) {
  const std::optional<IndexPlan> plan = index.Assign(keys);
  EXPECT_TRUE(plan.has_value());
  if (!plan.has_value()) return {};
  index.Commit(keys, *plan);
  return plan->indices;
}

TEST(StableIndex, FreedNumbersAreReusedAtOnce) {
  StableIndex<std::string> index(3, WhenGone::kFree);
  EXPECT_THAT(Take(index, {"a", "b", "c"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Take(index, {"d", "c", "a"}), ElementsAre(1, 2, 0));
  EXPECT_THAT(Take(index, {"x", "y", "z"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Take(index, {}), IsEmpty());
  EXPECT_THAT(Take(index, {"z"}), ElementsAre(0)) << "what is freed is forgotten";
  EXPECT_EQ(index.Assign(Keys{"z"})->size, 3u) << "never smaller than it was";
  EXPECT_THAT(index.Retired(), IsEmpty());
}

TEST(StableIndex, RetiredNumbersCountAgainstTheLimit) {
  StableIndex<std::string> index(3, WhenGone::kRetire);
  Take(index, {"a", "b"});
  Take(index, {"b", "c"});
  EXPECT_FALSE(index.Assign(Keys{"b", "c", "d"}).has_value());
  EXPECT_FALSE(index.Assign(Keys{"d"}).has_value()) << "b and c may have flows still";
  EXPECT_THAT(Take(index, {"b", "c", "a"}), ElementsAre(1, 2, 0));
  EXPECT_THAT(index.Retired(), IsEmpty());
  Take(index, {"b"});
  EXPECT_THAT(index.Retired(), ElementsAre(0, 2));
  index.Release(2);
  EXPECT_THAT(Take(index, {"b", "d"}), ElementsAre(1, 2));
  EXPECT_THAT(index.Retired(), ElementsAre(0));
  index.Release(2);
  EXPECT_THAT(Take(index, {"b", "d"}), ElementsAre(1, 2)) << "a live number is not released";
}

TEST(StableIndex, AKeyIsNotTakenForTheOneThatWasAtItsPlace) {
  StableIndex<std::string> index(10, WhenGone::kRetire);
  Take(index, {"a", "b", "c"});
  EXPECT_THAT(Take(index, {"c", "a", "b"}), ElementsAre(2, 0, 1));
  EXPECT_THAT(Take(index, {"b", "c"}), ElementsAre(1, 2));
  index.Release(0);
  EXPECT_THAT(Take(index, {"d", "b", "c"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Take(index, {"a", "b", "c"}), ElementsAre(3, 1, 2)) << "d has its place for as long as it has flows";
}

TEST(StableIndex, PlanThatIsNotCommittedChangesNothing) {
  StableIndex<std::string> index(10, WhenGone::kRetire);
  Take(index, {"a", "b"});
  EXPECT_EQ(index.Assign(Keys{"c", "d", "b"})->size, 4u);
  EXPECT_THAT(index.Retired(), IsEmpty());
  EXPECT_THAT(Take(index, {"a", "e", "b"}), ElementsAre(0, 2, 1));
}

}  // namespace
}  // namespace sluice
