// ns a packet of what new flows and translated ones go through besides the stages of path_bench.cc, which runs these
// too: each structure by itself, looked up and written as the burst does it, what is needed fetched a loop ahead.

#include <array>
#include <cstring>
#include <memory>
#include <random>

#include "nat_fixture.h"
#include "path_measure.h"
#include "sluice/access.h"
#include "sluice/connection.h"
#include "sluice/select.h"
#include "sluice/translate.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kTick = 1000;
constexpr uint32_t kIdle = 170;

// Hashes of flows that have not been before.
class NewHashes {
 public:
  const std::array<uint64_t, SLUICE_BURST>& Next() {
    for (uint64_t& hash : hashes_) hash = random_();
    return hashes_;
  }

 private:
  std::mt19937_64 random_{1};
  std::array<uint64_t, SLUICE_BURST> hashes_{};
};

// A table for so many flows, which has been through something: what it then was it becomes again before it has changed
// much.
class Connections {
 public:
  enum History { kEmpty, kUsed, kFull };

  Connections(uint64_t flows, History history) : count_(BucketsFor(flows)) {
    NewHashes hashes;
    const uint64_t fillings = history == kEmpty ? 0 : 4 * flows;
    for (uint64_t i = 0; i < fillings; i += SLUICE_BURST) Insert(hashes.Next());
    // Every other entry has gone, wherever it lay.
    std::mt19937 random(2);
    const uint64_t entries = uint64_t{count_} * SLUICE_BUCKET_ENTRIES;
    for (uint64_t i = 0; history == kUsed && i < entries; i++) {
      if (random() % 2 == 0) buckets()->entries[i] = SLUICE_ENTRY_VACATED;
    }
    if (history != kFull) before_.assign(memory_.data(), memory_.data() + memory_.size());
  }

  void Prepare() {
    if (before_.empty() || inserted_ * kPart < uint64_t{count_} * SLUICE_BUCKET_ENTRIES) return;
    std::memcpy(memory_.data(), before_.data(), before_.size());
    inserted_ = 0;
  }

  void Insert(const std::array<uint64_t, SLUICE_BURST>& hashes) {
    for (const uint64_t hash : hashes) {
      __builtin_prefetch(&buckets()[sluice_primary_bucket(hash, count_)], 1);
      __builtin_prefetch(&buckets()[sluice_secondary_bucket(hash, count_)], 1);
    }
    for (const uint64_t hash : hashes) {
      benchmark::DoNotOptimize(sluice_connection_insert(&buckets()[sluice_primary_bucket(hash, count_)],
                                                        &buckets()[sluice_secondary_bucket(hash, count_)],
                                                        sluice_entry_make(hash, 1, SLUICE_STATE_NEW, kTick), kIdle));
    }
    inserted_ += hashes.size();
  }

 private:
  static constexpr uint64_t kPart = 16;
  sluice_bucket* buckets() { return memory_.As<sluice_bucket>(); }

  const uint32_t count_;
  Region memory_ = MustCreate(uint64_t{count_} * sizeof(sluice_bucket));
  std::vector<uint8_t> before_;
  uint64_t inserted_ = 0;
};

void Insert(benchmark::State& state, Connections::History history) {
  Connections connections(static_cast<uint64_t>(state.range(0)), history);
  NewHashes hashes;
  std::array<uint64_t, SLUICE_BURST> burst{};
  Measure(
      state,
      [&] {
        connections.Prepare();
        burst = hashes.Next();
      },
      [&] { connections.Insert(burst); });
}
void InsertEmpty(benchmark::State& state) {
  Insert(state, Connections::kEmpty);
}
void InsertUsed(benchmark::State& state) {
  Insert(state, Connections::kUsed);
}
void InsertFull(benchmark::State& state) {
  Insert(state, Connections::kFull);
}
BENCHMARK(InsertEmpty)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(InsertUsed)->Arg(64000)->Arg(1000000)->UseManualTime();
BENCHMARK(InsertFull)->Arg(64000)->Arg(1000000)->UseManualTime();

// What a worker selects by, of one partition.
class Selector {
 public:
  sluice_selector view() {
    return {0,
            uint64_t{kTick} << SLUICE_TICK_SHIFT,
            &cursor_,
            loads_.data(),
            traffic_.data(),
            &line_,
            1,
            listener_loads_,
            listener_traffic_};
  }

 private:
  sluice_cursor cursor_{};
  std::vector<sluice_load> loads_ = std::vector<sluice_load>(Tables::kBackends + 1);
  std::vector<sluice_traffic> traffic_ = std::vector<sluice_traffic>(Tables::kBackends + 1);
  Region lines_ = MustCreate(sizeof(sluice_source_line) * SLUICE_SOURCE_LINES);
  sluice_source_line* line_ = lines_.As<sluice_source_line>();
  sluice_listener_load listener_loads_[2]{};
  sluice_traffic listener_traffic_[2]{};
};

void Select(benchmark::State& state) {
  static constexpr const char* kNames[] = {"maglev", "source_hash",       "round_robin",
                                           "random", "least_connections", "least_time"};
  Tables tables(SLUICE_DSR_L2);
  tables.SetAlgorithm(static_cast<sluice_algorithm>(state.range(0)));
  Packets packets(false, 1'000'000);
  Selector selector;
  const sluice_selector by = selector.view();
  NewHashes hashes;
  std::vector<sluice_packet> parsed;
  std::array<uint64_t, SLUICE_BURST> burst{};
  Measure(
      state,
      [&] {
        parsed = NextParsed(packets);
        // What has no entry and opens nothing goes by hash whatever the algorithm.
        for (sluice_packet& packet : parsed) packet.flags |= SLUICE_PACKET_SYN;
        burst = hashes.Next();
      },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          benchmark::DoNotOptimize(sluice_select(&tables.view(), &by, 0, &parsed[i], burst[i]));
        }
      });
  state.SetLabel(kNames[state.range(0)]);
}
BENCHMARK(Select)->DenseRange(SLUICE_MAGLEV, SLUICE_LEAST_TIME)->UseManualTime();

// Sources from all over the prefixes.
void AccessPrefix(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  tables.Admit(RandomAccess(false, static_cast<uint32_t>(state.range(0))));
  std::mt19937 random(3);
  std::array<sluice_address, SLUICE_BURST> sources{};
  Measure(
      state,
      [&] {
        for (sluice_address& source : sources) source = sluice_ipv4(SLUICE_32(0x0c000000u + random() % 0xd0000000u));
      },
      [&] {
        for (const sluice_address& source : sources) {
          benchmark::DoNotOptimize(sluice_access_admits(&tables.view(), 0, &source));
        }
      });
}
BENCHMARK(AccessPrefix)->Arg(100)->Arg(100000)->UseManualTime();

// So many sources, none of which is at its limit.
void SourceRate(benchmark::State& state) {
  Tables tables(SLUICE_DSR_L2);
  Selector selector;
  const sluice_selector by = selector.view();
  std::mt19937 random(4);
  std::array<sluice_address, SLUICE_BURST> sources{};
  int taken = 1;
  Measure(
      state,
      [&] {
        for (sluice_address& source : sources) {
          source = sluice_ipv4(SLUICE_32(0x0b000000u + random() % static_cast<uint32_t>(state.range(0))));
        }
      },
      [&] {
        for (const sluice_address& source : sources) {
          taken &= sluice_source_take(&tables.view(), &by, 0, 0xffffffff, &source);
        }
      });
  if (taken == 0) state.SkipWithError("a source was over its limit");
}
BENCHMARK(SourceRate)->Arg(1000)->Arg(60000)->UseManualTime();

// Of translated packets: a new address and port, and both checksums by what has changed.
void Translate(benchmark::State& state) {
  const bool ipv6 = state.range(0) == 6;
  Packets packets(ipv6, 1000);
  const sluice_address server = ipv6 ? Tables::VirtualIpv6() : sluice_ipv4(SLUICE_32(0x0a000100));
  std::vector<sluice_packet> parsed;
  bool translated = true;
  Measure(
      state, [&] { parsed = NextParsed(packets); },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          const Frame& frame = packets.frames()[i];
          const sluice_flow& flow = parsed[i].flow;
          const sluice_endpoints to = {&flow.source, &server, sluice_ports(flow.source_port, SLUICE_16(8080)), 0x1234,
                                       true};
          translated &=
              sluice_translate_flow(frame.data + SLUICE_ETHERNET_BYTES, frame.data + frame.length, &parsed[i], &to);
        }
        benchmark::ClobberMemory();
      });
  if (!translated) state.SkipWithError("not all were translated");
}
BENCHMARK(Translate)->Arg(4)->Arg(6)->UseManualTime();

// Of so many bytes, where a checksum is made and not updated.
void Checksum(benchmark::State& state) {
  const auto length = static_cast<uint32_t>(state.range(0));
  const std::vector<uint8_t> bytes(length, 0x5a);
  Measure(
      state, [] { benchmark::ClobberMemory(); },
      [&] {
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          benchmark::DoNotOptimize(sluice_checksum_payload(bytes.data(), bytes.data() + length, length, length));
          benchmark::ClobberMemory();
        }
      });
}
BENCHMARK(Checksum)->Arg(20)->Arg(1460)->UseManualTime();

// Bucket, record, exact comparison.
void SessionHit(benchmark::State& state) {
  Tables tables(SLUICE_NAT);
  NatPath path(tables, static_cast<uint64_t>(state.range(0)));
  const SessionPartition& sessions = path.sessions();
  std::vector<sluice_packet> parsed;
  uint32_t met = 0;
  Measure(
      state,
      [&] {
        path.NextForward();
        parsed = Parsed(path.clients());
      },
      [&] {
        std::array<uint64_t, SLUICE_BURST> hashes{};
        std::array<const sluice_session*, SLUICE_BURST> records{};
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          hashes[i] = sluice_hash_flow(tables.view().settings, &parsed[i].flow);
          __builtin_prefetch(&sessions.buckets[sluice_primary_bucket(hashes[i], sessions.bucket_count)]);
        }
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          const uint64_t* entry =
              sluice_bucket_find(&sessions.buckets[sluice_primary_bucket(hashes[i], sessions.bucket_count)], hashes[i]);
          records[i] = &sessions.sessions[entry == nullptr ? 0 : static_cast<uint32_t>(*entry)];
          __builtin_prefetch(records[i]);
        }
        for (uint32_t i = 0; i < SLUICE_BURST; i++) {
          met += sluice_session_is_forward(records[i], &parsed[i].flow, 0);
        }
      });
  // The rest lies in second buckets.
  if (met < state.iterations() * SLUICE_BURST / 2) state.SkipWithError("sessions are not found");
}
BENCHMARK(SessionHit)->Arg(1000)->Arg(64000)->Arg(1000000)->UseManualTime();

// The whole burst, all of it SYNs of new flows; sessions are thrown away when all have been.
void BurstNewSessions(benchmark::State& state, sluice_forwarding forwarding) {
  const auto flows = static_cast<uint64_t>(state.range(0));
  Tables tables(forwarding);
  auto path = std::make_unique<NatPath>(tables, flows, false);
  uint64_t next = 0;
  uint64_t opened = 0;
  Measure(
      state,
      [&] {
        if (next + SLUICE_BURST > flows) {
          opened += path->Count(SLUICE_VERDICT_forwarded);
          path = std::make_unique<NatPath>(tables, flows, false);
          next = 0;
        }
        path->FillSyns(next);
        next += SLUICE_BURST;
      },
      [&] { path->ProcessForward(); });
  opened += path->Count(SLUICE_VERDICT_forwarded);
  if (opened != static_cast<uint64_t>(state.iterations()) * SLUICE_BURST) state.SkipWithError("not all were opened");
}
void BurstNewNat(benchmark::State& state) {
  BurstNewSessions(state, SLUICE_NAT);
}
void BurstNewFullNat(benchmark::State& state) {
  BurstNewSessions(state, SLUICE_FULL_NAT);
}
BENCHMARK(BurstNewNat)->Arg(64000)->UseManualTime();
BENCHMARK(BurstNewFullNat)->Arg(64000)->UseManualTime();

}  // namespace
}  // namespace sluice::bench
