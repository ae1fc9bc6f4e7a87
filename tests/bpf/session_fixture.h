// A worker's path and the kernel's over the same sessions, for session_test.cc.
//
// Thread-safety: none.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/session_path.h"
#include "engine/session_tables.h"
#include "gtest/gtest.h"
#include "kernel.h"
#include "sluice/kernel.h"
#include "sluice/session_records.h"
// Its types are those of the path.
#include "path.skel.h"
#include "session_kernel.h"
#include "sluice/unfinished.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/packet/session_site.h"

namespace sluice {

using packet_test::HandTables;
using packet_test::Packet;
using session_test::Bytes;
using session_test::kPartitions;
using session_test::Mapped;
using session_test::WithoutPadding;

inline constexpr uint32_t kSessions = 256;
// What the kernel's verifier may be asked to look at; it gives up at a million (docs/decisions/verifier.md).
inline constexpr int kMostInstructions = 350000;
inline constexpr uint64_t kMillisecond = 1000000;

struct Outcome {
  int verdict = -1;
  Bytes frame;
  uint32_t egress = 0;
};

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
    absl::StatusOr<SessionTables> sessions =
        SessionTables::Create(kPartitions, kPartitions * kSessions, HugePages::kOff);
    ASSERT_TRUE(sessions.ok()) << sessions.status();
    sessions_.emplace(*std::move(sessions));
    packet_test::FillSessionTables(tables_);
    for (uint32_t i = 0; i < kPartitions; i++) {
      absl::StatusOr<BurstPath> path =
          BurstPath::Create({{&bucket_, 1}}, {sessions_->partitions(), i, sluice_nat_ports_around(32768, 60999)});
      ASSERT_TRUE(path.ok()) << path.status();
      paths_.push_back(std::make_unique<BurstPath>(*std::move(path)));
    }
    Load();
  }
  void TearDown() override {
    if (skeleton_ != nullptr && alike_) {
      ExpectOpenings();
      ExpectTraffic();
    }
    path_bpf::destroy(skeleton_);
  }

  void Load() {
    skeleton_ = path_bpf::open();
    ASSERT_NE(skeleton_, nullptr) << std::strerror(errno);
    auto* constants = skeleton_->rodata;
    constants->sluice_partitions = kPartitions;
    constants->sluice_session_partitions = kPartitions;
    constants->sluice_partition_buckets = 1;
    constants->sluice_session_buckets = partition(0).bucket_count;
    constants->sluice_session_records = partition(0).session_count;
    const sluice_nat_ports ports = sluice_nat_ports_around(32768, 60999);
    std::memcpy(const_cast<sluice_nat_ports*>(&constants->sluice_nat_ranges), &ports, sizeof(ports));
    MakeRoom();
    bpf_program__set_log_buf(skeleton_->progs.path, log_.data(), log_.size());
    bpf_program__set_log_level(skeleton_->progs.path, 4);
    ASSERT_EQ(path_bpf::load(skeleton_), 0) << log_.data();
    FillMaps();
    kernel_buckets_.Open(skeleton_->maps.sluice_session_buckets_map, partition(0).bucket_count);
    kernel_sessions_.Open(skeleton_->maps.sluice_sessions_map, partition(0).session_count);
    kernel_fragments_.Open(skeleton_->maps.sluice_fragments_map, SLUICE_FRAGMENTS);
    kernel_free_.Open(skeleton_->maps.sluice_free_map, partition(0).session_count / SLUICE_FREE_LINE);
    kernel_owners_.Open(skeleton_->maps.sluice_session_owners_map, 1);
    kernel_expired_.Open(skeleton_->maps.sluice_expired_map, 1);
    for (uint32_t i = 0; i < kPartitions; i++) {
      kernel_free_.Copy(i, reinterpret_cast<const sluice_free_line*>(partition(i).free));
      sluice_session_owner_begin(&kernel_owners_.records[i], partition(i).session_count);
    }
  }

  // One generation is all that is ever read here.
  void MakeRoom() {
    const HandTables::Counts counts = tables_.counts();
    const auto& maps = skeleton_->maps;
    bpf_map__set_max_entries(maps.sluice_index_map, counts.index);
    bpf_map__set_max_entries(maps.sluice_ranges_map, counts.ranges);
    bpf_map__set_max_entries(maps.sluice_listeners_map, counts.listeners);
    bpf_map__set_max_entries(maps.sluice_session_terms_map, counts.listeners);
    bpf_map__set_max_entries(maps.sluice_nat_addresses_map, counts.nat_addresses);
    bpf_map__set_max_entries(maps.sluice_pools_map, counts.pools);
    bpf_map__set_max_entries(maps.sluice_maglev_map, counts.maglev);
    bpf_map__set_max_entries(maps.sluice_backends_map, counts.backends);
    bpf_map__set_max_entries(maps.sluice_ports_map, counts.ports);
    skeleton_->rodata->sluice_listeners_room = counts.listeners;
    skeleton_->rodata->sluice_backends_room = counts.backends;
    bpf_map__set_max_entries(maps.sluice_buckets_map, kPartitions);
    bpf_map__set_max_entries(maps.sluice_counters_map, kPartitions);
    bpf_map__set_max_entries(maps.sluice_listener_traffic_map, 2 * kPartitions * counts.listeners);
    bpf_map__set_max_entries(maps.sluice_backend_traffic_map, 2 * kPartitions * counts.backends);
    bpf_map__set_max_entries(maps.sluice_cursors_map, kPartitions * counts.pools);
    bpf_map__set_max_entries(maps.sluice_loads_map, kPartitions * counts.backends);
    bpf_map__set_max_entries(maps.sluice_listener_loads_map, kPartitions * counts.listeners);
    skeleton_->rodata->sluice_pools_room = counts.pools;
    bpf_map__set_max_entries(maps.sluice_session_buckets_map, kPartitions * partition(0).bucket_count);
    bpf_map__set_max_entries(maps.sluice_sessions_map, kPartitions * partition(0).session_count);
    bpf_map__set_max_entries(maps.sluice_free_map, kPartitions * partition(0).session_count / SLUICE_FREE_LINE);
    bpf_map__set_max_entries(maps.sluice_fragments_map, kPartitions * SLUICE_FRAGMENTS);
    bpf_map__set_max_entries(maps.sluice_session_owners_map, kPartitions);
    bpf_map__set_max_entries(maps.sluice_expired_map, kPartitions);
  }

  void FillMaps() {
    const sluice_tables& view = tables_.view();
    const HandTables::Counts counts = tables_.counts();
    skeleton_->bss->sluice_settings[0] = *view.settings;
    FillMap(skeleton_->maps.sluice_index_map, view.index, counts.index);
    FillMap(skeleton_->maps.sluice_ranges_map, view.ranges, counts.ranges);
    FillMap(skeleton_->maps.sluice_listeners_map, view.listeners, counts.listeners);
    FillMap(skeleton_->maps.sluice_session_terms_map, view.session_terms, counts.listeners);
    FillMap(skeleton_->maps.sluice_nat_addresses_map, view.nat_addresses, counts.nat_addresses);
    FillMap(skeleton_->maps.sluice_pools_map, view.pools, counts.pools);
    FillMaglev(skeleton_->maps.sluice_maglev_map, view.maglev, counts.maglev);
    FillMap(skeleton_->maps.sluice_backends_map, view.backends, counts.backends);
    FillMap(skeleton_->maps.sluice_ports_map, view.ports, counts.ports);
  }

  const SessionPartition& partition(uint32_t i) const { return sessions_->partitions()[i]; }
  bool Equal() const {
    for (uint32_t i = 0; i < kPartitions; i++) {
      if (!kernel_buckets_.Equal(i, partition(i).buckets) || !kernel_sessions_.Equal(i, partition(i).sessions) ||
          !kernel_fragments_.Equal(i, partition(i).fragments) ||
          !kernel_free_.Equal(i, reinterpret_cast<const sluice_free_line*>(partition(i).free))) {
        return false;
      }
    }
    return true;
  }

  Outcome RunNative(const Bytes& in) {
    constexpr uint16_t kRoom = 128;
    std::vector<uint8_t> memory(kRoom + in.size() + kRoom);
    std::memcpy(memory.data() + kRoom, in.data(), in.size());
    Frame frame = {memory.data() + kRoom, static_cast<uint32_t>(in.size()), kRoom, kRoom};
    paths_[self_]->Process(tables_.view(), now_, ingress_, 0, &frame, 1, unfinished_);
    return {frame.verdict, Bytes(reinterpret_cast<char*>(frame.data), frame.length), frame.egress};
  }

  Outcome RunKernel(const Bytes& in) {
    skeleton_->bss->path_now = now_;
    skeleton_->bss->path_ingress = ingress_;
    skeleton_->bss->path_own = self_;
    skeleton_->bss->path_unfinished = unfinished_;
    uint32_t action = 0;
    const Bytes out = RunProgram(skeleton_->progs.path, in, &action);
    const auto verdict = static_cast<int>(skeleton_->bss->path_verdict);
    const uint32_t actions[] = {XDP_TX, XDP_PASS, XDP_DROP};
    EXPECT_EQ(action, actions[sluice_verdict_kind(static_cast<uint32_t>(verdict))]);
    return {verdict, out, skeleton_->bss->path_egress};
  }

  // What both make of it.
  Outcome Run(const Bytes& in) {
    const Outcome kernel = RunKernel(in);
    const Outcome native = RunNative(in);
    EXPECT_STREQ(sluice_verdict_name(NameOf(kernel.verdict)), sluice_verdict_name(NameOf(native.verdict)));
    EXPECT_TRUE(Equal()) << "sessions";
    if (sluice_verdict_kind(NameOf(native.verdict)) == SLUICE_KIND_DROP) {
      EXPECT_TRUE(native.frame.starts_with(kernel.frame));
      return native;
    }
    const Bytes expected = kernel.frame.size() < native.frame.size() ? WithoutPadding(native.frame) : native.frame;
    EXPECT_TRUE(kernel.frame == expected)
        << "kernel " << absl::BytesToHexString(kernel.frame) << "\nnative " << absl::BytesToHexString(native.frame);
    if (sluice_verdict_kind(NameOf(native.verdict)) == SLUICE_KIND_TRANSMIT) {
      EXPECT_EQ(kernel.egress, native.egress);
    }
    return native;
  }
  static uint32_t NameOf(int verdict) { return static_cast<uint32_t>(verdict) % SLUICE_VERDICT_COUNT; }

  // A client's packet that opens a session, the answer and what follows; as they came.
  void Open(const Bytes& first) {
    ingress_ = 0;
    const Outcome forwarded = Run(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    const Bytes answer = packet_test::AnswerTo(forwarded.frame, {SLUICE_TCP_SYN | SLUICE_TCP_ACK, 5000, 1001});
    const Outcome returned = Run(answer);
    ASSERT_EQ(returned.verdict, SLUICE_VERDICT_returned);
    const Bytes next = packet_test::AnswerTo(returned.frame, {SLUICE_TCP_ACK, 1001, 5001});
    const Outcome again = Run(next);
    ASSERT_EQ(again.verdict, SLUICE_VERDICT_forwarded);
    AddErrors(again.frame);
    AddErrors(returned.frame);
    for (const uint8_t flags : {SLUICE_TCP_ACK, SLUICE_TCP_ACK | SLUICE_TCP_FIN, SLUICE_TCP_RST}) {
      samples_.push_back(packet_test::AnswerTo(returned.frame, {flags, 1001, 5001}));
      samples_.push_back(packet_test::AnswerTo(again.frame, {flags, 5001, 1001}));
    }
    samples_.push_back(packet_test::AnswerTo(again.frame, {SLUICE_TCP_RST, 5001 + 1000000000, 0}));
    for (const Bytes& sample : {first, answer, next}) samples_.push_back(sample);
  }
  // What routers on the way of a packet that has been sent may say.
  void AddErrors(const Bytes& sent) {
    const bool ipv6 = packet_test::ByteAt(sent, packet_test::IpOffset(sent)) >> 4 == 6;
    for (const size_t quoted : {size_t{ipv6 ? 48u : 28u}, size_t{ipv6 ? 63u : 45u}, size_t{1300}}) {
      const auto add = [&](uint8_t type, uint8_t code, uint32_t rest) {
        samples_.push_back(packet_test::ErrorAbout(sent, type, code, rest, quoted));
      };
      if (ipv6) {
        for (const uint8_t code : {0, 1, 4}) add(1, code, 0);
        add(2, 0, 1400);
        add(3, 1, 0);
        add(4, 0, 24);
      } else {
        for (const uint8_t code : {0, 1, 2, 3, 13}) add(3, code, 0);
        add(3, 4, 1300);
        add(11, 0, 0);
        add(12, 0, 16u << 24);
      }
    }
  }
  // A client's packet that nobody answers.
  void OpenUnanswered(const Bytes& first) {
    const Outcome forwarded = Run(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    AddErrors(forwarded.frame);
    samples_.push_back(first);
  }
  // A datagram in two pieces, as one end sends it: the other's come by answering the first one.
  void OpenPieces(const Bytes& first, const Bytes& second) {
    const Outcome forwarded = Run(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    ASSERT_EQ(Run(second).verdict, SLUICE_VERDICT_forwarded);
    samples_.push_back(first);
    samples_.push_back(second);
    samples_.push_back(packet_test::AnswerTo(forwarded.frame, {}));
  }

  void OpenAll();

  // The kernel ends one session a packet; this one is nobody's.
  void EndExpired() {
    for (int slice = 0; slice < 100; slice++) sessions_->Sweep(tables_.view(), now_);
    const uint32_t before = self_;
    for (self_ = 0; self_ < kPartitions; self_++) {
      sluice_expired* queue = &kernel_expired_.records[self_];
      std::memcpy(queue, partition(self_).expired, sizeof(*queue));
      while (queue->head != queue->tail && !HasFailure())
        RunKernel(Packet("eth/ipv4(src=192.0.2.9, dst=192.0.2.10)/udp"));
      while (partition(self_).expired->head != partition(self_).expired->tail)
        paths_[self_]->Maintain(tables_.view(), now_, nullptr);
    }
    self_ = before;
    EXPECT_TRUE(Equal()) << "after the sweep";
  }

  void ExpectCounters() const {
    for (uint32_t i = 0; i < kPartitions; i++) {
      const SessionCounters& kernel = kernel_owners_.records[i].counters;
      const SessionCounters& native = paths_[i]->session_counters();
      EXPECT_EQ(kernel.opened, native.opened);
      EXPECT_EQ(kernel.expired, native.expired);
      EXPECT_EQ(kernel.evicted_closed, native.evicted_closed);
      EXPECT_EQ(kernel.evicted_handshake, native.evicted_handshake);
      EXPECT_EQ(kernel.ports_taken_early, native.ports_taken_early);
      EXPECT_EQ(kernel.answers_elsewhere, native.answers_elsewhere);
      EXPECT_GT(native.opened, 0u);
      EXPECT_GT(native.expired, 0u);
    }
  }

  // Of each backend, what its answers have said of new flows.
  void ExpectOpenings() {
    const uint32_t room = tables_.counts().backends;
    for (uint32_t i = 0; i < kPartitions; i++) {
      for (uint32_t slot = 0; slot < room; slot++) {
        const uint32_t at = (2 * i + 1) * room + slot;
        sluice_traffic kernel{};
        EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.sluice_backend_traffic_map), &at, &kernel), 0);
        const sluice_traffic& native = *paths_[i]->counters().backend(slot, true);
        EXPECT_EQ(kernel.answered, native.answered) << "worker " << i << " slot " << slot;
        EXPECT_EQ(kernel.failed, native.failed) << "worker " << i << " slot " << slot;
        answered_ += native.answered;
        failed_ += native.failed;
      }
    }
  }

  // Packets and bytes, of clients and of servers.
  void ExpectTraffic() const {
    const HandTables::Counts counts = tables_.counts();
    for (uint32_t half = 0; half < 2 * kPartitions; half++) {
      const auto& native = paths_[half / 2]->counters();
      for (uint32_t i = 0; i < counts.listeners; i++)
        ExpectSame(skeleton_->maps.sluice_listener_traffic_map, half * counts.listeners + i,
                   *native.listener(i, half % 2 == 1));
      for (uint32_t i = 0; i < counts.backends; i++)
        ExpectSame(skeleton_->maps.sluice_backend_traffic_map, half * counts.backends + i,
                   *native.backend(i, half % 2 == 1));
    }
  }
  static void ExpectSame(const bpf_map* map, uint32_t at, const sluice_traffic& native) {
    sluice_traffic kernel{};
    EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(map), &at, &kernel), 0);
    EXPECT_EQ(kernel.packets, native.packets) << bpf_map__name(map) << " " << at;
    EXPECT_EQ(kernel.bytes, native.bytes) << bpf_map__name(map) << " " << at;
  }

  // A connection in the kernel alone: a packet of either side in the midst of it, which both have sent in this tick.
  void Talk(Bytes* from_client, Bytes* from_server) {
    self_ = 0;
    ingress_ = 0;
    now_ += uint64_t{200} << SLUICE_TICK_SHIFT;
    alike_ = false;
    const Bytes syn = Packet(absl::StrCat("eth/ipv4(src=192.0.2.77, dst=", packet_test::kSessionVirtuals[0],
                                          ")/tcp(sport=", ++port_, ", dport=80, syn, seq=1000)"));
    const Bytes sent = RunKernel(syn).frame;
    const Bytes returned = RunKernel(packet_test::AnswerTo(sent, {SLUICE_TCP_SYN | SLUICE_TCP_ACK, 5000, 1001})).frame;
    *from_client = packet_test::AnswerTo(returned, {SLUICE_TCP_ACK, 1001, 5001});
    *from_server = packet_test::AnswerTo(sent, {SLUICE_TCP_ACK, 5001, 1001});
    for (int i = 0; i < 2; i++) {
      ASSERT_EQ(RunKernel(*from_client).verdict, SLUICE_VERDICT_forwarded);
      ASSERT_EQ(RunKernel(*from_server).verdict, SLUICE_VERDICT_returned);
    }
  }

  std::array<char, 1 << 16> log_{};
  path_bpf* skeleton_ = nullptr;
  Mapped<sluice_bucket> kernel_buckets_;
  Mapped<sluice_session> kernel_sessions_;
  Mapped<sluice_fragment> kernel_fragments_;
  Mapped<sluice_free_line> kernel_free_;
  Mapped<sluice_session_owner> kernel_owners_;
  Mapped<sluice_expired> kernel_expired_;
  HandTables tables_{256};
  sluice_bucket bucket_{};
  std::optional<SessionTables> sessions_;
  std::vector<std::unique_ptr<BurstPath>> paths_;
  std::vector<Bytes> samples_;
  uint32_t self_ = 0;
  uint16_t ingress_ = 0;
  bool unfinished_ = false;
  // Both have had the same packets.
  bool alike_ = true;
  // Of clients; each is used once.
  uint32_t port_ = 20000;
  uint64_t now_ = 1000000 * kMillisecond;
  // By all backends, as ExpectOpenings has found.
  uint64_t answered_ = 0;
  uint64_t failed_ = 0;
};

// Both families, protocols and tags, to every listener; every other one by the other worker. All that was there before
// is over, and all backends are live.
inline void SessionTest::OpenAll() {
  now_ += uint64_t{200} << SLUICE_TICK_SHIFT;
  unfinished_ = false;
  samples_.clear();
  for (uint32_t i = 0; i < packet_test::kSessionBackends; i++) tables_.backend(i).flags |= SLUICE_BACKEND_LIVE;
  FillMap(skeleton_->maps.sluice_backends_map, tables_.view().backends, packet_test::kSessionBackends);
  for (const std::string address : packet_test::kSessionVirtuals) {
    const bool ipv6 = address.find(':') != Bytes::npos;
    for (const char* tag : {"eth", "eth/vlan(9)"}) {
      const std::string ip =
          absl::StrCat(tag, ipv6 ? "/ipv6(src=2001:db8:99::7" : "/ipv4(src=192.0.2.77, df, id=9", ", dst=", address);
      for (const char* length : {"0", "17", "1100"}) {
        self_ = ++port_ % kPartitions;
        Open(Packet(absl::StrCat(ip, ")/tcp(sport=", port_, ", dport=80, syn, seq=1000, ",
                                 "options=020405b401030307)/payload(", length, ")")));
        Open(Packet(absl::StrCat(ip, ")/udp(sport=", port_, ", dport=1002)/payload(", length, ")")));
      }
      OpenUnanswered(Packet(absl::StrCat(ip, ipv6 ? ")/hopopts/dstopts" : ", options=0101010194040000)",
                                         "/tcp(sport=", port_, ", syn)")));
      samples_.push_back(Packet(absl::StrCat(ip, ")/udp(sport=", port_, ", dport=1002)/payload(1460)")));
      const std::string udp = absl::StrCat("udp(sport=", port_, ", dport=53)/payload(56)");
      ip.find("ipv6") == Bytes::npos
          ? OpenPieces(Packet(absl::StrCat("eth/ipv4(src=192.0.2.78, id=", port_, ", mf, dst=", address,
                                           ")/slice(0, 32)/", udp)),
                       Packet(absl::StrCat("eth/ipv4(src=192.0.2.78, id=", port_, ", frag=32, dst=", address,
                                           ")/slice(32, 32)/", udp)))
          : OpenPieces(Packet(absl::StrCat(ip, ")/frag6(more, id=", port_, ")/slice(0, 32)/", udp)),
                       Packet(absl::StrCat(ip, ")/frag6(at=32, id=", port_, ")/slice(32, 32)/", udp)));
      samples_.push_back(Packet(absl::StrCat(ip, ipv6 ? ")/icmp6(type=128)" : ")/icmp(type=8)", "/payload(9)")));
    }
  }
}

}  // namespace sluice
