// The oracle's sessions: what packets make of them, when they are over, and that the engine has the same ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "sluice/session.h"
#include "tests/sim/nat_churn_oracle.h"

namespace sluice::sim_test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
// After which the sweep and the owner have seen to a session that is over.
constexpr uint64_t kSwept = 5 * kSecond;

uint64_t TickOf(uint64_t now) {
  return now >> SLUICE_TICK_SHIFT;
}

// As configured: rounded up to whole ticks, and the one that has begun.
uint64_t TicksOf(uint32_t seconds) {
  const uint64_t tick = uint64_t{1} << SLUICE_TICK_SHIFT;
  return (seconds * kSecond + tick - 1) / tick + 1;
}

Address AddressOf(const sluice_address& address) {
  Address result;
  std::memcpy(result.bytes.data(), &address, sizeof(address));
  return result;
}

// What tells sessions apart, one that was replaced from the one in its place among them.
struct RecordKey {
  FlowKey client;
  FlowKey server;
  bool replaced;
  auto operator<=>(const RecordKey&) const = default;
};

RecordKey KeyOf(const sluice_tables& tables, const sluice_session& record) {
  const Endpoint client{AddressOf(record.client), SLUICE_16(record.ports & 0xffff)};
  const Endpoint service{AddressOf(tables.session_terms[record.listener].address), SLUICE_16(record.ports >> 16)};
  const Endpoint server{AddressOf(tables.backends[record.backend].destination), SLUICE_16(record.server_port)};
  const Endpoint source{AddressOf(*sluice_session_source(&tables, &record)), SLUICE_16(record.source_port)};
  return {{record.protocol, client, service},
          {record.protocol, server, source},
          (record.flags & SLUICE_SESSION_REPLACED) != 0};
}

RecordKey KeyOf(const NatSession& session) {
  return {session.client, session.server, session.replaced};
}

}  // namespace

NatState NatOracle::StateOf(const NatSession& session) const {
  if (session.client.protocol != SLUICE_IP_TCP) return SLUICE_SESSION_ESTABLISHED;
  const auto& [client, server] = session.sides;
  if (client.reset || server.reset || (client.fin && server.fin)) return SLUICE_SESSION_CLOSED;
  if (client.fin || server.fin) return SLUICE_SESSION_HALF_CLOSED;
  return client.acknowledged && server.acknowledged ? SLUICE_SESSION_ESTABLISHED : SLUICE_SESSION_HANDSHAKE;
}

// To a SYN of its client; not where the client has only reset what its server has never agreed to.
bool NatOracle::GivesWay(const NatSession& session) const {
  const auto& [client, server] = session.sides;
  return StateOf(session) == SLUICE_SESSION_CLOSED && (!client.reset || server.syn || server.reset);
}

uint32_t NatOracle::WindowOf(const NatSession& session, size_t side) {
  const bool scaled = session.scales[0] != kNoScale && session.scales[1] != kNoScale;
  return uint32_t{session.sides[side].window} << (scaled ? session.scales[side] : 0);
}

// Whether the other side would take a FIN or RST of `side` for true (RFC 5961 section 3.2).
bool NatOracle::Believes(const NatSession& session, size_t side, const NatPacket& packet) const {
  const Side& own = session.sides[side];
  const Side& peer = session.sides[1 - side];
  if (!peer.acknowledged && peer.syn) return (packet.flags & kAck) && packet.acknowledgment == peer.number;
  if (!peer.acknowledged) return packet.sequence == own.number;
  const auto ahead = static_cast<int64_t>(static_cast<uint32_t>(packet.sequence - peer.number));
  if (ahead <= int64_t{WindowOf(session, 1 - side)}) return true;
  return !(packet.flags & kRst) && (int64_t{1} << 32) - ahead < 0x10000;
}

// False: a RST that changes nothing.
bool NatOracle::Note(NatSession& session, size_t side, const NatPacket& packet) const {
  Side& own = session.sides[side];
  const bool tcp = packet.protocol == SLUICE_IP_TCP;
  if (tcp && side == 1 && (packet.flags & kSyn)) session.scales[1] = packet.scale;
  const bool believed = !tcp || Believes(session, side, packet);
  if (tcp && (packet.flags & kRst) && !believed) return false;
  if (own.reset && (packet.flags & (kSyn | kAck | kRst)) == kSyn) own = {};
  own.seen = true;
  own.tick = TickOf(now_);
  if (!tcp) return true;
  if (packet.flags & kRst) {
    own.reset = true;
    return true;
  }
  own.syn = own.syn || (packet.flags & kSyn);
  own.fin = own.fin || ((packet.flags & kFin) && believed);
  if (packet.flags & kAck) {
    own.acknowledged = true;
    own.number = packet.acknowledgment;
    own.window = packet.window;
  } else if ((packet.flags & kSyn) && !own.acknowledged) {
    own.number = packet.sequence + 1;
  }
  return true;
}

bool NatOracle::IsOver(const NatSession& session, uint64_t now) const {
  const NatBackend& backend = *session.backend;
  const NatListener& listener = site_.listeners()[session.listener];
  if (!backend.present || backend.incarnation != session.incarnation) return true;
  if (!listener.present || listener.incarnation != session.listener_incarnation) return true;
  uint64_t last = session.sides[0].tick;
  if (session.sides[1].seen) last = std::max(last, session.sides[1].tick);
  uint32_t seconds = listener.idle;
  const NatState state = StateOf(session);
  if (state == SLUICE_SESSION_HANDSHAKE) seconds = listener.handshake;
  if (state == SLUICE_SESSION_HALF_CLOSED) seconds = listener.half_closed;
  if (state == SLUICE_SESSION_CLOSED) seconds = listener.closed;
  return TickOf(now) > last + TicksOf(seconds);
}

// That the listener is gone is seen a tick later.
bool NatOracle::MayLinger(const NatSession& session) const {
  return !site_.listeners()[session.listener].present && session.sides[1].tick == TickOf(now_);
}

// For people.
std::string NatOracle::Describe(const NatSession& session) const {
  const auto& [client, server] = session.sides;
  return absl::StrCat("session of ", site_.listeners()[session.listener].name, ", protocol ", session.client.protocol,
                      ", state ", static_cast<int>(StateOf(session)), session.replaced ? ", replaced" : "", ", seen ",
                      TickOf(now_) - client.tick, " and ", server.seen ? TickOf(now_) - server.tick : 9999,
                      " ticks ago, backend ", session.backend->name);
}

NatSession* NatOracle::Alive(NatSession* session) {
  if (IsOver(*session, now_)) return nullptr;
  const NatState state = StateOf(*session);
  const bool may_go = state == SLUICE_SESSION_HANDSHAKE || state == SLUICE_SESSION_CLOSED;
  if (session->checked == evictions_ || !may_go) return session;
  if (!HasRecord(*session)) {
    Lose(session);
    return nullptr;
  }
  session->checked = evictions_;
  return session;
}

NatSession* NatOracle::OfClient(const FlowKey& flow) {
  const auto at = by_client_.find(flow);
  return at == by_client_.end() ? nullptr : Alive(at->second);
}

NatSession* NatOracle::OfServer(const FlowKey& flow) {
  const auto at = by_server_.find(flow);
  return at == by_server_.end() ? nullptr : Alive(at->second);
}

bool NatOracle::HasRecord(const NatSession& session) const {
  const RecordKey key = KeyOf(session);
  const sluice_tables& tables = engine_.tables().view();
  for (const SessionPartition& partition : engine_.sim().session_partitions()) {
    for (uint32_t i = 0; i < partition.session_count; i++) {
      const sluice_session& record = partition.sessions[i];
      if (record.protocol == 0 || SLUICE_16(record.source_port) != key.server.destination.port) continue;
      if (KeyOf(tables, record) == key) return true;
    }
  }
  return false;
}

// Over from here on, as if its backend were gone.
void NatOracle::Lose(NatSession* session) {
  sums_.lost++;
  session->incarnation = kGivenUp;
}

uint64_t NatOracle::Evictions() {
  const SessionCounters sessions = engine_.ReadCounters().sessions;
  return sessions.evicted_closed + sessions.evicted_handshake + sessions.ports_taken_early;
}

void NatOracle::Reconcile(uint64_t now) {
  now_ = now;
  std::set<RecordKey> records;
  const sluice_tables& tables = engine_.tables().view();
  for (const SessionPartition& partition : engine_.sim().session_partitions()) {
    for (uint32_t i = 0; i < partition.session_count; i++) {
      if (partition.sessions[i].protocol != 0) records.insert(KeyOf(tables, partition.sessions[i]));
    }
  }
  for (NatSession& session : sessions_) {
    if (session.checked == evictions_ || IsOver(session, now)) continue;
    const NatState state = StateOf(session);
    if (state != SLUICE_SESSION_HANDSHAKE && state != SLUICE_SESSION_CLOSED) continue;
    session.checked = evictions_;
    if (!records.contains(KeyOf(session))) Lose(&session);
  }
  EXPECT_LE(sums_.lost, evictions_);
}

// Those that are over may be in it until they have been swept; those that live are, and there are no others.
void NatOracle::CheckTable(uint64_t now) {
  now_ = now;
  std::multimap<RecordKey, const sluice_session*> records;
  const sluice_tables& tables = engine_.tables().view();
  for (const SessionPartition& partition : engine_.sim().session_partitions()) {
    for (uint32_t i = 0; i < partition.session_count; i++) {
      const sluice_session& record = partition.sessions[i];
      if (record.protocol != 0) records.emplace(KeyOf(tables, record), &record);
    }
  }
  // First those that live: one that is over may have been opened again just as it was.
  for (const NatSession& session : sessions_) {
    if (IsOver(session, now)) continue;
    const auto record = records.find(KeyOf(session));
    EXPECT_NE(record, records.end()) << Describe(session) << " is not in the table";
    if (record == records.end()) continue;
    const sluice_session& found = *record->second;
    if (records.count(record->first) == 1) {
      EXPECT_EQ(sluice_session_state(found.protocol, found.forward, found.reverse), StateOf(session));
    }
    records.erase(record);
  }
  // Then the last of those first.
  for (auto at = sessions_.end(); at != sessions_.begin();) {
    --at;
    if (!IsOver(*at, now)) continue;
    const auto record = records.find(KeyOf(*at));
    const bool there = record != records.end();
    if (there) records.erase(record);
    at = ForgetIfOver(at, there);
  }
  for (const auto& [key, record] : records) {
    ADD_FAILURE() << "a record is nobody's: client " << FormatAddress(key.client.source.address) << " port "
                  << key.client.source.port << ", server " << FormatAddress(key.server.source.address) << " sees "
                  << FormatAddress(key.server.destination.address) << " port " << key.server.destination.port
                  << (key.replaced ? ", replaced" : "");
  }
}

// The one behind it, or itself.
NatOracle::Sessions::iterator NatOracle::ForgetIfOver(Sessions::iterator at, bool there) {
  const bool given_up = at->incarnation == kGivenUp;
  if (at->over_since == 0) at->over_since = now_;
  if (!given_up && now_ - at->over_since < kSwept) return at;
  EXPECT_FALSE(there && !given_up) << Describe(*at) << " is over and still in the table";
  const auto client = by_client_.find(at->client);
  if (client != by_client_.end() && client->second == &*at) by_client_.erase(client);
  const auto server = by_server_.find(at->server);
  if (server != by_server_.end() && server->second == &*at) by_server_.erase(server);
  if (fragment_session_ == &*at) fragment_session_ = nullptr;
  return sessions_.erase(at);
}

}  // namespace sluice::sim_test
