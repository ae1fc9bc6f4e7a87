// One generation of everything that the path reads, built by builder.h and handed to an engine whole.
//
// Immutable once built; shared between the control thread and the engine, freed when the last of them lets go (an
// engine lets go of a generation after every worker has left it). Thread-safety: const access from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/region.h"
#include "base/service.h"
#include "sluice/tables.h"

namespace sluice {

struct MaglevSet;

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
  bool operator==(const BackendName&) const = default;
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
  bool operator==(const LoadTerms&) const = default;
};

// A listener with a limit: it opens no flow while the backends of its pools (indices) have so many active ones.
struct ListenerTerms {
  uint32_t listener = 0;
  uint32_t max_connections = 0;
  std::vector<uint32_t> pools;
  bool operator==(const ListenerTerms&) const = default;
};

// What follows from the listeners, the ports, and which backends there are: shared by generations between which only
// weights, health or next hops have changed.
struct TablesFront {
  // sluice_index_entry[index_mask + 1] and so on, one region a table (huge pages where there are some).
  Region index, ranges, listeners, session_terms, ports, nat_addresses, access, access_nodes;
  uint32_t index_mask = 0;
  std::vector<std::string> listener_names;
  std::vector<std::string> pool_names;
  std::vector<BackendName> backend_names;
  std::vector<VirtualAddress> virtual_addresses;
  std::vector<Service> services;
  std::vector<ListenerTerms> listener_terms;
  bool limits_sources = false;
};

class Tables {
 public:
  // What the path reads. Valid as long as this object.
  const sluice_tables& view() const { return view_; }
  uint32_t generation() const { return settings_.As<sluice_settings>()->generation; }

  uint32_t listener_count() const { return static_cast<uint32_t>(front_->listener_names.size()); }
  uint32_t backend_slots() const { return static_cast<uint32_t>(front_->backend_names.size()); }
  // Records of the view's tables that have no names.
  uint32_t range_count() const { return Records<sluice_port_range>(front_->ranges); }
  uint32_t pool_count() const { return Records<sluice_pool>(pools_); }
  uint32_t port_count() const { return Records<sluice_port>(front_->ports); }
  uint32_t nat_address_count() const { return Records<sluice_nat_address>(front_->nat_addresses); }
  uint32_t access_node_count() const { return Records<sluice_access_node>(front_->access_nodes); }
  // Whether any listener limits what a source may open.
  bool limits_sources() const { return front_->limits_sources; }
  const std::vector<std::string>& listener_names() const { return front_->listener_names; }
  const std::vector<BackendName>& backend_names() const { return front_->backend_names; }
  // Index i of the path's pool table; empty where none is, and of splits.
  const std::vector<std::string>& pool_names() const { return front_->pool_names; }
  const std::vector<VirtualAddress>& virtual_addresses() const { return front_->virtual_addresses; }
  // Of backends that take flows, in pools that go by load or have limits; and of all that may have flows of a listener
  // with a limit.
  const std::vector<LoadTerms>& load_terms() const { return *load_terms_; }
  const std::vector<ListenerTerms>& listener_terms() const { return front_->listener_terms; }
  // Slots of backends whose sessions are to end, as they take no new ones.
  const std::vector<uint32_t>& reset_slots() const { return reset_slots_; }
  // Where answers to clients' own addresses come from, each once.
  const std::vector<Service>& services() const { return front_->services; }

  // Who has the same one has the same names, addresses and services, and the same tables behind them.
  const std::shared_ptr<const TablesFront>& front() const { return front_; }
  // Slots of backends whose records may not be those of the generation before, which has the same front; none: of any,
  // or it has another one.
  const std::optional<std::vector<uint32_t>>& changed_slots() const { return changed_slots_; }

 private:
  friend class TablesWriter;
  Tables() = default;

  template <typename Record>
  static uint32_t Records(const Region& region) {
    return static_cast<uint32_t>(region.size() / sizeof(Record));
  }

  sluice_tables view_{};
  // Memory behind the view.
  std::shared_ptr<const TablesFront> front_;
  Region settings_, pools_, backends_;
  // Maglev tables live in an arena that generations share: a pool that did not change keeps its part of it. Each keeps
  // the arena.
  std::shared_ptr<const MaglevSet> maglev_;
  std::shared_ptr<const std::vector<LoadTerms>> load_terms_;
  std::vector<uint32_t> reset_slots_;
  std::optional<std::vector<uint32_t>> changed_slots_;
};

}  // namespace sluice
