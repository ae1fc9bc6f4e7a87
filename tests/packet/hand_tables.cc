#include "tests/packet/hand_tables.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "base/address.h"
#include "sluice/rewrite.h"

namespace sluice::packet_test {

sluice_address PathAddress(std::string_view text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) std::abort();
  sluice_address result;
  std::memcpy(&result, address->bytes.data(), sizeof(result));
  return result;
}

sluice_backend BackendRecord(const HandBackend& hand) {
  sluice_backend record{};
  record.destination = PathAddress(hand.address);
  const uint8_t destination_mac[] = {2, 0, 0, 0, 1, static_cast<uint8_t>(record.destination.words[3] >> 24)};
  const uint8_t source_mac[] = {2, 0, 0, 0, 0, 1};
  std::memcpy(record.destination_mac, destination_mac, sizeof(destination_mac));
  std::memcpy(record.source_mac, source_mac, sizeof(source_mac));
  record.vlan = hand.vlan;
  record.port = hand.port;
  record.pool = hand.pool;
  record.mtu = hand.mtu;
  record.forwarding = static_cast<uint8_t>(hand.forwarding);
  record.flags = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP;
  if (hand.forwarding == SLUICE_DSR_L2) return record;
  const bool ipv6 = !sluice_address_is_ipv4(&record.destination);
  record.flags |= ipv6 ? SLUICE_BACKEND_OUTER_IPV6 : 0;
  if (hand.forwarding == SLUICE_NAT || hand.forwarding == SLUICE_FULL_NAT) {
    record.service_port = SLUICE_16(hand.service_port);
    return record;
  }
  record.source = PathAddress(hand.source);
  record.outer_length = ipv6 ? 40 : 20;
  if (hand.forwarding == SLUICE_GUE) record.outer_length += 12;
  if (!ipv6) record.outer_sum = sluice_outer_sum(record.source.words[3], record.destination.words[3]);
  record.service_port = SLUICE_16(6080);
  return record;
}

HandTables::HandTables(uint32_t index_size) : index_(index_size) {
  for (uint32_t i = 0; i < 10; i++) settings_.hash_key[i] = 0x9e3779b9u * (i + 1);
  settings_.index_mask = index_size - 1;
  settings_.generation = 1;
  settings_.longest_idle = 100;
}

uint32_t HandTables::AddListener(std::string_view address, uint32_t protocol, uint16_t port, uint32_t pool,
                                 uint16_t idle) {
  const uint32_t listener = PushListener(address, pool, idle);
  AddIndex(address, sluice_index_key(protocol, SLUICE_16(port)), SLUICE_INDEX_LISTENER, listener, 0, pool);
  return listener;
}

uint32_t HandTables::PushListener(std::string_view address, uint32_t pool, uint16_t idle) {
  listeners_.push_back({pool, idle, 0});
  terms_.push_back({});
  terms_.back().address = PathAddress(address);
  terms_.back().pool = pool;
  access_.push_back({});
  settings_.longest_idle = std::max(settings_.longest_idle, idle);
  settings_.sessions = std::min<uint16_t>(settings_.sessions, SLUICE_SESSIONS_SOME);
  return static_cast<uint32_t>(listeners_.size() - 1);
}

void HandTables::Translate(uint32_t listener, const sluice_session_terms& timeouts) {
  const sluice_session_terms before = terms_[listener];
  terms_[listener] = timeouts;
  terms_[listener].address = before.address;
  terms_[listener].pool = before.pool;
  listeners_[listener].flags |= SLUICE_LISTENER_SESSIONS;
  const bool all = std::ranges::all_of(
      listeners_, [](const sluice_listener& other) { return other.flags & SLUICE_LISTENER_SESSIONS; });
  settings_.sessions = all ? SLUICE_SESSIONS_ALL : SLUICE_SESSIONS_SOME;
}

void HandTables::AddNatAddress(std::string_view address) {
  nat_addresses_.push_back({PathAddress(address)});
  settings_.nat_ipv4 += sluice_address_is_ipv4(&nat_addresses_.back().address);
  settings_.nat_ipv6 += !sluice_address_is_ipv4(&nat_addresses_.back().address);
  AddVirtual(address, SLUICE_VIRTUAL_ECHO | SLUICE_VIRTUAL_ANNOUNCE | SLUICE_VIRTUAL_NAT);
}

void HandTables::AddServer(std::string_view address) {
  AddIndex(address, sluice_index_key(SLUICE_INDEX_SERVER_PROTOCOL, 0), SLUICE_INDEX_SERVER, 0, 0);
}

uint32_t HandTables::AddRanges(std::string_view address, uint32_t protocol,
                               const std::vector<std::pair<uint16_t, uint16_t>>& ranges, uint32_t pool, uint16_t idle) {
  const auto listener = static_cast<uint32_t>(listeners_.size());
  settings_.ranges = 1;
  AddIndex(address, sluice_index_key(protocol, 0), SLUICE_INDEX_RANGES, static_cast<uint32_t>(ranges_.size()),
           static_cast<uint16_t>(ranges.size()));
  for (const auto& [first, last] : ranges) {
    ranges_.push_back({first, last, static_cast<uint32_t>(listeners_.size())});
    PushListener(address, pool, idle);
  }
  return listener;
}

void HandTables::AddVirtual(std::string_view address, uint32_t flags) {
  AddIndex(address, sluice_index_key(0, 0), SLUICE_INDEX_VIRTUAL, flags, 0);
}

uint32_t HandTables::AddPool(const std::vector<uint32_t>& slots, sluice_algorithm algorithm) {
  pools_.push_back({static_cast<uint32_t>(maglev_.size()), static_cast<uint32_t>(slots.size()),
                    static_cast<uint16_t>(algorithm), 0, 0});
  maglev_.insert(maglev_.end(), slots.begin(), slots.end());
  return static_cast<uint32_t>(pools_.size() - 1);
}

uint32_t HandTables::AddLimitedPool(const std::vector<uint32_t>& slots, sluice_algorithm algorithm) {
  const uint32_t index = AddPool(slots, algorithm);
  const std::set<uint32_t> members(slots.begin(), slots.end());
  pools_[index].members = static_cast<uint32_t>(members.size());
  maglev_.insert(maglev_.end(), members.begin(), members.end());
  return index;
}

uint32_t HandTables::AddSplit(const std::vector<uint32_t>& places, const std::vector<uint32_t>& members,
                              uint16_t takers) {
  const uint32_t index = AddPool(places, SLUICE_SPLIT);
  pools_[index].takers = takers;
  pools_[index].members = static_cast<uint32_t>(members.size());
  maglev_.insert(maglev_.end(), members.begin(), members.end());
  return index;
}

uint32_t HandTables::AddBackend(const HandBackend& backend) {
  backends_.push_back(BackendRecord(backend));
  return static_cast<uint32_t>(backends_.size() - 1);
}

uint32_t HandTables::AddPort(const sluice_port& port) {
  ports_.push_back(port);
  return static_cast<uint32_t>(ports_.size() - 1);
}

void HandTables::Admit(uint32_t listener, sluice_access access, const std::vector<sluice_access_node>& nodes) {
  access.first = static_cast<uint32_t>(access_nodes_.size());
  access_nodes_.insert(access_nodes_.end(), nodes.begin(), nodes.end());
  access_[listener] = access;
  listeners_[listener].flags |= SLUICE_LISTENER_ACCESS;
}

const sluice_tables& HandTables::view() {
  view_ = {&settings_,    index_.data(),         ranges_.data(),   listeners_.data(),
           pools_.data(), maglev_.data(),        backends_.data(), ports_.data(),
           terms_.data(), nat_addresses_.data(), access_.data(),   access_nodes_.data()};
  return view_;
}

HandTables::Counts HandTables::counts() const {
  return {index_.size(),    ranges_.size(), listeners_.size(),     pools_.size(),       maglev_.size(),
          backends_.size(), ports_.size(),  nat_addresses_.size(), access_nodes_.size()};
}

void HandTables::AddIndex(std::string_view address, uint32_t key, sluice_index_kind kind, uint32_t value,
                          uint16_t count, uint32_t pool) {
  const sluice_address bytes = PathAddress(address);
  uint32_t at = sluice_hash_index(&bytes, key);
  uint32_t probes = 0;
  while (index_[at & settings_.index_mask].kind != SLUICE_INDEX_EMPTY) {
    at++;
    if (++probes == SLUICE_INDEX_PROBES) std::abort();
  }
  index_[at & settings_.index_mask] = {bytes, key, value, count, static_cast<uint16_t>(kind), pool};
}

}  // namespace sluice::packet_test
