// All engines do the same: random traffic and random changes of tables through sim, dpdk and xdp (differential.h). A
// difference is looked for again packet by packet, and told with seed, packet number, packet and outcomes.
//
//   sim: in memory      dpdk: shared-memory cables      xdp: BPF_PROG_TEST_RUN on the kernel engine's program
//
// SEED=N replays a run, DIFFERENTIAL_PACKETS=N makes it shorter or longer.
//
// Not compared:
//   - whether the sender of a packet that is too big is told: the messages are limited by the time between them, by
//   each
//     engine for itself. What they say is golden (tests/packets); that the packet was too big is compared.
//   - packets whose checksum a sender has left to its device: the kernel engine does not finish those. None is made.
#include "tests/packet/differential.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace sluice::packet_test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kPackets = 50'000;
constexpr uint64_t kPacketsOneByOne = 10'000;
#else
constexpr uint64_t kPackets = 1'000'000;
constexpr uint64_t kPacketsOneByOne = 25'000;
#endif
// Enough for everything to have happened that can.
constexpr uint64_t kMany = 500'000;

// What direct server return has no use for.
constexpr sluice_verdict kOnlyTranslated[] = {
    SLUICE_VERDICT_returned,       SLUICE_VERDICT_no_session,  SLUICE_VERDICT_sessions_full,
    SLUICE_VERDICT_no_nat_address, SLUICE_VERDICT_no_nat_port, SLUICE_VERDICT_reset_out_of_window,
    SLUICE_VERDICT_untranslatable, SLUICE_VERDICT_no_checksum, SLUICE_VERDICT_client_address_misplaced,
    SLUICE_VERDICT_worker_gone};
// Broken invariants; and rates and limits, which depend on when a packet came, and on when the control thread has told
// of flows that have ended.
constexpr sluice_verdict kNever[] = {SLUICE_VERDICT_no_headroom,          SLUICE_VERDICT_no_table,
                                     SLUICE_VERDICT_source_over_rate,     SLUICE_VERDICT_replied_source_over_rate,
                                     SLUICE_VERDICT_backends_full,        SLUICE_VERDICT_listener_full,
                                     SLUICE_VERDICT_replied_listener_full};

// Where the search for the packet begins, in the process that takes this one's place.
constexpr const char* kOneByOne = "DIFFERENTIAL_ONE_BY_ONE_FROM";

std::vector<char*> arguments;

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

// The same run again, up to the burst that made a difference, and its packets one by one.
[[noreturn]] void SearchAgain(uint64_t seed, uint64_t from) {
  std::fflush(nullptr);
  setenv("SEED", absl::StrCat(seed).c_str(), 1);
  setenv(kOneByOne, absl::StrCat(from).c_str(), 1);
  execv("/proc/self/exe", arguments.data());
  std::perror("/proc/self/exe");
  std::abort();
}

class DifferentialTest : public ::testing::Test {
 protected:
  struct Case {
    absl::Span<const PoolKind> pools;
    TestedOptions options;
    size_t burst = TestedEngine::kBurst;
    uint64_t packets = 0;
  };
  void Run(const Case& one);
  void Add(const std::string& name, absl::StatusOr<std::unique_ptr<TestedEngine>> engine);
  EngineCounters Summarize();

  // Never destroyed (OpenTestedDpdk).
  Differential* differential_ = nullptr;
};

void DifferentialTest::Add(const std::string& name, absl::StatusOr<std::unique_ptr<TestedEngine>> engine) {
  ASSERT_TRUE(engine.ok()) << name << ": " << engine.status();
  const std::string reason = differential_->Add(name, *std::move(engine));
  std::printf("%s %s\n", name.c_str(), reason.empty() ? "takes part" : ("is left out: " + reason).c_str());
}

void DifferentialTest::Run(const Case& one) {
  if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
  static int runs = 0;
  if (runs++ > 0) GTEST_SKIP() << "SKIPPED: DPDK starts once in a process; choose this test with --gtest_filter";
  spdlog::set_level(spdlog::level::off);
  const uint64_t seed = NumberFrom("SEED", std::random_device()());
  const uint64_t one_by_one_from = NumberFrom(kOneByOne, UINT64_MAX);
  std::printf("SEED=%lu\n", seed);
  ASSERT_TRUE(MakeTestedXdpInterfaces().ok());
  differential_ = new Differential(seed, one.pools, one.burst);
  ASSERT_NO_FATAL_FAILURE(Add("sim", OpenTestedSim(one.options, MonotonicNow)));
  ASSERT_NO_FATAL_FAILURE(Add("dpdk", OpenTestedDpdk(one.options)));
  ASSERT_NO_FATAL_FAILURE(Add("xdp", OpenTestedXdp(one.options)));
  std::fflush(stdout);
  const std::string difference = differential_->Run(NumberFrom("DIFFERENTIAL_PACKETS", one.packets), one_by_one_from);
  if (difference.empty()) return;
  if (one_by_one_from != UINT64_MAX) FAIL() << "SEED=" << seed << ": " << difference;
  std::printf("SEED=%lu: a difference in the burst from packet %lu on:\n%s\nOnce more, one by one:\n", seed,
              differential_->burst_begin(), difference.c_str());
  SearchAgain(seed, differential_->burst_begin());
}

// What has happened, for people.
EngineCounters DifferentialTest::Summarize() {
  if (differential_ == nullptr) return {};
  const EngineCounters counters = differential_->ReadCounters();
  std::printf("%lu packets, %lu changes of tables\n", differential_->packets(), differential_->changes());
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    if (counters.verdicts[i] != 0) std::printf("%10lu %s\n", counters.verdicts[i], sluice_verdict_name(i));
  }
  for (const sluice_verdict never : kNever) EXPECT_EQ(counters.verdicts[never], 0) << sluice_verdict_name(never);
  return counters;
}

TEST_F(DifferentialTest, DirectServerReturn) {
  Run({.pools = kDirectPools, .options = {.max_connections = 1 << 18, .max_sessions = 0}, .packets = kPackets});
  const EngineCounters counters = Summarize();
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT && counters.received >= kMany; i++) {
    const bool possible = std::count(std::begin(kOnlyTranslated), std::end(kOnlyTranslated), i) == 0 &&
                          std::count(std::begin(kNever), std::end(kNever), i) == 0;
    EXPECT_EQ(counters.verdicts[i] != 0, possible) << sluice_verdict_name(i);
  }
}

// So few connections that flows push each other out, and some find no place, with any seed: in a run that is short for
// a sanitizer's sake each of the two happens hundreds of times. With 512 connections one run in two saw none without.
TEST_F(DifferentialTest, CrowdedDirectServerReturn) {
  Run({.pools = kDirectPools,
       .options = {.max_connections = 256, .max_sessions = 0},
       .burst = 1,
       .packets = kPacketsOneByOne});
  const EngineCounters counters = Summarize();
  if (counters.received < kPacketsOneByOne) return;
  const auto& over = counters.inserted_over;
  EXPECT_NE(over[SLUICE_VICTIM_CONFIRMED] + over[SLUICE_VICTIM_NEW] + over[SLUICE_VICTIM_CLOSING], 0);
  EXPECT_NE(over[SLUICE_VICTIM_NONE], 0);
}

TEST_F(DifferentialTest, EveryForwarding) {
  std::vector<PoolKind> pools(std::begin(kDirectPools), std::end(kDirectPools));
  pools.insert(pools.end(), std::begin(kTranslatingPools), std::end(kTranslatingPools));
  Run({.pools = pools,
       .options = {.max_connections = 1 << 18, .max_sessions = 65536},
       .burst = 1,
       .packets = kPacketsOneByOne});
  const EngineCounters counters = Summarize();
  EXPECT_TRUE(counters.received == 0 || counters.verdicts[SLUICE_VERDICT_returned] != 0);
}

}  // namespace
}  // namespace sluice::packet_test

int main(int argc, char** argv) {
  sluice::packet_test::arguments.assign(argv, argv + argc + 1);
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  std::fflush(nullptr);
  _exit(result);
}
