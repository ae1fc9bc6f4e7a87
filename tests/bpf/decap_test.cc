// decap.bpf.c in the kernel, by BPF_PROG_TEST_RUN: packet in -> action and result -> packet out.
#include "decap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "decap.skel.h"
#include "decap_packets.h"
#include "gtest/gtest.h"
#include "kernel.h"

namespace sluice {
namespace {

using namespace decap_test;  // NOLINT(google-build-using-namespace): the vocabulary of every line below

constexpr char kTunnel4[] = "192.0.2.1";
constexpr char kTunnel6[] = "2001:db8::1";
constexpr char kBalancer4[] = "192.0.2.99";
constexpr char kBalancer6[] = "2001:db8::99";
constexpr unsigned kGuePort = 6080;
constexpr size_t kLink = 14;
constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};
constexpr size_t kOuterLength[] = {20, 40};

const Bytes kVlanTag = Word(0x8100) + Word(0x2007);
const Bytes kServiceTag = Word(0x88a8) + Word(0x0064);

Bytes Inner(Family family, uint8_t ecn = 0, const Bytes& options = "", size_t size = 12) {
  IpHeader header = {.source = "198.51.100.7", .destination = "203.0.113.10", .protocol = kProtocolTcp, .ecn = ecn};
  if (family == Family::kIpv6) header = {"2001:db8:7::7", "2001:db8:10::10", kProtocolTcp, ecn};
  header.options = options;
  return Ip(family, header, Bytes(size, 'x'));
}

Bytes Outer(Family family, uint8_t protocol, const Bytes& payload, uint8_t ecn = 0) {
  if (family == Family::kIpv4) return Ipv4({kBalancer4, kTunnel4, protocol, ecn}, payload);
  return Ipv6({kBalancer6, kTunnel6, protocol, ecn}, payload);
}

struct Outcome {
  uint32_t action = 0;
  int result = -1;
  Bytes out;
};

class DecapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
    Load(kGuePort);
  }
  void TearDown() override { decap_bpf::destroy(skeleton_); }

  void Load(uint16_t gue_port) {
    decap_bpf::destroy(skeleton_);
    skeleton_ = decap_bpf::open();
    ASSERT_NE(skeleton_, nullptr) << std::strerror(errno);
    skeleton_->rodata->decap_gue_port = gue_port;
    ASSERT_EQ(decap_bpf::load(skeleton_), 0) << std::strerror(errno);
    AddAddress(Zeros(10) + Word(0xffff) + AddressBytes(Family::kIpv4, kTunnel4));
    AddAddress(AddressBytes(Family::kIpv6, kTunnel6));
  }

  void AddAddress(const Bytes& address) {
    const uint8_t present = 1;
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.decap_addresses), address.data(), &present, BPF_ANY), 0);
  }

  std::vector<uint64_t> Counters() {
    std::vector<uint64_t> sums(DECAP_RESULT_COUNT);
    std::vector<uint64_t> per_cpu(static_cast<size_t>(libbpf_num_possible_cpus()));
    for (uint32_t result = 0; result < DECAP_RESULT_COUNT; result++) {
      EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.decap_counters), &result, per_cpu.data()), 0);
      for (uint64_t count : per_cpu) sums[result] += count;
    }
    return sums;
  }

  // The result is the one counter that went up, by one.
  Outcome Run(const Bytes& in) {
    const std::vector<uint64_t> before = Counters();
    Outcome outcome;
    outcome.out = RunProgram(skeleton_->progs.decap, in, &outcome.action);
    const std::vector<uint64_t> after = Counters();
    uint64_t counted = 0;
    for (int result = 0; result < DECAP_RESULT_COUNT; result++) {
      counted += after[result] - before[result];
      if (after[result] != before[result]) outcome.result = result;
    }
    EXPECT_EQ(counted, 1u);
    return outcome;
  }

  void ExpectDecapsulated(const Bytes& in, const Bytes& out) {
    const Outcome outcome = Run(in);
    EXPECT_EQ(outcome.result, DECAP_decapsulated);
    EXPECT_EQ(outcome.action, static_cast<uint32_t>(XDP_PASS));
    EXPECT_EQ(outcome.out, out);
  }
  void ExpectUntouched(const Bytes& in, int result) {
    const Outcome outcome = Run(in);
    EXPECT_EQ(outcome.result, result);
    EXPECT_EQ(outcome.action, static_cast<uint32_t>(XDP_PASS));
    EXPECT_EQ(outcome.out, in);
  }
  void ExpectDropped(const Bytes& in, int result) {
    const Outcome outcome = Run(in);
    EXPECT_EQ(outcome.result, result);
    EXPECT_EQ(outcome.action, static_cast<uint32_t>(XDP_DROP));
  }

  decap_bpf* skeleton_ = nullptr;
};

struct Tunnel {
  const char* name;
  // 17 for the GUE kinds, 0 where the outer protocol is the inner one's (IPIP).
  uint8_t protocol;
  Bytes (*header)(uint8_t inner_protocol, const Bytes& inner);
};

const Tunnel kTunnels[] = {
    {"ipip", 0, [](uint8_t, const Bytes& inner) { return inner; }},
    {"gue0", kProtocolUdp, [](uint8_t p, const Bytes& inner) { return Udp(kGuePort, Gue0(p) + inner); }},
    {"gue0 private data", kProtocolUdp,
     [](uint8_t p, const Bytes& inner) { return Udp(kGuePort, Gue0(p, Bytes(12, 'p')) + inner); }},
    {"gue0 most private data", kProtocolUdp,
     [](uint8_t p, const Bytes& inner) { return Udp(kGuePort, Gue0(p, Bytes(124, 'p')) + inner); }},
    {"gue1", kProtocolUdp, [](uint8_t, const Bytes& inner) { return Udp(kGuePort, inner); }},
};

struct Wrapped {
  std::string name;
  Bytes in;
  Bytes out;
  // Shorter than this, nothing tells that it is a tunnel packet.
  size_t known_from;
};

// Every tunnel x outer family x inner family x tag x inner options.
std::vector<Wrapped> AllCombinations() {
  std::vector<Wrapped> all;
  for (const Tunnel& tunnel : kTunnels) {
    for (Family outer : kFamilies) {
      for (Family inner : kFamilies) {
        for (const Bytes& tag : {Bytes(), kVlanTag, kServiceTag}) {
          for (const Bytes& options : {Bytes(), Bytes(4, '\x01')}) {
            if (inner == Family::kIpv6 && !options.empty()) continue;
            const Bytes packet = Inner(inner, 0, options);
            const uint8_t protocol = tunnel.protocol ? tunnel.protocol : ProtocolOf(inner);
            const Bytes in = Ethernet(outer, Outer(outer, protocol, tunnel.header(ProtocolOf(inner), packet)), tag);
            const size_t known_from =
                kLink + tag.size() + kOuterLength[static_cast<size_t>(outer)] + (protocol == kProtocolUdp ? 8 : 0);
            all.push_back({std::string(tunnel.name) + (inner == Family::kIpv4 ? " 4" : " 6") + "in" +
                               (outer == Family::kIpv4 ? "4" : "6") + " tag " + std::to_string(tag.size()) +
                               " options " + std::to_string(options.size()),
                           in, Ethernet(inner, packet, tag), known_from});
          }
        }
      }
    }
  }
  return all;
}

TEST_F(DecapTest, UnwrapsEveryCombination) {
  for (const Wrapped& wrapped : AllCombinations()) {
    SCOPED_TRACE(wrapped.name);
    ExpectDecapsulated(wrapped.in, wrapped.out);
  }
}

TEST_F(DecapTest, EveryTruncationIsPassedWhileUnknownAndDroppedOnceKnown) {
  for (const Wrapped& wrapped : AllCombinations()) {
    for (size_t length = kLink; length < wrapped.in.size(); length++) {
      SCOPED_TRACE(wrapped.name + " cut to " + std::to_string(length));
      const Bytes in = wrapped.in.substr(0, length);
      if (length < wrapped.known_from) {
        ExpectUntouched(in, DECAP_not_tunnel);
      } else {
        ExpectDropped(in, DECAP_malformed);
      }
      if (HasFailure()) return;
    }
  }
}

// RFC 6040 figure 4; -1 is a drop.
TEST_F(DecapTest, CombinesEcn) {
  constexpr int kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3, kDrop = -1;
  constexpr struct {
    int inner, outer, result;
  } kTable[] = {
      {kNotEct, kNotEct, kNotEct}, {kNotEct, kEct0, kNotEct}, {kNotEct, kEct1, kNotEct}, {kNotEct, kCe, kDrop},
      {kEct0, kNotEct, kEct0},     {kEct0, kEct0, kEct0},     {kEct0, kEct1, kEct1},     {kEct0, kCe, kCe},
      {kEct1, kNotEct, kEct1},     {kEct1, kEct0, kEct1},     {kEct1, kEct1, kEct1},     {kEct1, kCe, kCe},
      {kCe, kNotEct, kCe},         {kCe, kEct0, kCe},         {kCe, kEct1, kCe},         {kCe, kCe, kCe},
  };
  for (Family outer : kFamilies) {
    for (Family inner : kFamilies) {
      for (const auto& row : kTable) {
        SCOPED_TRACE(testing::Message() << "inner " << row.inner << " outer " << row.outer);
        const Bytes in = Ethernet(outer, Outer(outer, ProtocolOf(inner), Inner(inner, row.inner), row.outer));
        if (row.result == kDrop) {
          ExpectDropped(in, DECAP_ecn);
        } else {
          ExpectDecapsulated(in, Ethernet(inner, Inner(inner, row.result)));
        }
      }
    }
  }
}

// The incremental update must agree with a checksum made anew, whatever the rest of the header sums up to.
TEST_F(DecapTest, EcnKeepsTheIpv4ChecksumRightForEverySum) {
  for (unsigned id = 0; id < 65536; id++) {
    Bytes before = Inner(Family::kIpv4, 2);
    Bytes after = Inner(Family::kIpv4, 3);
    for (Bytes* packet : {&before, &after}) {
      SetWord(*packet, 4, id);
      FillIpv4Checksum(*packet);
    }
    ExpectDecapsulated(Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, before, 3)),
                       Ethernet(Family::kIpv4, after));
    if (HasFailure()) return;
  }
}

// Zero and all-ones are one number in ones' complement: a wrong checksum must stay as wrong as it was.
TEST_F(DecapTest, EcnKeepsAWrongIpv4ChecksumWrong) {
  Bytes inner = Inner(Family::kIpv4, 2);
  SetWord(inner, 10, GetWord(inner, 10) ^ 0x5500);
  const Outcome outcome = Run(Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, inner, 3)));
  ASSERT_EQ(outcome.result, DECAP_decapsulated);
  Bytes right = outcome.out.substr(kLink);
  FillIpv4Checksum(right);
  EXPECT_NE(GetWord(outcome.out, kLink + 10), GetWord(right, 10));
}

TEST_F(DecapTest, OtherAddressesAreLeftAlone) {
  for (Family inner : kFamilies) {
    const uint8_t protocol = ProtocolOf(inner);
    const Bytes gue = Udp(kGuePort, Gue0(protocol) + Inner(inner));
    for (const Bytes& in : {
             Ethernet(Family::kIpv4, Ipv4({kBalancer4, "192.0.2.2", protocol}, Inner(inner))),
             Ethernet(Family::kIpv4, Ipv4({kBalancer4, "255.255.255.255", protocol}, Inner(inner))),
             Ethernet(Family::kIpv4, Ipv4({kTunnel4, kBalancer4, kProtocolUdp}, gue)),
             Ethernet(Family::kIpv6, Ipv6({kBalancer6, "2001:db8::2", protocol}, Inner(inner))),
             Ethernet(Family::kIpv6, Ipv6({kBalancer6, "ff02::1", protocol}, Inner(inner))),
             Ethernet(Family::kIpv6, Ipv6({kTunnel6, "2001:db8::99", kProtocolUdp}, gue)),
         }) {
      ExpectUntouched(in, DECAP_other_address);
    }
  }
}

TEST_F(DecapTest, WhatIsNoTunnelIsLeftAlone) {
  const Bytes arp = Bytes("\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x02\x08\x06", 14) + Zeros(28);
  Bytes short_header = Outer(Family::kIpv4, kProtocolIpv4, Inner(Family::kIpv4));
  short_header[0] = 0x44;
  Bytes wrong_version = Outer(Family::kIpv4, kProtocolIpv4, Inner(Family::kIpv4));
  wrong_version[0] = 0x65;
  for (const Bytes& in : {
           arp,
           Ethernet(Family::kIpv4, short_header),
           Ethernet(Family::kIpv4, wrong_version),
           Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolTcp, Bytes(40, 't'))),
           Ethernet(Family::kIpv6, Outer(Family::kIpv6, kProtocolTcp, Bytes(40, 't'))),
           Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolUdp, Udp(53, Bytes(40, 'd')))),
           Ethernet(Family::kIpv6, Outer(Family::kIpv6, kProtocolUdp, Udp(53, Bytes(40, 'd')))),
           // Two tags, and an ethertype that lies about the version.
           Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, Inner(Family::kIpv4)), kServiceTag + kVlanTag),
           Ethernet(Family::kIpv6, Outer(Family::kIpv4, kProtocolIpv4, Inner(Family::kIpv4))),
           Ethernet(Family::kIpv4, Outer(Family::kIpv6, kProtocolIpv6, Inner(Family::kIpv6))),
       }) {
    ExpectUntouched(in, DECAP_not_tunnel);
  }
}

TEST_F(DecapTest, OuterFragmentsAreLeftAlone) {
  for (uint16_t fragment : {0x2000, 0x0001, 0x1fff, 0x2001}) {
    const IpHeader header = {
        .source = kBalancer4, .destination = kTunnel4, .protocol = kProtocolIpv4, .ipv4_fragment = fragment};
    ExpectUntouched(Ethernet(Family::kIpv4, Ipv4(header, Inner(Family::kIpv4))), DECAP_fragment);
  }
  const Bytes extension = Byte(kProtocolIpv6) + Byte(0) + Word(1) + Word(0) + Word(7);
  const IpHeader header = {
      .source = kBalancer6, .destination = kTunnel6, .protocol = kProtocolFragment, .options = extension};
  ExpectUntouched(Ethernet(Family::kIpv6, Ipv6(header, Inner(Family::kIpv6))), DECAP_fragment);
}

TEST_F(DecapTest, DontFragmentIsNoFragment) {
  const IpHeader header = {
      .source = kBalancer4, .destination = kTunnel4, .protocol = kProtocolIpv4, .ipv4_fragment = 0x4000};
  ExpectDecapsulated(Ethernet(Family::kIpv4, Ipv4(header, Inner(Family::kIpv4))),
                     Ethernet(Family::kIpv4, Inner(Family::kIpv4)));
}

TEST_F(DecapTest, InnerFragmentsAreUnwrapped) {
  const IpHeader header = {
      .source = "198.51.100.7", .destination = "203.0.113.10", .protocol = kProtocolUdp, .ipv4_fragment = 0x2003};
  const Bytes inner = Ipv4(header, Bytes(24, 'f'));
  ExpectDecapsulated(Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, inner)),
                     Ethernet(Family::kIpv4, inner));
}

TEST_F(DecapTest, OuterOptionsAreSteppedOver) {
  const Bytes inner = Inner(Family::kIpv6);
  for (size_t words = 1; words <= 10; words++) {
    const IpHeader header = {
        .source = kBalancer4, .destination = kTunnel4, .protocol = kProtocolIpv6, .options = Bytes(words * 4, '\x01')};
    ExpectDecapsulated(Ethernet(Family::kIpv4, Ipv4(header, inner)), Ethernet(Family::kIpv6, inner));
  }
  // The encapsulation limit of RFC 2473 section 4.1.1, as Linux tunnels send it, behind hop-by-hop options.
  const Bytes options = Byte(kProtocolDestinationOptions) + Byte(1) + Bytes("\x01\x0c") + Zeros(12) +
                        Byte(kProtocolIpv6) + Byte(0) + Bytes("\x04\x01\x04\x01\x01") + Zeros(1);
  const IpHeader header = {
      .source = kBalancer6, .destination = kTunnel6, .protocol = kProtocolHopByHop, .options = options};
  ExpectDecapsulated(Ethernet(Family::kIpv6, Ipv6(header, inner)), Ethernet(Family::kIpv6, inner));
}

TEST_F(DecapTest, EndlessOuterExtensionsAreLeftAlone) {
  Bytes options;
  for (int i = 0; i < 5; i++) options += Byte(i < 4 ? kProtocolDestinationOptions : kProtocolIpv6) + Zeros(7);
  const IpHeader header = {
      .source = kBalancer6, .destination = kTunnel6, .protocol = kProtocolDestinationOptions, .options = options};
  ExpectUntouched(Ethernet(Family::kIpv6, Ipv6(header, Inner(Family::kIpv6))), DECAP_not_tunnel);
}

TEST_F(DecapTest, LyingLengthsAreDropped) {
  // Offsets in a 4in4, a 6in6 and a GUE packet: of the outer IP, of the inner one behind it.
  const Bytes four = Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, Inner(Family::kIpv4)));
  const Bytes six = Ethernet(Family::kIpv6, Outer(Family::kIpv6, kProtocolIpv6, Inner(Family::kIpv6)));
  const Bytes gue = Ethernet(
      Family::kIpv4, Outer(Family::kIpv4, kProtocolUdp, Udp(kGuePort, Gue0(kProtocolIpv4) + Inner(Family::kIpv4))));
  struct {
    const char* name;
    const Bytes& packet;
    size_t offset;
    unsigned value;
  } const lies[] = {
      {"outer IPv4 longer than the frame", four, kLink + 2, 53},
      {"outer IPv4 cuts the inner packet", four, kLink + 2, 51},
      {"outer IPv4 without the inner header", four, kLink + 2, 39},
      {"outer IPv4 shorter than its header", four, kLink + 2, 19},
      {"outer IPv4 length 0", four, kLink + 2, 0},
      {"inner IPv4 longer than the outer", four, kLink + 22, 33},
      {"inner IPv4 shorter than its header", four, kLink + 22, 19},
      {"inner IPv4 length 65535", four, kLink + 22, 65535},
      {"outer IPv6 longer than the frame", six, kLink + 4, 53},
      {"outer IPv6 cuts the inner packet", six, kLink + 4, 51},
      {"outer IPv6 length 0", six, kLink + 4, 0},
      {"inner IPv6 longer than the outer", six, kLink + 44, 13},
      {"inner IPv6 length 65535", six, kLink + 44, 65535},
      {"UDP longer than IP", gue, kLink + 24, 45},
      {"UDP cuts the inner packet", gue, kLink + 24, 43},
      {"UDP without a GUE header", gue, kLink + 24, 11},
      {"UDP shorter than its header", gue, kLink + 24, 7},
      {"UDP length 0", gue, kLink + 24, 0},
      {"GUE private data beyond the packet", gue, kLink + 28, 0x1f04},
      {"GUE private data into the inner packet", gue, kLink + 28, 0x0104},
      {"inner IPv4 with a header of 16 bytes", four, kLink + 20, 0x4400},
      {"inner IPv4 with a header longer than the packet", four, kLink + 20, 0x4f00},
      {"inner IPv6 where IPv4 was promised", four, kLink + 20, 0x6500},
      {"inner IPv4 where IPv6 was promised", six, kLink + 40, 0x4500},
  };
  for (const auto& lie : lies) {
    SCOPED_TRACE(lie.name);
    Bytes in = lie.packet;
    SetWord(in, lie.offset, lie.value);
    ExpectDropped(in, DECAP_malformed);
  }
}

TEST_F(DecapTest, UnknownGueIsDropped) {
  const Bytes inner = Inner(Family::kIpv4);
  auto gue = [](const Bytes& header_and_payload) {
    return Ethernet(Family::kIpv6, Outer(Family::kIpv6, kProtocolUdp, Udp(kGuePort, header_and_payload)));
  };
  // A control message, each flag, a protocol that is not IP, no next header, and first bits 0101, 0111, 10 and 11.
  ExpectDropped(gue(Byte(0x20) + Byte(kProtocolIpv4) + Word(0) + inner), DECAP_unsupported);
  for (unsigned flag = 1; flag <= 0x8000; flag <<= 1) {
    ExpectDropped(gue(Gue0(kProtocolIpv4, "", flag) + inner), DECAP_unsupported);
  }
  ExpectDropped(gue(Gue0(kProtocolTcp) + inner), DECAP_unsupported);
  ExpectDropped(gue(Gue0(kProtocolUdp) + inner), DECAP_unsupported);
  ExpectDropped(gue(Gue0(59)), DECAP_unsupported);
  for (unsigned head : {0x50, 0x70, 0x80, 0xc0}) ExpectDropped(gue(Byte(head) + inner.substr(1)), DECAP_unsupported);
}

// What lies behind the end of the UDP datagram is not read as GUE.
TEST_F(DecapTest, EmptyGueIsMalformedWhateverFollows) {
  Bytes in = Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolUdp, Udp(kGuePort, Byte(0x20) + Zeros(30))));
  SetWord(in, kLink + 24, 8);
  ExpectDropped(in, DECAP_malformed);
}

// Ethernet frames are at least 60 bytes; what pads them stays behind the inner packet, whose own length cuts it off.
TEST_F(DecapTest, PaddingStaysBehindTheInnerPacket) {
  const Bytes inner = Inner(Family::kIpv4, 0, "", 0);
  const Bytes padding = Zeros(6);
  ExpectDecapsulated(Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolIpv4, inner)) + padding,
                     Ethernet(Family::kIpv4, inner) + padding);
}

TEST_F(DecapTest, JumboFramesOfSeveralBuffers) {
  for (Family outer : kFamilies) {
    for (Family inner : kFamilies) {
      const Bytes packet = Inner(inner, 2, "", 8900);
      ExpectDecapsulated(Ethernet(outer, Outer(outer, ProtocolOf(inner), packet, 3)),
                         Ethernet(inner, Inner(inner, 3, "", 8900)));
    }
  }
}

TEST_F(DecapTest, AnotherGuePort) {
  Load(5555);
  const Bytes inner = Inner(Family::kIpv4);
  const auto packet = [&](unsigned port) {
    return Ethernet(Family::kIpv4, Outer(Family::kIpv4, kProtocolUdp, Udp(port, Gue0(kProtocolIpv4) + inner)));
  };
  ExpectDecapsulated(packet(5555), Ethernet(Family::kIpv4, inner));
  ExpectUntouched(packet(kGuePort), DECAP_not_tunnel);
}

// Bits flipped in the headers: whatever happens, what is passed is the packet itself or something that lay in it.
TEST_F(DecapTest, FlippedBitsNeverInventAPacket) {
  std::mt19937 random(6040);
  const std::vector<Wrapped> all = AllCombinations();
  for (int round = 0; round < 20000 && !HasFailure(); round++) {
    Bytes in = all[random() % all.size()].in;
    for (int flips = 1 + random() % 4; flips > 0; flips--) in[12 + random() % (in.size() - 12)] ^= 1 << random() % 8;
    const Outcome outcome = Run(in);
    if (outcome.action == XDP_DROP) continue;
    ASSERT_EQ(outcome.action, static_cast<uint32_t>(XDP_PASS));
    if (outcome.result != DECAP_decapsulated) {
      EXPECT_EQ(outcome.out, in);
      continue;
    }
    ASSERT_LT(outcome.out.size(), in.size());
    const size_t link = GetWord(outcome.out, 12) == 0x0800 || GetWord(outcome.out, 12) == 0x86dd ? 14 : 18;
    // Behind what ECN and its checksum may change.
    const Bytes tail = outcome.out.substr(link + 12);
    EXPECT_EQ(tail, in.substr(in.size() - tail.size()));
  }
}

}  // namespace
}  // namespace sluice
