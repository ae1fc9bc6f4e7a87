// Tables written by hand, record by record: what the tests of the path's native composition run on, without a builder.
//
// Thread-safety: as of a struct.
#pragma once

#include <cassert>
#include <cstring>
#include <string>
#include <vector>

#include "base/address.h"
#include "sluice/access.h"
#include "sluice/listener.h"
#include "sluice/rewrite.h"
#include "sluice/tables.h"

namespace sluice {

inline sluice_address PathAddress(const std::string& text) {
  const absl::StatusOr<Address> parsed = ParseAddress(text);
  assert(parsed.ok());
  sluice_address address;
  std::memcpy(&address, parsed->bytes.data(), sizeof(address));
  return address;
}

class HandTables {
 public:
  static constexpr uint32_t kMaglevSize = 13;

  HandTables() : index_(256), backends(16) {
    uint32_t word = 0;
    for (uint32_t& key : settings.hash_key) key = word += 0x9e3779b9u;
    settings.index_mask = static_cast<uint32_t>(index_.size()) - 1;
    ports.push_back({{2, 0, 0, 0, 0, 1}, 1500});
    ports.push_back({{2, 0, 0, 0, 0, 2}, 1500});
  }

  sluice_tables view() const {
    return {&settings,       index_.data(), ranges_.data(), listeners.data(), pools_.data(), maglev_.data(),
            backends.data(), ports.data(),  nullptr,        nullptr,          access.data(), access_nodes.data()};
  }

  void AddVirtual(const std::string& address, uint32_t flags = SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE) {
    Put({PathAddress(address), sluice_index_key(0, 0), flags, 0, SLUICE_INDEX_VIRTUAL, 0});
  }
  // Returns its index.
  uint32_t AddListener(const std::string& address, uint32_t protocol, uint16_t port, uint32_t pool, uint16_t idle) {
    const auto listener = static_cast<uint32_t>(listeners.size());
    listeners.push_back({pool, idle, 0});
    access.push_back({});
    settings.longest_idle = std::max(settings.longest_idle, idle);
    Put({PathAddress(address), sluice_index_key(protocol, SLUICE_16(port)), listener, 0, SLUICE_INDEX_LISTENER, pool});
    return listener;
  }
  // No new flows from here on for sources from `first` to `last`.
  void Deny(uint32_t listener, const std::string& first, const std::string& last, uint16_t flags = 0) {
    const sluice_address addresses[] = {PathAddress(first), PathAddress(last)};
    sluice_access_node node;
    std::memset(&node, 0xff, sizeof(node));
    node.ends[0] = sluice_number_of(&addresses[0]);
    node.ends[0].low--;
    node.ends[1] = sluice_number_of(&addresses[1]);
    access[listener] = {static_cast<uint32_t>(access_nodes.size()), 1,
                        static_cast<uint16_t>(SLUICE_ACCESS_LOWEST | flags), 0, 0};
    access_nodes.push_back(node);
    listeners[listener].flags |= SLUICE_LISTENER_ACCESS;
  }
  // One source may open so many flows within a window.
  void Limit(uint32_t listener, uint32_t most) {
    access[listener] = {0, 0, SLUICE_ACCESS_LOWEST, most, 0};
    listeners[listener].flags |= SLUICE_LISTENER_ACCESS;
  }
  // There is a limit of its active flows; workers are told which.
  void LimitActive(uint32_t listener) {
    access[listener] = {0, 0, SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED, 0, 0};
    listeners[listener].flags |= SLUICE_LISTENER_ACCESS;
  }
  // A pool whose Maglev table names `slot` everywhere; SLUICE_NO_BACKEND for a pool that takes no flows.
  uint32_t AddPool(uint32_t slot, sluice_algorithm algorithm = SLUICE_MAGLEV) {
    const auto offset = static_cast<uint32_t>(maglev_.size());
    maglev_.resize(offset + kMaglevSize, slot);
    pools_.push_back({offset, slot == SLUICE_NO_BACKEND ? 0 : kMaglevSize, static_cast<uint16_t>(algorithm), 0, 0});
    return static_cast<uint32_t>(pools_.size()) - 1;
  }
  // From now on new flows of the pool go there.
  void Prefer(uint32_t pool, uint32_t slot) {
    for (uint32_t i = 0; i < kMaglevSize; i++) maglev_[pools_[pool].offset + i] = slot;
    pools_[pool].size = slot == SLUICE_NO_BACKEND ? 0 : kMaglevSize;
  }
  // From now on new flows of the pool go there by turns.
  void TakeTurns(uint32_t pool, uint32_t one, uint32_t other) {
    pools_[pool].algorithm = SLUICE_ROUND_ROBIN;
    for (uint32_t i = 0; i < kMaglevSize; i++) maglev_[pools_[pool].offset + i] = i % 2 == 0 ? one : other;
  }
  // dsr_l2 by port 0, to a MAC address that ends with the slot.
  sluice_backend& AddBackend(uint32_t slot, uint32_t pool, uint16_t idle) {
    sluice_backend& backend = backends[slot];
    backend = {};
    const uint8_t destination[] = {2, 0, 0, 0, 9, static_cast<uint8_t>(slot)};
    std::memcpy(backend.destination_mac, destination, sizeof(destination));
    std::memcpy(backend.source_mac, ports[0].mac, sizeof(backend.source_mac));
    backend.pool = pool;
    backend.mtu = 1500;
    backend.forwarding = SLUICE_DSR_L2;
    backend.flags = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP;
    backend.idle = idle;
    return backend;
  }
  void MakeIpip(uint32_t slot, const std::string& source, const std::string& destination) {
    sluice_backend& backend = backends[slot];
    backend.forwarding = SLUICE_IPIP;
    backend.outer_length = SLUICE_IPV4_BYTES;
    backend.source = PathAddress(source);
    backend.destination = PathAddress(destination);
    backend.outer_sum = sluice_outer_sum(backend.source.words[3], backend.destination.words[3]);
  }

 private:
  void Put(const sluice_index_entry& entry) {
    uint32_t at = sluice_hash_index(&entry.address, entry.key);
    while (index_[at & settings.index_mask].kind != SLUICE_INDEX_EMPTY) at++;
    index_[at & settings.index_mask] = entry;
  }

  std::vector<sluice_index_entry> index_;
  std::vector<sluice_port_range> ranges_;
  std::vector<sluice_pool> pools_;
  std::vector<uint32_t> maglev_;

 public:
  sluice_settings settings{};
  std::vector<sluice_listener> listeners;
  // Of each of them.
  std::vector<sluice_access> access;
  std::vector<sluice_access_node> access_nodes;
  std::vector<sluice_backend> backends;
  std::vector<sluice_port> ports;
};

}  // namespace sluice
