// One generation of everything that the path reads, built by builder.h and handed to an engine whole.
//
// Immutable once built; shared between the control thread and the engine, freed when the last of them lets go (an
// engine lets go of a generation after every worker has left it). Thread-safety: const access from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/region.h"
#include "base/service.h"
#include "sluice/tables.h"

namespace sluice {

struct VirtualAddress {
  Address address;
  // Answer ARP and neighbour solicitations, and announce the address when it comes.
  bool announce = true;
  // Answer ICMP echo requests.
  bool echo = true;
  // One of ours that stands in clients' place; no listener's.
  bool nat = false;
  bool operator==(const VirtualAddress&) const = default;
};

// Who a counter's index belongs to; index i of the path's listener table, or slot i of its backends. Empty name:
// unused.
struct BackendName {
  std::string pool;
  std::string backend;
};

// What a backend's load is weighed by, where its pool goes by load or has limits, or its listener has one.
struct LoadTerms {
  uint32_t slot = 0;
  uint32_t weight = 0;
  // Its flows are sessions.
  bool translates = false;
  // The time that it takes to answer counts too.
  bool by_time = false;
  // The most active flows that it may have; 0: any number.
  uint32_t max_connections = 0;
  // Its pool, and how many active flows it may have there, percent of its share of the pool's; 0: any number.
  uint32_t pool = 0;
  uint32_t hash_balance_factor = 0;
  // Else its flows are only counted.
  bool takes_flows = true;
};

// A listener with a limit: it opens no flow while the backends of its pools (indices) have so many active ones.
struct ListenerTerms {
  uint32_t listener = 0;
  uint32_t max_connections = 0;
  std::vector<uint32_t> pools;
};

class Tables {
 public:
  // What the path reads. Valid as long as this object.
  const sluice_tables& view() const { return view_; }
  uint32_t generation() const { return settings_.As<sluice_settings>()->generation; }

  uint32_t listener_count() const { return static_cast<uint32_t>(listener_names_.size()); }
  uint32_t backend_slots() const { return static_cast<uint32_t>(backend_names_.size()); }
  // Records of the view's tables that have no names.
  uint32_t range_count() const { return Records<sluice_port_range>(ranges_); }
  uint32_t pool_count() const { return Records<sluice_pool>(pools_); }
  uint32_t port_count() const { return Records<sluice_port>(ports_); }
  uint32_t nat_address_count() const { return Records<sluice_nat_address>(nat_addresses_); }
  uint32_t access_node_count() const { return Records<sluice_access_node>(access_nodes_); }
  // Whether any listener limits what a source may open.
  bool limits_sources() const { return limits_sources_; }
  const std::vector<std::string>& listener_names() const { return listener_names_; }
  const std::vector<BackendName>& backend_names() const { return backend_names_; }
  // Index i of the path's pool table; empty where none is, and of splits.
  const std::vector<std::string>& pool_names() const { return pool_names_; }
  const std::vector<VirtualAddress>& virtual_addresses() const { return virtual_addresses_; }
  // Of backends that take flows, in pools that go by load or have limits; and of all that may have flows of a listener
  // with a limit.
  const std::vector<LoadTerms>& load_terms() const { return load_terms_; }
  const std::vector<ListenerTerms>& listener_terms() const { return listener_terms_; }
  // Slots of backends whose sessions are to end, as they take no new ones.
  const std::vector<uint32_t>& reset_slots() const { return reset_slots_; }
  // Where answers to clients' own addresses come from, each once.
  const std::vector<Service>& services() const { return services_; }

 private:
  friend class TablesWriter;
  Tables() = default;

  template <typename Record>
  static uint32_t Records(const Region& region) {
    return static_cast<uint32_t>(region.size() / sizeof(Record));
  }

  sluice_tables view_{};
  // Memory behind the view, one region a table (huge pages where there are some).
  Region settings_, index_, ranges_, listeners_, session_terms_, pools_, backends_, ports_, nat_addresses_, access_,
      access_nodes_;
  // Maglev tables live in an arena that generations share: a pool that did not change keeps its part of it. Each keeps
  // the arena.
  std::vector<std::shared_ptr<const void>> maglev_;
  std::vector<std::string> listener_names_;
  std::vector<std::string> pool_names_;
  std::vector<BackendName> backend_names_;
  std::vector<VirtualAddress> virtual_addresses_;
  std::vector<Service> services_;
  std::vector<LoadTerms> load_terms_;
  std::vector<ListenerTerms> listener_terms_;
  std::vector<uint32_t> reset_slots_;
  bool limits_sources_ = false;
};

}  // namespace sluice
