// Translation under random traffic keeps every promise: an answer finds back to its client by the way that the client's
// packets came, a flow stays with its backend, no two sessions share a port toward a server, sessions end by their
// timeouts and not before, and what nobody should believe changes nothing. Every frame that leaves is compared, byte by
// byte, with one that was built from nothing.
//
// SEED=N replays a run, NAT_CHURN_PACKETS=N makes it shorter or longer.
#include "tests/sim/nat_churn.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <random>

namespace sluice::sim_test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kPackets = 100'000;
#else
constexpr uint64_t kPackets = 1'000'000;
#endif

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

void RunTraffic(uint32_t workers, bool by_rss) {
  const uint64_t seed = NumberFrom("SEED", std::random_device()());
  std::printf("SEED=%lu\n", seed);
  std::fflush(stdout);
  spdlog::set_level(spdlog::level::off);
  const uint64_t packets = NumberFrom("NAT_CHURN_PACKETS", kPackets);
  NatChurn churn(seed, workers, by_rss);
  if (testing::Test::HasFailure()) return;
  churn.Run(packets);
  churn.Summarize(packets);
}

TEST(NatChurnTest, OneWorker) {
  RunTraffic(1, false);
}

TEST(NatChurnTest, FourWorkers) {
  RunTraffic(4, false);
}

TEST(NatChurnTest, FourWorkersThatKnowTheirRss) {
  RunTraffic(4, true);
}

}  // namespace
}  // namespace sluice::sim_test
