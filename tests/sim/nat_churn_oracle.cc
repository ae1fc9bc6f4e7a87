#include "tests/sim/nat_churn_oracle.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/sim/rss.h"
#include "sluice/session.h"

namespace sluice::sim_test {
namespace {

bool IsFlow(const NatPacket& packet) {
  return packet.shape == Shape::kWhole || packet.shape == Shape::kFirstFragment;
}

bool Opens(const NatPacket& packet) {
  return packet.shape == Shape::kWhole && packet.protocol == SLUICE_IP_TCP && packet.flags == kSyn;
}

std::string Name(uint32_t verdict) {
  return verdict < SLUICE_VERDICT_COUNT ? sluice_verdict_name(verdict) : "none";
}

}  // namespace

FlowKey KeyOf(const NatPacket& packet) {
  return {packet.protocol, packet.source, packet.destination};
}

bool NatOracle::Pass(const std::vector<NatPacket>& packets, const Link& in, uint64_t now) {
  now_ = now;
  // What has been given up meanwhile is known before they go.
  OfClient(KeyOf(packets.front()));
  OfServer(KeyOf(packets.front()));
  std::vector<SimPacket> frames;
  frames.reserve(packets.size());
  for (const NatPacket& packet : packets) frames.push_back({FrameOf(packet, in), in.port});
  const std::vector<SimResult> results = engine_.sim().Receive(frames);
  for (size_t i = 0; i < packets.size(); i++) {
    sums_.verdicts[results[i].verdict]++;
    Judge(packets[i], in, results[i]);
  }
  return sluice_verdict_kind(results.back().verdict) == SLUICE_KIND_TRANSMIT;
}

void NatOracle::Judge(const NatPacket& packet, const Link& in, const SimResult& result) {
  if (packet.shape == Shape::kLaterFragment) return JudgeFragment(packet, result);
  if (const std::optional<uint32_t> listener = ListenerOf(KeyOf(packet)); listener.has_value()) {
    return JudgeClient(packet, in, *listener, result);
  }
  JudgeServer(packet, result);
}

std::optional<uint32_t> NatOracle::ListenerOf(const FlowKey& flow) const {
  for (uint32_t i = 0; i < site_.listeners().size(); i++) {
    const NatListener& listener = site_.listeners()[i];
    if (listener.present && listener.address == flow.destination.address && listener.Has(flow.protocol) &&
        flow.destination.port >= listener.first_port && flow.destination.port <= listener.last_port) {
      return i;
    }
  }
  return std::nullopt;
}

void NatOracle::JudgeClient(const NatPacket& packet, const Link& in, uint32_t listener, const SimResult& result) {
  NatSession* session = OfClient(KeyOf(packet));
  if (session != nullptr && Opens(packet) && GivesWay(*session)) {
    session->replaced = true;
    sums_.replaced++;
    by_client_.erase(session->client);
    session = nullptr;
  }
  if (session == nullptr && (!IsFlow(packet) || (packet.protocol == SLUICE_IP_TCP && !Opens(packet)))) {
    EXPECT_EQ(Name(result.verdict), "no_session");
    return;
  }
  if (session == nullptr) return JudgeNew(packet, in, listener, result);
  if (IsFlow(packet)) {
    if (!Note(*session, 0, packet)) {
      EXPECT_EQ(Name(result.verdict), "reset_out_of_window");
      return;
    }
    session->way = {in.source, NatSite::PortMac(in.port), in.vlan, in.port};
  }
  ExpectForward(*session, packet, result);
}

void NatOracle::JudgeServer(const NatPacket& packet, const SimResult& result) {
  NatSession* session = OfServer(KeyOf(packet));
  if (session == nullptr) {
    const auto over = by_server_.find(KeyOf(packet));
    if (over != by_server_.end() && MayLinger(*over->second)) return;
    const Address& to = packet.destination.address;
    const char* verdict = site_.IsNat(to) ? "no_session" : site_.IsVirtual(to) ? "no_listener" : "pass_not_virtual";
    EXPECT_EQ(Name(result.verdict), verdict);
    return;
  }
  if (IsFlow(packet) && !Note(*session, 1, packet)) {
    EXPECT_EQ(Name(result.verdict), "reset_out_of_window");
    return;
  }
  ExpectReturn(*session, packet, result);
}

// A datagram's later fragment follows right behind its first.
void NatOracle::JudgeFragment(const NatPacket& packet, const SimResult& result) {
  if (fragment_session_ == nullptr || fragment_ != packet.seed) {
    EXPECT_EQ(Name(result.verdict),
              site_.IsVirtual(packet.destination.address) ? "unknown_fragment" : "pass_not_virtual");
  } else if (fragment_from_server_) {
    ExpectReturn(*fragment_session_, packet, result);
  } else {
    ExpectForward(*fragment_session_, packet, result);
  }
}

void NatOracle::JudgeNew(const NatPacket& packet, const Link& in, uint32_t listener, const SimResult& result) {
  evictions_ = Evictions();
  if (RefusedForWant(listener, result)) return;
  ASSERT_EQ(Name(result.verdict), "forwarded") << "of a new flow";
  const NatBackend* backend = site_.Recipient(result.out.bytes);
  ASSERT_NE(backend, nullptr) << "a packet has left for nobody";
  const NatListener& to = site_.listeners()[listener];
  EXPECT_EQ(backend->pool, to.pool);
  EXPECT_TRUE(backend->TakesFlows()) << backend->name << " takes no new flows";
  NatSession fresh;
  fresh.client = KeyOf(packet);
  fresh.listener = listener;
  fresh.listener_incarnation = to.incarnation;
  fresh.backend = backend;
  fresh.incarnation = backend->incarnation;
  const uint16_t offset = packet.destination.port - to.first_port;
  const uint16_t port = backend->port != 0 ? static_cast<uint16_t>(backend->port + offset) : packet.destination.port;
  fresh.server = {packet.protocol, {backend->address, port}, SourceOf(result.out.bytes)};
  fresh.way = {in.source, NatSite::PortMac(in.port), in.vlan, in.port};
  fresh.checked = evictions_;
  fresh.scales[0] = packet.scale;
  JudgeSource(fresh, listener, result);
  Note(fresh, 0, packet);
  sums_.opened++;
  NatSession* session = &sessions_.emplace_back(fresh);
  by_client_[fresh.client] = session;
  by_server_[fresh.server] = session;
  ExpectForward(*session, packet, result);
}

// Whom the server sees: one that nobody else is, toward this server.
void NatOracle::JudgeSource(const NatSession& session, uint32_t listener, const SimResult& result) {
  const bool full = site_.pools()[site_.listeners()[listener].pool].full;
  FlowKey own = session.server;
  own.destination = session.client.source;
  bool keeps = !full && !site_.IsServer(session.client.source.address);
  if (const auto at = by_server_.find(own); keeps && at != by_server_.end()) {
    // The client's own earlier one gives way; that it has no record any more says nothing.
    NatSession& holder = *at->second;
    const bool gives_way = holder.replaced && holder.client == session.client;
    if (gives_way) holder.incarnation = kGivenUp;
    keeps = gives_way || Alive(&holder) == nullptr;
  }
  EXPECT_EQ(session.KeepsSource(), keeps);
  if (keeps) return;
  sums_.nat_for_nat += !full;
  const Endpoint& source = session.server.destination;
  EXPECT_TRUE(site_.IsNat(source.address)) << FormatAddress(source.address);
  const bool below = source.port >= ports_.first && source.port < ports_.first + ports_.first_count;
  EXPECT_TRUE(below || source.port >= ports_.second) << "port " << source.port << " is the kernel's";
  EXPECT_EQ(OwnerOf(session.server), result.worker);
  const auto holder = by_server_.find(session.server);
  EXPECT_TRUE(holder == by_server_.end() || Alive(holder->second) == nullptr)
      << "two live sessions share port " << source.port;
}

// The reasons that a new flow may be refused for.
bool NatOracle::RefusedForWant(uint32_t listener, const SimResult& result) {
  const NatListener& to = site_.listeners()[listener];
  switch (result.verdict) {
    case SLUICE_VERDICT_no_backend:
      EXPECT_FALSE(site_.TakesFlows(to.pool));
      return true;
    case SLUICE_VERDICT_no_nat_port:
      EXPECT_TRUE(PortsAreOut(to.pool, result.worker));
      return true;
    case SLUICE_VERDICT_sessions_full: {
      const SessionPartition& own = engine_.sim().session_partitions()[result.worker];
      const auto used = std::count_if(own.sessions, own.sessions + own.session_count,
                                      [](const sluice_session& session) { return session.protocol != 0; });
      // A few stay free.
      EXPECT_GE(used, own.session_count - own.session_count / 16);
      return true;
    }
    default:
      return false;
  }
}

// Whose the port is that an answer comes to: the worker that RSS brought it to at first, or by the port alone.
uint32_t NatOracle::OwnerOf(const FlowKey& answer) const {
  if (!by_rss_) return sluice_nat_owner(answer.destination.port, workers_);
  NatPacket packet;
  packet.protocol = answer.protocol;
  packet.source = answer.source;
  packet.destination = answer.destination;
  return RssHash(FrameOf(packet, {})) % 128 % workers_;
}

uint32_t NatOracle::PortsToward(const Endpoint& server, uint32_t worker) {
  const auto [at, fresh] = ports_toward_.try_emplace({server, worker}, 0);
  for (const Address& address : site_.nat_addresses(server.address.IsIpv4())) {
    for (uint32_t i = 0; fresh && i < ports_.count; i++) {
      at->second += OwnerOf({SLUICE_IP_UDP, server, {address, sluice_nat_port(&ports_, i)}}) == worker;
    }
  }
  return at->second;
}

// Whether one of the pool's servers has a live session of the worker's on every port of every address.
bool NatOracle::PortsAreOut(uint32_t pool, uint32_t worker) {
  std::map<Endpoint, uint32_t> taken;
  for (const auto& [key, session] : by_server_) {
    if (session->backend->pool != pool || !site_.IsNat(key.destination.address)) continue;
    if (OwnerOf(key) != worker || Alive(session) == nullptr) continue;
    if (StateOf(*session) != SLUICE_SESSION_CLOSED) taken[key.source]++;
  }
  return std::any_of(taken.begin(), taken.end(),
                     [this, worker](const auto& server) { return server.second >= PortsToward(server.first, worker); });
}

void NatOracle::ExpectForward(const NatSession& session, const NatPacket& packet, const SimResult& result) {
  if (packet.shape == Shape::kFirstFragment) {
    fragment_session_ = const_cast<NatSession*>(&session);
    fragment_from_server_ = false;
    fragment_ = packet.seed;
  }
  if (!session.backend->reachable) {
    EXPECT_EQ(Name(result.verdict), "no_next_hop");
    return;
  }
  if (packet.ttl <= 1) {
    EXPECT_EQ(Name(result.verdict), "ttl_expired");
    return;
  }
  NatPacket out = packet;
  out.source = session.server.destination;
  out.destination = session.server.source;
  out.ttl--;
  if (!session.KeepsSource()) out.router = out.source.address;
  sums_.forwarded++;
  ASSERT_EQ(Name(result.verdict), "forwarded") << StateOf(session) << " shape " << static_cast<int>(packet.shape);
  EXPECT_EQ(result.out.port, session.backend->link.port);
  EXPECT_EQ(result.out.bytes, FrameOf(out, session.backend->link));
}

void NatOracle::ExpectReturn(const NatSession& session, const NatPacket& packet, const SimResult& result) {
  if (packet.shape == Shape::kFirstFragment) {
    fragment_session_ = const_cast<NatSession*>(&session);
    fragment_from_server_ = true;
    fragment_ = packet.seed;
  }
  if (packet.ttl <= 1) {
    EXPECT_EQ(Name(result.verdict), "ttl_expired");
    return;
  }
  NatPacket out = packet;
  out.source = session.client.destination;
  out.destination = session.client.source;
  out.router = out.source.address;
  out.ttl--;
  sums_.returned++;
  ASSERT_EQ(Name(result.verdict), "returned") << StateOf(session) << " shape " << static_cast<int>(packet.shape);
  EXPECT_EQ(result.out.port, session.way.port);
  EXPECT_EQ(result.out.bytes, FrameOf(out, session.way));
}

}  // namespace sluice::sim_test
