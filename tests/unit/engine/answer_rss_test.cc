// Which ports' RSS decides whose a source port is, and what is said of it: over ports that tell what a test says.
#include "engine/dpdk/answer_rss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "engine/sim/rss.h"
#include "tests/unit/engine/hand_tables.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const sluice_nat_ports kPorts = sluice_nat_ports_around(32768, 60999);
constexpr char kElsewhere[] = "answers that arrive elsewhere than at their worker are looked up";
constexpr char kAll[] = "TCP and UDP over IPv4, TCP and UDP over IPv6";

class FakePort : public Port {
 public:
  explicit FakePort(std::string name) : name_(std::move(name)) {}
  FakePort(std::string name, size_t hashes, uint32_t queues, uint8_t first_of_key = 0x6d) : FakePort(std::move(name)) {
    rss = PortRss{kVerificationKey, {}, NatOwners::kAllKinds};
    rss->key[0] = first_of_key;
    for (size_t i = 0; i < hashes; i++) rss->queue_of_hash.push_back(static_cast<uint16_t>(i % queues));
  }

  absl::StatusOr<PortRss> ReadRss() override {
    if (!rss.has_value()) return absl::UnimplementedError("it has none");
    return *rss;
  }
  absl::Status SetRssKey(const std::array<uint8_t, 40>& key) override {
    if (!takes_key) return absl::UnimplementedError("no");
    rss->key = key;
    return absl::OkStatus();
  }
  PortInfo info() override { return {.name = name_}; }
  uint16_t Receive(uint16_t, rte_mbuf**, uint16_t) override { return 0; }
  uint16_t Transmit(uint16_t, rte_mbuf**, uint16_t) override { return 0; }
  int WaitHandle(uint16_t) override { return -1; }
  absl::Status SetVirtualAddresses(absl::Span<const Address>) override { return absl::OkStatus(); }
  PortCounters ReadCounters() override { return {}; }

  std::optional<PortRss> rss;
  bool takes_key = false;

 private:
  std::string name_;
};

// DPDK's own Toeplitz against the sim's, which is tested against the published vectors.
TEST(AnswerRssTest, TheOwnerIsWhoServesTheQueueOfTheAnswersHash) {
  // More queues than workers, which share them.
  FakePort port("eth0", 512, 6);
  const AnswerRss chosen = ChooseAnswerRss({&port}, 3, kPorts);
  ASSERT_EQ(chosen.owners->by_rss(), NatOwners::kAllKinds);
  sluice_flow flow{};
  flow.source = PathAddress("2001:db8::3");
  flow.destination = PathAddress("2001:db8:1::40");
  flow.protocol = SLUICE_IP_UDP;
  for (uint32_t ports = 0; ports < 100'000'000; ports += 997'771) {
    flow.ports = ports;
    std::array<uint8_t, 36> input;
    std::memcpy(input.data(), &flow, input.size());
    EXPECT_EQ(chosen.owners->Of(flow), ToeplitzHash(input) % 512 % 6 % 3) << ports;
  }
  EXPECT_THAT(chosen.messages,
              ElementsAre(absl::StrCat("nat: answers reach their worker by RSS (Toeplitz key of eth0): ", kAll)));
}

TEST(AnswerRssTest, AnUnknownKeyIsSaidToBe) {
  FakePort port("eth0");
  const AnswerRss chosen = ChooseAnswerRss({&port}, 2, kPorts);
  EXPECT_EQ(chosen.owners->by_rss(), 0u);
  EXPECT_THAT(chosen.messages,
              ElementsAre(absl::StrCat("nat: RSS key of eth0 is unknown (it has none): ", kElsewhere)));
}

TEST(AnswerRssTest, OneWorkerHasNothingToBeSaid) {
  FakePort port("eth0", 128, 1);
  EXPECT_THAT(ChooseAnswerRss({&port}, 1, kPorts).messages, IsEmpty());
}

TEST(AnswerRssTest, RssWithoutPortsOrWithoutAWorkerIsNotInForce) {
  FakePort addresses("eth0", 128, 2);
  addresses.rss->with_ports = 0;
  FakePort lopsided("eth1", 128, 1);
  const AnswerRss chosen = ChooseAnswerRss({&addresses, &lopsided}, 2, kPorts);
  EXPECT_EQ(chosen.owners->by_rss(), 0u);
  EXPECT_THAT(chosen.messages,
              ElementsAre(absl::StrCat("nat: RSS of eth0 hashes addresses alone: ", kElsewhere),
                          absl::StrCat("nat: RSS of eth1 has a table of 128 that leaves a worker (nearly) without "
                                       "source ports: ",
                                       kElsewhere)));
}

// Of two tables, the smaller repeats itself in the larger one.
TEST(AnswerRssTest, OtherPortsFollowTheFirstThatIsKnown) {
  FakePort unknown("eth0");
  FakePort first("eth1", 128, 2);
  FakePort alike("eth2", 512, 2);
  FakePort willing("eth3", 128, 2, 0x11);
  willing.takes_key = true;
  FakePort unwilling("eth4", 128, 2, 0x11);
  FakePort turned("eth5", 128, 2);
  for (uint16_t& queue : turned.rss->queue_of_hash) queue ^= 1;
  FakePort fewer("eth6", 128, 2);
  fewer.rss->with_ports = NatOwners::Kind(false, false);
  const AnswerRss chosen =
      ChooseAnswerRss({&unknown, &first, &alike, &willing, &unwilling, &turned, &fewer}, 2, kPorts);
  EXPECT_EQ(chosen.owners->by_rss(), NatOwners::kAllKinds);
  EXPECT_EQ(willing.rss->key, first.rss->key);
  const auto same = [](int i) { return absl::StrCat("nat: eth", i, " spreads answers in the same way"); };
  const auto other = [](int i) {
    return absl::StrCat("nat: eth", i, " spreads answers in another way: those that arrive there are looked up");
  };
  EXPECT_THAT(chosen.messages, ElementsAre(StartsWith("nat: RSS key of eth0 is unknown"),
                                           StartsWith("nat: answers reach their worker by RSS (Toeplitz key of eth1)"),
                                           same(2), same(3), other(4), other(5), other(6)));
}

}  // namespace
}  // namespace sluice
