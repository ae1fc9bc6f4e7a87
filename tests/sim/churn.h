// An hour in the life of a balancer: clients come and go, backends and next hops change, the table is flooded now and
// then, RSS is set anew; all of it from one seed, in simulated time.
//
//   clients --> 2 ports x 4 workers (sim engine) --> 4 pools of up to 10 backends
//                        ^ published by the real controller and builder
//
// Thread-safety: one thread.
#pragma once

#include <memory>
#include <random>
#include <unordered_set>
#include <vector>

#include "control/controller.h"
#include "tests/sim/oracle.h"
#include "tests/sim/watched_engine.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"

namespace sluice::sim_test {

class Churn {
 public:
  explicit Churn(uint64_t seed);

  // Everything for so many seconds, and then nothing until the last flow is forgotten.
  void Run(uint32_t seconds);
  // What has happened, for people; and that enough of everything has.
  void Summarize(uint32_t seconds);

 private:
  struct Sent {
    Flow* flow;
    Kind kind;
  };

  uint64_t Random(uint64_t below) { return random_() % below; }
  bool Chance(uint32_t percent) { return Random(100) < percent; }

  void Second(bool flood);
  void TickFor(uint32_t ticks);
  void CheckBooks();

  void ChangeSomething();
  void ChangeBackend(SiteBackend& backend);
  void ChangeNextHop(SiteBackend& backend);
  void Apply();

  Tuple NewTuple(const SiteListener& listener, uint8_t network);
  void AddFlow();
  void Act(Flow& flow);
  void ActTcp(Flow& flow);
  void ActUdp(Flow& flow);
  void Send(Flow& flow, Kind kind, Bytes bytes);
  std::vector<SimResult> Receive(const std::vector<SimPacket>& packets);
  void Traffic();
  void Flood(bool confirmed);

  std::mt19937_64 random_;
  uint64_t now_;
  Site site_;
  Oracle oracle_;
  std::unique_ptr<WatchedEngine> engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  std::unique_ptr<Controller> controller_;

  std::vector<std::unique_ptr<Flow>> flows_;
  uint32_t rss_epoch_ = 0;
  uint32_t next_fragment_ = 0;
  // Tags that flows have had: two flows that share one may share an entry too (connection.h), which is not what this
  // is about.
  std::unordered_set<uint32_t> tags_;
  // The batch under way.
  std::vector<SimPacket> packets_;
  std::vector<Sent> sent_;

  uint64_t received_ = 0;
  uint64_t bytes_ = 0;
  uint64_t flows_made_ = 0;
  uint64_t changes_ = 0;
  bool changing_ = false;
  uint32_t fullest_ = 0;
};

}  // namespace sluice::sim_test
