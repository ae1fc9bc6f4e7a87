// What must become of every packet where flows are translated: a simple memory of all sessions, beside the engine's. It
// knows of those that were given up for others only what the counters say, and then looks whether a record is there.
//
// Thread-safety: one thread.
#pragma once

#include <array>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sluice/nat_port.h"
#include "sluice/session.h"
#include "tests/sim/nat_churn_site.h"
#include "tests/sim/watched_engine.h"

namespace sluice::sim_test {

// The function of that name hides it.
using NatState = enum sluice_session_state;

// A flow as one side sends it.
struct FlowKey {
  uint8_t protocol = 0;
  Endpoint source;
  Endpoint destination;
  auto operator<=>(const FlowKey&) const = default;
};

// What one side was seen to send.
struct Side {
  bool syn = false;
  bool acknowledged = false;
  bool fin = false;
  bool reset = false;
  bool seen = false;
  // What it acknowledges; before that, the number behind its SYN.
  uint32_t number = 0;
  uint16_t window = 0;
  uint64_t tick = 0;
};

// Incarnation of the backend of a session that was given up.
inline constexpr uint32_t kGivenUp = UINT32_MAX;

struct NatSession {
  FlowKey client;
  // As the server answers it.
  FlowKey server;
  uint32_t listener = 0;
  uint32_t listener_incarnation = 0;
  const NatBackend* backend = nullptr;
  uint32_t incarnation = 0;
  // The client's and the server's.
  std::array<Side, 2> sides;
  std::array<int, 2> scales = {kNoScale, kNoScale};
  // Frames to the client.
  Link way;
  // The client has opened another in its place.
  bool replaced = false;
  // How many had been given up when the record was known to be there.
  uint64_t checked = 0;
  // When it was first seen to be over; 0: not yet.
  uint64_t over_since = 0;

  bool KeepsSource() const { return server.destination == client.source; }
};

class NatOracle {
 public:
  // `by_rss`: source ports are chosen by the RSS that the engine began with.
  NatOracle(const NatSite* site, WatchedEngine* engine, uint32_t workers, sluice_nat_ports ports, bool by_rss)
      : site_(*site), engine_(*engine), workers_(workers), ports_(ports), by_rss_(by_rss) {}

  // Sends packets of one flow in one burst, all of them in by `in`, and judges what becomes of them. Whether the last
  // one left.
  bool Pass(const std::vector<NatPacket>& packets, const Link& in, uint64_t now);

  // The session that a client's, a server's packet would meet now; null for none.
  NatSession* OfClient(const FlowKey& flow);
  NatSession* OfServer(const FlowKey& flow);
  NatState StateOf(const NatSession& session) const;
  bool GivesWay(const NatSession& session) const;
  // Window that the side has announced last, bytes.
  static uint32_t WindowOf(const NatSession& session, size_t side);

  // Takes out what was given up for others.
  void Reconcile(uint64_t now);
  // That the engine's sessions are these.
  void CheckTable(uint64_t now);
  void rss_changed() { rss_epoch_++; }
  uint32_t rss_epoch() const { return rss_epoch_; }

  struct Sums {
    uint64_t forwarded = 0;
    uint64_t returned = 0;
    uint64_t opened = 0;
    uint64_t replaced = 0;
    uint64_t lost = 0;
    uint64_t nat_for_nat = 0;
    std::array<uint64_t, SLUICE_VERDICT_COUNT> verdicts{};
  };
  const Sums& sums() const { return sums_; }
  uint64_t sessions() const { return sessions_.size(); }

 private:
  using Sessions = std::list<NatSession>;

  void Judge(const NatPacket& packet, const Link& in, const SimResult& result);
  void JudgeClient(const NatPacket& packet, const Link& in, uint32_t listener, const SimResult& result);
  void JudgeServer(const NatPacket& packet, const SimResult& result);
  void JudgeNew(const NatPacket& packet, const Link& in, uint32_t listener, const SimResult& result);
  void JudgeFragment(const NatPacket& packet, const SimResult& result);
  void JudgeSource(const NatSession& session, uint32_t listener, const SimResult& result);
  void ExpectForward(const NatSession& session, const NatPacket& packet, const SimResult& result);
  void ExpectReturn(const NatSession& session, const NatPacket& packet, const SimResult& result);
  bool RefusedForWant(uint32_t listener, const SimResult& result);

  std::optional<uint32_t> ListenerOf(const FlowKey& flow) const;
  bool Note(NatSession& session, size_t side, const NatPacket& packet) const;
  bool Believes(const NatSession& session, size_t side, const NatPacket& packet) const;
  bool IsOver(const NatSession& session, uint64_t now) const;
  bool MayLinger(const NatSession& session) const;
  NatSession* Alive(NatSession* session);
  std::string Describe(const NatSession& session) const;
  bool HasRecord(const NatSession& session) const;
  void Lose(NatSession* session);
  Sessions::iterator ForgetIfOver(Sessions::iterator at, bool there);
  uint32_t OwnerOf(const FlowKey& answer) const;
  uint32_t PortsToward(const Endpoint& server, uint32_t worker);
  bool PortsAreOut(uint32_t pool, uint32_t worker);
  uint64_t Evictions();

  const NatSite& site_;
  WatchedEngine& engine_;
  uint32_t workers_;
  sluice_nat_ports ports_;
  bool by_rss_;
  // How many a worker has, of all addresses.
  std::map<std::pair<Endpoint, uint32_t>, uint32_t> ports_toward_;
  uint64_t now_ = 0;
  uint64_t evictions_ = 0;
  uint32_t rss_epoch_ = 0;
  Sessions sessions_;
  // The last one that had the flow; over or not.
  std::map<FlowKey, NatSession*> by_client_;
  std::map<FlowKey, NatSession*> by_server_;
  // What the first fragment that came last belongs to.
  NatSession* fragment_session_ = nullptr;
  bool fragment_from_server_ = false;
  uint32_t fragment_ = 0;
  Sums sums_;
};

// The flow of a packet, as its sender sends it; an ICMP error's as who it goes to would be sent it.
FlowKey KeyOf(const NatPacket& packet);

}  // namespace sluice::sim_test
