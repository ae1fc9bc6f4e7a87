// Two workers and the control thread on the same sessions: one owns them and makes and ends them as fast as it can,
// another translates answers to them, the third sweeps. No answer gets to a client that did not have the port then.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/burst.h"
#include "engine/session_tables.h"
#include "sluice/checksum.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/unit/engine/session_testbed.h"

namespace sluice {
namespace {

using packet_test::LongAt;
using packet_test::WordAt;

constexpr uint64_t kNow = uint64_t{3000} << SLUICE_TICK_SHIFT;
constexpr uint32_t kSequence = 100;
constexpr uint32_t kBurst = 8;
#ifdef SLUICE_THREAD_SANITIZER
constexpr uint32_t kBursts = 1000;
#else
constexpr uint32_t kBursts = 6000;
#endif
// If the other worker has had no CPU, the owner goes on, up to so many times as long.
constexpr uint64_t kLeastAnswers = 100;
constexpr uint32_t kLongest = 20;
// Few records and few ports, so that both are used again and again.
constexpr uint64_t kSessions = 400;
constexpr uint16_t kKernelFirst = 1224;
constexpr size_t kIp = SLUICE_ETHERNET_BYTES;
constexpr size_t kTransport = kIp + SLUICE_IPV4_BYTES;

// A client's number is in its address, its port and its MAC address.
struct Client {
  uint32_t number;
  uint32_t address() const { return 0xc0000000 | (number & 0xffff); }
  uint16_t port() const { return static_cast<uint16_t>(10'000 + number % 50'000); }
};

void Put(std::string* bytes, size_t at, const std::string& what) {
  bytes->replace(at, what.size(), what);
}

class SessionWorkersTest : public testing::Test {
 protected:
  SessionWorkersTest() : connections_(2, std::vector<sluice_bucket>(8)), holders_(65536) {
    absl::StatusOr<SessionTables> created = SessionTables::Create(2, kSessions, HugePages::kOff);
    EXPECT_TRUE(created.ok()) << created.status();
    sessions_ = std::make_unique<SessionTables>(*std::move(created));
    const sluice_nat_ports ports = sluice_nat_ports_around(kKernelFirst, 65535);
    for (uint32_t self = 0; self < 2; self++) {
      std::vector<Partition> partitions;
      for (std::vector<sluice_bucket>& buckets : connections_) partitions.push_back({buckets.data(), 8});
      absl::StatusOr<BurstPath> path = BurstPath::Create(partitions, {sessions_->partitions(), self, ports});
      EXPECT_TRUE(path.ok()) << path.status();
      paths_.push_back(*std::move(path));
    }
    syn_ = packet_test::Packet("eth/ipv4(src=192.0.0.0, dst=203.0.113.20)/tcp(seq=100, syn)");
    reset_ = packet_test::Packet("eth/ipv4(src=192.0.0.0, dst=203.0.113.20)/tcp(seq=101, rst)");
    answer_ = packet_test::Packet(
        "eth/ipv4(src=10.0.3.3, dst=198.51.100.64)/tcp(sport=80, dport=1, seq=500, acknr=101, window=1000, ack)");
  }

  static std::string From(const Client& client, std::string frame) {
    Put(&frame, 6, packet_test::Word(0x0207));
    Put(&frame, 8, packet_test::Long(client.number));
    Put(&frame, kIp + 12, packet_test::Long(client.address()));
    Put(&frame, kTransport, packet_test::Word(client.port()));
    return frame;
  }

  std::vector<Frame> Process(uint32_t worker, std::vector<std::string>* packets) {
    std::vector<Frame> frames;
    for (std::string& packet : *packets) {
      packet.insert(0, SLUICE_HEADROOM, '\0');
      Frame& frame = frames.emplace_back();
      frame.data = reinterpret_cast<uint8_t*>(packet.data()) + SLUICE_HEADROOM;
      frame.length = static_cast<uint32_t>(packet.size() - SLUICE_HEADROOM);
      frame.headroom = SLUICE_HEADROOM;
    }
    paths_[worker].Process(tables_.view(), kNow, 0, worker, frames.data(), static_cast<uint32_t>(frames.size()));
    // Nobody is told of the end of a session here.
    paths_[worker].Maintain(tables_.view(), kNow, nullptr);
    return frames;
  }
  static std::string Bytes(const Frame& frame) { return std::string(frame.data, frame.data + frame.length); }

  // Opens a few sessions, and closes those of the burst before last.
  void Open(uint32_t burst) {
    std::vector<std::string> packets;
    for (uint32_t i = 0; i < kBurst; i++) packets.push_back(From({burst * kBurst + i}, syn_));
    for (uint32_t i = 0; i < kBurst && burst >= 2; i++) packets.push_back(From({(burst - 2) * kBurst + i}, reset_));
    const std::vector<Frame> frames = Process(0, &packets);
    const std::lock_guard lock(mutex_);
    for (uint32_t i = 0; i < kBurst; i++) {
      if (frames[i].verdict != SLUICE_VERDICT_forwarded) continue;
      opened_++;
      holders_[WordAt(Bytes(frames[i]), kTransport)].push_back(burst * kBurst + i);
    }
  }

  // An answer to whoever has the port, and that it gets to nobody else.
  void Answer(uint16_t port) {
    size_t before = 0;
    {
      const std::lock_guard lock(mutex_);
      before = holders_[port].size();
    }
    if (before == 0) return;
    std::vector<std::string> packets{answer_};
    Put(&packets[0], kTransport + 2, packet_test::Word(port));
    const std::vector<Frame> frames = Process(1, &packets);
    if (frames[0].verdict == SLUICE_VERDICT_no_session) {
      unanswered_++;
      return;
    }
    ASSERT_EQ(frames[0].verdict, SLUICE_VERDICT_returned) << sluice_verdict_name(frames[0].verdict);
    const std::string out = Bytes(frames[0]);
    const Client client{LongAt(out, 2)};
    EXPECT_EQ(WordAt(out, 0), 0x0207u);
    EXPECT_EQ(LongAt(out, kIp + 16), client.address());
    EXPECT_EQ(WordAt(out, kTransport + 2), client.port());
    EXPECT_EQ(LongAt(out, kIp + 12), 0xcb007114u);
    EXPECT_EQ(packet_test::Fold(packet_test::Sum(out.substr(kIp, SLUICE_IPV4_BYTES))), 0xffff);
    answers_.push_back({port, before - 1, client.number});
    answered_++;
  }

  // It may have been opened in a burst that had not been written down yet, but not have lost the port before.
  void CheckAnswers() const {
    for (const GotAnswer& got : answers_) {
      const std::vector<uint32_t>& holders = holders_[got.port];
      EXPECT_TRUE(std::find(holders.begin() + static_cast<ptrdiff_t>(got.holder), holders.end(), got.client) !=
                  holders.end())
          << "client " << got.client << " had port " << got.port << " before";
    }
  }

  struct GotAnswer {
    uint16_t port;
    // Place in holders_[port] of the one that had it when the answer was sent.
    size_t holder;
    uint32_t client;
  };

  SessionTestTables tables_;
  std::unique_ptr<SessionTables> sessions_;
  std::vector<std::vector<sluice_bucket>> connections_;
  std::vector<BurstPath> paths_;
  std::string syn_;
  std::string reset_;
  std::string answer_;
  std::mutex mutex_;
  // By port, the clients that have had it, in order.
  std::vector<std::vector<uint32_t>> holders_;
  std::atomic<bool> done_ = false;
  uint64_t opened_ = 0;
  std::vector<GotAnswer> answers_;
  std::atomic<uint64_t> answered_ = 0;
  uint64_t unanswered_ = 0;
};

TEST_F(SessionWorkersTest, AnswersToSessionsOfAnother) {
  std::thread owner([this] {
    const auto enough = [this](uint32_t burst) {
      return burst >= kBursts && (answered_ > kLeastAnswers || burst >= kLongest * kBursts);
    };
    for (uint32_t burst = 0; !enough(burst) && !HasFailure(); burst++) Open(burst);
    done_ = true;
  });
  std::thread other([this] {
    std::mt19937 random(1);
    while (!done_ && !HasFailure()) Answer(static_cast<uint16_t>(SLUICE_NAT_FIRST_PORT + random() % 200));
  });
  while (!done_) sessions_->Sweep(tables_.view(), kNow);
  owner.join();
  other.join();
  std::printf("%lu sessions; %zu answers went back, %lu were nobody's\n", opened_, answers_.size(), unanswered_);
  CheckAnswers();
  EXPECT_EQ(opened_, paths_[0].session_counters().opened);
  EXPECT_GT(opened_, kBursts * kBurst / 2);
  EXPECT_GT(answers_.size(), kLeastAnswers);
}

// A client may have one port toward two listeners with the same server behind them: its answers must tell them apart,
// whichever workers have opened the sessions.
TEST_F(SessionWorkersTest, OneClientPortTowardTwoListeners) {
  tables_.AddTranslated("203.0.113.11", 0);
  const auto source_seen = [this](uint32_t worker, const char* listener) {
    std::vector<std::string> packets{packet_test::Packet(std::string("eth/ipv4(src=192.0.2.7, dst=") + listener +
                                                         ")/tcp(sport=5000, seq=100, syn)")};
    const std::vector<Frame> frames = Process(worker, &packets);
    EXPECT_EQ(frames[0].verdict, SLUICE_VERDICT_forwarded) << sluice_verdict_name(frames[0].verdict);
    return LongAt(Bytes(frames[0]), kIp + 12);
  };
  constexpr uint32_t kClient = 0xc0000207;
  constexpr uint32_t kOurs = 0xc6336440;
  EXPECT_EQ(source_seen(0, "203.0.113.10"), kClient);
  EXPECT_EQ(source_seen(1, "203.0.113.11"), kOurs);
  EXPECT_EQ(source_seen(0, "203.0.113.11"), kOurs);
  // The same flow at another worker is no other one.
  EXPECT_EQ(source_seen(1, "203.0.113.10"), kClient);
}

// A client's port is used again, and one of the packets comes to the worker that has the closed session of before: it
// belongs to the new one all the same, whichever side has closed.
class ClosedSessionTest : public SessionWorkersTest, public ::testing::WithParamInterface<bool> {
 protected:
  // Source port toward the server.
  uint32_t Sent(uint32_t worker, const char* segment) {
    std::vector<std::string> packets{packet_test::Packet(
        absl::StrCat("eth/ipv4(src=192.0.2.7, dst=203.0.113.20)/tcp(sport=5000, window=1000, ", segment, ")"))};
    const std::vector<Frame> frames = Process(worker, &packets);
    EXPECT_EQ(frames[0].verdict, SLUICE_VERDICT_forwarded) << segment << ": " << sluice_verdict_name(frames[0].verdict);
    return WordAt(Bytes(frames[0]), kTransport);
  }
  void Answered(uint32_t worker, uint32_t port, const char* segment) {
    std::vector<std::string> packets{packet_test::Packet(absl::StrCat(
        "eth/ipv4(src=10.0.3.3, dst=198.51.100.64)/tcp(sport=80, dport=", port, ", window=1000, ", segment, ")"))};
    const std::vector<Frame> frames = Process(worker, &packets);
    EXPECT_EQ(frames[0].verdict, SLUICE_VERDICT_returned) << segment << ": " << sluice_verdict_name(frames[0].verdict);
  }
};

TEST_P(ClosedSessionTest, ANewConnectionOfAnotherWorkerGoesBefore) {
  const uint32_t first = Sent(0, "seq=100, syn");
  Answered(0, first, "seq=500, acknr=101, syn, ack");
  EXPECT_EQ(Sent(0, "seq=101, acknr=501, ack"), first);
  if (GetParam()) {
    Answered(0, first, "seq=501, acknr=101, rst, ack");
  } else {
    EXPECT_EQ(Sent(0, "seq=101, acknr=501, rst, ack"), first);
  }
  const uint32_t second = Sent(1, "seq=9000, syn");
  EXPECT_NE(second, first);
  Answered(0, second, "seq=700, acknr=9001, syn, ack");
  EXPECT_EQ(Sent(0, "seq=9001, acknr=701, ack"), second);
  EXPECT_EQ(Sent(0, "seq=9001, acknr=701, psh, ack"), second);
  EXPECT_EQ(Sent(1, "seq=9001, acknr=701, ack"), second);
}

INSTANTIATE_TEST_SUITE_P(ByServer, ClosedSessionTest, ::testing::Bool());

}  // namespace
}  // namespace sluice
