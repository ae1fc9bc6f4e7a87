// Checks of virtual addresses against the real kernel, in a namespace of the test's own:
//
//   eth0 10.0.1.2/24, 2001:db8::2/64 === peer0        sluice-check0: where marked packets come out
#include "control/kernel_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "health/socket_prober.h"
#include "tests/unit/neighbor/network_namespace.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDevice[] = "sluice-check0";

// What `ip` says of this thread's namespace.
std::string Rules() {
  std::string text;
  for (const char* command : {"ip -4 rule", "ip -6 rule"}) {
    FILE* pipe = popen(command, "r");
    std::array<char, 256> line;
    while (fgets(line.data(), line.size(), pipe) != nullptr) text += line.data();
    pclose(pipe);
  }
  return text;
}

CheckTarget Target(const std::string& backend, const std::string& virtual_address, uint8_t hops) {
  CheckSpec spec;
  spec.type = CheckType::kTcp;
  spec.timeout = absl::Milliseconds(100);
  CheckTarget target{*ParseAddress(backend), 80, std::make_shared<const CheckSpec>(spec)};
  target.via = VirtualTarget{*ParseAddress(virtual_address), "web", hops};
  return target;
}

class KernelProbesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: network namespaces need root; run as root (sudo)";
    node_ = std::make_unique<sluice::testing::NetworkNamespace>();
    entered_.reset(new sluice::testing::NetworkNamespace::Entered(node_->Enter()));
    node_->Ip(
        "link add eth0 type veth peer name peer0\nlink set eth0 up\nlink set peer0 up\n"
        "addr add 10.0.1.2/24 dev eth0\naddr add 2001:db8::2/64 dev eth0 nodad\n");
    probes_ = std::make_unique<KernelProbes>(&prober_.marked(), [this](int fd) { fds_.push_back(fd); });
  }
  void TearDown() override {
    probes_.reset();
    entered_.reset();
  }

  // Starts a check and gives its first packet.
  std::optional<ProbePacket> FirstPacket(const CheckTarget& target) {
    const std::unique_ptr<Probe> probe = prober_.Start(target, [this](const CheckResult& made) { result_ = made; });
    std::optional<ProbePacket> packet;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!packet.has_value() && std::chrono::steady_clock::now() < deadline) {
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(10));
      packet = probes_->Take();
    }
    return packet;
  }

  std::unique_ptr<sluice::testing::NetworkNamespace> node_;
  std::unique_ptr<sluice::testing::NetworkNamespace::Entered> entered_;
  boost::asio::io_context io_;
  SocketProber prober_{io_};
  std::vector<int> fds_;
  std::unique_ptr<KernelProbes> probes_;
  std::optional<CheckResult> result_;
};

TEST_F(KernelProbesTest, NothingIsMadeBeforeItIsWanted) {
  EXPECT_EQ(if_nametoindex(kDevice), 0u);
  EXPECT_TRUE(probes_->Want({}).ok());
  EXPECT_EQ(if_nametoindex(kDevice), 0u);
  EXPECT_THAT(fds_, ElementsAre());
}

TEST_F(KernelProbesTest, ChecksComeOutWithTheNameOfTheirBackend) {
  ASSERT_TRUE(probes_->Want({.ipv4 = true, .ipv6 = true}).ok());
  const auto first = FirstPacket(Target("10.0.1.11", "203.0.113.10", 1));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->pool, "web");
  EXPECT_EQ(FormatAddress(first->backend), "10.0.1.11");
  const uint8_t* ip = first->packet.frame.data() + SLUICE_ETHERNET_BYTES;
  EXPECT_EQ(ip[8], 1) << "TTL";
  EXPECT_EQ(std::vector<uint8_t>(ip + 12, ip + 16), (std::vector<uint8_t>{10, 0, 1, 2})) << "as to the backend";
  EXPECT_EQ(std::vector<uint8_t>(ip + 16, ip + 20), (std::vector<uint8_t>{203, 0, 113, 10}));
  const auto sixth = FirstPacket(Target("2001:db8::11", "2001:db8:1::10", 3));
  ASSERT_TRUE(sixth.has_value());
  EXPECT_EQ(FormatAddress(sixth->backend), "2001:db8::11");
  EXPECT_EQ(sixth->packet.frame[SLUICE_ETHERNET_BYTES + 7], 3) << "hop limit";
  // A tunnel's outside may be of the other family.
  const auto between = FirstPacket(Target("10.0.1.11", "2001:db8:1::10", 3));
  ASSERT_TRUE(between.has_value());
  EXPECT_EQ(FormatAddress(between->backend), "10.0.1.11");
}

TEST_F(KernelProbesTest, WithoutADeviceNoCheckIsMade) {
  const std::unique_ptr<Probe> probe =
      prober_.Start(Target("10.0.1.11", "203.0.113.10", 1), [this](const CheckResult& made) { result_ = made; });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!result_.has_value() && std::chrono::steady_clock::now() < deadline) {
    io_.restart();
    io_.run_one_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->outcome, CheckResult::Outcome::kNotMade);
}

TEST_F(KernelProbesTest, RulesGoWithThem) {
  const std::string before = Rules();
  ASSERT_TRUE(probes_->Want({.ipv4 = true}).ok());
  EXPECT_NE(if_nametoindex(kDevice), 0u);
  const std::string during = Rules();
  EXPECT_THAT(during, HasSubstr("fwmark 0x51ce0000 lookup"));
  EXPECT_THAT(during, HasSubstr("fwmark 0x51ce0000 unreachable"));
  ASSERT_TRUE(probes_->Want({.ipv4 = true, .ipv6 = true}).ok());
  EXPECT_GT(Rules().size(), during.size());
  EXPECT_EQ(fds_.size(), 1u);
  ASSERT_TRUE(probes_->Want({}).ok());
  EXPECT_EQ(Rules(), before);
  EXPECT_EQ(if_nametoindex(kDevice), 0u);
  EXPECT_EQ(fds_.back(), -1);
}

TEST_F(KernelProbesTest, WhatAKilledInstanceHasLeftIsRemovedAndWhatARunningOneHasIsNot) {
  node_->Ip(
      "rule add pref 511 fwmark 0x51ce0001 table 1372454913\n"
      "rule add from ::/0 pref 512 fwmark 0x51ce0001 unreachable\n"
      "rule add pref 511 fwmark 0x1234 table 77\n");
  ASSERT_THAT(Rules(), HasSubstr("512:\tfrom all fwmark 0x51ce0001 unreachable"));
  ASSERT_TRUE(probes_->Want({.ipv4 = true}).ok());
  KernelProbes second(&prober_.marked(), [](int) {});
  const std::string rules = Rules();
  EXPECT_THAT(rules, HasSubstr("fwmark 0x51ce0000 lookup"));
  EXPECT_THAT(rules, HasSubstr("fwmark 0x1234")) << "somebody else's";
  EXPECT_THAT(rules, Not(HasSubstr("0x51ce0001")));
  ASSERT_TRUE(second.Want({.ipv4 = true}).ok());
  EXPECT_NE(if_nametoindex("sluice-check1"), 0u);
  EXPECT_THAT(Rules(), HasSubstr("fwmark 0x51ce0001 lookup"));
}

}  // namespace
}  // namespace sluice
