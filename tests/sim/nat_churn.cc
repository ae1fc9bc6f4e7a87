#include "tests/sim/nat_churn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "config/load.h"
#include "sluice/time.h"

namespace sluice::sim_test {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1'000 * kMillisecond;
constexpr uint64_t kSessions = 2048;
// Few ports, so that they run out.
constexpr uint16_t kKernelFirst = 1064;
constexpr uint16_t kKernelLast = 65475;
constexpr uint64_t kPacketsOfATick = 32;
constexpr uint32_t kLongestIdleSeconds = 30;
// Of every minute.
constexpr uint64_t kFloodFrom = 40 * kSecond;
constexpr uint64_t kFloodTo = 50 * kSecond;
// The 12 bits of the path's clock come round a hundred seconds after the start.
constexpr uint64_t kStart = (3ull * (SLUICE_TICK_MASK + 1) << SLUICE_TICK_SHIFT) - 100 * kSecond;

}  // namespace

NatChurn::NatChurn(uint64_t seed, uint32_t workers, bool by_rss)
    : random_(seed), workers_(workers), now_(kStart), site_(workers) {
  SimOptions options;
  options.workers = workers;
  options.max_connections = 1000;
  options.max_sessions = kSessions;
  options.kernel_first_port = kKernelFirst;
  options.kernel_last_port = kKernelLast;
  options.ports = {{"eth0", NatSite::PortMac(0), 1500, true, NatSite::kInterfaces[0], "sim"},
                   {"eth1", NatSite::PortMac(1), 1500, true, NatSite::kInterfaces[1], "sim"}};
  options.rss.known = by_rss;
  options.clock = [this] { return now_; };
  absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  engine_ = std::make_unique<WatchedEngine>(*std::move(engine));
  oracle_ = std::make_unique<NatOracle>(&site_, engine_.get(), workers,
                                        sluice_nat_ports_around(kKernelFirst, kKernelLast), by_rss);
  Controller::Options control;
  control.engine = engine_.get();
  control.next_hops = &next_hops_;
  control.health = &health_;
  control.hash_key.fill(static_cast<uint8_t>(Random(256)));
  controller_ = std::make_unique<Controller>(control);
  for (NatPool& pool : site_.pools()) {
    for (const NatBackend& backend : pool.backends) next_hops_.Resolve(backend.address, backend.hop);
  }
  Apply();
  controller_->Tick();
  for (int i = 0; i < 500; i++) flows_.push_back(NewFlow());
}

void NatChurn::Run(uint64_t packets) {
  while (packets_ < packets && !testing::Test::HasFailure()) {
    if (Chance(1) && Chance(30)) ChangeSomething();
    if (Random(3000) == 0) Sleep(static_cast<uint32_t>(1 + Random(15)));
    const uint64_t end = packets_ + kPacketsOfATick;
    while (packets_ < end && !testing::Test::HasFailure()) Act();
    if (const uint64_t at = now_ % (60 * kSecond); at >= kFloodFrom && at < kFloodTo) Flood();
    oracle_->Reconcile(now_);
    Tick();
  }
  if (testing::Test::HasFailure()) return;
  Sleep(kLongestIdleSeconds + 10);
  oracle_->CheckTable(now_);
  EXPECT_EQ(engine_->session_occupancy().sessions, 0u) << "sessions are left after every idle time";
}

// As the daemon does, a hundred times a second.
void NatChurn::Tick() {
  now_ += 10 * kMillisecond;
  controller_->Tick();
  if (++ticks_ % 100 != 0) return;
  oracle_->CheckTable(now_);
  fullest_ = std::max(fullest_, oracle_->sessions());
}

void NatChurn::Sleep(uint32_t seconds) {
  for (uint32_t i = 0; i < seconds * 100; i++) Tick();
}

void NatChurn::ChangeSomething() {
  changes_++;
  switch (Random(8)) {
    case 0:
      return ChangeRss();
    case 1:
    case 2:
      return ChangeNextHop();
    case 3:
      return ChangeListener();
    default:
      ChangeBackend();
  }
}

void NatChurn::ChangeRss() {
  std::vector<uint32_t> workers(128);
  for (uint32_t& worker : workers) worker = static_cast<uint32_t>(Random(workers_));
  engine_->sim().SetRssIndirection(std::move(workers));
  oracle_->rss_changed();
}

void NatChurn::ChangeBackend() {
  NatPool& pool = site_.pools()[Random(site_.pools().size())];
  NatBackend& backend = pool.backends[Random(pool.backends.size())];
  if (backend.present && Chance(40)) {
    backend.weight = static_cast<uint32_t>(Random(4));
    return Apply();
  }
  const auto present =
      std::count_if(pool.backends.begin(), pool.backends.end(), [](const NatBackend& one) { return one.present; });
  if (backend.present && present == 1) return;
  // One that comes back before the sweep has passed has its slot and its sessions again.
  if (!backend.present && now_ - backend.left < 4 * kSecond) return;
  backend.present = !backend.present;
  if (!backend.present) {
    backend.left = now_;
    return Apply();
  }
  backend.incarnation++;
  backend.weight = static_cast<uint32_t>(Random(4));
  Apply();
  controller_->Tick();
}

void NatChurn::ChangeListener() {
  NatListener& listener = site_.listeners()[Random(site_.listeners().size())];
  // They come back sooner than they go.
  if (listener.present ? Chance(70) : now_ - listener.left < 4 * kSecond) return;
  listener.present = !listener.present;
  if (listener.present) {
    listener.incarnation++;
  } else {
    listener.left = now_;
  }
  Apply();
}

void NatChurn::ChangeNextHop() {
  NatPool& pool = site_.pools()[Random(site_.pools().size())];
  NatBackend& backend = pool.backends[Random(pool.backends.size())];
  if (!backend.present) return;
  // A short run is to see some that are not.
  backend.reachable = !backend.reachable || (unreachable_ >= 5 && Chance(50));
  unreachable_ += backend.reachable ? 0 : 1;
  if (backend.reachable) {
    NatSite::Move(backend);
    next_hops_.Resolve(backend.address, backend.hop);
  } else {
    next_hops_.Fail(backend.address, backend.name + " does not answer");
  }
  controller_->Tick();
}

void NatChurn::Apply() {
  absl::StatusOr<LoadedConfig> loaded = LoadConfigText(site_.Yaml(), "churn.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.status() << "\n" << site_.Yaml();
  const absl::StatusOr<uint32_t> generation = controller_->Apply(loaded->config);
  ASSERT_TRUE(generation.ok()) << generation.status();
}

void NatChurn::Summarize(uint64_t packets) {
  const EngineCounters counters = engine_->ReadCounters();
  EXPECT_EQ(std::accumulate(counters.verdicts.begin(), counters.verdicts.end(), uint64_t{0}), counters.received);
  const SessionCounters& sessions = counters.sessions;
  const NatOracle::Sums& sums = oracle_->sums();
  std::printf(
      "nat churn: %u workers, %lu packets, %lu s, %lu changes, %u RSS tables; %lu forwarded, %lu returned, %lu opened, "
      "%lu replaced, %lu with our source in nat; %lu expired, evicted %lu closed, %lu in handshake, %lu ports early; "
      "at "
      "most %lu sessions; refused: %lu without session, %lu without listener, %lu without backend, %lu RST, %lu no "
      "port, %lu full, %lu no next hop; %lu answers looked up elsewhere\n",
      workers_, packets_, (now_ - kStart) / kSecond, changes_, oracle_->rss_epoch(), sums.forwarded, sums.returned,
      sums.opened, sums.replaced, sums.nat_for_nat, sessions.expired, sessions.evicted_closed,
      sessions.evicted_handshake, sessions.ports_taken_early, fullest_, sums.verdicts[SLUICE_VERDICT_no_session],
      sums.verdicts[SLUICE_VERDICT_no_listener] + sums.verdicts[SLUICE_VERDICT_pass_not_virtual],
      sums.verdicts[SLUICE_VERDICT_no_backend], sums.verdicts[SLUICE_VERDICT_reset_out_of_window],
      sums.verdicts[SLUICE_VERDICT_no_nat_port], sums.verdicts[SLUICE_VERDICT_sessions_full],
      sums.verdicts[SLUICE_VERDICT_no_next_hop], sessions.answers_elsewhere);
  EXPECT_EQ(sums.opened, sessions.opened);
  if (packets < 500'000) return;
  EXPECT_GT(sums.forwarded, packets / 4);
  EXPECT_GT(sums.returned, packets / 10);
  const std::pair<const char*, uint64_t> counts[] = {
      {"replaced", sums.replaced},
      {"our source in nat", sums.nat_for_nat},
      {"expired", sessions.expired},
      {"evicted in handshake", sessions.evicted_handshake},
      {"RST out of window", sums.verdicts[SLUICE_VERDICT_reset_out_of_window]},
      {"no session", sums.verdicts[SLUICE_VERDICT_no_session]},
      {"no next hop", sums.verdicts[SLUICE_VERDICT_no_next_hop]},
      {"unknown fragment", sums.verdicts[SLUICE_VERDICT_unknown_fragment]}};
  for (const auto& [name, count] : counts) EXPECT_GT(count, 10u) << name;
}

}  // namespace sluice::sim_test
