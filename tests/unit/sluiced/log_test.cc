// The log's limit: what passes, what is left out, and that it is said.
#include "sluiced/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kSecond = 1'000'000'000;

class LogTest : public testing::Test {
 protected:
  LogTest() { log_.set_pattern("%l %v"); }
  std::vector<std::string> TakeLines() {
    std::vector<std::string> lines = absl::StrSplit(out_.str(), '\n', absl::SkipEmpty());
    out_.str("");
    return lines;
  }

  uint64_t now_ = 100 * kSecond;
  std::ostringstream out_;
  spdlog::logger log_{"log", std::make_shared<LimitedSink>(std::make_shared<spdlog::sinks::ostream_sink_st>(out_),
                                                           [this] { return now_; })};
};

TEST_F(LogTest, OfAKindThereAreOnlySoMany) {
  for (uint64_t i = 0; i < LimitedSink::kBurst + 500; i++) log_.info("change: number {}", i);
  // Others are not kept out by it: another word, another level.
  log_.info("port eth0: link down");
  log_.warn("change: doubtful");
  std::vector<std::string> lines = TakeLines();
  ASSERT_EQ(lines.size(), LimitedSink::kBurst + 2);
  EXPECT_EQ(lines[LimitedSink::kBurst], "info port eth0: link down");
  EXPECT_EQ(lines.back(), "warning change: doubtful");
  log_.flush();
  EXPECT_THAT(TakeLines(), ElementsAre());
  // A second gives so many back, one of which says what was left out.
  now_ += kSecond;
  log_.flush();
  EXPECT_THAT(TakeLines(),
              ElementsAre("info log: 500 lines that begin with \"change\" were left out: too many at once"));
  for (int i = 0; i < 100; i++) log_.info("change: {}", i);
  EXPECT_EQ(TakeLines().size(), LimitedSink::kPerSecond - 1);
  now_ += kSecond;
  log_.info("change: again");
  lines = TakeLines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("51 lines that begin"));
  EXPECT_EQ(lines[1], "info change: again");
}

TEST_F(LogTest, AFewLinesASecondAlwaysPass) {
  for (uint64_t i = 0; i < 10 * LimitedSink::kBurst; i++) {
    now_ += kSecond / LimitedSink::kPerSecond;
    log_.info("backend {}", i);
  }
  EXPECT_EQ(TakeLines().size(), 10 * LimitedSink::kBurst);
}

TEST_F(LogTest, ManyKindsTakeBoundedMemoryAndAreOne) {
  for (uint64_t i = 0; i < 10 * LimitedSink::kBurst; i++) log_.info("kind{} is new", i);
  EXPECT_EQ(TakeLines().size(), LimitedSink::kBurst + LimitedSink::kKinds);
}

}  // namespace
}  // namespace sluice
