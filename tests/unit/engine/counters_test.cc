// Adding up workers' counters, also while they count.
#include "engine/counters.h"

#include <atomic>
#include <thread>

#include "tests/unit/engine/burst_testbed.h"

namespace sluice {
namespace {

using CountersTest = BurstTest;

TEST_F(CountersTest, AddsTheWorkersUp) {
  Send({Tcp(1, "syn"), Tcp(1, "ack")}, 0);
  Send({Tcp(2, "syn"), "eth/ipv4(src=10.0.0.1, dst=203.0.113.99)/tcp"}, 1);
  EngineCounters sum;
  sum.listeners.resize(2);
  sum.backends.resize(3);
  sum.received = 100;
  for (const BurstPath& path : paths_) AddCounters(path.counters(), &sum);
  EXPECT_EQ(sum.received, 104u);
  EXPECT_EQ(sum.bytes, 4u * 54u);
  EXPECT_EQ(sum.verdicts[SLUICE_VERDICT_forwarded], 3u);
  EXPECT_EQ(sum.verdicts[SLUICE_VERDICT_pass_not_virtual], 1u);
  EXPECT_EQ(sum.inserted_over[SLUICE_VICTIM_EMPTY], 2u);
  EXPECT_EQ(sum.backends[1].packets, 3u);
  EXPECT_EQ(sum.backends[1].bytes, 3u * 40u);
  EXPECT_EQ(sum.backends[1].new_flows, 2u);
  EXPECT_EQ(sum.backends[2].packets, 0u);
  EXPECT_EQ(sum.listeners[0].packets, 3u);
}

TEST_F(CountersTest, TellsWorkersApart) {
  Send({Tcp(1, "syn")}, 0);
  Send({Tcp(2, "syn"), "eth/ipv4(src=10.0.0.1, dst=203.0.113.10)/tcp(dport=81)"}, 1);
  EngineCounters sum;
  for (const BurstPath& path : paths_) AddCounters(path.counters(), &sum);
  ASSERT_EQ(sum.workers.size(), paths_.size());
  EXPECT_EQ(sum.workers[0].received, 1u);
  EXPECT_EQ(sum.workers[1].received, 2u);
  EXPECT_EQ(sum.workers[1].bytes, 2u * 54u);
  EXPECT_EQ(sum.workers[0].dropped, 0u);
  EXPECT_EQ(sum.workers[1].dropped, 1u);
  // Added to what was counted before, by place.
  EngineCounters all;
  AddCounters(sum, &all);
  AddCounters(sum, &all);
  ASSERT_EQ(all.workers.size(), paths_.size());
  EXPECT_EQ(all.workers[1].received, 4u);
  EXPECT_EQ(all.workers[1].dropped, 2u);
}

TEST_F(CountersTest, AddsAnswersToWhatHasNoneYet) {
  EngineCounters before;
  before.listeners.resize(1);
  before.backends.resize(2);
  AddCounters(paths_[0].counters(), &before);
  before.backend_answers[1].packets = 7;
  EngineCounters sum;
  sum.listeners.resize(1);
  sum.backends.resize(3);
  AddCounters(before, &sum);
  ASSERT_EQ(sum.backend_answers.size(), 3u);
  EXPECT_EQ(sum.backend_answers[1].packets, 7u);
}

TEST_F(CountersTest, NumbersOnlyGrowForAReaderBesideTheWorker) {
  std::atomic<bool> stop = false;
  std::thread worker([&] {
    while (!stop) Send({Tcp(1, "syn"), Tcp(2, "ack")});
  });
  EngineCounters last;
  last.backends.resize(2);
  while (last.received < 2000) {
    EngineCounters sum;
    sum.backends.resize(2);
    AddCounters(paths_[0].counters(), &sum);
    EXPECT_GE(sum.received, last.received);
    EXPECT_GE(sum.backends[1].packets, last.backends[1].packets);
    EXPECT_GE(sum.verdicts[SLUICE_VERDICT_forwarded], last.verdicts[SLUICE_VERDICT_forwarded]);
    last = sum;
  }
  stop = true;
  worker.join();
  EXPECT_EQ(BackendTraffic(1).packets, counters().received);
}

}  // namespace
}  // namespace sluice
