#include "config/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "config/bounds.h"

namespace sluice::config {
namespace {

using ::testing::ElementsAre;

TEST(Report, NamesTheNearestPlaceThatTheFileHas) {
  Report report("f.yaml");
  report.SetPlace("", {1, 1});
  report.SetPlace("pools[2]", {7, 5});
  report.SetPlace("pools[2].name", {7, 11});
  EXPECT_EQ(report.Where("pools[2].name"), "f.yaml:7:11");
  EXPECT_EQ(report.Where("pools[2].backends[1].address"), "f.yaml:7:5");
  EXPECT_EQ(report.Where("listeners[0]"), "f.yaml:1:1");
}

TEST(Report, NamesThePathWithoutAFile) {
  Report report;
  report.AddError("pools[2].name", "wrong; right");
  report.AddError("", "wrong");
  EXPECT_THAT(report.Errors(), ElementsAre("pools[2].name: wrong; right", "configuration: wrong"));
}

TEST(Report, SortsByPlace) {
  Report report("f.yaml");
  report.AddErrorAt({9, 1}, "c");
  report.AddErrorAt({2, 10}, "b");
  report.AddErrorAt({2, 9}, "a");
  EXPECT_THAT(report.Errors(), ElementsAre("f.yaml:2:9: a", "f.yaml:2:10: b", "f.yaml:9:1: c"));
  EXPECT_EQ(report.ToStatus().message(), "f.yaml:2:9: a\nf.yaml:2:10: b\nf.yaml:9:1: c");
}

TEST(Report, CountsWhatItDoesNotKeep) {
  Report report("f.yaml");
  for (size_t i = 0; i < kMaxErrorLines + 23; ++i) report.AddErrorAt({1, 1}, "x");
  EXPECT_TRUE(report.full());
  EXPECT_EQ(report.error_count(), kMaxErrorLines + 23);
  EXPECT_EQ(report.Errors().size(), kMaxErrorLines + 1);
  EXPECT_EQ(report.Errors().back(), "f.yaml: 23 more errors");
}

TEST(Report, WarningsAreNoErrors) {
  Report report("f.yaml");
  report.AddWarning("", "hm");
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report.ToStatus().ok());
  EXPECT_THAT(report.Warnings(), ElementsAre("f.yaml: hm"));
}

TEST(Report, KeepsALineOneShortLine) {
  Report report("f.yaml");
  report.AddErrorAt({1, 1}, "a\nb\x1b[31m");
  EXPECT_THAT(report.Errors(), ElementsAre("f.yaml:1:1: a\\x0ab\\x1b[31m"));
  Report cut("f.yaml");
  cut.AddErrorAt({1, 1}, std::string(kMaxErrorLineBytes - 1, 'x') + "\u00e4\u00e4");
  EXPECT_THAT(cut.Errors(), ElementsAre("f.yaml:1:1: " + std::string(kMaxErrorLineBytes - 1, 'x') + "..."));
}

TEST(Report, ExplainsWhatIsMissing) {
  Report report("f.yaml");
  EXPECT_FALSE(report.MissingIsExplained("pools[0].name"));
  report.SetPlace("", {1, 1});
  report.SetPlace("pools", {1, 1});
  report.SetPlace("pools[0]", {1, 1});
  report.SetPlace("pools[1]", {2, 1});
  report.MarkBroken("pools[1]");
  report.MarkBroken("pools[0].backends");
  EXPECT_FALSE(report.MissingIsExplained("pools[0].name"));
  EXPECT_TRUE(report.MissingIsExplained("pools[0].backends"));
  EXPECT_TRUE(report.MissingIsExplained("pools[1].name"));
  EXPECT_FALSE(report.MissingIsExplained("engine.interfaces"));
  report.MarkBroken("");
  EXPECT_TRUE(report.MissingIsExplained("engine.interfaces"));
  EXPECT_FALSE(report.MissingIsExplained("pools[0].name"));
}

}  // namespace
}  // namespace sluice::config
