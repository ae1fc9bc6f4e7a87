// The end of a session as both of its ends see it: of an idle one, where somebody asked for that, and of one that is
// ended.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/flow_end.h"
#include "engine/sim/sim_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/packet/describe.h"
#include "tests/packet/notation.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using packet_test::DescribePacket;
using packet_test::Packet;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kSecond = 1'000'000'000;

const char kRouter[] = "eth(dst=02:00:00:00:00:01, src=02:00:00:00:00:aa) / ";
const char kServer[] = "eth(dst=02:00:00:00:00:01, src=02:00:00:00:01:0b) / ";

class SessionResetTest : public testing::Test {
 protected:
  // A listener of 100 s that says `extra`, whose pool forwards as `forwarding` says.
  void Open(const std::string& forwarding, const std::string& extra) {
    input_.Load(absl::StrCat(
        "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64]}\n"
        "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web, idle_timeout: 100s",
        extra, "}]\npools: [{name: web, forwarding: ", forwarding,
        ", backends: [{name: a, address: 10.0.1.11, port: 8080}]}]\n"));
    input_.ResolveAll();
    SimOptions options;
    options.max_sessions = 64;
    options.clock = [this] { return now_; };
    for (const PortDescription& port : input_.ports) {
      options.ports.push_back({.name = "sim", .mac = port.mac, .mtu = port.mtu, .link_up = true, .mode = "sim"});
    }
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    ASSERT_TRUE(engine.ok());
    engine_ = *std::move(engine);
    tables_ = input_.Build(builder_);
    view_ = tables_->view();
    ASSERT_TRUE(engine_->Publish(tables_).ok());
  }

  // What leaves.
  std::string Send(const std::string& text) {
    const std::string bytes = Packet(text);
    const std::vector<SimPacket> packets = {{.bytes = {bytes.begin(), bytes.end()}, .port = 0}};
    const std::vector<uint8_t> out = engine_->Receive(packets).at(0).out.bytes;
    return {out.begin(), out.end()};
  }

  // With `seconds` of silence, and all sweeps of them.
  std::vector<std::string> ResetsAfter(uint64_t seconds) {
    for (uint64_t second = 0; second < seconds; second++) {
      now_ += kSecond;
      for (int i = 0; i < 101; i++) engine_->Sweep();
    }
    std::vector<std::string> resets;
    for (const SimPacket& packet : engine_->TakeResets()) {
      resets.push_back(DescribePacket(std::string(packet.bytes.begin(), packet.bytes.end())));
    }
    return resets;
  }

  // Ends all sessions; what Finish sends then, a moment later.
  size_t EndAll() {
    const FlowReader reader(*engine_, view_, now_);
    reader.Read(0, reader.places(), [this](const FlowRecord& flow) {
      if (EndFlow(flow)) ended_.push_back(flow.record);
      return true;
    });
    return ended_.size();
  }
  std::vector<std::string> Finish() {
    const auto send = [this](absl::Span<const uint8_t> frame, uint16_t port) { return engine_->Send(frame, port); };
    for (sluice_session* record : ended_) EXPECT_TRUE(FinishSession(record, view_, send));
    ended_.clear();
    return ResetsAfter(0);
  }

  uint64_t now_ = 1000 * kSecond;
  std::shared_ptr<const Tables> tables_;
  sluice_tables view_{};
  std::vector<sluice_session*> ended_;
  TestInput input_;
  Builder builder_;
  std::unique_ptr<SimEngine> engine_;
};

std::string Described(const std::string& text) {
  return DescribePacket(Packet(text));
}

TEST_F(SessionResetTest, BothEndsOfAnIdleSession) {
  Open("nat", ", reset_on_idle: true");
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=101, acknr=501, ack) / payload(9)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=501, acknr=110, ack)"));
  EXPECT_THAT(ResetsAfter(99), IsEmpty());
  EXPECT_THAT(
      ResetsAfter(10),
      ElementsAre(
          Described("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01) / ipv4(src=203.0.113.10, dst=192.0.2.7, "
                    "df) / tcp(sport=80, dport=40000, seq=501, acknr=110, rst, ack, window=0)"),
          Described("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=192.0.2.7, dst=10.0.1.11, df) "
                    "/ tcp(sport=40000, dport=8080, seq=110, acknr=501, rst, ack, window=0)")));
  EXPECT_EQ(engine_->ReadCounters().sessions.resets, 2u);
  EXPECT_EQ(engine_->ReadCounters().sessions.expired, 1u);
}

TEST_F(SessionResetTest, TheServerHearsItFromTheAddressThatItKnows) {
  Open("full_nat", ", reset_on_idle: true");
  const std::string seen = Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=100, syn)"));
  ASSERT_FALSE(seen.empty());
  const uint32_t port = SLUICE_16(sluice_load16(seen.data() + SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES));
  Send(absl::StrCat(kServer, "ipv4(src=10.0.1.11, dst=198.51.100.64) / tcp(sport=8080, dport=", port,
                    ", seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=101, acknr=501, ack)"));
  EXPECT_THAT(
      ResetsAfter(110),
      testing::Contains(Described(absl::StrCat(
          "eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=198.51.100.64, dst=10.0.1.11, df) / tcp(",
          "sport=", port, ", dport=8080, seq=101, acknr=501, rst, ack, window=0)"))));
}

// Who has had a header in front counts on from there.
TEST_F(SessionResetTest, TheServerHearsItByItsOwnNumbers) {
  Open("nat, client_address: proxy_v2", ", reset_on_idle: true");
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=101, acknr=501, ack) / payload(9)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=501, acknr=138, ack)"));
  EXPECT_THAT(
      ResetsAfter(110),
      ElementsAre(
          Described("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01) / ipv4(src=203.0.113.10, dst=192.0.2.7, "
                    "df) / tcp(sport=80, dport=40000, seq=501, acknr=110, rst, ack, window=0)"),
          Described("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=192.0.2.7, dst=10.0.1.11, df) "
                    "/ tcp(sport=40000, dport=8080, seq=138, acknr=501, rst, ack, window=0)")));
  EXPECT_EQ(engine_->ReadCounters().sessions.proxy_acknowledged, 1u);
}

TEST_F(SessionResetTest, NobodyHearsOfItUnlessAsked) {
  Open("nat", "");
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=101, acknr=501, ack)"));
  EXPECT_THAT(ResetsAfter(110), IsEmpty());
  EXPECT_EQ(engine_->ReadCounters().sessions.expired, 1u);
}

TEST_F(SessionResetTest, NorDoesWhoeverHasClosedOrNeverAnswered) {
  Open("nat", ", reset_on_idle: true");
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.8, dst=203.0.113.10) / tcp(seq=100, syn)"));
  Send(absl::StrCat(kRouter, "ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=0, acknr=101, rst, ack)"));
  EXPECT_THAT(ResetsAfter(110), IsEmpty());
  EXPECT_EQ(engine_->ReadCounters().sessions.expired, 2u);
}

TEST_F(SessionResetTest, WhoeverIsEndedIsToldByWhatItHasAcknowledgedSince) {
  Open("nat", "");
  const std::string client = "ipv4(src=192.0.2.7, dst=203.0.113.10) / ";
  const std::string server = "ipv4(src=10.0.1.11, dst=192.0.2.7) / ";
  Send(absl::StrCat(kRouter, client, "tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=501, ack)"));
  // Under way to the client, which has not acknowledged it when the session is ended.
  EXPECT_NE(Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=501, acknr=101, ack) / payload(9)")),
            "");
  ASSERT_EQ(EndAll(), 1u);
  EXPECT_EQ(EndAll(), 1u);
  EXPECT_EQ(Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=510, ack) / payload(7)")), "");
  EXPECT_EQ(Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=510, acknr=101, ack) / payload(9)")),
            "");
  EXPECT_THAT(
      Finish(),
      ElementsAre(
          Described("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01) / ipv4(src=203.0.113.10, dst=192.0.2.7, "
                    "df) / tcp(sport=80, dport=40000, seq=510, acknr=101, rst, ack, window=0)"),
          Described("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=192.0.2.7, dst=10.0.1.11, df) "
                    "/ tcp(sport=40000, dport=8080, seq=101, acknr=510, rst, ack, window=0)")));
  EXPECT_EQ(Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=510, ack) / payload(7)")), "");
  EXPECT_THAT(ResetsAfter(2), IsEmpty());
  EXPECT_EQ(engine_->session_occupancy().sessions, 0u);
}

// What its server acknowledges after the end is noted as the client counts, header or not.
TEST_F(SessionResetTest, WhoeverIsEndedBehindAHeaderIsToldByItsOwnNumbers) {
  Open("nat, client_address: proxy_v2", "");
  const std::string client = "ipv4(src=192.0.2.7, dst=203.0.113.10) / ";
  const std::string server = "ipv4(src=10.0.1.11, dst=192.0.2.7) / ";
  Send(absl::StrCat(kRouter, client, "tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=501, ack) / payload(9)"));
  Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=501, acknr=138, ack)"));
  Send(absl::StrCat(kRouter, client, "tcp(seq=110, acknr=501, ack) / payload(9)"));
  ASSERT_EQ(EndAll(), 1u);
  EXPECT_EQ(Send(absl::StrCat(kServer, server, "tcp(sport=8080, dport=40000, seq=501, acknr=147, ack)")), "");
  EXPECT_THAT(
      Finish(),
      ElementsAre(
          Described("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01) / ipv4(src=203.0.113.10, dst=192.0.2.7, "
                    "df) / tcp(sport=80, dport=40000, seq=501, acknr=119, rst, ack, window=0)"),
          Described("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=192.0.2.7, dst=10.0.1.11, df) "
                    "/ tcp(sport=40000, dport=8080, seq=147, acknr=501, rst, ack, window=0)")));
}

TEST_F(SessionResetTest, AClientThatComesAnewIsLeftAlone) {
  Open("full_nat", "");
  const std::string client = "ipv4(src=192.0.2.7, dst=203.0.113.10) / ";
  const auto port_of = [](const std::string& seen) {
    return SLUICE_16(sluice_load16(seen.data() + SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES));
  };
  const std::string first = Send(absl::StrCat(kRouter, client, "tcp(seq=100, syn)"));
  ASSERT_FALSE(first.empty());
  Send(absl::StrCat(kServer, "ipv4(src=10.0.1.11, dst=198.51.100.64) / tcp(sport=8080, dport=", port_of(first),
                    ", seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=501, ack)"));
  ASSERT_EQ(EndAll(), 1u);
  const std::string second = Send(absl::StrCat(kRouter, client, "tcp(seq=9000, syn)"));
  ASSERT_FALSE(second.empty());
  EXPECT_NE(port_of(second), port_of(first));
  EXPECT_THAT(Finish(), IsEmpty());
  EXPECT_THAT(ResetsAfter(2), IsEmpty());
  EXPECT_EQ(engine_->session_occupancy().sessions, 1u);
}

TEST_F(SessionResetTest, WhoHasGivenUpIsToldNothing) {
  Open("nat", "");
  const std::string client = "ipv4(src=192.0.2.7, dst=203.0.113.10) / ";
  Send(absl::StrCat(kRouter, client, "tcp(seq=100, syn)"));
  Send(absl::StrCat(kServer,
                    "ipv4(src=10.0.1.11, dst=192.0.2.7) / tcp(sport=8080, dport=40000, seq=500, acknr=101, syn, ack)"));
  Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=501, ack)"));
  ASSERT_EQ(EndAll(), 1u);
  EXPECT_EQ(Send(absl::StrCat(kRouter, client, "tcp(seq=101, acknr=501, rst, ack)")), "");
  EXPECT_THAT(Finish(), ElementsAre(Described(
                            "eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01) / ipv4(src=192.0.2.7, dst=10.0.1.11, "
                            "df) / tcp(sport=40000, dport=8080, seq=101, acknr=501, rst, ack, window=0)")));
}

}  // namespace
}  // namespace sluice
