// What the connection tables and NAT sessions hold, read while their workers write to them: all of it in slices, or one
// flow, and what would become of its next packet.
//
// Thread-safety: the control thread's; no worker waits for it or notices. A record is told as it was at some moment.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "sluice/tables.h"
#include "sluice/types.h"
#include "sluice/verdict.h"

namespace sluice {

// What is known of a NAT session alone.
struct SessionRecord {
  // As its client sends it.
  sluice_flow flow{};
  uint32_t listener = 0;
  // As its server sees it.
  sluice_address source{};
  uint16_t source_port = 0;
  uint16_t server_port = 0;
};

// A connection entry or a NAT session.
struct FlowRecord {
  enum class State {
    // Of an entry: it has seen one packet, or nothing but SYNs.
    kNew,
    kEstablished,
    // Of an entry: its client has closed it, as far as can be seen.
    kClosing,
    // Of sessions.
    kHandshake,
    kHalfClosed,
    kClosed,
  };
  // Of the connection table's, or of the sessions'.
  uint32_t partition = 0;
  // Of its backend.
  uint32_t slot = 0;
  State state = State::kNew;
  // Since its last packet, seconds; two more or less.
  uint32_t age = 0;

  // An entry has no five-tuple.
  std::optional<SessionRecord> session;

  // Where it lies, for flow_end.h: an entry, and as it was read; or a session.
  uint64_t* entry = nullptr;
  uint64_t value = 0;
  sluice_session* record = nullptr;
};

class FlowReader {
 public:
  // `engine` and `tables`, which it runs, outlive this object. `now`: CLOCK_MONOTONIC, ns.
  FlowReader(const Engine& engine, const sluice_tables& tables, uint64_t now);

  // Places to read: a bucket of the connection table or a session each.
  uint64_t places() const { return places_; }
  // The first session's.
  uint64_t sessions_begin() const { return buckets_; }
  // Calls `take` for what is live in `count` places from `from` on; returns the place to go on from, places() at the
  // end. Stops behind the place where `take` returns false.
  uint64_t Read(uint64_t from, uint64_t count, const std::function<bool(const FlowRecord& flow)>& take) const;

  // Of a flow as its client sends it.
  struct Answer {
    // SLUICE_CONTINUE: its packets go to `slot`.
    uint32_t verdict = SLUICE_CONTINUE;
    uint32_t listener = SLUICE_NO_LISTENER;
    // Where a new flow would find its backend: the listener's, or the one that it falls to of several. SLUICE_NO_POOL:
    // none of several takes flows.
    uint32_t pool = SLUICE_NO_POOL;
    // What is known of it, in any partition.
    std::vector<FlowRecord> found;
    // Where a new flow would go by its hash; `open`: that is decided when it comes, by turns or by load.
    uint32_t selected = SLUICE_NO_BACKEND;
    bool open = false;
    // SLUICE_NO_BACKEND: there is none, or it is open.
    uint32_t slot = SLUICE_NO_BACKEND;
  };
  Answer Explain(const sluice_flow& flow) const;

 private:
  void ReadPlace(uint64_t place, const std::function<void(const FlowRecord& flow)>& take) const;
  std::optional<FlowRecord> ReadEntry(uint32_t partition, uint64_t& at) const;
  std::optional<FlowRecord> ReadSession(uint32_t partition, uint32_t index) const;
  void FindEntries(uint64_t hash, uint32_t pool, std::vector<FlowRecord>* found) const;
  uint32_t PoolOf(const sluice_listener& listener, const sluice_flow& flow, uint64_t hash) const;
  void FindSessions(uint64_t hash, const sluice_flow& flow, std::vector<FlowRecord>* found) const;

  const std::vector<Partition>& connections_;
  const std::vector<SessionPartition>& sessions_;
  const sluice_tables& tables_;
  uint32_t tick_;
  uint64_t buckets_ = 0;
  uint64_t places_ = 0;
};

}  // namespace sluice
