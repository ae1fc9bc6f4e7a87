// Hours in the life of a balancer that translates: clients, servers and routers between them send whatever they please,
// outsiders send what nobody should believe, backends and listeners come and go, the table is flooded now and then, RSS
// is set anew; all of it from one seed, in simulated time.
//
//   clients --> 2 ports x 1 or 4 workers (sim engine) --> 3 pools of nat, 2 of full_nat, either family
//           <--          ^ published by the real controller and builder               <--
//
// Thread-safety: one thread.
#pragma once

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "control/controller.h"
#include "tests/sim/nat_churn_oracle.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"

namespace sluice::sim_test {

class NatChurn {
 public:
  // `by_rss`: the engine knows how RSS spreads packets, at first.
  NatChurn(uint64_t seed, uint32_t workers, bool by_rss);

  // So many packets, and then nothing until the last session is over.
  void Run(uint64_t packets);
  // What has happened, for people; and that enough of everything has.
  void Summarize(uint64_t packets);

 private:
  // A client's flow, for as long as it sends something.
  struct Flow {
    FlowKey key;
    uint32_t listener = 0;
    Link way;
    // What client and server send next.
    std::array<uint32_t, 2> next{};
    uint64_t sleeps_until = 0;
    // RSS tables so far when it began.
    uint32_t rss_epoch = 0;
  };

  uint64_t Random(uint64_t below) { return random_() % below; }
  bool Chance(uint32_t percent) { return Random(100) < percent; }
  uint32_t Random32() { return static_cast<uint32_t>(random_()); }

  void Tick();
  void Sleep(uint32_t seconds);
  void ChangeSomething();
  void ChangeBackend();
  void ChangeListener();
  void ChangeNextHop();
  void ChangeRss();
  void Apply();

  Address NewAddress(bool ipv4);
  Link NewWay();
  std::unique_ptr<Flow> NewFlow();
  void Act();
  void ActTcp(Flow& flow);
  void ActUdp(Flow& flow);
  void ActError(Flow& flow);
  void ActFragments(Flow& flow);
  void ActStranger();
  void Flood();

  // A packet of the flow, from one side; without a session the server has none to send.
  NatPacket Make(const Flow& flow, const NatSession* session, size_t side);
  void Segment(Flow& flow, const NatSession* session, size_t side);
  void AimAtWindow(const NatSession& session, size_t side, NatPacket* packet);
  // By the way that the side's packets come.
  bool Send(const Flow& flow, const NatSession* session, size_t side, const std::vector<NatPacket>& packets);
  bool Pass(const std::vector<NatPacket>& packets, const Link& in);

  std::mt19937_64 random_;
  uint32_t workers_;
  uint64_t now_;
  NatSite site_;
  std::unique_ptr<WatchedEngine> engine_;
  std::unique_ptr<NatOracle> oracle_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  std::unique_ptr<Controller> controller_;
  std::vector<std::unique_ptr<Flow>> flows_;
  // Those that there have been, ever.
  std::set<FlowKey> used_;
  uint32_t fragments_ = 0;
  uint64_t packets_ = 0;
  uint64_t ticks_ = 0;
  uint64_t changes_ = 0;
  uint64_t unreachable_ = 0;
  uint64_t fullest_ = 0;
};

}  // namespace sluice::sim_test
