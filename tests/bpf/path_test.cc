// The path in the kernel beside the path over a burst: same tables, same clock, same packets, by BPF_PROG_TEST_RUN.
// Verdict, bytes, egress port and the whole connection table must be equal after every packet.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/burst.h"
#include "gtest/gtest.h"
#include "kernel.h"
#include "sluice/counters.h"
#include "sluice/kernel.h"
// Its types are those of the path.
#include "path.skel.h"
#include "path_samples.h"
#include "path_tables.h"
#include "sluice/reply.h"
#include "tests/packet/notation.h"

namespace sluice {
namespace {

using packet_test::HandTables;
using packet_test::Packet;
using path_test::Sample;
using path_test::Samples;

// Few, so that they fill and flows push each other out.
constexpr uint32_t kBuckets = 2;
constexpr uint32_t kPartitions = 3;
using Bytes = std::string;

constexpr uint16_t kIngress = 0;
// What the kernel's verifier may be asked to look at; it gives up at a million (docs/decisions/verifier.md).
constexpr int kMostInstructions = 350000;
constexpr uint64_t kMillisecond = 1000000;

struct Outcome {
  int verdict = -1;
  Bytes frame;
  uint32_t egress = 0;
};

// Frames are too long to be read whole.
std::string Difference(const Bytes& kernel, const Bytes& native) {
  const auto at = std::mismatch(kernel.begin(), kernel.end(), native.begin(), native.end()).first - kernel.begin();
  return absl::StrCat("kernel ", kernel.size(), " bytes, native ", native.size(), "; first difference at ", at);
}

class PathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
    skeleton_ = path_bpf::open();
    ASSERT_NE(skeleton_, nullptr) << std::strerror(errno);
    skeleton_->rodata->sluice_partition_buckets = kBuckets;
    skeleton_->rodata->sluice_partitions = kPartitions;
    path_test::FillTables(tables_);
    MakeRoom();
    bpf_program__set_log_buf(skeleton_->progs.path, log_.data(), log_.size());
    bpf_program__set_log_level(skeleton_->progs.path, 4);
    ASSERT_EQ(path_bpf::load(skeleton_), 0) << log_.data();
    FillMaps();
    const int buckets = bpf_map__fd(skeleton_->maps.sluice_buckets_map);
    kernel_buckets_ = mmap(nullptr, sizeof(native_buckets_), PROT_READ | PROT_WRITE, MAP_SHARED, buckets, 0);
    ASSERT_NE(kernel_buckets_, MAP_FAILED) << std::strerror(errno);
    std::vector<Partition> partitions;
    for (uint32_t i = 0; i < kPartitions; i++) {
      partitions.push_back(
          {native_buckets_.data() + i * kBuckets, kBuckets, native_sources_.data() + i * SLUICE_SOURCE_LINES});
    }
    absl::StatusOr<BurstPath> native = BurstPath::Create(std::move(partitions));
    ASSERT_TRUE(native.ok()) << native.status();
    native_.emplace(*std::move(native));
    // Whatever comes and ends.
    TellListeners(1 << 20, 1);
  }
  void TearDown() override {
    if (kernel_buckets_ != MAP_FAILED) munmap(kernel_buckets_, sizeof(native_buckets_));
    path_bpf::destroy(skeleton_);
  }

  // One generation is all that is ever read here.
  void MakeRoom() {
    const HandTables::Counts counts = tables_.counts();
    const auto& maps = skeleton_->maps;
    bpf_map__set_max_entries(maps.sluice_index_map, counts.index);
    bpf_map__set_max_entries(maps.sluice_ranges_map, counts.ranges);
    bpf_map__set_max_entries(maps.sluice_listeners_map, counts.listeners);
    bpf_map__set_max_entries(maps.sluice_access_map, counts.listeners);
    bpf_map__set_max_entries(maps.sluice_sources_map, kPartitions * SLUICE_SOURCE_LINES);
    bpf_map__set_max_entries(maps.sluice_access_nodes_map, counts.access_nodes);
    bpf_map__set_max_entries(maps.sluice_pools_map, counts.pools);
    bpf_map__set_max_entries(maps.sluice_maglev_map, counts.maglev);
    bpf_map__set_max_entries(maps.sluice_backends_map, counts.backends);
    bpf_map__set_max_entries(maps.sluice_ports_map, counts.ports);
    skeleton_->rodata->sluice_listeners_room = counts.listeners;
    skeleton_->rodata->sluice_backends_room = counts.backends;
    bpf_map__set_max_entries(maps.sluice_buckets_map, kPartitions * kBuckets);
    bpf_map__set_max_entries(maps.sluice_counters_map, kPartitions);
    bpf_map__set_max_entries(maps.sluice_listener_traffic_map, 2 * kPartitions * counts.listeners);
    bpf_map__set_max_entries(maps.sluice_backend_traffic_map, 2 * kPartitions * counts.backends);
    bpf_map__set_max_entries(maps.sluice_cursors_map, kPartitions * counts.pools);
    bpf_map__set_max_entries(maps.sluice_loads_map, kPartitions * counts.backends);
    bpf_map__set_max_entries(maps.sluice_listener_loads_map, kPartitions * counts.listeners);
    skeleton_->rodata->sluice_pools_room = counts.pools;
  }

  // Summed over the partitions.
  sluice_counters ReadCounters() {
    sluice_counters sum{};
    for (uint32_t i = 0; i < kPartitions; i++) {
      sluice_counters counters{};
      EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.sluice_counters_map), &i, &counters), 0);
      for (size_t v = 0; v < std::size(sum.verdicts); v++) sum.verdicts[v] += counters.verdicts[v];
      for (size_t v = 0; v < std::size(sum.inserted_over); v++) sum.inserted_over[v] += counters.inserted_over[v];
      sum.bytes += counters.bytes;
    }
    return sum;
  }

  // Of each partition's, the sum: by listener or by backend.
  std::vector<sluice_traffic> ReadTraffic(const bpf_map* map, size_t room) {
    std::vector<sluice_traffic> sum(room);
    for (uint32_t i = 0; i < 2 * kPartitions * room; i++) {
      sluice_traffic traffic{};
      EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(map), &i, &traffic), 0);
      sum[i % room].packets += traffic.packets;
      sum[i % room].bytes += traffic.bytes;
      sum[i % room].new_flows += traffic.new_flows;
      sum[i % room].ended += traffic.ended;
    }
    return sum;
  }

  static void ExpectTraffic(const std::vector<sluice_traffic>& kernel, const sluice_traffic* native) {
    for (size_t i = 0; i < kernel.size(); i++) {
      EXPECT_EQ(kernel[i].packets, native[i].packets) << i;
      EXPECT_EQ(kernel[i].bytes, native[i].bytes) << i;
      EXPECT_EQ(kernel[i].new_flows, native[i].new_flows) << i;
      EXPECT_EQ(kernel[i].ended, native[i].ended) << i;
    }
  }

  void ExpectCounters() {
    const sluice_counters kernel = ReadCounters();
    const WorkerCounters& native = native_->counters();
    for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
      EXPECT_EQ(kernel.verdicts[i], native.verdicts[i]) << sluice_verdict_name(i);
    }
    for (uint32_t i = 0; i < SLUICE_VICTIM_COUNT; i++) EXPECT_EQ(kernel.inserted_over[i], native.inserted_over[i]) << i;
    EXPECT_EQ(kernel.bytes, native.bytes);
    const HandTables::Counts counts = tables_.counts();
    ExpectTraffic(ReadTraffic(skeleton_->maps.sluice_listener_traffic_map, counts.listeners),
                  native.listener(0, false));
    ExpectTraffic(ReadTraffic(skeleton_->maps.sluice_backend_traffic_map, counts.backends), native.backend(0, false));
  }

  void FillMaps() {
    const sluice_tables& view = tables_.view();
    const HandTables::Counts counts = tables_.counts();
    skeleton_->bss->sluice_settings[0] = *view.settings;
    FillMap(skeleton_->maps.sluice_index_map, view.index, counts.index);
    FillMap(skeleton_->maps.sluice_ranges_map, view.ranges, counts.ranges);
    FillMap(skeleton_->maps.sluice_listeners_map, view.listeners, counts.listeners);
    FillMap(skeleton_->maps.sluice_access_map, view.access, counts.listeners);
    FillMap(skeleton_->maps.sluice_access_nodes_map, view.access_nodes, counts.access_nodes);
    FillMap(skeleton_->maps.sluice_pools_map, view.pools, counts.pools);
    FillMaglev(skeleton_->maps.sluice_maglev_map, view.maglev, counts.maglev);
    FillMap(skeleton_->maps.sluice_backends_map, view.backends, counts.backends);
    FillMap(skeleton_->maps.sluice_ports_map, view.ports, counts.ports);
  }

  // Of listeners with a limit, both.
  void TellListeners(int32_t others, uint32_t limit) {
    const size_t listeners = tables_.counts().listeners;
    sluice_listener_load* native = native_->loaded().listener_loads;
    std::vector<sluice_listener_load> kernel(kPartitions * listeners);
    for (size_t i = 0; i < listeners; i++) {
      if (!(tables_.view().access[i].flags & SLUICE_ACCESS_LIMITED)) continue;
      native[i].told = sluice_listener_told(others, limit);
      for (uint32_t partition = 0; partition < kPartitions; partition++) kernel[partition * listeners + i] = native[i];
    }
    FillMap(skeleton_->maps.sluice_listener_loads_map, kernel.data(), kernel.size());
  }

  void Forget() {
    std::memset(native_buckets_.data(), 0, sizeof(native_buckets_));
    std::memset(kernel_buckets_, 0, sizeof(native_buckets_));
  }

  Outcome RunNative(const Bytes& in) {
    constexpr uint16_t kRoom = 128;
    std::vector<uint8_t> memory(kRoom + in.size() + kRoom);
    std::memcpy(memory.data() + kRoom, in.data(), in.size());
    Frame frame = {memory.data() + kRoom, static_cast<uint32_t>(in.size()), kRoom, kRoom};
    native_->Process(tables_.view(), now_, kIngress, own_, &frame, 1);
    return {frame.verdict, Bytes(reinterpret_cast<char*>(frame.data), frame.length), frame.egress};
  }

  Outcome RunKernel(const Bytes& in) {
    skeleton_->bss->path_now = now_;
    skeleton_->bss->path_ingress = kIngress;
    skeleton_->bss->path_own = own_;
    uint32_t action = 0;
    const Bytes out = RunProgram(skeleton_->progs.path, in, &action);
    const uint32_t verdict = skeleton_->bss->path_verdict;
    const uint32_t actions[] = {XDP_TX, XDP_PASS, XDP_DROP};
    EXPECT_EQ(action, actions[sluice_verdict_kind(verdict)]);
    return {static_cast<int>(verdict), out, skeleton_->bss->path_egress};
  }

  // The verdict of both.
  int Run(const Bytes& in) {
    const Outcome native = RunNative(in);
    const Outcome kernel = RunKernel(in);
    EXPECT_STREQ(sluice_verdict_name(static_cast<uint32_t>(kernel.verdict)),
                 sluice_verdict_name(static_cast<uint32_t>(native.verdict)));
    EXPECT_TRUE(kernel.frame == native.frame) << Difference(kernel.frame, native.frame);
    if (sluice_verdict_kind(static_cast<uint32_t>(native.verdict)) == SLUICE_KIND_TRANSMIT) {
      EXPECT_EQ(kernel.egress, native.egress);
    }
    EXPECT_EQ(std::memcmp(kernel_buckets_, native_buckets_.data(), sizeof(native_buckets_)), 0) << "connection tables";
    return native.verdict;
  }

  std::array<char, 1 << 16> log_{};
  path_bpf* skeleton_ = nullptr;
  void* kernel_buckets_ = MAP_FAILED;
  std::array<sluice_bucket, kPartitions * kBuckets> native_buckets_{};
  std::vector<sluice_source_line> native_sources_ =
      std::vector<sluice_source_line>(size_t{kPartitions} * SLUICE_SOURCE_LINES);
  std::optional<BurstPath> native_;
  HandTables tables_{512};
  uint32_t own_ = 0;
  uint64_t now_ = 1000000 * kMillisecond;
};

TEST_F(PathTest, TheVerifierHasLittleToDo) {
  const char* processed = std::strstr(log_.data(), "processed ");
  ASSERT_NE(processed, nullptr) << log_.data();
  const int instructions = std::atoi(processed + std::strlen("processed "));
  std::cout << "verified instructions: " << instructions << std::endl;
  EXPECT_GT(instructions, 1000);
  EXPECT_LT(instructions, kMostInstructions);
}

TEST_F(PathTest, EverySampleHasItsVerdict) {
  for (const Sample& sample : Samples()) {
    SCOPED_TRACE(sample.packet);
    if (!sample.follows) Forget();
    now_ += kMillisecond;
    EXPECT_STREQ(sluice_verdict_name(static_cast<uint32_t>(Run(Packet(sample.packet)))),
                 sluice_verdict_name(sample.verdict));
    if (HasFailure()) return;
  }
}

TEST_F(PathTest, EveryTruncation) {
  for (const Sample& sample : Samples()) {
    const Bytes frame = Packet(sample.packet);
    for (size_t length = kLeastFrame; length < frame.size(); length += length < 200 ? 1 : 64) {
      SCOPED_TRACE(absl::StrCat(sample.packet, " cut to ", length));
      now_ += kMillisecond;
      Run(frame.substr(0, length));
      if (HasFailure()) return;
    }
  }
}

TEST_F(PathTest, EveryLengthOfQuoteInTooBig) {
  for (const Sample& sample : Samples()) {
    if (sample.verdict != SLUICE_VERDICT_replied_too_big) continue;
    for (size_t length = path_test::kSmallMtu; length < 1400; length += 13) {
      const std::string text =
          absl::StrReplaceAll(sample.packet, {{"payload(700)", absl::StrCat("payload(", length, ")")}});
      SCOPED_TRACE(text);
      now_ += kMillisecond;
      EXPECT_EQ(Run(Packet(text)), SLUICE_VERDICT_replied_too_big);
      if (HasFailure()) return;
    }
  }
}

TEST_F(PathTest, TooBigIsToldAtALimitedRate) {
  const Bytes frame = Packet("eth/ipv4(src=198.51.100.7, dst=203.0.113.10)/udp(dport=8006)/payload(700)");
  int told = 0;
  for (int i = 0; i < 100 && !HasFailure(); i++) told += Run(frame) == SLUICE_VERDICT_replied_too_big;
  EXPECT_EQ(told, static_cast<int>(SLUICE_ERROR_BURST));
  now_ += kMillisecond;
  EXPECT_EQ(Run(frame), SLUICE_VERDICT_replied_too_big);
  EXPECT_EQ(Run(frame), SLUICE_VERDICT_too_big);
}

// Writes over the end of the source address of an untagged packet.
void SpreadSource(std::mt19937& random, Bytes& frame) {
  const size_t at = frame.substr(12, 2) == Bytes("\x08\x00", 2) ? 28 : 36;
  if (frame.size() > at + 1) frame[at + 1] = static_cast<char>(random() % 100);
}

// All places are one pool's, with loads that change; flows come and end.
TEST_F(PathTest, EveryAlgorithm) {
  std::mt19937 random(20261);
  const size_t backends = tables_.counts().backends;
  for (uint32_t slot = 0; slot < backends; slot++) tables_.backend(slot).pool = path_test::kDsr;
  FillMap(skeleton_->maps.sluice_backends_map, tables_.view().backends, backends);
  for (const auto algorithm : {SLUICE_MAGLEV, SLUICE_SOURCE_HASH, SLUICE_ROUND_ROBIN, SLUICE_RANDOM,
                               SLUICE_LEAST_CONNECTIONS, SLUICE_LEAST_TIME}) {
    SCOPED_TRACE(algorithm);
    tables_.pool(path_test::kDsr) = {0, static_cast<uint32_t>(tables_.counts().maglev),
                                     static_cast<uint16_t>(algorithm), 0, 0};
    FillMap(skeleton_->maps.sluice_pools_map, tables_.view().pools, tables_.counts().pools);
    for (int round = 0; round < 300 && !HasFailure(); round++) {
      sluice_load* loads = native_->loaded().loads;
      for (size_t slot = 0; slot < backends && round % 10 == 0; slot++) {
        loads[slot] = {static_cast<int32_t>(random() % 64) - 8, static_cast<uint32_t>(random() % 4),
                       static_cast<uint32_t>(random() % 1000), 0};
      }
      FillMap(skeleton_->maps.sluice_loads_map, loads, backends);
      now_ += kMillisecond;
      const std::string client = absl::StrCat("eth/ipv4(src=198.51.100.", random() % 200,
                                              ", dst=203.0.113.10)/tcp(dport=8000, sport=", 1 + random() % 9, ", ");
      Run(Packet(client + "syn)"));
      if (random() % 2 == 0) Run(Packet(client + "fin, ack)"));
    }
  }
  ExpectCounters();
  uint64_t ended = 0;
  for (size_t slot = 0; slot < backends; slot++) ended += native_->counters().backend(slot, false)->ended;
  EXPECT_GT(ended, 500u);
}

// They fill up, and have room again when flows end or less is told of others.
TEST_F(PathTest, LimitsOfListeners) {
  std::mt19937 random(20262);
  std::map<int, int> verdicts;
  for (int round = 0; round < 2000 && !HasFailure(); round++) {
    if (round % 20 == 0) TellListeners(static_cast<int32_t>(random() % 16) - 8, random() % 16);
    now_ += kMillisecond;
    const std::string client =
        absl::StrCat("eth/ipv4(src=198.51.100.", 64 + random() % 99,
                     ", dst=203.0.113.10)/tcp(dport=", 9304 + random() % 2, ", sport=", 1 + random() % 9, ", ");
    verdicts[Run(Packet(client + "syn)"))]++;
    if (random() % 2 == 0) Run(Packet(client + "fin, ack)"));
  }
  ExpectCounters();
  for (const int verdict :
       {SLUICE_VERDICT_forwarded, SLUICE_VERDICT_listener_full, SLUICE_VERDICT_replied_listener_full}) {
    EXPECT_GT(verdicts[verdict], 200) << sluice_verdict_name(static_cast<uint32_t>(verdict));
  }
}

TEST_F(PathTest, MutatedPackets) {
  constexpr uint32_t kSeed = 20260;
  std::mt19937 random(kSeed);
  std::vector<Bytes> samples;
  for (const Sample& sample : Samples()) samples.push_back(Packet(sample.packet));
  std::set<int> verdicts;
  for (int round = 0; round < 20000; round++) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round);
    now_ += random() % 512 == 0 ? uint64_t{random()} * 64 : 10 * kMillisecond;
    // Flows change their queue.
    if (random() % 8 == 0) own_ = random() % kPartitions;
    // Backends come and go.
    if (random() % 64 == 0) {
      const size_t backends = tables_.counts().backends;
      tables_.backend(random() % static_cast<uint32_t>(backends)).flags ^= SLUICE_BACKEND_LIVE;
      FillMap(skeleton_->maps.sluice_backends_map, tables_.view().backends, backends);
    }
    Bytes frame = Mutate(random, samples);
    // Another source: a flow of its own.
    if (random() % 4 == 0) SpreadSource(random, frame);
    // Again, so that there are confirmed flows too.
    for (uint32_t again = random() % 3; again > 0 && !HasFailure(); again--) Run(frame);
    verdicts.insert(Run(frame));
    if (HasFailure()) {
      std::cout << "packet: " << absl::BytesToHexString(frame) << std::endl;
      return;
    }
  }
  // There is room, all tables are read, no backend has a limit, and no listener translates.
  const std::set<int> of_sessions = {
      SLUICE_VERDICT_returned,       SLUICE_VERDICT_no_session,  SLUICE_VERDICT_sessions_full,
      SLUICE_VERDICT_no_nat_address, SLUICE_VERDICT_no_nat_port, SLUICE_VERDICT_reset_out_of_window,
      SLUICE_VERDICT_untranslatable, SLUICE_VERDICT_no_checksum, SLUICE_VERDICT_client_address_misplaced,
      SLUICE_VERDICT_worker_gone};
  for (int verdict = 0; verdict < SLUICE_VERDICT_COUNT; verdict++) {
    const bool unreachable = verdict == SLUICE_VERDICT_no_headroom || verdict == SLUICE_VERDICT_no_table ||
                             verdict == SLUICE_VERDICT_backends_full || of_sessions.contains(verdict);
    EXPECT_NE(verdicts.contains(verdict), unreachable) << sluice_verdict_name(static_cast<uint32_t>(verdict));
  }
  const std::array<uint64_t, SLUICE_VICTIM_COUNT>& victims = native_->counters().inserted_over;
  for (int victim = 0; victim < SLUICE_VICTIM_COUNT; victim++) {
    EXPECT_GT(victims[static_cast<size_t>(victim)], 0u) << "victim " << victim;
  }
  ExpectCounters();
}

}  // namespace
}  // namespace sluice
