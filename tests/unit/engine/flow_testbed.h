// Connection tables and sessions with flows of the test's making, as the control thread reads them.
//
// Thread-safety: a fixture's.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/connection_tables.h"
#include "engine/flow_reader.h"
#include "engine/session_tables.h"
#include "sluice/time.h"
#include "tests/unit/control/fake_engine.h"
#include "tests/unit/engine/session_testbed.h"

namespace sluice {

inline constexpr uint64_t kTickNs = uint64_t{1} << SLUICE_TICK_SHIFT;
inline constexpr uint32_t kNow = 5000;
inline constexpr uint16_t kIdle = 100;

// Besides the listeners of the sessions: 203.0.113.30 tcp 80 -> pool 2, dsr_l2: slots 5 and 6.
class FlowTest : public testing::Test {
 protected:
  FlowTest()
      : connections_(*ConnectionTables::Create(3, 3000, HugePages::kOff)),
        sessions_(*SessionTables::Create(2, 1000, HugePages::kOff)) {
    tables_.AddVirtual("203.0.113.30");
    tables_.AddListener("203.0.113.30", SLUICE_IP_TCP, 80, tables_.AddPool(5), kIdle);
    tables_.AddBackend(5, 2, kIdle);
    tables_.AddBackend(6, 2, kIdle);
    engine_.connections = connections_.partitions();
    engine_.nat_sessions = sessions_.partitions();
    for (uint32_t i = 0; i < 2; i++) {
      owners_.emplace_back(sessions_.partitions()[i], i, std::make_shared<NatOwners>(2),
                           sluice_nat_ports_around(32768, 60999));
    }
  }
  static sluice_flow Flow(const char* destination, uint16_t source_port) {
    sluice_flow flow{};
    flow.source = PathAddress("192.0.2.7");
    flow.destination = PathAddress(destination);
    flow.source_port = SLUICE_16(source_port);
    flow.destination_port = SLUICE_16(80);
    flow.protocol = SLUICE_IP_TCP;
    return flow;
  }
  // In the primary bucket of that partition.
  uint64_t& Insert(uint32_t partition, const sluice_flow& flow, uint32_t slot, uint32_t state, uint32_t age) {
    const uint64_t hash = sluice_hash_flow(&tables_.settings, &flow);
    const Partition& at = connections_.partitions()[partition];
    uint64_t& entry = at.buckets[sluice_primary_bucket(hash, at.count)].entries[3];
    entry = sluice_entry_make(hash, slot, state, (kNow - age) & SLUICE_TICK_MASK);
    return entry;
  }
  uint32_t Open(uint32_t owner, uint16_t port, enum sluice_session_state state) {
    const sluice_tables tables = tables_.view();
    sluice_session wanted = FullNatSession(port, port);
    const SessionWords words = SessionWords::In(state, kNow - 2);
    wanted.forward = words.forward;
    wanted.reverse = words.reverse;
    return *owners_[owner].Open(tables, wanted, ForwardHashOf(tables, wanted), ReverseHashOf(tables, wanted),
                                kNow & SLUICE_TICK_MASK);
  }
  std::vector<FlowRecord> ReadAll(uint64_t slice = 100) {
    const sluice_tables tables = tables_.view();
    const FlowReader reader(engine_, tables, kNow * kTickNs);
    std::vector<FlowRecord> all;
    for (uint64_t at = 0; at < reader.places();) {
      at = reader.Read(at, slice, [&all](const FlowRecord& flow) {
        all.push_back(flow);
        return true;
      });
    }
    return all;
  }
  FlowReader::Answer Explain(const sluice_flow& flow) {
    const sluice_tables tables = tables_.view();
    return FlowReader(engine_, tables, kNow * kTickNs).Explain(flow);
  }

  SessionTestTables tables_;
  ConnectionTables connections_;
  SessionTables sessions_;
  std::vector<SessionOwner> owners_;
  FakeEngine engine_;
};

}  // namespace sluice
