// Translated flows in the kernel beside SessionPath: same tables, same sessions, same clock, same packets. Sessions are
// opened by the native owners and their records, buckets and fragments copied into the maps; from then on verdict,
// bytes, egress port and all of those records must be equal after every packet.
//
// What differs by design: the program in the kernel neither opens nor ends sessions. A packet that needs that, it
// leaves to the owner (its verdict is kForItsOwner, and the frame is as it came); the test then looks whether the owner
// had something to do, and copies again. And it cuts off the padding behind ICMP errors, which natively stays within
// one IP version, and behind a packet for the other version though it is dropped in the end.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
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
#include "session.skel.h"
#include "session_kernel.h"
#include "sluice/reset.h"
#include "sluice/unfinished.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/packet/session_site.h"

namespace sluice {
namespace {

using packet_test::HandTables;
using packet_test::Packet;
using session_test::Bytes;
using session_test::kPartitions;
using session_test::Mapped;
using session_test::WithoutPadding;

constexpr uint32_t kSessions = 256;
constexpr int kForItsOwner = SLUICE_VERDICT_COUNT + 1;
// What the kernel's verifier may be asked to look at; it gives up at a million.
constexpr int kMostInstructions = 500000;
constexpr uint64_t kMillisecond = 1000000;

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
  void TearDown() override { session_bpf::destroy(skeleton_); }

  void Load() {
    skeleton_ = session_bpf::open();
    ASSERT_NE(skeleton_, nullptr) << std::strerror(errno);
    skeleton_->rodata->session_partitions = kPartitions;
    skeleton_->rodata->session_buckets = partition(0).bucket_count;
    skeleton_->rodata->session_records = partition(0).session_count;
    skeleton_->rodata->session_fragments = SessionPartition::kFragments;
    bpf_program* const programs[] = {skeleton_->progs.session, skeleton_->progs.reset, skeleton_->progs.ports};
    for (size_t i = 0; i < logs_.size(); i++) {
      bpf_program__set_log_buf(programs[i], logs_[i].data(), logs_[i].size());
      bpf_program__set_log_level(programs[i], 4);
    }
    ASSERT_EQ(session_bpf::load(skeleton_), 0) << logs_[0].data() << logs_[1].data() << logs_[2].data();
    FillMaps();
    kernel_buckets_.Open(skeleton_->maps.sluice_buckets_map, partition(0).bucket_count);
    kernel_sessions_.Open(skeleton_->maps.sluice_sessions_map, partition(0).session_count);
    kernel_fragments_.Open(skeleton_->maps.sluice_fragments_map, SessionPartition::kFragments);
  }

  void FillMaps() {
    const sluice_tables& view = tables_.view();
    const HandTables::Counts counts = tables_.counts();
    FillMap(skeleton_->maps.sluice_settings_map, view.settings, 1);
    FillMap(skeleton_->maps.sluice_index_map, view.index, counts.index);
    FillMap(skeleton_->maps.sluice_ranges_map, view.ranges, counts.ranges);
    FillMap(skeleton_->maps.sluice_listeners_map, view.listeners, counts.listeners);
    FillMap(skeleton_->maps.sluice_session_terms_map, view.session_terms, counts.listeners);
    FillMap(skeleton_->maps.sluice_nat_addresses_map, view.nat_addresses, counts.nat_addresses);
    FillMap(skeleton_->maps.sluice_backends_map, view.backends, counts.backends);
    FillMap(skeleton_->maps.sluice_ports_map, view.ports, counts.ports);
  }

  const SessionPartition& partition(uint32_t i) const { return sessions_->partitions()[i]; }
  // The kernel's from the owners'.
  void Copy() {
    for (uint32_t i = 0; i < kPartitions; i++) {
      kernel_buckets_.Copy(i, partition(i).buckets);
      kernel_sessions_.Copy(i, partition(i).sessions);
      kernel_fragments_.Copy(i, partition(i).fragments);
    }
  }
  bool Equal() const {
    for (uint32_t i = 0; i < kPartitions; i++) {
      if (!kernel_buckets_.Equal(i, partition(i).buckets) || !kernel_sessions_.Equal(i, partition(i).sessions) ||
          !kernel_fragments_.Equal(i, partition(i).fragments))
        return false;
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
    skeleton_->bss->session_now = now_;
    skeleton_->bss->session_ingress = ingress_;
    skeleton_->bss->session_self = self_;
    skeleton_->bss->session_unfinished = unfinished_;
    uint32_t action = 0;
    const Bytes out = RunProgram(skeleton_->progs.session, in, &action);
    const auto verdict = static_cast<int>(skeleton_->bss->session_verdict);
    const uint32_t actions[] = {XDP_TX, XDP_PASS, XDP_DROP};
    EXPECT_EQ(action, verdict == kForItsOwner ? static_cast<uint32_t>(XDP_PASS)
                                              : actions[sluice_verdict_kind(static_cast<uint32_t>(verdict))]);
    return {verdict, out, skeleton_->bss->session_egress};
  }

  // The verdict of both, or that it was for the owner.
  int Run(const Bytes& in) {
    const Outcome kernel = RunKernel(in);
    const Outcome native = RunNative(in);
    const bool equal = Equal();
    if (kernel.verdict == kForItsOwner) {
      const std::set<int> refusals = {SLUICE_VERDICT_pass_vlan_depth, SLUICE_VERDICT_bad_source,
                                      SLUICE_VERDICT_sessions_full,   SLUICE_VERDICT_no_nat_address,
                                      SLUICE_VERDICT_no_nat_port,     SLUICE_VERDICT_no_backend};
      EXPECT_TRUE(!equal || refusals.contains(native.verdict)) << sluice_verdict_name(NameOf(native.verdict));
      EXPECT_TRUE(unfinished_ || kernel.frame == in);
      Copy();
      return kForItsOwner;
    }
    EXPECT_STREQ(sluice_verdict_name(NameOf(kernel.verdict)), sluice_verdict_name(NameOf(native.verdict)));
    EXPECT_TRUE(equal) << "sessions";
    if (sluice_verdict_kind(NameOf(native.verdict)) == SLUICE_KIND_DROP) {
      EXPECT_TRUE(native.frame.starts_with(kernel.frame));
      return native.verdict;
    }
    const Bytes expected = kernel.frame.size() < native.frame.size() ? WithoutPadding(native.frame) : native.frame;
    EXPECT_TRUE(kernel.frame == expected)
        << "kernel " << absl::BytesToHexString(kernel.frame) << "\nnative " << absl::BytesToHexString(native.frame);
    if (sluice_verdict_kind(NameOf(native.verdict)) == SLUICE_KIND_TRANSMIT) {
      EXPECT_EQ(kernel.egress, native.egress);
    }
    return native.verdict;
  }
  static uint32_t NameOf(int verdict) { return static_cast<uint32_t>(verdict) % SLUICE_VERDICT_COUNT; }

  // A client's packet that opens a session, the answer and what follows; as they came. Natively.
  void Open(const Bytes& first) {
    ingress_ = 0;
    const Outcome forwarded = RunNative(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    const Bytes answer = packet_test::AnswerTo(forwarded.frame, {SLUICE_TCP_SYN | SLUICE_TCP_ACK, 5000, 1001});
    const Outcome returned = RunNative(answer);
    ASSERT_EQ(returned.verdict, SLUICE_VERDICT_returned);
    const Bytes next = packet_test::AnswerTo(returned.frame, {SLUICE_TCP_ACK, 1001, 5001});
    const Outcome again = RunNative(next);
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
    const Outcome forwarded = RunNative(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    AddErrors(forwarded.frame);
    samples_.push_back(first);
  }
  // A datagram in two pieces, as one end sends it: the other's come by answering the first one.
  void OpenPieces(const Bytes& first, const Bytes& second) {
    const Outcome forwarded = RunNative(first);
    ASSERT_EQ(forwarded.verdict, SLUICE_VERDICT_forwarded);
    ASSERT_EQ(RunNative(second).verdict, SLUICE_VERDICT_forwarded);
    samples_.push_back(first);
    samples_.push_back(second);
    samples_.push_back(packet_test::AnswerTo(forwarded.frame, {}));
  }

  void OpenAll();

  std::array<std::array<char, 1 << 16>, 3> logs_{};
  session_bpf* skeleton_ = nullptr;
  Mapped<sluice_bucket> kernel_buckets_;
  Mapped<sluice_session> kernel_sessions_;
  Mapped<sluice_fragment> kernel_fragments_;
  HandTables tables_{256};
  sluice_bucket bucket_{};
  std::optional<SessionTables> sessions_;
  std::vector<std::unique_ptr<BurstPath>> paths_;
  std::vector<Bytes> samples_;
  uint32_t self_ = 0;
  uint16_t ingress_ = 0;
  bool unfinished_ = false;
  // Of clients; each is used once.
  uint32_t port_ = 20000;
  uint64_t now_ = 1000000 * kMillisecond;
};

// Both families, protocols and tags, to every listener; every other one by the other worker. All that was there before
// is over, and all backends are live.
void SessionTest::OpenAll() {
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
  Copy();
}

int Processed(const char* log) {
  const char* processed = std::strstr(log, "processed ");
  return processed == nullptr ? 0 : std::atoi(processed + std::strlen("processed "));
}

TEST_F(SessionTest, TheVerifierHasLittleToDo) {
  const char* const names[] = {"session", "reset", "ports"};
  for (size_t i = 0; i < logs_.size(); i++) {
    const int instructions = Processed(logs_[i].data());
    std::cout << "verified instructions: " << names[i] << " " << instructions << std::endl;
    EXPECT_GT(instructions, 50);
    EXPECT_LT(instructions, kMostInstructions);
  }
}

TEST_F(SessionTest, EverySampleByEveryWorker) {
  OpenAll();
  std::map<int, int> verdicts;
  for (const Bytes& sample : samples_) {
    for (self_ = 0; self_ < kPartitions; self_++) {
      SCOPED_TRACE(absl::StrCat("worker ", self_, ": ", absl::BytesToHexString(sample)));
      verdicts[Run(sample)]++;
      now_ += 2 * kMillisecond;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(verdicts[SLUICE_VERDICT_forwarded], 200);
  EXPECT_GT(verdicts[SLUICE_VERDICT_returned], 200);
}

TEST_F(SessionTest, EveryTruncation) {
  OpenAll();
  for (size_t i = 0; i < samples_.size(); i += 7) {
    const Bytes& frame = samples_[i];
    for (size_t length = kLeastFrame; length < frame.size(); length += length < 140 ? 3 : 211) {
      SCOPED_TRACE(absl::StrCat(absl::BytesToHexString(frame), " cut to ", length));
      Run(frame.substr(0, length));
      if (HasFailure()) return;
    }
  }
}

TEST_F(SessionTest, MutatedPackets) {
  constexpr uint32_t kSeed = 20261;
  std::mt19937 random(kSeed);
  std::map<int, int> verdicts;
  for (int round = 0; round < 25000; round++) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round);
    if (round % 500 == 0) OpenAll();
    now_ += random() % 512 == 0 ? uint64_t{random()} * 16 : 5 * kMillisecond;
    // Packets change their queue, clients their port; some checksums may be unfinished.
    self_ = random() % kPartitions;
    ingress_ = random() % 16 == 0 ? 1 : 0;
    unfinished_ = random() % 4 == 0;
    if (random() % 256 == 0) {
      tables_.backend(random() % packet_test::kSessionBackends).flags ^= SLUICE_BACKEND_LIVE;
      FillMap(skeleton_->maps.sluice_backends_map, tables_.view().backends, packet_test::kSessionBackends);
    }
    const Bytes frame = Mutate(random, samples_);
    verdicts[Run(frame)]++;
    if (HasFailure()) {
      std::cout << "packet: " << absl::BytesToHexString(frame) << std::endl;
      return;
    }
  }
  for (const int verdict :
       {SLUICE_VERDICT_forwarded, SLUICE_VERDICT_returned, SLUICE_VERDICT_replied_too_big, SLUICE_VERDICT_no_session,
        SLUICE_VERDICT_reset_out_of_window, SLUICE_VERDICT_untranslatable, SLUICE_VERDICT_unknown_fragment}) {
    EXPECT_GT(verdicts[verdict], 10) << sluice_verdict_name(NameOf(verdict));
  }
  EXPECT_GT(verdicts[SLUICE_VERDICT_forwarded] + verdicts[SLUICE_VERDICT_returned], 8000);
  EXPECT_LT(verdicts[kForItsOwner], 8000);
}

// The checksum as a sender leaves it to its device: the pseudo header's sum.
TEST_F(SessionTest, UnfinishedChecksums) {
  OpenAll();
  unfinished_ = true;
  int finished = 0;
  for (const Bytes& sample : samples_) {
    sluice_packet packet{};
    const auto* data = reinterpret_cast<const uint8_t*>(sample.data());
    if (sluice_parse(data, data + sample.size(), &packet) != SLUICE_CONTINUE) continue;
    if (packet.kind != SLUICE_PACKET_FLOW || (packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) continue;
    const uint16_t sum = sluice_pseudo_sum(&packet, packet.l3_length - (packet.l4_offset - packet.l3_offset));
    Bytes frame = sample;
    std::memcpy(&frame[packet.l4_offset + sluice_checksum_offset(packet.flow.protocol)], &sum, sizeof(sum));
    SCOPED_TRACE(absl::BytesToHexString(frame));
    const int verdict = Run(frame);
    finished += verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned;
    if (HasFailure()) return;
  }
  EXPECT_GT(finished, 100);
}

// Both ends of every session that can be told.
TEST_F(SessionTest, Resets) {
  OpenAll();
  const sluice_tables& tables = tables_.view();
  int told = 0;
  for (uint32_t i = 0; i < kPartitions * kSessions; i++) {
    const sluice_session& session = partition(i / kSessions).sessions[i % kSessions];
    if (session.protocol != SLUICE_IP_TCP) continue;
    const sluice_backend& backend = tables.backends[session.backend];
    const auto of_client = static_cast<uint32_t>(session.forward >> SLUICE_WORD_NUMBER_SHIFT);
    const auto of_server = static_cast<uint32_t>(session.reverse >> SLUICE_WORD_NUMBER_SHIFT);
    const sluice_reset resets[] = {
        {session.client_mac, tables.ports[session.client_egress].mac, &tables.session_terms[session.listener].address,
         &session.client, session.ports >> 16 | session.ports << 16, of_client, of_server, session.client_vlan},
        {backend.destination_mac, backend.source_mac, sluice_session_source(&tables, &session), &backend.destination,
         sluice_ports(session.source_port, session.server_port), of_server, of_client, backend.vlan}};
    for (const bool server : {false, true}) {
      SCOPED_TRACE(absl::StrCat("session ", i, server ? " server" : " client"));
      skeleton_->bss->reset_session = i;
      skeleton_->bss->reset_server = server;
      uint32_t action = 0;
      const Bytes out = RunProgram(skeleton_->progs.reset, Bytes(100, 'x'), &action);
      uint8_t expected[SLUICE_RESET_BYTES];
      const uint32_t length = sluice_write_reset(expected, &resets[server]);
      if (!sluice_reset_possible(server ? session.reverse : session.forward)) {
        EXPECT_EQ(action, static_cast<uint32_t>(XDP_DROP));
        continue;
      }
      ASSERT_EQ(action, static_cast<uint32_t>(XDP_TX));
      ASSERT_EQ(skeleton_->bss->reset_length, length);
      EXPECT_EQ(out.substr(0, length), Bytes(reinterpret_cast<const char*>(expected), length));
      told++;
    }
  }
  EXPECT_GT(told, 60);
}

TEST_F(SessionTest, Ports) {
  std::mt19937 random(7);
  for (int i = 0; i < 200; i++) {
    const uint32_t first = random() % 65536;
    const uint32_t last = first + random() % (65536 - first);
    const sluice_nat_ports around = sluice_nat_ports_around(first, last);
    const uint32_t at = around.count == 0 ? 0 : random() % around.count;
    skeleton_->bss->ports_kernel_first = first;
    skeleton_->bss->ports_kernel_last = last;
    skeleton_->bss->ports_i = at;
    uint32_t action = 0;
    RunProgram(skeleton_->progs.ports, Bytes(60, '\0'), &action);
    const uint16_t port = sluice_nat_port(&around, at);
    EXPECT_EQ(skeleton_->bss->ports_count, around.count);
    EXPECT_EQ(skeleton_->bss->ports_port, port);
    EXPECT_EQ(skeleton_->bss->ports_owner, sluice_nat_owner(port, kPartitions));
  }
}

}  // namespace
}  // namespace sluice
