#include "absl/strings/str_cat.h"
#include "tests/unit/health/prober_testbed.h"

namespace sluice {
namespace {

class AgentProbeTest : public ProberTest {
 protected:
  // Says this at once; then closes, or waits for the other side to.
  std::function<void(Socket)> Say(const std::string& text, bool close = false) {
    return [this, text, close](const Socket& socket) {
      boost::asio::write(*socket, boost::asio::buffer(text));
      if (!close) held_.push_back(socket);
    };
  }
  CheckResult Ask(std::function<void(Socket)> serve, absl::Duration timeout = kLong) {
    return Check(Spec(CheckType::kAgent, timeout), Listen(std::move(serve)));
  }
};

TEST_F(AgentProbeTest, ALineIsUnderstoodWhileTheConnectionIsOpen) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const CheckResult result = Ask(Say(absl::StrCat("75%, drain # backup", end)));
    EXPECT_THAT(result, Is(Outcome::kPassed, "says \"75%, drain # backup\""));
    ASSERT_TRUE(result.agent.has_value());
    EXPECT_EQ(result.agent->percent, 75u);
    EXPECT_EQ(result.agent->order, AgentOrder::kDrain);
    EXPECT_LT(result.duration, kSoon);
  }
}

TEST_F(AgentProbeTest, WhatComesBehindTheLineIsNotItsBusiness) {
  const CheckResult result = Ask(Say("up\ndrain\n"));
  ASSERT_TRUE(result.agent.has_value());
  EXPECT_EQ(result.agent->order, std::nullopt);
}

TEST_F(AgentProbeTest, TheEndOfTheConnectionEndsALine) {
  EXPECT_THAT(Ask(Say("down", /*close=*/true)), Is(Outcome::kPassed, "says \"down\""));
  EXPECT_THAT(Ask(Say("", /*close=*/true)), Is(Outcome::kFailed, "closed without a line"));
}

TEST_F(AgentProbeTest, ItIsSentWhatItIsToBeSent) {
  CheckSpec spec = Spec(CheckType::kAgent);
  spec.send = "web1\r\n\r\n";
  EXPECT_THAT(Check(spec, Listen(Answer("maint\n"))), Is(Outcome::kPassed, "says \"maint\""));
  EXPECT_EQ(requests_.back(), "web1\r\n\r\n");
}

TEST_F(AgentProbeTest, WhatIsNoAnswerChangesNothing) {
  for (const CheckResult& result :
       {Ask(Say("HTTP/1.1 400 Bad Request\r\n")), Ask(Say("\n")), Ask(Say("2000%\n")), Ask(Hang(), kShort)}) {
    EXPECT_EQ(result.outcome, Outcome::kFailed);
    EXPECT_FALSE(result.agent.has_value());
  }
  EXPECT_THAT(Ask(Hang(), kShort), Is(Outcome::kFailed, "no line within 300ms"));
  EXPECT_THAT(Check(Spec(CheckType::kAgent), ClosedPort()), Is(Outcome::kFailed, "refused"));
}

TEST_F(AgentProbeTest, ALineThatDoesNotEndIsCutOffByItsLengthOrTheTimeout) {
  CheckSpec spec = Spec(CheckType::kAgent);
  EXPECT_THAT(Check(spec, Listen(Drip(std::string(400, 'x'), std::chrono::milliseconds(0)))),
              Is(Outcome::kFailed, "its line does not end in "));
  const CheckResult slow = Ask(Drip("x", std::chrono::milliseconds(20)), kShort);
  EXPECT_THAT(slow, Is(Outcome::kFailed, "no line within 300ms"));
  EXPECT_LT(slow.duration, kSoon);
}

TEST_F(AgentProbeTest, ALineInPiecesIsOne) {
  const uint16_t port = Listen([this](const Socket& socket) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, std::chrono::milliseconds(50));
    boost::asio::write(*socket, boost::asio::buffer(std::string("dra")));
    timer->async_wait([socket, timer](const boost::system::error_code&) {
      boost::asio::write(*socket, boost::asio::buffer(std::string("in\n")));
    });
  });
  EXPECT_THAT(Check(Spec(CheckType::kAgent), port), Is(Outcome::kPassed, "says \"drain\""));
}

}  // namespace
}  // namespace sluice
