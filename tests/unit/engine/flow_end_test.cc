// The end of a flow that the operator has chosen, beside the worker that has it.
#include "engine/flow_end.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/unit/engine/flow_testbed.h"

namespace sluice {
namespace {

class FlowEndTest : public FlowTest {
 protected:
  sluice_session& SessionAt(uint32_t owner, uint32_t index) { return sessions_.partitions()[owner].sessions[index]; }
  // Takes what is sent while there is room.
  SendFrame Sender() {
    return [this](absl::Span<const uint8_t> frame, uint16_t port) {
      if (room_ == 0) return false;
      room_--;
      sent_.push_back({{frame.begin(), frame.end()}, port});
      return true;
    };
  }
  bool Finish(sluice_session& session) {
    const sluice_tables tables = tables_.view();
    return FinishSession(&session, tables, Sender());
  }

  int room_ = 100;
  std::vector<std::pair<std::vector<uint8_t>, uint16_t>> sent_;
};

TEST_F(FlowEndTest, AnEntryIsEmptiedHoweverOftenItIsSeenMeanwhile) {
  uint64_t& entry = Insert(2, Flow("203.0.113.30", 1000), 6, SLUICE_STATE_CONFIRMED, 10);
  uint64_t& other = Insert(2, Flow("203.0.113.30", 1001), 6, SLUICE_STATE_CONFIRMED, 10);
  const FlowRecord flow = Explain(Flow("203.0.113.30", 1000)).found.at(0);
  entry = sluice_entry_touch(entry, kNow & SLUICE_TICK_MASK, false, true);
  EXPECT_TRUE(EndFlow(flow));
  EXPECT_EQ(entry, SLUICE_ENTRY_VACATED);
  EXPECT_FALSE(sluice_entry_is_empty(other));
  EXPECT_FALSE(EndFlow(flow));
  // Another flow has its place by now.
  entry = other;
  EXPECT_FALSE(EndFlow(flow));
  EndFlowAgain(flow);
  EXPECT_EQ(entry, other);
}

TEST_F(FlowEndTest, AnEntryThatIsWrittenBackEndsAgainANewFlowDoesNot) {
  uint64_t& entry = Insert(0, Flow("203.0.113.30", 1000), 6, SLUICE_STATE_CONFIRMED, 1);
  const uint64_t before = entry;
  const FlowRecord flow = Explain(Flow("203.0.113.30", 1000)).found.at(0);
  ASSERT_TRUE(EndFlow(flow));
  entry = sluice_entry_touch(before, kNow & SLUICE_TICK_MASK, false, false);
  EndFlowAgain(flow);
  EXPECT_EQ(entry, SLUICE_ENTRY_VACATED);
  Insert(0, Flow("203.0.113.30", 1000), 6, SLUICE_STATE_NEW, 0);
  EndFlowAgain(flow);
  EXPECT_FALSE(sluice_entry_is_empty(entry));
}

TEST_F(FlowEndTest, ASessionIsOverWhenItsEndsHaveBeenToldWhateverItsPackets) {
  const sluice_tables tables = tables_.view();
  uint16_t port = 2000;
  for (const auto state : {SLUICE_SESSION_HANDSHAKE, SLUICE_SESSION_ESTABLISHED, SLUICE_SESSION_HALF_CLOSED}) {
    const uint32_t index = Open(1, ++port, state);
    const uint32_t stays = Open(1, ++port, state);
    const FlowRecord flow = Explain(Flow("203.0.113.20", static_cast<uint16_t>(port - 1))).found.at(0);
    EXPECT_TRUE(EndFlow(flow));
    EXPECT_FALSE(EndFlow(flow));
    EXPECT_TRUE(Explain(Flow("203.0.113.20", static_cast<uint16_t>(port - 1))).found.empty());
    EXPECT_EQ(Explain(Flow("203.0.113.20", port)).found.size(), 1u);
    // A worker notes a packet of it.
    sluice_session& session = SessionAt(1, index);
    session.forward = (session.forward & ~SLUICE_WORD_TICK) | (kNow & SLUICE_TICK_MASK);
    EndFlowAgain(flow);
    for (int i = 0; i < 101; i++) sessions_.Sweep(tables, kNow * kTickNs);
    uint32_t budget = 16;
    EXPECT_EQ(owners_[1].NextExpired(tables, kNow & SLUICE_TICK_MASK, &budget), std::nullopt);
    EXPECT_TRUE(Finish(session));
    EXPECT_TRUE(Finish(session));
    for (int i = 0; i < 101; i++) sessions_.Sweep(tables, kNow * kTickNs);
    EXPECT_EQ(owners_[1].NextExpired(tables, kNow & SLUICE_TICK_MASK, &budget), index);
    owners_[1].Expire(tables, index);
    EXPECT_EQ(owners_[1].NextExpired(tables, kNow & SLUICE_TICK_MASK, &budget), std::nullopt);
    owners_[1].Close(tables, stays);
  }
}

TEST_F(FlowEndTest, AClosedSessionIsOverAtOnce) {
  const sluice_tables tables = tables_.view();
  const uint32_t index = Open(0, 2000, SLUICE_SESSION_CLOSED);
  EXPECT_TRUE(EndFlow(Explain(Flow("203.0.113.20", 2000)).found.at(0)));
  for (int i = 0; i < 101; i++) sessions_.Sweep(tables, kNow * kTickNs);
  uint32_t budget = 16;
  EXPECT_EQ(owners_[0].NextExpired(tables, kNow & SLUICE_TICK_MASK, &budget), index);
  EXPECT_TRUE(Finish(SessionAt(0, index)));
  EXPECT_TRUE(sent_.empty());
}

TEST_F(FlowEndTest, WhatHasNoRoomIsSentLaterAndAReplacedOneTellsNobody) {
  const uint32_t index = Open(0, 2000, SLUICE_SESSION_ESTABLISHED);
  sluice_session& session = SessionAt(0, index);
  ASSERT_TRUE(EndFlow(Explain(Flow("203.0.113.20", 2000)).found.at(0)));
  room_ = 0;
  EXPECT_FALSE(Finish(session));
  EXPECT_FALSE(session.flags & SLUICE_SESSION_OVER);
  room_ = 100;
  EXPECT_TRUE(Finish(session));
  EXPECT_FALSE(sent_.empty());
  EXPECT_TRUE(session.flags & SLUICE_SESSION_OVER);
  sent_.clear();
  const uint32_t other = Open(0, 2001, SLUICE_SESSION_ESTABLISHED);
  ASSERT_TRUE(EndFlow(Explain(Flow("203.0.113.20", 2001)).found.at(0)));
  owners_[0].Replace(tables_.view(), other);
  EXPECT_TRUE(Finish(SessionAt(0, other)));
  EXPECT_TRUE(sent_.empty());
  EXPECT_TRUE(SessionAt(0, other).flags & SLUICE_SESSION_OVER);
}

TEST_F(FlowEndTest, ARecordThatIsAnotherSessionsByNowStays) {
  const sluice_tables tables = tables_.view();
  const uint32_t index = Open(0, 2000, SLUICE_SESSION_ESTABLISHED);
  const FlowRecord flow = Explain(Flow("203.0.113.20", 2000)).found.at(0);
  owners_[0].Close(tables, index);
  EXPECT_FALSE(EndFlow(flow));
  sluice_session& session = SessionAt(0, index);
  session.protocol = SLUICE_IP_TCP;
  session.ports = sluice_ports(SLUICE_16(2001), SLUICE_16(80));
  EXPECT_FALSE(EndFlow(flow));
  // Nor is it told anything.
  EXPECT_TRUE(Finish(session));
  FinishSilently(&session);
  EXPECT_EQ(session.flags & (SLUICE_SESSION_ENDED | SLUICE_SESSION_OVER), 0);
  EXPECT_TRUE(sent_.empty());
}

}  // namespace
}  // namespace sluice
