#include <sys/resource.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/health/prober_testbed.h"

namespace sluice {
namespace {

using TcpProbeTest = ProberTest;
using testing::Eq;

TEST_F(TcpProbeTest, AnOpenPortPasses) {
  const CheckResult result = Check(Spec(CheckType::kTcp), Listen(Hang()));
  EXPECT_THAT(result, Is(Outcome::kPassed, "connected"));
  EXPECT_LT(result.duration, kSoon);
  EXPECT_LT(absl::AbsDuration(result.at - absl::Now()), absl::Seconds(5));
}

TEST_F(TcpProbeTest, AClosedPortFailsAtOnce) {
  const CheckResult result = Check(Spec(CheckType::kTcp), ClosedPort());
  EXPECT_THAT(result, Is(Outcome::kFailed, "refused"));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(TcpProbeTest, NoAnswerToTheSynFailsAtTheTimeout) {
  // A listener whose queue is full does not answer.
  Tcp::acceptor full(io_, Tcp::v4());
  full.bind(Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  full.listen(0);
  std::vector<Tcp::socket> fill;
  for (int i = 0; i < 8; i++) {
    fill.emplace_back(io_, Tcp::v4());
    fill.back().async_connect(full.local_endpoint(), [](const boost::system::error_code&) {});
  }
  io_.poll();
  const CheckResult result = Check(Spec(CheckType::kTcp, kShort), full.local_endpoint().port());
  EXPECT_THAT(result, Is(Outcome::kFailed, "no connection within 300ms"));
  EXPECT_GE(result.duration, absl::Milliseconds(300));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(TcpProbeTest, SendsAndExpects) {
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.send = "PING\r\n\r\n";
  spec.expect = "PONG";
  EXPECT_THAT(Check(spec, Listen(Answer("+PONG\r\n"))), Is(Outcome::kPassed, "answered as expected"));
  EXPECT_EQ(requests_.back(), "PING\r\n\r\n");
  EXPECT_THAT(Check(spec, Listen(Answer("-ERR\r\n"))),
              Is(Outcome::kFailed, "closed after 6 bytes without the expected"));
  spec.timeout = kShort;
  EXPECT_THAT(Check(spec, Listen(Answer("-ERR\r\n", /*close=*/false))),
              Is(Outcome::kFailed, "no expected answer within 300ms"));
  EXPECT_THAT(Check(spec, Listen(Hang())), Is(Outcome::kFailed, "no expected answer within 300ms"));
}

TEST_F(TcpProbeTest, AScriptGoesStepByStep) {
  // As a mail server talks: a banner, then an answer to each line.
  const auto mail = [this](const std::string& goodbye) {
    return Listen([this, goodbye](const Socket& socket) {
      boost::asio::write(*socket, boost::asio::buffer(std::string("220 mail.example\r\n")));
      Answer(goodbye)(socket);
    });
  };
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.script = {{"", "220 "}, {"QUIT\r\n\r\n", "221 "}};
  EXPECT_THAT(Check(spec, mail("221 bye\r\n")), Is(Outcome::kPassed, "answered as expected"));
  EXPECT_EQ(requests_.back(), "QUIT\r\n\r\n");
  EXPECT_THAT(Check(spec, mail("500 what\r\n")),
              Is(Outcome::kFailed, "closed after 28 bytes without the expected answer of step 2"));
  spec.timeout = kShort;
  EXPECT_THAT(Check(spec, Listen(Hang())), Is(Outcome::kFailed, "no expected answer of step 1 within 300ms"));
  // What the first step has seen does not count for the second; what came behind it does.
  spec.script = {{"", "220 "}, {"", "220 "}};
  EXPECT_EQ(Check(spec, mail("x")).outcome, Outcome::kFailed);
  spec.timeout = kLong;
  spec.script = {{"", "220 "}, {"", "mail"}, {"QUIT\r\n\r\n", ""}};
  EXPECT_THAT(Check(spec, mail("x")), Is(Outcome::kPassed, "answered as expected"));
}

TEST_F(TcpProbeTest, ABannerIsExpectedWithoutSending) {
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.expect = std::string("220 \0 ready", 11);
  const auto banner = [this](const std::string& text) {
    return Listen([this, text](const Socket& socket) {
      boost::asio::write(*socket, boost::asio::buffer(text));
      held_.push_back(socket);
    });
  };
  EXPECT_THAT(Check(spec, banner(absl::StrCat("hello\r\n", spec.expect))),
              Is(Outcome::kPassed, "answered as expected"));
  spec.timeout = kShort;
  EXPECT_THAT(Check(spec, banner("hello\r\n")), Is(Outcome::kFailed, "no expected answer"));
}

TEST_F(TcpProbeTest, AnExpectedAnswerInPiecesIsFound) {
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.expect = "ababc";
  const uint16_t port = Listen([this](const Socket& socket) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, std::chrono::milliseconds(50));
    boost::asio::write(*socket, boost::asio::buffer(std::string("xxabab")));
    timer->async_wait([socket, timer](const boost::system::error_code&) {
      boost::asio::write(*socket, boost::asio::buffer(std::string("abcxx")));
    });
  });
  EXPECT_THAT(Check(spec, port), Is(Outcome::kPassed, "answered as expected"));
}

TEST_F(TcpProbeTest, AnEndlessAnswerEndsAtItsLimitOrAtTheTimeout) {
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.expect = "never";
  EXPECT_THAT(Check(spec, Listen(Drip(std::string(4'000, 'x'), std::chrono::milliseconds(0)))),
              Is(Outcome::kFailed, "the expected answer is not in its first "));
  spec.timeout = kShort;
  const CheckResult result = Check(spec, Listen(Drip("x", std::chrono::milliseconds(20))));
  EXPECT_THAT(result, Is(Outcome::kFailed, "no expected answer within 300ms"));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(TcpProbeTest, Ipv6) {
  Tcp::acceptor acceptor(io_, Tcp::endpoint(boost::asio::ip::address_v6::loopback(), 0));
  EXPECT_THAT(Check(Spec(CheckType::kTcp), acceptor.local_endpoint().port(), "::1"), Is(Outcome::kPassed, "connected"));
}

TEST_F(TcpProbeTest, TimeThatThisThreadWasBusyIsNotTheBackends) {
  CheckSpec spec = Spec(CheckType::kTcp);
  spec.timeout = kShort;
  spec.send = "PING\r\n\r\n";
  spec.expect = "PONG";
  const uint16_t port = Listen([answer = Answer("PONG")](const Socket& socket) {
    // The thread does nothing else for longer than the timeout, then the server answers.
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    answer(socket);
  });
  EXPECT_THAT(Check(spec, port), Is(Outcome::kPassed, "answered as expected"));
}

TEST_F(TcpProbeTest, WithoutFileDescriptorsItIsNotMade) {
  const uint16_t port = Listen(Hang());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const CheckResult result = Check(Spec(CheckType::kTcp), port);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(result, Is(Outcome::kNotMade, "Too many open files"));
}

TEST_F(TcpProbeTest, ADestroyedProbeSaysNothing) {
  CheckTarget target{*ParseAddress("127.0.0.1"), Listen(Hang()),
                     std::make_shared<const CheckSpec>(Spec(CheckType::kTcp))};
  for (const bool begun : {false, true}) {
    std::unique_ptr<Probe> probe = prober_.Start(target, [](const CheckResult&) { FAIL(); });
    if (begun) io_.poll_one();
    probe.reset();
    io_.run_for(std::chrono::milliseconds(50));
  }
}

TEST_F(TcpProbeTest, NothingIsLeftBehindAfterAThousandChecks) {
  uint64_t accepted = 0;
  const uint16_t port = Listen([&accepted](const Socket&) { accepted++; });
  const auto descriptors = [] {
    size_t count = 0;
    for (int fd = 0; fd < 1'024; fd++) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  const size_t before = descriptors();
  for (int i = 0; i < 1'000; i++) ASSERT_THAT(Check(Spec(CheckType::kTcp), port), Is(Outcome::kPassed, "connected"));
  io_.poll();
  EXPECT_EQ(descriptors(), before);
  EXPECT_THAT(accepted, Eq(1'000u));
}

}  // namespace
}  // namespace sluice
