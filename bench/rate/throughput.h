// The highest rate without loss, by RFC 2544 section 26.1.
//
// Thread-safety: pure function, but for the trials.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"

namespace sluice::bench {

struct ThroughputOptions {
  // Of one trial.
  double trial_seconds = 0.2;
  // The search ends when the rate is known to this share of the one that it begins with.
  double resolution = 0.01;
  // The share of packets that a trial may lose; RFC 2544 allows none.
  double accepted_loss = 0;
};

// What one trial has seen: the rate that was offered, which may be lower than the one asked for, and the share lost.
struct Trial {
  double mpps = 0;
  double loss = 0;
};

struct Throughput {
  // Of the best trial that lost no more than is accepted; 0: all did.
  double mpps = 0;
  // Whoever offers could not do more, and all of it came through.
  bool generator_was_the_limit = false;
};

// Begins with `mpps` (0: nothing comes through, and nothing is tried), goes up while nothing is lost, then halves what
// lies between. Errors: those of a trial.
absl::StatusOr<Throughput> FindThroughput(const ThroughputOptions& options, double mpps,
                                          const std::function<absl::StatusOr<Trial>(double mpps)>& trial);

}  // namespace sluice::bench
