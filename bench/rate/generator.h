// The other side of a cable: sends as fast as packets come back, or at an offered rate, and counts.
//
// A fixed number of buffers is on its way. So nothing is lost for want of room when it sends as fast as packets come
// back, and the queue before whoever is measured never runs dry while the generator is the faster one. At an offered
// rate a packet is lost for which no buffer is left, as one is for which a NIC's queue has no descriptor.
//
// Thread-safety: one lcore at a time.
#pragma once

#include <rte_mempool.h>
#include <rte_ring.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "histogram.h"
#include "traffic.h"

namespace sluice::bench {

// What one run has seen.
struct Run {
  // Or at an offered rate: offered.
  uint64_t sent = 0;
  // Sent and not come back.
  uint64_t lost = 0;
  // While time was taken.
  uint64_t packets = 0;
  double seconds = 0;
  // The packets of a burst that waited at the device's side, mean of what the generator saw when it came along.
  double batch = 0;

  // At an offered rate: how long packets were on their way.
  Latency latency_ns{};

  double offered_mpps() const { return seconds > 0 ? static_cast<double>(sent) / seconds / 1e6 : 0; }
  double loss() const { return sent == 0 ? 0 : static_cast<double>(lost) / static_cast<double>(sent); }
  double mpps() const { return seconds > 0 ? static_cast<double>(packets) / seconds / 1e6 : 0; }
};

class Generator {
 public:
  // As many as a NIC's queue has descriptors by default (ethdev_port.h).
  static constexpr uint32_t kBuffers = 1023;

  static absl::StatusOr<std::unique_ptr<Generator>> Create(const TrafficOptions& traffic);

  // Where its buffers come from.
  rte_mempool* pool() const { return pool_; }

  // By `out` to the device, by `in` back. The same ring for both: what the generator does alone.
  struct Ends {
    rte_ring* out;
    rte_ring* in;
  };
  Run Measure(const Ends& ends, double seconds);
  // The same, but with this share of new flows in place of the traffic's own.
  Run MeasureFlood(const Ends& ends, double share, double seconds);

  // At this rate, or what it can do of it.
  Run Offer(const Ends& ends, double mpps, double seconds);

  // Has every flow there: twice a packet of each, the second of which confirms it; or with `handshake` the three
  // packets that open a connection, of which the servers' come from here as well. Returns what was sent and lost.
  Run OpenFlows(const Ends& ends, uint64_t flows, bool handshake);
  // A packet of each of so many new flows.
  Run OpenNew(const Ends& ends, uint64_t flows);

 private:
  Generator(const TrafficOptions& traffic, rte_mempool* pool, rte_ring* idle)
      : new_flows_(traffic.new_flows), traffic_(traffic), pool_(pool), idle_(idle) {}

  // One burst back and out again where `write(buffer, came_back)` says so; adds to `run`. Buffers that are not on their
  // way go out too.
  template <typename Write>
  void Turn(const Ends& ends, Run* run, Write write);
  // Takes back what has come. `latency` may be null.
  void Collect(const Ends& ends, Histogram* latency);
  Run OfferFor(const Ends& ends, double mpps, double seconds, Histogram* latency);
  void Send(const Ends& ends, uint32_t due);
  // Until all buffers are in the pool.
  void Settle(const Ends& ends, Histogram* latency);
  // `flow` says which is the next one.
  template <typename Flow>
  Run Pass(const Ends& ends, uint64_t flows, Traffic::Kind kind, bool answer, Flow flow);
  // Waits for what is on its way, until nothing more comes; says what is lost.
  void Drain(const Ends& ends, Run* run, uint64_t returned_before);

  const double new_flows_;
  Traffic traffic_;
  rte_mempool* pool_;
  // At an offered rate: buffers that have come back and have not been sent again. First in, first out, as a NIC's
  // descriptors go round: the last ones would still be in a cache.
  rte_ring* idle_;
  uint64_t returned_ = 0;
  // Of `batch`.
  uint64_t looks_ = 0;
  uint64_t waiting_ = 0;
};

}  // namespace sluice::bench
