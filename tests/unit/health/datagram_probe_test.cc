// udp and icmp.
#include <unistd.h>

#include <boost/asio/ip/udp.hpp>

#include "health/icmp_socket.h"
#include "tests/unit/health/prober_testbed.h"

namespace sluice {
namespace {

using Udp = boost::asio::ip::udp;

class DatagramProbeTest : public ProberTest {
 protected:
  // A server that answers each datagram with `answer`, or with nothing.
  uint16_t ListenUdp(const std::string& answer) {
    socket_.emplace(io_, Udp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    Receive(answer);
    return socket_->local_endpoint().port();
  }
  static CheckSpec UdpSpec(absl::Duration timeout = kLong) {
    CheckSpec spec = Spec(CheckType::kUdp, timeout);
    spec.send = std::string("who\0?", 5);
    return spec;
  }

  std::string received_;

 private:
  void Receive(const std::string& answer) {
    socket_->async_receive_from(boost::asio::buffer(piece_), from_,
                                [this, answer](const boost::system::error_code& error, size_t bytes) {
                                  if (error) return;
                                  received_.assign(piece_.data(), bytes);
                                  if (!answer.empty()) socket_->send_to(boost::asio::buffer(answer), from_);
                                  Receive(answer);
                                });
  }

  std::optional<Udp::socket> socket_;
  Udp::endpoint from_;
  std::array<char, 2048> piece_;
};

TEST_F(DatagramProbeTest, AnyAnswerPassesWhenNoneIsExpected) {
  EXPECT_THAT(Check(UdpSpec(), ListenUdp("web1")), Is(Outcome::kPassed, "answered with 4 bytes"));
  EXPECT_EQ(received_, std::string("who\0?", 5));
}

TEST_F(DatagramProbeTest, TheExpectedAnswerPasses) {
  CheckSpec spec = UdpSpec();
  spec.expect = "web";
  EXPECT_THAT(Check(spec, ListenUdp("I am web1")), Is(Outcome::kPassed, "answered"));
  EXPECT_THAT(Check(spec, ListenUdp("I am mail1")), Is(Outcome::kFailed, "answered with 10 bytes, not as expected"));
}

TEST_F(DatagramProbeTest, SilenceFailsAtTheTimeout) {
  const CheckResult result = Check(UdpSpec(kShort), ListenUdp(""));
  EXPECT_THAT(result, Is(Outcome::kFailed, "no answer within 300ms"));
  EXPECT_GE(result.duration, absl::Milliseconds(300));
}

TEST_F(DatagramProbeTest, UnreachableFailsAtOnce) {
  const CheckResult result = Check(UdpSpec(), ClosedPort());
  EXPECT_THAT(result, Is(Outcome::kFailed, "refused"));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(DatagramProbeTest, EchoOfBothFamilies) {
  if (geteuid() != 0) GTEST_SKIP() << "raw sockets need root";
  EXPECT_THAT(Check(Spec(CheckType::kIcmp), 0), Is(Outcome::kPassed, "echo reply"));
  EXPECT_THAT(Check(Spec(CheckType::kIcmp), 0, "::1"), Is(Outcome::kPassed, "echo reply"));
  EXPECT_THAT(Check(Spec(CheckType::kIcmp), 0, "127.0.0.2"), Is(Outcome::kPassed, "echo reply"));
}

TEST_F(DatagramProbeTest, ManyEchosAtATimeFindTheirWay) {
  if (geteuid() != 0) GTEST_SKIP() << "raw sockets need root";
  const auto spec = std::make_shared<const CheckSpec>(Spec(CheckType::kIcmp));
  int passed = 0;
  std::vector<std::unique_ptr<Probe>> probes;
  for (int i = 1; i <= 200; i++) {
    const CheckTarget target{*ParseAddress("127.0.1." + std::to_string(i)), 0, spec};
    probes.push_back(prober_.Start(target, [&passed](const CheckResult& result) {
      EXPECT_THAT(result, Is(Outcome::kPassed, "echo reply"));
      passed++;
    }));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (passed < 200 && std::chrono::steady_clock::now() < deadline) io_.run_one_for(std::chrono::seconds(1));
  EXPECT_EQ(passed, 200);
}

TEST(EchoTest, RequestsHaveTheirChecksumAndRepliesTheirNonce) {
  EchoNonce nonce;
  for (size_t i = 0; i < nonce.size(); i++) nonce[i] = static_cast<uint8_t>(17 * i);
  const std::array<uint8_t, 24> request = EchoRequest(/*ipv4=*/true, nonce);
  uint32_t sum = 0;
  for (size_t i = 0; i < request.size(); i += 2) sum += uint32_t{request[i]} << 8 | request[i + 1];
  EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffu);
  EXPECT_EQ(request[0], 8);
  EXPECT_EQ(EchoRequest(/*ipv4=*/false, nonce)[0], 128);

  EchoNonce read{};
  std::vector<uint8_t> reply(24, 0);
  reply[0] = 0x46;
  reply.insert(reply.end(), request.begin(), request.end());
  EXPECT_FALSE(ReadEchoReply(true, reply.data(), reply.size(), &read)) << "a request";
  reply[24] = 0;
  ASSERT_TRUE(ReadEchoReply(true, reply.data(), reply.size(), &read));
  EXPECT_EQ(read, nonce);
  for (size_t size = 0; size < reply.size(); size++) {
    EXPECT_FALSE(ReadEchoReply(
        true, std::vector<uint8_t>(reply.begin(), reply.begin() + static_cast<long>(size)).data(), size, &read));
  }
}

}  // namespace
}  // namespace sluice
