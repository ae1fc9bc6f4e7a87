// Flows as they are told: of connection tables and sessions, all or one, and beside workers that write.
#include "engine/flow_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/engine/flow_testbed.h"

namespace sluice {
namespace {

using FlowReaderTest = FlowTest;

TEST_F(FlowReaderTest, ReadsWhatIsLiveInSlices) {
  Insert(0, Flow("203.0.113.30", 1000), 5, SLUICE_STATE_NEW, 1);
  Insert(2, Flow("203.0.113.30", 1001), 6, SLUICE_STATE_CONFIRMED, 10);
  Insert(1, Flow("203.0.113.30", 1002), 6, SLUICE_STATE_CONFIRMED, kIdle + 1);
  // Of a backend that is gone.
  Insert(1, Flow("203.0.113.30", 1003), 9, SLUICE_STATE_CONFIRMED, 1);
  Open(1, 2000, SLUICE_SESSION_HALF_CLOSED);
  for (const uint64_t slice : {1, 7, 1'000'000}) {
    const std::vector<FlowRecord> all = ReadAll(slice);
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[0].slot, 5u);
    EXPECT_EQ(all[0].state, FlowRecord::State::kNew);
    EXPECT_EQ(all[1].partition, 2u);
    EXPECT_EQ(all[1].state, FlowRecord::State::kEstablished);
    EXPECT_EQ(all[1].age, 21u);
    EXPECT_FALSE(all[1].session.has_value());
    ASSERT_TRUE(all[2].session.has_value());
    EXPECT_EQ(all[2].partition, 1u);
    EXPECT_EQ(all[2].state, FlowRecord::State::kHalfClosed);
    EXPECT_EQ(all[2].session->flow.source_port, SLUICE_16(2000));
    EXPECT_TRUE(sluice_address_equal(&all[2].session->source, &tables_.nat_addresses[0].address));
  }
}

TEST_F(FlowReaderTest, StopsWhereItIsTold) {
  for (uint16_t port = 1000; port < 1100; port++) {
    Insert(port % 3, Flow("203.0.113.30", port), 5, SLUICE_STATE_CONFIRMED, 1);
  }
  const sluice_tables tables = tables_.view();
  const FlowReader reader(engine_, tables, kNow * kTickNs);
  size_t seen = 0;
  uint64_t at = 0;
  while (at < reader.places()) {
    size_t here = 0;
    at = reader.Read(at, reader.places(), [&here](const FlowRecord&) { return ++here < 5; });
    // A bucket is read whole.
    EXPECT_LE(here, 4u + SLUICE_BUCKET_ENTRIES);
    seen += here;
  }
  EXPECT_EQ(seen, ReadAll().size());
  EXPECT_EQ(reader.Read(UINT64_MAX, 10, [](const FlowRecord&) { return true; }), reader.places());
}

TEST_F(FlowReaderTest, TellsWhereAFlowGoes) {
  const sluice_flow flow = Flow("203.0.113.30", 1000);
  FlowReader::Answer answer = Explain(flow);
  EXPECT_EQ(answer.verdict, uint32_t{SLUICE_CONTINUE});
  EXPECT_TRUE(answer.found.empty());
  EXPECT_EQ(answer.selected, 5u);
  EXPECT_EQ(answer.slot, 5u);
  // An entry counts before selection, in whatever partition, unless its backend is another pool's.
  uint64_t& entry = Insert(2, flow, 6, SLUICE_STATE_CONFIRMED, 1);
  answer = Explain(flow);
  EXPECT_EQ(answer.slot, 6u);
  EXPECT_EQ(answer.selected, 5u);
  ASSERT_EQ(answer.found.size(), 1u);
  EXPECT_EQ(answer.found[0].partition, 2u);
  entry = SLUICE_ENTRY_EMPTY;
  Insert(2, flow, 3, SLUICE_STATE_CONFIRMED, 1);
  EXPECT_TRUE(Explain(flow).found.empty());
  // By load nobody knows beforehand.
  tables_.AddVirtual("203.0.113.40");
  tables_.AddListener("203.0.113.40", SLUICE_IP_TCP, 80, tables_.AddPool(5, SLUICE_LEAST_CONNECTIONS), kIdle);
  answer = Explain(Flow("203.0.113.40", 1000));
  EXPECT_TRUE(answer.open);
  EXPECT_EQ(answer.verdict, uint32_t{SLUICE_CONTINUE});
  EXPECT_EQ(answer.slot, SLUICE_NO_BACKEND);
}

TEST_F(FlowReaderTest, TellsOfSessionsExactly) {
  Open(0, 2000, SLUICE_SESSION_ESTABLISHED);
  FlowReader::Answer answer = Explain(Flow("203.0.113.20", 2000));
  ASSERT_EQ(answer.found.size(), 1u);
  EXPECT_EQ(answer.found[0].session->server_port, SLUICE_16(80));
  EXPECT_EQ(answer.slot, 3u);
  EXPECT_TRUE(Explain(Flow("203.0.113.20", 2001)).found.empty());
}

TEST_F(FlowReaderTest, TellsWhyNothingIsForwarded) {
  EXPECT_EQ(Explain(Flow("203.0.113.99", 1000)).verdict, uint32_t{SLUICE_VERDICT_pass_not_virtual});
  sluice_flow flow = Flow("203.0.113.30", 1000);
  flow.destination_port = SLUICE_16(81);
  EXPECT_EQ(Explain(flow).verdict, uint32_t{SLUICE_VERDICT_no_listener});
  flow = Flow("203.0.113.30", 1000);
  flow.source = PathAddress("224.0.0.1");
  EXPECT_EQ(Explain(flow).verdict, uint32_t{SLUICE_VERDICT_bad_source});
  tables_.Deny(2, "192.0.2.0", "192.0.2.255");
  EXPECT_EQ(Explain(Flow("203.0.113.30", 1000)).verdict, uint32_t{SLUICE_VERDICT_source_denied});
  tables_.listeners[2].flags = 0;
  tables_.backends[5].flags = SLUICE_BACKEND_LIVE;
  EXPECT_EQ(Explain(Flow("203.0.113.30", 1000)).verdict, uint32_t{SLUICE_VERDICT_no_next_hop});
  tables_.Prefer(2, SLUICE_NO_BACKEND);
  EXPECT_EQ(Explain(Flow("203.0.113.30", 1000)).verdict, uint32_t{SLUICE_VERDICT_no_backend});
}

// What is told of a session is of one session, although its record changes hands all the time.
TEST_F(FlowReaderTest, ReadsBesideAnOwner) {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> rounds = 0;
  std::thread owner([&] {
    const sluice_tables tables = tables_.view();
    while (!stop) {
      std::vector<uint32_t> open;
      for (uint16_t port = 3000; port < 3200; port++) open.push_back(Open(0, port, SLUICE_SESSION_ESTABLISHED));
      for (const uint32_t index : open) owners_[0].Close(tables, index);
      rounds++;
    }
  });
  while (rounds < 50) {
    for (const FlowRecord& flow : ReadAll()) {
      ASSERT_TRUE(flow.session.has_value());
      // Opened with the same port on both sides.
      ASSERT_EQ(flow.session->flow.source_port, flow.session->source_port);
    }
  }
  stop = true;
  owner.join();
}

}  // namespace
}  // namespace sluice
