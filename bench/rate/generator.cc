#include "generator.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cable.h"
#include "engine/dpdk/packet_pool.h"
#include "pacer.h"
#include "sluice/types.h"

namespace sluice::bench {
namespace {

// Until caches, branch predictors and a worker that slept are at work.
constexpr double kLeadInSeconds = 0.02;
// When nothing comes back for so long, nothing more will: nobody is at the other end.
constexpr double kPatienceSeconds = 5;
// At an offered rate, from one look at the rings to the next. Looking more often would take their lines from the other
// side.
constexpr double kTurnSeconds = 0.5e-6;

uint64_t Cycles(double seconds) {
  return static_cast<uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
}

// The lines that will be written, which the other side's core has. The buffer is right behind its rte_mbuf.
void FetchBuffer(rte_mbuf* packet) {
  auto* data = reinterpret_cast<uint8_t*>(packet + 1) + RTE_PKTMBUF_HEADROOM;
  __builtin_prefetch(data, 1);
  __builtin_prefetch(data + RTE_CACHE_LINE_SIZE, 1);
}

class Patience {
 public:
  // `returned`: packets that have come back so far.
  bool Left(uint64_t returned) {
    if (returned != returned_) {
      returned_ = returned;
      since_ = rte_rdtsc();
    }
    return rte_rdtsc() - since_ < Cycles(kPatienceSeconds);
  }

 private:
  uint64_t returned_ = 0;
  uint64_t since_ = rte_rdtsc();
};

void ZeroBuffer(rte_mempool* /*pool*/, void* /*opaque*/, void* object, unsigned /*index*/) {
  auto* packet = static_cast<rte_mbuf*>(object);
  std::memset(packet->buf_addr, 0, packet->buf_len);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Generator>> Generator::Create(const TrafficOptions& traffic) {
  // Without caches: a buffer that a worker has dropped is here again at once.
  const absl::StatusOr<rte_mempool*> pool =
      CreatePacketPool("generator", kBuffers, /*cache=*/0, RTE_MBUF_DEFAULT_BUF_SIZE);
  if (!pool.ok()) return pool.status();
  rte_mempool_obj_iter(*pool, ZeroBuffer, nullptr);
  const absl::StatusOr<rte_ring*> idle = MakeRing("idle");
  if (!idle.ok()) return idle.status();
  return std::unique_ptr<Generator>(new Generator(traffic, *pool, *idle));
}

template <typename Write>
void Generator::Turn(const Ends& ends, Run* run, Write write) {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  waiting_ += std::min<uint32_t>(rte_ring_count(ends.out), SLUICE_BURST);
  looks_++;
  const uint32_t came_back =
      rte_ring_sc_dequeue_burst(ends.in, reinterpret_cast<void**>(packets.data()), SLUICE_BURST, nullptr);
  returned_ += came_back;
  uint32_t count = came_back;
  // Those that are not on their way yet, and those that have been dropped.
  while (count < SLUICE_BURST && (packets[count] = rte_pktmbuf_alloc(pool_)) != nullptr) count++;
  for (uint32_t i = 0; i < count; i++) FetchBuffer(packets[i]);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (write(packets[i], i < came_back)) {
      packets[kept++] = packets[i];
    } else {
      rte_pktmbuf_free(packets[i]);
    }
  }
  // There is room for all buffers.
  run->sent += rte_ring_sp_enqueue_bulk(ends.out, reinterpret_cast<void**>(packets.data()), kept, nullptr);
  // Looking again at once would take the ring's lines from the other side all the time.
  if (came_back < SLUICE_BURST) rte_delay_us_block(1);
}

// What has been dropped is in the pool again, where everything is in the end.
void Generator::Drain(const Ends& ends, Run* run, uint64_t returned_before) {
  Patience patience;
  while (!rte_mempool_full(pool_) && patience.Left(returned_)) {
    Turn(ends, run, [](rte_mbuf* /*packet*/, bool /*came_back*/) { return false; });
  }
  run->lost = run->sent - (returned_ - returned_before);
}

Run Generator::Measure(const Ends& ends, double seconds) {
  Run run;
  const uint64_t returned_before = returned_;
  const auto turn = [&] {
    Turn(ends, &run, [this](rte_mbuf* packet, bool came_back) {
      traffic_.Write(packet, came_back);
      return true;
    });
  };
  const uint64_t lead_in = rte_rdtsc() + Cycles(kLeadInSeconds);
  while (rte_rdtsc() < lead_in) turn();
  looks_ = waiting_ = 0;
  const uint64_t returned = returned_;
  const uint64_t begin = rte_rdtsc();
  const uint64_t end = begin + Cycles(seconds);
  uint64_t now = begin;
  for (; now < end; now = rte_rdtsc()) turn();
  run.packets = returned_ - returned;
  run.seconds = static_cast<double>(now - begin) / static_cast<double>(rte_get_tsc_hz());
  run.batch = static_cast<double>(waiting_) / static_cast<double>(looks_);
  Drain(ends, &run, returned_before);
  return run;
}

Run Generator::MeasureFlood(const Ends& ends, double share, double seconds) {
  traffic_.SetNewFlows(share);
  const Run run = Measure(ends, seconds);
  traffic_.SetNewFlows(new_flows_);
  return run;
}

void Generator::Collect(const Ends& ends, Histogram* latency) {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  void** objects = reinterpret_cast<void**>(packets.data());
  const uint32_t count = rte_ring_sc_dequeue_burst(ends.in, objects, SLUICE_BURST, nullptr);
  returned_ += count;
  if (latency != nullptr) {
    const uint64_t now = rte_rdtsc();
    for (uint32_t i = 0; i < count; i++) FetchBuffer(packets[i]);
    for (uint32_t i = 0; i < count; i++) latency->Record(now - traffic_.StampOf(packets[i]));
  }
  rte_ring_sp_enqueue_bulk(idle_, objects, count, nullptr);
}

// Those for which there is no buffer are lost.
void Generator::Send(const Ends& ends, uint32_t due) {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  void** objects = reinterpret_cast<void**>(packets.data());
  const uint32_t used = rte_ring_sc_dequeue_burst(idle_, objects, due, nullptr);
  uint32_t count = used;
  while (count < due && (packets[count] = rte_pktmbuf_alloc(pool_)) != nullptr) count++;
  for (uint32_t i = 0; i < count; i++) FetchBuffer(packets[i]);
  for (uint32_t i = 0; i < count; i++) traffic_.Write(packets[i], i < used);
  const uint64_t now = rte_rdtsc();
  for (uint32_t i = 0; i < count; i++) traffic_.Stamp(packets[i], now);
  rte_ring_sp_enqueue_bulk(ends.out, objects, count, nullptr);
}

void Generator::Settle(const Ends& ends, Histogram* latency) {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  Patience patience;
  while (!rte_mempool_full(pool_) && patience.Left(returned_)) {
    Collect(ends, latency);
    void** objects = reinterpret_cast<void**>(packets.data());
    rte_pktmbuf_free_bulk(packets.data(), rte_ring_sc_dequeue_burst(idle_, objects, SLUICE_BURST, nullptr));
  }
}

Run Generator::Offer(const Ends& ends, double mpps, double seconds) {
  OfferFor(ends, mpps, kLeadInSeconds, nullptr);
  Histogram latency;
  Run run = OfferFor(ends, mpps, seconds, &latency);
  const double ns_of_cycle = 1e9 / static_cast<double>(rte_get_tsc_hz());
  for (size_t i = 0; i < std::size(kPercentiles); i++) {
    run.latency_ns[i] = static_cast<double>(latency.Quantile(kPercentiles[i].share)) * ns_of_cycle;
  }
  return run;
}

Run Generator::OfferFor(const Ends& ends, double mpps, double seconds, Histogram* latency) {
  Run run;
  const uint64_t returned_before = returned_;
  looks_ = waiting_ = 0;
  const uint64_t turn = Cycles(kTurnSeconds);
  const uint64_t begin = rte_rdtsc();
  const uint64_t end = begin + Cycles(seconds);
  Pacer pacer(mpps * 1e6 / static_cast<double>(rte_get_tsc_hz()), begin);
  uint64_t now = begin;
  uint64_t next = begin;
  for (; now < end; now = rte_rdtsc()) {
    if (now < next) continue;
    next = now + turn;
    waiting_ += std::min<uint32_t>(rte_ring_count(ends.out), SLUICE_BURST);
    looks_++;
    Collect(ends, latency);
    const uint32_t due = pacer.Due(now, SLUICE_BURST);
    run.sent += due;
    Send(ends, due);
  }
  run.packets = returned_ - returned_before;
  run.seconds = static_cast<double>(now - begin) / static_cast<double>(rte_get_tsc_hz());
  run.batch = static_cast<double>(waiting_) / static_cast<double>(looks_);
  Settle(ends, latency);
  run.lost = run.sent - (returned_ - returned_before);
  return run;
}

// A packet of each flow, and with `answer` what a server says to it.
template <typename Flow>
Run Generator::Pass(const Ends& ends, uint64_t flows, Traffic::Kind kind, bool answer, Flow flow) {
  Run run;
  const uint64_t returned_before = returned_;
  Patience patience;
  uint64_t next = 0;
  while ((next < flows || !rte_mempool_full(pool_)) && patience.Left(returned_)) {
    Turn(ends, &run, [&](rte_mbuf* packet, bool came_back) {
      if (answer && came_back && traffic_.TurnAround(packet)) return true;
      if (next == flows) return false;
      traffic_.WriteFlow(packet, came_back, flow(next++), kind);
      return true;
    });
  }
  run.lost = run.sent - (returned_ - returned_before);
  return run;
}

Run Generator::OpenFlows(const Ends& ends, uint64_t flows, bool handshake) {
  const auto flow = [](uint64_t number) { return number; };
  Run run = Pass(ends, flows, handshake ? Traffic::kSyn : Traffic::kAck, handshake, flow);
  const Run second = Pass(ends, flows, Traffic::kAck, false, flow);
  run.sent += second.sent;
  run.lost += second.lost;
  return run;
}

Run Generator::OpenNew(const Ends& ends, uint64_t flows) {
  return Pass(ends, flows, Traffic::kSyn, false, [this](uint64_t /*number*/) { return traffic_.NextNew(); });
}

}  // namespace sluice::bench
