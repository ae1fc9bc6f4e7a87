// Sessions over hand-made tables: who owns them, and a client and a server for each.
//
//   listener 0: 203.0.113.10 tcp 80 -> pool 0, nat:      slot 1, 10.0.1.1 port 8080
//   listener 1: 203.0.113.20 tcp 80 -> pool 1, full_nat: slot 3, 10.0.3.3 port 80, slot 4, 10.0.3.4 port 80
//
// Thread-safety: as of a struct.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "engine/session_owner.h"
#include "engine/session_tables.h"
#include "sluice/hash.h"
#include "sluice/session.h"
#include "tests/unit/engine/hand_tables.h"

namespace sluice {

class SessionTestTables : public HandTables {
 public:
  static constexpr sluice_session_terms kTerms = {.handshake = 10, .established = 100, .half_closed = 40, .closed = 20};

  SessionTestTables() {
    AddTranslated("203.0.113.10", AddPool(1));
    AddTranslated("203.0.113.20", AddPool(3));
    AddServer(1, 0, SLUICE_NAT, "10.0.1.1", 8080);
    AddServer(3, 1, SLUICE_FULL_NAT, "10.0.3.3", 80);
    AddServer(4, 1, SLUICE_FULL_NAT, "10.0.3.4", 80);
    nat_addresses.push_back({PathAddress("198.51.100.64")});
    AddVirtual("198.51.100.64", SLUICE_VIRTUAL_NAT);
    settings.nat_ipv4 = 1;
    settings.sessions = SLUICE_SESSIONS_SOME;
  }

  sluice_tables view() const {
    sluice_tables tables = HandTables::view();
    tables.session_terms = terms.data();
    tables.nat_addresses = nat_addresses.data();
    return tables;
  }

  // A listener on tcp 80.
  void AddTranslated(const char* address, uint32_t pool) {
    AddVirtual(address);
    listeners[AddListener(address, SLUICE_IP_TCP, 80, pool, kTerms.established)].flags = SLUICE_LISTENER_SESSIONS;
    terms.push_back(kTerms);
    terms.back().address = PathAddress(address);
  }

  std::vector<sluice_session_terms> terms;
  std::vector<sluice_nat_address> nat_addresses;

 private:
  void AddServer(uint32_t slot, uint32_t pool, sluice_forwarding forwarding, const char* address, uint16_t port) {
    sluice_backend& backend = AddBackend(slot, pool, kTerms.established);
    backend.forwarding = static_cast<uint8_t>(forwarding);
    backend.destination = PathAddress(address);
    backend.service_port = SLUICE_16(port);
  }
};

// The words of a session in a state, last seen at `tick`.
struct SessionWords {
  uint64_t forward;
  uint64_t reverse;

  static SessionWords In(enum sluice_session_state state, uint32_t tick) {
    const uint64_t up = SLUICE_WORD_SYN | SLUICE_WORD_ACK | (tick & SLUICE_TICK_MASK);
    switch (state) {
      case SLUICE_SESSION_HANDSHAKE:
        return {SLUICE_WORD_SYN | (tick & SLUICE_TICK_MASK), 0};
      case SLUICE_SESSION_ESTABLISHED:
        return {up, up};
      case SLUICE_SESSION_HALF_CLOSED:
        return {up | SLUICE_WORD_FIN, up};
      default:
        return {up | SLUICE_WORD_FIN, up | SLUICE_WORD_FIN};
    }
  }
};

// A session of full NAT of the client's port, toward `slot` from a port of ours.
inline sluice_session FullNatSession(uint16_t client_port, uint16_t source_port, uint32_t slot = 3) {
  sluice_session session{};
  session.client = PathAddress("192.0.2.7");
  session.ports = SLUICE_16(client_port) | static_cast<uint32_t>(SLUICE_16(80)) << 16;
  session.listener = 1;
  session.backend = slot;
  session.source_port = SLUICE_16(source_port);
  session.server_port = SLUICE_16(80);
  session.nat_address = 0;
  session.protocol = SLUICE_IP_TCP;
  return session;
}

inline uint64_t ForwardHashOf(const sluice_tables& tables, const sluice_session& session) {
  const sluice_flow flow = sluice_session_forward_flow(&session, &tables.session_terms[session.listener].address);
  return sluice_hash_flow(tables.settings, &flow);
}
inline sluice_flow ReverseFlowOf(const sluice_tables& tables, const sluice_session& session) {
  return sluice_session_reverse_flow(&session, &tables.backends[session.backend].destination,
                                     sluice_session_source(&tables, &session));
}
inline uint64_t ReverseHashOf(const sluice_tables& tables, const sluice_session& session) {
  const sluice_flow flow = ReverseFlowOf(tables, session);
  return sluice_hash_flow(tables.settings, &flow);
}

// What a worker does once in a round: ends a few of those that the sweep has found.
inline void EndExpired(SessionOwner* owner, const sluice_tables& tables, uint32_t tick, uint32_t budget = 16) {
  while (const std::optional<uint32_t> index = owner->NextExpired(tables, tick & SLUICE_TICK_MASK, &budget)) {
    owner->Expire(tables, *index);
  }
}

// A partition of any shape.
class PartitionMemory {
 public:
  PartitionMemory(uint32_t sessions, uint32_t buckets) : buckets_(buckets), sessions_(sessions), free_(sessions) {
    std::iota(free_.begin(), free_.end(), 0u);
    sluice_session_owner_begin(state_.get(), sessions);
  }
  SessionPartition view() {
    SessionPartition partition{};
    partition.buckets = buckets_.data();
    partition.bucket_count = static_cast<uint32_t>(buckets_.size());
    partition.sessions = sessions_.data();
    partition.session_count = static_cast<uint32_t>(sessions_.size());
    partition.free = free_.data();
    partition.state = state_.get();
    partition.expired = expired_.get();
    return partition;
  }

 private:
  std::vector<sluice_bucket> buckets_;
  std::vector<sluice_session> sessions_;
  std::vector<uint32_t> free_;
  std::unique_ptr<sluice_session_owner> state_ = std::make_unique<sluice_session_owner>();
  std::unique_ptr<ExpiredSessions> expired_ = std::make_unique<ExpiredSessions>();
};

}  // namespace sluice
