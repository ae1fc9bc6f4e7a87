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

// All things of an index, and their numbers.
class All {
 public:
  All(size_t limit, WhenGone when_gone) : index_(limit, when_gone) {}

  std::vector<uint32_t> Take(const Keys& keys) {
    const std::optional<IndexPlan> plan = index_.Assign(numbers_, keys);
    EXPECT_TRUE(plan.has_value());
    if (!plan.has_value()) return {};
    index_.Commit(numbers_, keys, *plan);
    numbers_ = plan->indices;
    return numbers_;
  }
  std::optional<IndexPlan> Assign(const Keys& keys) const { return index_.Assign(numbers_, keys); }
  std::vector<uint32_t> Retired() const { return index_.Retired(); }
  void Release(uint32_t number) { index_.Release(number); }

 private:
  StableIndex<std::string> index_;
  std::vector<uint32_t> numbers_;
};

TEST(StableIndex, FreedNumbersAreReusedAtOnce) {
  All index(3, WhenGone::kFree);
  EXPECT_THAT(index.Take({"a", "b", "c"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(index.Take({"d", "c", "a"}), ElementsAre(1, 2, 0));
  EXPECT_THAT(index.Take({"x", "y", "z"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(index.Take({}), IsEmpty());
  EXPECT_THAT(index.Take({"z"}), ElementsAre(0)) << "what is freed is forgotten";
  EXPECT_EQ(index.Assign(Keys{"z"})->size, 3u) << "never smaller than it was";
  EXPECT_THAT(index.Retired(), IsEmpty());
}

TEST(StableIndex, RetiredNumbersCountAgainstTheLimit) {
  All index(3, WhenGone::kRetire);
  index.Take({"a", "b"});
  index.Take({"b", "c"});
  EXPECT_FALSE(index.Assign(Keys{"b", "c", "d"}).has_value());
  EXPECT_FALSE(index.Assign(Keys{"d"}).has_value()) << "b and c may have flows still";
  EXPECT_THAT(index.Take({"b", "c", "a"}), ElementsAre(1, 2, 0));
  EXPECT_THAT(index.Retired(), IsEmpty());
  index.Take({"b"});
  EXPECT_THAT(index.Retired(), ElementsAre(0, 2));
  index.Release(2);
  EXPECT_THAT(index.Take({"b", "d"}), ElementsAre(1, 2));
  EXPECT_THAT(index.Retired(), ElementsAre(0));
  index.Release(2);
  EXPECT_THAT(index.Take({"b", "d"}), ElementsAre(1, 2)) << "a live number is not released";
}

TEST(StableIndex, AKeyIsNotTakenForTheOneThatWasAtItsPlace) {
  All index(10, WhenGone::kRetire);
  index.Take({"a", "b", "c"});
  EXPECT_THAT(index.Take({"c", "a", "b"}), ElementsAre(2, 0, 1));
  EXPECT_THAT(index.Take({"b", "c"}), ElementsAre(1, 2));
  index.Release(0);
  EXPECT_THAT(index.Take({"d", "b", "c"}), ElementsAre(0, 1, 2));
  EXPECT_THAT(index.Take({"a", "b", "c"}), ElementsAre(3, 1, 2)) << "d has its place for as long as it has flows";
}

TEST(StableIndex, PlanThatIsNotCommittedChangesNothing) {
  All index(10, WhenGone::kRetire);
  index.Take({"a", "b"});
  EXPECT_EQ(index.Assign(Keys{"c", "d", "b"})->size, 4u);
  EXPECT_THAT(index.Retired(), IsEmpty());
  EXPECT_THAT(index.Take({"a", "e", "b"}), ElementsAre(0, 2, 1));
}

TEST(StableIndex, OthersStayWhenSomeAreReplaced) {
  StableIndex<std::string> index(4, WhenGone::kRetire);
  const Keys all = {"a", "b", "c"};
  index.Commit({}, all, *index.Assign({}, all));
  const std::vector<uint32_t> before = {1};
  const Keys keys = {"d"};
  const std::optional<IndexPlan> plan = index.Assign(before, keys);
  ASSERT_TRUE(plan.has_value());
  EXPECT_THAT(plan->indices, ElementsAre(3));
  EXPECT_THAT(index.Absent(before, *plan), ElementsAre(std::pair<uint32_t, std::string>(1, "b")));
  index.Commit(before, keys, *plan);
  EXPECT_THAT(index.Retired(), ElementsAre(1));
  EXPECT_FALSE(index.Assign(plan->indices, Keys{"d", "e"}).has_value()) << "a and c are there, b may have flows";
}

}  // namespace
}  // namespace sluice
