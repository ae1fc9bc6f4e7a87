// ns a packet, for each stage of the path and for the whole staged burst, beside a floor measured in the same run:
// parse and MAC rewrite to a fixed backend, no look-ups. What new flows and translated ones have besides:
// path_stages.cc.

#include "nat_fixture.h"
#include "path_fixture.h"
#include "path_measure.h"
#include "sluice/dispatch.h"
#include "sluice/parse.h"

namespace sluice::bench {
namespace {

void Floor(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  Packets packets(state.range(0) == 6, 1000);
  const sluice_backend* backend = tables.backend(0);
  Measure(
      state, [&] { packets.Next(); },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          Frame& frame = packets.frames()[i];
          sluice_packet packet;
          const sluice_verdict verdict = sluice_parse(frame.data, frame.data + frame.length, &packet);
          if (verdict != SLUICE_CONTINUE) continue;
          benchmark::DoNotOptimize(packet);
          sluice_rewrite(frame.data, frame.data + frame.length, &packet, backend, 0);
          frame.egress = backend->port;
        }
        benchmark::ClobberMemory();
      });
}
BENCHMARK(Floor)->Arg(4)->Arg(6)->UseManualTime();

void Parse(benchmark::State& state) {
  Packets packets(state.range(0) == 6, 1000);
  Measure(
      state, [&] { packets.Next(); },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          const Frame& frame = packets.frames()[i];
          sluice_packet packet;
          benchmark::DoNotOptimize(sluice_parse(frame.data, frame.data + frame.length, &packet));
          benchmark::DoNotOptimize(packet);
        }
      });
}
BENCHMARK(Parse)->Arg(4)->Arg(6)->UseManualTime();

void Hash(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  Packets packets(state.range(0) == 6, 1000);
  const std::vector<sluice_packet> parsed = NextParsed(packets);
  Measure(
      state, [&] { benchmark::ClobberMemory(); },
      [&] {
        for (const sluice_packet& packet : parsed) {
          benchmark::DoNotOptimize(sluice_hash_flow(tables.view().settings, &packet.flow));
        }
      });
}
BENCHMARK(Hash)->Arg(4)->Arg(6)->UseManualTime();

void Listener(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  Packets packets(state.range(0) == 6, 1000);
  const std::vector<sluice_packet> parsed = NextParsed(packets);
  Measure(
      state, [&] { benchmark::ClobberMemory(); },
      [&] {
        for (const sluice_packet& packet : parsed) {
          uint32_t listener = 0;
          uint32_t pool = 0;
          benchmark::DoNotOptimize(
              sluice_listener_find(&tables.view(), tables.view().settings, &packet.flow, &listener, &pool));
        }
      });
}
BENCHMARK(Listener)->Arg(4)->Arg(6)->UseManualTime();

// Hash, prefetch, compare: the table alone, staged as the burst stages it.
void Connection(benchmark::State& state, bool hit) {
  const auto flows = static_cast<uint64_t>(state.range(0));
  Tables tables(SLUICE_DSR_L2);
  Packets packets(false, flows);
  Path path(tables, packets, flows, hit);
  const Partition partition = path.partition();
  std::vector<sluice_packet> parsed;
  Measure(
      state, [&] { parsed = NextParsed(packets); },
      [&] {
        uint64_t hashes[SLUICE_BURST];
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          hashes[i] = sluice_hash_flow(tables.view().settings, &parsed[i].flow);
          __builtin_prefetch(&partition.buckets[sluice_primary_bucket(hashes[i], partition.count)]);
        }
        for (uint64_t hash : hashes) {
          benchmark::DoNotOptimize(
              sluice_bucket_find(&partition.buckets[sluice_primary_bucket(hash, partition.count)], hash));
        }
      });
}
void ConnectionHit(benchmark::State& state) {
  Connection(state, true);
}
void ConnectionMiss(benchmark::State& state) {
  Connection(state, false);
}
BENCHMARK(ConnectionHit)->Arg(1000)->Arg(64000)->Arg(1000000)->Arg(10000000)->UseManualTime();
BENCHMARK(ConnectionMiss)->Arg(1000)->Arg(64000)->Arg(1000000)->Arg(10000000)->UseManualTime();

void Rewrite(benchmark::State& state) {
  Tables tables(static_cast<sluice_forwarding>(state.range(0)));
  Packets packets(false, 1000);
  const sluice_backend* backend = tables.backend(0);
  std::vector<sluice_packet> parsed;
  Measure(
      state, [&] { parsed = NextParsed(packets); },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          Frame& frame = packets.frames()[i];
          frame.length = sluice_rewrite_length(frame.length, &parsed[i], backend);
          frame.data -= sluice_rewrite_growth(&parsed[i], backend);
          sluice_rewrite(frame.data, frame.data + frame.length, &parsed[i], backend, i);
        }
        benchmark::ClobberMemory();
      });
  state.SetLabel(state.range(0) == SLUICE_DSR_L2 ? "dsr_l2" : state.range(0) == SLUICE_IPIP ? "ipip" : "gue");
}
BENCHMARK(Rewrite)->Arg(SLUICE_DSR_L2)->Arg(SLUICE_IPIP)->Arg(SLUICE_GUE)->UseManualTime();

void Burst(benchmark::State& state, sluice_forwarding forwarding, bool ipv6, bool established, uint32_t prefixes = 0) {
  const auto flows = static_cast<uint64_t>(state.range(0));
  Tables tables(forwarding);
  if (prefixes > 0) tables.Admit(RandomAccess(ipv6, prefixes));
  Packets packets(ipv6, flows);
  Path path(tables, packets, flows, established);
  const uint64_t before = path.forwarded();
  uint64_t next = 0;
  Measure(
      state,
      [&] {
        if (established) return packets.Next();
        // Every flow new: forget all of them when they have all been.
        if (next >= flows) {
          path.Clear();
          next = 0;
        }
        packets.Fill(next);
        next += SLUICE_BURST;
      },
      [&] { path.Process(packets); });
  if (path.forwarded() - before != static_cast<uint64_t>(state.iterations()) * SLUICE_BURST)
    state.SkipWithError("not all were forwarded");
}
void BurstDsrL2(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, false, true);
}
void BurstDsrL2Ipv6(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, true, true);
}
void BurstIpip(benchmark::State& state) {
  Burst(state, SLUICE_IPIP, false, true);
}
void BurstGue(benchmark::State& state) {
  Burst(state, SLUICE_GUE, false, true);
}
void BurstNewFlows(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, false, false);
}
BENCHMARK(BurstDsrL2)->Arg(1000)->Arg(64000)->Arg(1000000)->Arg(10000000)->UseManualTime();
BENCHMARK(BurstDsrL2Ipv6)->Arg(1000)->Arg(1000000)->UseManualTime();
BENCHMARK(BurstIpip)->Arg(1000)->Arg(1000000)->UseManualTime();
BENCHMARK(BurstGue)->Arg(1000)->Arg(1000000)->UseManualTime();
// With 100,000 prefixes that say who may open flows.
void BurstDsrL2Access(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, false, true, 100000);
}
void BurstNewFlowsAccess(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, false, false, 100000);
}
void BurstNewFlowsIpv6(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, true, false);
}
void BurstNewFlowsIpv6Access(benchmark::State& state) {
  Burst(state, SLUICE_DSR_L2, true, false, 100000);
}
// From a virtual device, whose packets' checksums may be unfinished; none of these is.
void BurstDsrL2Virtual(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  const auto flows = static_cast<uint64_t>(state.range(0));
  Packets packets(false, flows);
  Path path(tables, packets, flows, true);
  Measure(
      state, [&] { packets.Next(); }, [&] { path.Process(packets, true); });
}
BENCHMARK(BurstDsrL2Virtual)->Arg(1000)->UseManualTime();
BENCHMARK(BurstNewFlows)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(BurstNewFlowsAccess)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(BurstNewFlowsIpv6)->Arg(1000)->Arg(64000)->UseManualTime();
BENCHMARK(BurstNewFlowsIpv6Access)->Arg(64000)->UseManualTime();
BENCHMARK(BurstDsrL2Access)->Arg(1000)->UseManualTime();

// One side's packets of established sessions.
void Nat(benchmark::State& state, sluice_forwarding forwarding, bool reverse) {
  Tables tables(forwarding);
  NatPath path(tables, static_cast<uint64_t>(state.range(0)));
  const sluice_verdict verdict = reverse ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded;
  const uint64_t before = path.Count(verdict);
  Measure(
      state, [&] { reverse ? path.NextReverse() : path.NextForward(); },
      [&] { reverse ? path.ProcessReverse() : path.ProcessForward(); });
  state.counters["bytes/session"] = path.bytes_per_session();
  if (path.Count(verdict) - before != static_cast<uint64_t>(state.iterations()) * SLUICE_BURST)
    state.SkipWithError("not all were translated");
}
void NatForward(benchmark::State& state) {
  Nat(state, SLUICE_NAT, false);
}
void NatReverse(benchmark::State& state) {
  Nat(state, SLUICE_NAT, true);
}
void FullNatForward(benchmark::State& state) {
  Nat(state, SLUICE_FULL_NAT, false);
}
void FullNatReverse(benchmark::State& state) {
  Nat(state, SLUICE_FULL_NAT, true);
}
BENCHMARK(NatForward)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(NatReverse)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(FullNatForward)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(FullNatReverse)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();

}  // namespace
}  // namespace sluice::bench

BENCHMARK_MAIN();
