// The configuration in the terms of the tables: addresses parsed, names resolved, next hops found.
//
// Pools and splits are shared by the states of generations between which they have not changed, and so is all that
// follows from listeners and the engine's section.
//
// Points into its BuildInput's configuration, which outlives it. Thread-safety: pure function.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "config/sluice.pb.h"
#include "sluice/tables.h"
#include "tables/builder.h"

namespace sluice {

struct DesiredListener {
  const v1::Listener* config = nullptr;
  Address address;
  // What its record names: a position in DesiredState::pools or, behind those, in DesiredState::splits.
  uint32_t pool = 0;
  // Positions in DesiredState::pools; one, or those of its split.
  std::vector<uint32_t> pools;
  // Ticks.
  uint16_t idle = 0;
  // Its flows have sessions: its pools translate.
  bool translates = false;
};

struct DesiredBackend {
  const v1::Backend* config = nullptr;
  Address address;
  // None: unknown.
  std::optional<BackendNextHop> next_hop;
  // Its health keeps new flows from it, or those as well that it has.
  bool unhealthy = false;
  bool gives_flows_up = false;
  // Or its sessions are to be ended from outside of the path.
  bool resets_flows = false;
  // In the path's table; the builder's to say, as long as the pool is its alone.
  uint32_t slot = SLUICE_NO_BACKEND;
  // Its own one, 0: none.
  uint16_t port = 0;

  bool TakesFlows() const {
    return config->weight() > 0 && config->state() == v1::Backend::READY && next_hop.has_value() && !unhealthy;
  }
};

struct DesiredPool {
  const v1::Pool* config = nullptr;
  std::vector<DesiredBackend> backends;
  // None of its backends is healthy, and all are used as if they were.
  bool fails_open = false;
  // Whether any of them takes new flows.
  bool takes_flows = false;
  // The builder's too, likewise: what the tables say of the loads of its backends, and whose sessions are to end.
  std::vector<LoadTerms> load_terms;
  std::vector<uint32_t> reset_slots;
};

// The pools that flows of a listener are split among, or of several with the same ones at the same weights.
struct DesiredSplit {
  struct Part {
    // Position in DesiredState::pools.
    uint32_t pool = 0;
    // 0: it gets no new flows, by the operator's wish or because another pool has backends for them and it has none.
    uint32_t weight = 0;
  };
  // As the file has them. Not a name that a pool may have.
  std::string key;
  // Those that get new flows first; else in the file's order.
  std::vector<Part> parts;
};

// What follows from the listeners, the engine's section, and the names and the forwarding of pools.
struct DesiredFront {
  std::vector<DesiredListener> listeners;
  // In the order of the listeners, each once.
  std::vector<VirtualAddress> virtual_addresses;
  // By position in DesiredState::splits; weights as the file has them.
  std::vector<DesiredSplit> splits;
  // By position in DesiredState::pools.
  struct PoolUse {
    // Longest of the listeners that use it, ticks.
    uint16_t idle = 0;
    // One of them has a limit on its flows.
    bool limited = false;
  };
  std::vector<PoolUse> uses;
  // Positions in DesiredState::pools.
  absl::flat_hash_map<std::string, uint32_t> pools;
  // Outer sources of tunnels.
  std::optional<Address> ipv4_source;
  std::optional<Address> ipv6_source;
  // Every single one, IPv4 first.
  std::vector<Address> nat_addresses;
  uint32_t nat_ipv4 = 0;
};

struct DesiredState {
  std::shared_ptr<const DesiredFront> front;
  std::vector<std::shared_ptr<DesiredPool>> pools;
  std::vector<std::shared_ptr<const DesiredSplit>> splits;
  // Positions of those that are not the state before's; all of them, when the front is not.
  std::vector<uint32_t> new_pools;
  std::vector<uint32_t> new_splits;
};

// How the path finds a backend for a new flow of the pool; whether its places are a sequence, else they are a Maglev
// table; and whether it goes by load.
sluice_algorithm AlgorithmOf(const v1::Pool& pool);
inline bool IsSequence(sluice_algorithm algorithm) {
  return algorithm >= SLUICE_ROUND_ROBIN;
}
inline bool GoesByLoad(sluice_algorithm algorithm) {
  return algorithm >= SLUICE_RANDOM;
}

// Whether the pool's backends have limits on their flows.
bool HasLimits(const v1::Pool& pool);

// What validation has seen to is not checked again, but for what would break the tables. InvalidArgument then.
// `before`: what input.change is a change of; null: everything is read.
absl::StatusOr<DesiredState> ReadDesiredState(const BuildInput& input, const DesiredState* before = nullptr);

// Ticks after which a flow is forgotten that may be idle for `timeout`: rounded up, and one more for the tick that the
// last packet came in, so it is never early, whether ages are compared with > or >=.
uint16_t IdleTicks(const google::protobuf::Duration& timeout);

}  // namespace sluice
