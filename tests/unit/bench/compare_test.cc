// Two results side by side, and medians: what report.h writes is what compare.h reads.
#include "compare.h"

#include <gmock/gmock.h>

#include "report.h"

namespace sluice::bench {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

Run OfMpps(double mpps) {
  return {.sent = 1000, .packets = static_cast<uint64_t>(mpps * 1e6), .seconds = 1, .batch = 32};
}

Settings SomeSettings() {
  Settings settings;
  settings.traffic.flows = settings.room = 1000;
  settings.traffic.sizes = {64};
  return settings;
}

// The floor is twice as fast always, and the generator four times.
Results OfRuns(const std::vector<double>& mpps) {
  Results results;
  results.tsc_hz = 2'000'000'000;
  for (const double one : mpps) {
    results.balancer.push_back(OfMpps(one));
    results.floor.push_back(OfMpps(2 * one));
    results.generator.push_back(OfMpps(4 * one));
  }
  return results;
}

TEST(Compare, TellsHowFiguresHaveChanged) {
  const std::string before = Json(SomeSettings(), OfRuns({9, 10, 30}));
  const std::string after = Json(SomeSettings(), OfRuns({5, 1, 7}));
  const absl::StatusOr<std::string> text = Compare(before, after);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(ContainsRegex("mpps +10 \\(9 to 30\\) +5 \\(1 to 7\\) +50.0 %"),
                           ContainsRegex("ns_per_packet +100 .* +200 .* +200.0 %"),
                           ContainsRegex("[^_]cycles_per_packet +200 .* +400 .* +200.0 %"),
                           ContainsRegex("ratio_to_floor +0.5 .* +0.5 .* +100.0 %"), Not(HasSubstr("differs"))));
}

// Of 1 to 6 times `ns`, the floor half of it.
void AddOffered(Results* results, double ns) {
  Run run = OfMpps(1);
  for (size_t i = 0; i < std::size(kPercentiles); i++) run.latency_ns[i] = ns * static_cast<double>(i + 1);
  results->balancer_offered.push_back(run);
  for (double& latency : run.latency_ns) latency /= 2;
  results->floor_offered.push_back(run);
}

TEST(Compare, TellsOfLatenciesWhereThereAreAny) {
  Results before = OfRuns({1});
  AddOffered(&before, 1000);
  Results after = OfRuns({1});
  AddOffered(&after, 1500);
  const absl::StatusOr<std::string> text = Compare(Json(SomeSettings(), before), Json(SomeSettings(), after));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(ContainsRegex("\nlatency_p50_ns +1000 .* +1500 .* +150.0 %"),
                           ContainsRegex("\nlatency_p99_99_ns +5000 .* +7500 .* +150.0 %"),
                           ContainsRegex("\nlatency_max_ns +6000 .* +9000 .* +150.0 %"),
                           ContainsRegex("floor_latency_max_ns +3000 .* +4500 .* +150.0 %")));
  EXPECT_THAT(*Compare(Json(SomeSettings(), OfRuns({1})), Json(SomeSettings(), OfRuns({1}))),
              Not(HasSubstr("latency")));
}

TEST(Compare, TellsOfHighestRatesWithoutLoss) {
  Results results = OfRuns({1});
  results.balancer_throughput = {{.mpps = 3}, {.mpps = 5}, {.mpps = 4, .generator_was_the_limit = true}};
  results.floor_throughput = {{.mpps = 8}};
  const std::string json = Json(SomeSettings(), results);
  const absl::StatusOr<std::string> text = Compare(json, json);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(ContainsRegex("\nthroughput_mpps +4 \\(3 to 5\\)"),
                           ContainsRegex("\nfloor_throughput_mpps +8 \\(8 to 8\\)")));
  EXPECT_THAT(Text(SomeSettings(), results),
              AllOf(ContainsRegex("rate without loss +4.00 Mpps +\\(3.00 to 5.00\\)"),
                    HasSubstr("in 1 of 3 searches of the balancer"), Not(HasSubstr("searches of the floor"))));
}

TEST(Compare, TellsOfAFloodBesideTheRunsWithoutIt) {
  Settings settings = SomeSettings();
  settings.syn_flood = 0.25;
  Results results = OfRuns({4, 5, 10});
  results.balancer_flooded = {OfMpps(2), OfMpps(4), OfMpps(6)};
  results.gave_way[SLUICE_VICTIM_CONFIRMED] = 7;
  const std::string json = Json(settings, results);
  const absl::StatusOr<std::string> text = Compare(json, json);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(ContainsRegex("\nflooded_mpps +4 \\(2 to 6\\)"),
                           ContainsRegex("\nflooded_established_mpps +3 \\(1.5 to 4.5\\)"),
                           // Of the runs side by side: 2 of 4, 4 of 5, 6 of 10.
                           ContainsRegex("\nflooded_ratio +0.6 \\(0.5 to 0.8\\)"),
                           ContainsRegex("\nnew_in_place_of_established +7 ")));
  EXPECT_THAT(Text(settings, results), AllOf(ContainsRegex("established flows +3.00 Mpps"), HasSubstr("25 % of all"),
                                             HasSubstr("7 of an established flow's")));
}

TEST(Compare, TheMedianOfAnEvenNumberIsBetweenTwo) {
  const std::string json = Json(SomeSettings(), OfRuns({1, 2, 4, 8}));
  const absl::StatusOr<std::string> text = Compare(json, json);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, ContainsRegex("mpps +3 \\(1 to 8\\)"));
}

TEST(Compare, TellsWhichSettingsDiffer) {
  Settings other = SomeSettings();
  other.traffic.flows = 2000;
  other.forwarding = v1::Pool::IPIP;
  other.traffic.protocol = SLUICE_IP_UDP;
  const absl::StatusOr<std::string> text = Compare(Json(SomeSettings(), OfRuns({1})), Json(other, OfRuns({1})));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(HasSubstr("differs: flows 1000, 2000"), HasSubstr("differs: forwarding dsr_l2, ipip"),
                           HasSubstr("differs: protocol tcp, udp"), Not(HasSubstr("differs: room"))));
}

TEST(Compare, RefusesWhatIsNoResult) {
  const std::string json = Json(SomeSettings(), OfRuns({1}));
  for (const char* text : {"", "{", "[]", "{}", "{\"mpps\": "}) {
    EXPECT_THAT(std::string(Compare(text, json).status().message()), HasSubstr("the first file is not")) << text;
    EXPECT_THAT(std::string(Compare(json, text).status().message()), HasSubstr("the second file is not")) << text;
  }
}

TEST(Text, SaysWhatPercentilesOfLatenciesAre) {
  Results results = OfRuns({1});
  AddOffered(&results, 1000);
  EXPECT_THAT(Text(SomeSettings(), results),
              AllOf(ContainsRegex("latency p50 +1.00 us"), ContainsRegex("latency p99.9 +4.00 us"),
                    ContainsRegex("latency max +6.00 us"), ContainsRegex("floor's +3.00 us")));
  EXPECT_THAT(Text(SomeSettings(), OfRuns({1})), Not(HasSubstr("latency")));
}

TEST(Text, SaysWhatIsLost) {
  Results results = OfRuns({1, 2, 3});
  results.balancer[1].lost = 30;
  EXPECT_THAT(Text(SomeSettings(), results),
              AllOf(ContainsRegex("balancer +2.00 Mpps"), ContainsRegex("1000.00 cycles"),
                    HasSubstr("(30 of 3000 packets)"), ContainsRegex("loss +1.000000 %")));
}

}  // namespace
}  // namespace sluice::bench
