// A rate by moments that are shorter than what a scheduler gives to a program at a time: where other programs take CPUs
// away for milliseconds, most moments are without a pause, or nothing but one.
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>

#include "histogram.h"

namespace sluice::bench {

class Moments {
 public:
  // Of a clock with so many ticks in a microsecond.
  Moments(double ticks_of_us, uint64_t now, uint64_t packets)
      : ticks_of_us_(ticks_of_us), since_(now), packets_(packets) {}

  // `packets` so far. True: this has been the end of a moment.
  bool Look(uint64_t now, uint64_t packets) {
    const double us = static_cast<double>(now - since_) / ticks_of_us_;
    if (us < kUs) return false;
    // Behind a pause of the one who counts there is what has waited for it.
    if (!after_pause_) rates_.Record(static_cast<uint64_t>(static_cast<double>(packets - packets_) / us * kPerMpps));
    after_pause_ = us > kLongestUs;
    since_ = now;
    packets_ = packets;
    return true;
  }

  // The rate that 99 % of moments did not exceed, Mpps; 0 without any.
  double Undisturbed() const { return static_cast<double>(rates_.Quantile(kShare)) / kPerMpps; }

 private:
  static constexpr double kUs = 300;
  static constexpr double kLongestUs = 330;
  static constexpr double kShare = 0.99;
  // Rates are counted in thousandths.
  static constexpr double kPerMpps = 1000;

  const double ticks_of_us_;
  uint64_t since_;
  uint64_t packets_;
  bool after_pause_ = false;
  Histogram rates_;
};

}  // namespace sluice::bench
