// Tables made by hand, record by record, for tests that want to know every byte of them: what src/tables/builder.h does
// for the daemon, without any cleverness. Not for more than a few hundred listeners.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sluice/hash.h"
#include "sluice/tables.h"

namespace sluice::packet_test {

sluice_address PathAddress(std::string_view text);

// A backend as a test wants it; addresses as text, `mtu` of the next hop's link.
struct HandBackend {
  sluice_forwarding forwarding = SLUICE_DSR_L2;
  std::string_view address = "10.0.1.11";
  // Of the tunnel; its family is the address's.
  std::string_view source = "198.51.100.2";
  uint16_t vlan = 0;
  uint16_t mtu = 1500;
  uint16_t port = 0;
  uint32_t pool = 0;
  // Of a server whose packets are translated; 0 for the listener's port.
  uint16_t service_port = 0;
};

// The path's record of it, next hop 02:00:00:00:01:<last byte of the address> from 02:00:00:00:00:01.
sluice_backend BackendRecord(const HandBackend& hand);

class HandTables {
 public:
  // The index has `index_size` entries, a power of two.
  explicit HandTables(uint32_t index_size = 64);
  HandTables(const HandTables&) = delete;
  HandTables& operator=(const HandTables&) = delete;

  // Returns the listener's index. Adding a listener does not make its address virtual.
  uint32_t AddListener(std::string_view address, uint32_t protocol, uint16_t port, uint32_t pool, uint16_t idle = 100);
  // Ranges of one (address, protocol), sorted, [first, last]; listeners are made in their order; the first is returned.
  uint32_t AddRanges(std::string_view address, uint32_t protocol,
                     const std::vector<std::pair<uint16_t, uint16_t>>& ranges, uint32_t pool, uint16_t idle = 100);
  void AddVirtual(std::string_view address, uint32_t flags = SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE);
  // A pool whose flows go to these slots in equal shares (slots may repeat).
  uint32_t AddPool(const std::vector<uint32_t>& slots, sluice_algorithm algorithm = SLUICE_MAGLEV);
  // One whose backends, those of `slots`, have limits.
  uint32_t AddLimitedPool(const std::vector<uint32_t>& slots, sluice_algorithm algorithm);
  // Flows that are split among pools, the members; the first `takers` of them are in the places.
  uint32_t AddSplit(const std::vector<uint32_t>& places, const std::vector<uint32_t>& members, uint16_t takers);
  uint32_t AddBackend(const HandBackend& backend);
  // The listener's flows have sessions, with these timeouts; its address stays. Its pool translates.
  void Translate(uint32_t listener, const sluice_session_terms& timeouts);
  // An address of ours that stands in clients' place; those of IPv4 before those of IPv6.
  void AddNatAddress(std::string_view address);
  // A server that sees clients' own addresses.
  void AddServer(std::string_view address);
  uint32_t AddPort(const sluice_port& port);
  // What the listener admits goes by these nodes (`access.first` is set).
  void Admit(uint32_t listener, sluice_access access, const std::vector<sluice_access_node>& nodes);

  sluice_settings& settings() { return settings_; }
  sluice_backend& backend(uint32_t slot) { return backends_[slot]; }
  sluice_listener& listener(uint32_t index) { return listeners_[index]; }
  sluice_pool& pool(uint32_t index) { return pools_[index]; }
  sluice_session_terms& terms(uint32_t listener) { return terms_[listener]; }
  // Valid until something is added.
  const sluice_tables& view();
  // How many records each table of the view has.
  struct Counts {
    size_t index, ranges, listeners, pools, maglev, backends, ports, nat_addresses, access_nodes;
  };
  Counts counts() const;

 private:
  uint32_t PushListener(std::string_view address, uint32_t pool, uint16_t idle);
  void AddIndex(std::string_view address, uint32_t key, sluice_index_kind kind, uint32_t value, uint16_t count,
                uint32_t pool = SLUICE_NO_POOL);

  sluice_settings settings_{};
  std::vector<sluice_index_entry> index_;
  std::vector<sluice_port_range> ranges_;
  std::vector<sluice_listener> listeners_;
  // Of each of them.
  std::vector<sluice_session_terms> terms_;
  std::vector<sluice_access> access_;
  std::vector<sluice_nat_address> nat_addresses_;
  std::vector<sluice_access_node> access_nodes_;
  std::vector<sluice_pool> pools_;
  std::vector<uint32_t> maglev_;
  std::vector<sluice_backend> backends_;
  std::vector<sluice_port> ports_;
  sluice_tables view_{};
};

}  // namespace sluice::packet_test
