// Desired state to tables: a pure function of its inputs but for what it remembers, so that generations follow one
// another gently and a small change takes little time: which slot a backend has (a flow's entry names it, so it never
// changes while the backend lives), which index a listener has (counters go by it), the Maglev tables and access lists
// that did not change, and the last generation, which the next one goes on from where it is told what is otherwise.
// That generation's memory is kept as long.
//
// Thread-safety: one thread (the controller's).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "config/sluice.pb.h"
#include "tables/tables.h"

namespace sluice {

// Where packets for a backend leave: by which port of the engine, with which headers. MTU in bytes of layer 3.
struct BackendNextHop {
  uint16_t port = 0;
  uint16_t vlan = 0;
  Mac source{};
  Mac destination{};
  uint16_t mtu = 0;
  bool operator==(const BackendNextHop&) const = default;
};

struct PortDescription {
  Mac mac{};
  uint16_t mtu = 0;
  bool operator==(const PortDescription&) const = default;
};

// Names of backends, by the name of their pool.
using BackendNames = absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>>;

// What may be otherwise than when the tables before were built; all else is not looked at.
struct InputChange {
  // By their names: backends and all that is said of them in the configuration and by their health.
  absl::flat_hash_set<std::string> pools;
  // Backends' addresses whose next hops may be others.
  absl::flat_hash_set<Address> next_hops;
};

struct BuildInput {
  // Validated and with its defaults filled in (config/validate.h).
  const v1::Config* config = nullptr;
  // 32 bytes (hash_key.h); the same for the whole life of the connection tables, so of the builder.
  absl::Span<const uint8_t> hash_key;
  // By backend address; one without an entry takes no new flows, and its own flows' packets are dropped with
  // no_next_hop. Required.
  const absl::flat_hash_map<Address, BackendNextHop>* next_hops = nullptr;
  absl::Span<const PortDescription> ports;
  // Those that their health checks have found unhealthy: they take no new flows, and with on_unhealthy: move are a miss
  // for those that they have. All of a pool are used all the same when no other is left, unless it is to fail closed.
  // Null: none.
  const BackendNames* unhealthy = nullptr;
  // Since the last Build that succeeded. Counts when `config` is the same object as then, and `ports` are the same;
  // null, or when they are not: anything may be otherwise. Both ways the same tables come of it. Required: no other
  // object has come to be where that one was.
  const InputChange* change = nullptr;
};

class Builder {
 public:
  Builder();
  ~Builder();

  // The next generation; the first is 1. A backend is the same one as before while its pool's and its own name, its
  // address and its forwarding are. Errors (a limit that validation could not see, no memory, another hash key) leave
  // the builder as it was.
  absl::StatusOr<std::shared_ptr<const Tables>> Build(const BuildInput& input);

  // Slots of backends that are gone and whose entries may still be in connection tables. A backend that comes back has
  // its slot, and so its flows, again.
  std::vector<uint32_t> RetiredSlots() const;
  // Tells that no connection table has an entry for `slot` any more (a full sweep has seen none since it was retired):
  // it may be given to another backend, never before. Required: the workers run the last generation built. A slot that
  // is not retired stays as it is.
  void ReleaseSlot(uint32_t slot);

  // The same for the indices of listeners that are gone and whose sessions may still be there.
  std::vector<uint32_t> RetiredListeners() const;
  void ReleaseListener(uint32_t index);

  // Pools that the last Build that succeeded has read, all or those that had changed; for logs and tests.
  uint32_t pools_read() const;
  // Pools whose Maglev table the last Build that succeeded computed anew; for logs and tests.
  uint32_t pools_rebuilt() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice
