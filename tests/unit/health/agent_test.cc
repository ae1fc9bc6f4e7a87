// What an agent says, and what counts of it.
#include "health/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Optional;
using Change = AgentState::Change;

AgentAnswer Parse(const std::string& line) {
  const absl::StatusOr<AgentAnswer> answer = ParseAgentAnswer(line);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.value_or(AgentAnswer());
}

std::string Refusal(const std::string& line) {
  return std::string(ParseAgentAnswer(line).status().message());
}

TEST(AgentAnswerTest, EachWordAlone) {
  EXPECT_THAT(Parse("75%").percent, Optional(75u));
  EXPECT_EQ(Parse("75%").order, std::nullopt);
  EXPECT_EQ(Parse("75%").down, std::nullopt);
  EXPECT_THAT(Parse("0%").percent, Optional(0u));
  EXPECT_THAT(Parse("1000%").percent, Optional(1'000u));
  EXPECT_THAT(Parse("ready").order, Optional(AgentOrder::kReady));
  EXPECT_THAT(Parse("drain").order, Optional(AgentOrder::kDrain));
  EXPECT_THAT(Parse("maint").order, Optional(AgentOrder::kDisabled));
  EXPECT_EQ(Parse("maint").percent, std::nullopt);
  EXPECT_THAT(Parse("up").down, Optional(false));
  for (const char* word : {"down", "stopped", "fail", "failed", "DOWN"}) EXPECT_THAT(Parse(word).down, Optional(true));
}

TEST(AgentAnswerTest, WordsInAnyOrder) {
  const AgentAnswer answer = Parse(" Up,\tREADY , maxconn:30 50% \r");
  EXPECT_THAT(answer.percent, Optional(50u));
  EXPECT_THAT(answer.order, Optional(AgentOrder::kReady));
  EXPECT_THAT(answer.down, Optional(false));
}

TEST(AgentAnswerTest, AReasonSaysNothingElse) {
  for (const char* line : {"down # disk full, drain 5%", "down disk full, drain 5%", "down #drain"}) {
    EXPECT_THAT(Parse(line).down, Optional(true));
    EXPECT_EQ(Parse(line).order, std::nullopt) << line;
    EXPECT_EQ(Parse(line).percent, std::nullopt) << line;
    EXPECT_EQ(Parse(line).line, line);
  }
}

TEST(AgentAnswerTest, WhatIsNotUnderstoodIsRefusedWithItsText) {
  for (const char* line : {"", " ", "#", "# down", "hello", "75", "%", "-5%", "7.5%", "downhill", "HTTP/1.1 200 OK"}) {
    EXPECT_THAT(Refusal(line), HasSubstr("which is none of 75%, ready")) << line;
  }
  EXPECT_THAT(Refusal("HTTP/1.1 200 OK"), HasSubstr("says \"HTTP/1.1 200 OK\""));
  EXPECT_THAT(Refusal("1001%"), HasSubstr("which is more than 1000%"));
  EXPECT_THAT(Refusal("99999999999999999999%"), HasSubstr("which is more than 1000%"));
}

TEST(AgentAnswerTest, WhatIsShownIsPrintableAndShort) {
  EXPECT_EQ(Parse(std::string("down \x1b[2J\0 \xff", 12)).line, "down ?[2J? ?");
  EXPECT_EQ(Parse("up " + std::string(5'000, 'x')).line.size(), kMaxShownLine);
}

TEST(AgentAnswerTest, AnyBytesAreAnAnswerOrAnError) {
  std::mt19937 random(3);
  const std::string alphabet = "updownraimt% ,#\t019\xff";
  for (int i = 0; i < 20'000; i++) {
    std::string line(random() % 12, ' ');
    for (char& c : line) c = alphabet[random() % alphabet.size()];
    const absl::StatusOr<AgentAnswer> answer = ParseAgentAnswer(line);
    if (!answer.ok()) continue;
    EXPECT_TRUE(answer->percent.has_value() || answer->order.has_value() || answer->down.has_value() ||
                line.find('m') != std::string::npos)
        << line;
  }
}

TEST(AgentStateTest, WhatIsNotSaidStays) {
  const absl::Time first = absl::FromUnixSeconds(100);
  const absl::Time later = absl::FromUnixSeconds(200);
  AgentState state;
  EXPECT_EQ(state.Take(Parse("drain # backup"), first), Change::kState);
  EXPECT_EQ(state.Take(Parse("50%"), later), Change::kShare);
  EXPECT_EQ(state.order, AgentOrder::kDrain);
  EXPECT_EQ(state.order_said.since, first);
  EXPECT_EQ(state.order_said.line, "drain # backup");
  EXPECT_EQ(state.percent, 50u);
  EXPECT_EQ(state.percent_said.since, later);
  EXPECT_FALSE(state.down);
  EXPECT_EQ(state.down_said.since, absl::InfinitePast());
  // Only its own opposite takes a word back.
  EXPECT_EQ(state.Take(Parse("down"), later), Change::kState);
  EXPECT_EQ(state.Take(Parse("ready"), later), Change::kState);
  EXPECT_TRUE(state.down);
  EXPECT_EQ(state.Take(Parse("up 100%"), later), Change::kState);
  EXPECT_EQ(state.percent, 100u);
  EXPECT_FALSE(state.down);
}

TEST(AgentStateTest, TheSameAgainIsNoChangeAndItsReasonIsTheLatest) {
  AgentState state;
  EXPECT_EQ(state.Take(Parse("up ready 100%"), absl::FromUnixSeconds(1)), Change::kNone);
  EXPECT_EQ(state.Take(Parse("down # one"), absl::FromUnixSeconds(100)), Change::kState);
  EXPECT_EQ(state.Take(Parse("down # two"), absl::FromUnixSeconds(200)), Change::kNone);
  EXPECT_EQ(state.down_said.since, absl::FromUnixSeconds(100));
  EXPECT_EQ(state.down_said.line, "down # two");
}

}  // namespace
}  // namespace sluice
