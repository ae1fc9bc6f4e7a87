#include "base/status_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(StatusRangesTest, ReadsCodesAndRanges) {
  EXPECT_THAT(ParseStatusRanges("200-399"), Optional(ElementsAre(StatusRange{200, 399})));
  EXPECT_THAT(ParseStatusRanges("204"), Optional(ElementsAre(StatusRange{204, 204})));
  EXPECT_THAT(ParseStatusRanges("200, 301-302,599"),
              Optional(ElementsAre(StatusRange{200, 200}, StatusRange{301, 302}, StatusRange{599, 599})));
}

TEST(StatusRangesTest, RefusesTheRest) {
  for (const char* text : {"", "ok", "2xx", "99", "600", "399-200", "200-", "-200", "200-300-400", "200,", "+20",
                           "0200", "200 300", "200;300"}) {
    EXPECT_FALSE(ParseStatusRanges(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace sluice
