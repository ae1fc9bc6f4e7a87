// Translated flows in the kernel beside SessionPath: same tables, same clock, same packets. Verdict, bytes, egress
// port, and every record of sessions, buckets, fragments and free ones must be equal after every packet.
//
// What differs by design: the kernel has no time between packets and ends what the sweep has found one session a
// packet; and it cuts off the padding behind ICMP errors, which natively stays within one IP version, and behind a
// packet for the other version though it is dropped in the end.
#include <array>
#include <cstring>
#include <iostream>
#include <map>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "session_fixture.h"
#include "sluice/unfinished.h"
#include "tests/packet/notation.h"
#include "tests/packet/session_site.h"

namespace sluice {
namespace {

TEST_F(SessionTest, TheVerifierHasLittleToDo) {
  const char* processed = std::strstr(log_.data(), "processed ");
  ASSERT_NE(processed, nullptr) << log_.data();
  const int instructions = std::atoi(processed + std::strlen("processed "));
  std::cout << "verified instructions: " << instructions << std::endl;
  EXPECT_GT(instructions, 1000);
  EXPECT_LT(instructions, kMostInstructions);
}

TEST_F(SessionTest, EverySampleByEveryWorker) {
  OpenAll();
  std::map<int, int> verdicts;
  for (const Bytes& sample : samples_) {
    for (self_ = 0; self_ < kPartitions; self_++) {
      SCOPED_TRACE(absl::StrCat("worker ", self_, ": ", absl::BytesToHexString(sample)));
      verdicts[Run(sample).verdict]++;
      now_ += 2 * kMillisecond;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(verdicts[SLUICE_VERDICT_forwarded], 200);
  EXPECT_GT(verdicts[SLUICE_VERDICT_returned], 200);
}

TEST_F(SessionTest, EveryTruncation) {
  OpenAll();
  for (size_t i = 0; i < samples_.size(); i += 7) {
    const Bytes& frame = samples_[i];
    for (size_t length = kLeastFrame; length < frame.size(); length += length < 140 ? 3 : 211) {
      SCOPED_TRACE(absl::StrCat(absl::BytesToHexString(frame), " cut to ", length));
      Run(frame.substr(0, length));
      if (HasFailure()) return;
    }
  }
}

TEST_F(SessionTest, MutatedPackets) {
  constexpr uint32_t kSeed = 20261;
  std::mt19937 random(kSeed);
  std::map<int, int> verdicts;
  for (int round = 0; round < 25000; round++) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round);
    if (round % 500 == 0) OpenAll();
    now_ += random() % 512 == 0 ? uint64_t{random()} * 16 : 5 * kMillisecond;
    // Packets change their queue, clients their port; some checksums may be unfinished.
    self_ = random() % kPartitions;
    ingress_ = random() % 16 == 0 ? 1 : 0;
    unfinished_ = random() % 4 == 0;
    if (random() % 64 == 0) EndExpired();
    if (random() % 256 == 0) {
      tables_.backend(random() % packet_test::kSessionBackends).flags ^= SLUICE_BACKEND_LIVE;
      FillMap(skeleton_->maps.sluice_backends_map, tables_.view().backends, packet_test::kSessionBackends);
    }
    const Bytes frame = Mutate(random, samples_);
    verdicts[Run(frame).verdict]++;
    if (HasFailure()) {
      std::cout << "packet: " << absl::BytesToHexString(frame) << std::endl;
      return;
    }
  }
  for (const int verdict :
       {SLUICE_VERDICT_forwarded, SLUICE_VERDICT_returned, SLUICE_VERDICT_replied_too_big, SLUICE_VERDICT_no_session,
        SLUICE_VERDICT_reset_out_of_window, SLUICE_VERDICT_untranslatable, SLUICE_VERDICT_unknown_fragment}) {
    EXPECT_GT(verdicts[verdict], 10) << sluice_verdict_name(NameOf(verdict));
  }
  EXPECT_GT(verdicts[SLUICE_VERDICT_forwarded] + verdicts[SLUICE_VERDICT_returned], 8000);
  ExpectCounters();
}

// Refused, left without an answer, answered late: counted alike, whoever gets the answer.
TEST_F(SessionTest, HandshakesAreCounted) {
  uint64_t flows = 0;
  for (const std::string address : packet_test::kSessionVirtuals) {
    const bool ipv6 = address.find(':') != Bytes::npos;
    for (uint32_t i = 0; i < 3 * kPartitions; i++, flows++) {
      self_ = i % kPartitions;
      const Bytes syn = Packet(absl::StrCat("eth/", ipv6 ? "ipv6(src=2001:db8:99::7" : "ipv4(src=192.0.2.77",
                                            ", dst=", address, ")/tcp(sport=", ++port_, ", dport=80, syn)"));
      const Bytes sent = Run(syn).frame;
      if (i % 3 != 0) now_ += uint64_t{1} << SLUICE_TICK_SHIFT;
      if (i % 3 != 0) Run(syn);
      const uint8_t flag = i % 3 == 2 ? SLUICE_TCP_SYN : SLUICE_TCP_RST;
      self_ = i / 3 % kPartitions;
      Run(packet_test::AnswerTo(sent, {static_cast<uint8_t>(flag | SLUICE_TCP_ACK), 0, 1}));
      Run(packet_test::AnswerTo(sent, {SLUICE_TCP_SYN | SLUICE_TCP_ACK, 0, 1}));
    }
  }
  OpenAll();
  ExpectOpenings();
  EXPECT_EQ(failed_, flows);
  EXPECT_GT(answered_, 10u);
}

// By the next packet of a connection that has been used in this tick, either side's.
TEST_F(SessionTest, WhatHasGoneIsSeenAtOnce) {
  std::array<Bytes, 2> packets;
  const auto is_carried = [&](size_t side) {
    return sluice_verdict_kind(NameOf(RunKernel(packets[side]).verdict)) == SLUICE_KIND_TRANSMIT;
  };
  for (size_t side = 0; side < packets.size(); side++) {
    Talk(&packets[0], &packets[1]);
    EXPECT_TRUE(is_carried(side));
    sluice_session_terms& terms = tables_.terms(0);
    const sluice_session_terms before = terms;
    terms = {.address = before.address, .pool = before.pool};
    FillMaps();
    EXPECT_FALSE(is_carried(side)) << "the listener, side " << side;
    terms = before;
    FillMaps();
    Talk(&packets[0], &packets[1]);
    for (uint32_t i = 0; i < packet_test::kSessionBackends; i++) tables_.backend(i).flags ^= SLUICE_BACKEND_LIVE;
    FillMaps();
    EXPECT_FALSE(is_carried(side)) << "the backend, side " << side;
    for (uint32_t i = 0; i < packet_test::kSessionBackends; i++) tables_.backend(i).flags ^= SLUICE_BACKEND_LIVE;
    FillMaps();
  }
  Talk(&packets[0], &packets[1]);
  tables_.terms(0).pool++;
  FillMaps();
  EXPECT_TRUE(is_carried(0)) << "the listener's record decides";
}

// There is no time between packets, and most are those of sessions that go on.
TEST_F(SessionTest, EachPacketEndsASessionThatIsOver) {
  std::array<Bytes, 2> packets;
  Talk(&packets[0], &packets[1]);
  sluice_expired* queue = &kernel_expired_.records[0];
  for (const Bytes& packet : packets) {
    queue->tail += 2;
    for (uint32_t left = 2; left > 0; left--) {
      RunKernel(packet);
      EXPECT_EQ(queue->tail - queue->head, left - 1);
    }
    RunKernel(packet);
    EXPECT_EQ(queue->tail, queue->head);
  }
}

// The checksum as a sender leaves it to its device: the pseudo header's sum.
TEST_F(SessionTest, UnfinishedChecksums) {
  OpenAll();
  unfinished_ = true;
  int finished = 0;
  for (const Bytes& sample : samples_) {
    sluice_packet packet{};
    const auto* data = reinterpret_cast<const uint8_t*>(sample.data());
    if (sluice_parse(data, data + sample.size(), &packet) != SLUICE_CONTINUE) continue;
    if (packet.kind != SLUICE_PACKET_FLOW || (packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) continue;
    const sluice_flow& flow = packet.flow;
    const uint32_t length = packet.l3_length - (packet.l4_offset - packet.l3_offset);
    const uint16_t sum =
        sluice_checksum_fold(sluice_pseudo_sum(&flow.source, &flow.destination, flow.protocol, length));
    Bytes frame = sample;
    std::memcpy(&frame[packet.l4_offset + sluice_checksum_offset(packet.flow.protocol)], &sum, sizeof(sum));
    SCOPED_TRACE(absl::BytesToHexString(frame));
    const int verdict = Run(frame).verdict;
    finished += verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned;
    if (HasFailure()) return;
  }
  EXPECT_GT(finished, 100);
}

}  // namespace
}  // namespace sluice
