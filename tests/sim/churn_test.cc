// One hour's worth of churn keeps every invariant: no flow changes its backend while that lives and its entry is not
// evicted, no packet goes to a removed backend, no slot is given away while an entry names it, and the counters add up.
//
// SEED=N replays a run, CHURN_SECONDS=N makes it shorter or longer.
#include "tests/sim/churn.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <random>

namespace sluice::sim_test {
namespace {

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

void RunHour(uint64_t seed) {
  std::printf("SEED=%lu\n", seed);
  std::fflush(stdout);
  spdlog::set_level(spdlog::level::off);
  const auto seconds = static_cast<uint32_t>(NumberFrom("CHURN_SECONDS", 3600));
  Churn churn(seed);
  if (testing::Test::HasFailure()) return;
  churn.Run(seconds);
  churn.Summarize(seconds);
}

TEST(ChurnTest, AnHourThatIsAlwaysTheSame) {
  RunHour(1);
}

TEST(ChurnTest, AnHourThatIsAlwaysAnother) {
  RunHour(NumberFrom("SEED", std::random_device()()));
}

}  // namespace
}  // namespace sluice::sim_test
