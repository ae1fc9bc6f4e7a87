#include "throughput.h"

#include <algorithm>

namespace sluice::bench {
namespace {

constexpr double kStep = 1.25;
// A trial in which less of the rate than this was offered says no more than that the generator has no more.
constexpr double kLeastOffered = 0.97;

}  // namespace

absl::StatusOr<Throughput> FindThroughput(const ThroughputOptions& options, double mpps,
                                          const std::function<absl::StatusOr<Trial>(double mpps)>& trial) {
  Throughput found;
  if (mpps <= 0) return found;
  // Rates that were asked for: the highest one that came through, the lowest one that did not.
  double passed = 0;
  double failed = 0;
  for (double rate = mpps; failed == 0 || failed - passed > options.resolution * mpps;) {
    const absl::StatusOr<Trial> tried = trial(rate);
    if (!tried.ok()) return tried.status();
    if (tried->loss > options.accepted_loss) {
      failed = rate;
    } else {
      passed = rate;
      found.mpps = std::max(found.mpps, tried->mpps);
      found.generator_was_the_limit = failed == 0 && tried->mpps < kLeastOffered * rate;
      if (found.generator_was_the_limit) return found;
    }
    rate = failed == 0 ? rate * kStep : (passed + failed) / 2;
  }
  return found;
}

}  // namespace sluice::bench
