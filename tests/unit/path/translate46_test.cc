#include "sluice/translate46.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "tests/packet/bytes.h"
#include "tests/packet/hand_tables.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"
#include "tests/unit/path/sample_packets.h"

namespace sluice::path_test {
namespace {

using packet_test::ByteAt;
using packet_test::Fold;
using packet_test::Long;
using packet_test::LongAt;
using packet_test::Packet;
using packet_test::PathAddress;
using packet_test::Sum;
using packet_test::Word;
using packet_test::WordAt;

constexpr uint32_t kMtu = 9000;
constexpr uint32_t kEthernet = SLUICE_ETHERNET_BYTES;

// What an independent reader makes of an IP packet. Every checksum in it is added up from scratch.
struct Reading {
  bool ipv6 = false;
  uint32_t tos = 0;
  uint32_t hops = 0;
  uint32_t protocol = 0;
  // Of a fragment: as IPv6 has them.
  uint32_t identification = 0;
  uint32_t fragment = 0;
  bool fragmented = false;
  bool dont_fragment = false;
  uint32_t payload = 0;
  std::string addresses;
  // Behind all headers of IP.
  std::string transport;
  bool header_sum_right = true;
};

Reading ReadIpv4(std::string_view ip) {
  Reading reading;
  const size_t header = (ByteAt(ip, 0) & 15) * 4;
  const uint32_t flags = WordAt(ip, 6);
  reading.tos = ByteAt(ip, 1);
  reading.hops = ByteAt(ip, 8);
  reading.protocol = ByteAt(ip, 9);
  reading.identification = WordAt(ip, 4);
  reading.fragment = (flags & 0x1fff) * 8 + (flags >> 13 & 1);
  reading.fragmented = reading.fragment != 0;
  reading.dont_fragment = flags & 0x4000;
  reading.payload = WordAt(ip, 2) - header;
  reading.addresses = ip.substr(12, 8);
  reading.transport = ip.substr(header, reading.payload);
  reading.header_sum_right = Fold(Sum(ip.substr(0, header))) == 0xffff;
  return reading;
}

// With the extension headers that the test writes.
Reading ReadIpv6(std::string_view ip) {
  Reading reading;
  reading.ipv6 = true;
  reading.tos = LongAt(ip, 0) >> 20 & 0xff;
  reading.hops = ByteAt(ip, 7);
  reading.protocol = ByteAt(ip, 6);
  reading.addresses = ip.substr(8, 32);
  size_t header = 40;
  while (reading.protocol == 0 || reading.protocol == 43 || reading.protocol == 44 || reading.protocol == 60) {
    if (reading.protocol == 44) {
      reading.fragmented = true;
      reading.fragment = WordAt(ip, header + 2);
      reading.identification = LongAt(ip, header + 4);
    }
    const size_t length = reading.protocol == 44 ? 8 : 8 + ByteAt(ip, header + 1) * 8;
    reading.protocol = ByteAt(ip, header);
    header += length;
  }
  reading.payload = WordAt(ip, 4) - (static_cast<uint32_t>(header) - 40);
  reading.transport = ip.substr(header, reading.payload);
  return reading;
}

Reading Read(std::string_view ip) {
  return ByteAt(ip, 0) >> 4 == 6 ? ReadIpv6(ip) : ReadIpv4(ip);
}

// Of a whole packet: pseudo header and all.
bool TransportSumRight(const Reading& reading) {
  if (reading.protocol == 17 && WordAt(reading.transport, 6) == 0) return false;
  std::string pseudo = reading.addresses + Long(reading.payload) + Long(reading.protocol);
  if (reading.protocol == 1) pseudo.clear();
  return Fold(Sum(pseudo) + Sum(reading.transport)) == 0xffff;
}

sluice_flow FlowOf(const sluice_address& source, const sluice_address& destination, uint32_t ports) {
  sluice_flow flow{};
  flow.source = source;
  flow.destination = destination;
  flow.ports = ports;
  return flow;
}

// Two ends of a session and what they are called on either side of the balancer; the left one sends.
struct Session {
  sluice_flow left;
  sluice_flow right;

  sluice_endpoints Forward() const { return {&right.source, &right.destination, right.ports, Delta(), false}; }
  // From the right to the left, for a packet that goes the same way as one that was translated: takes it back.
  sluice_endpoints Undo() const {
    return {&left.source, &left.destination, left.ports, static_cast<uint16_t>(~Delta()), false};
  }
  uint16_t Delta() const { return sluice_flow_delta(&left, &right); }
};

// The frame as it goes on, from its IP header; or its verdict.
struct Crossed {
  sluice_verdict verdict = SLUICE_CONTINUE;
  sluice_packet packet{};
  std::string ip;
};

// As an engine does it: what is in front of the head and behind the end is nobody's.
Crossed Cross(const std::string& frame, const sluice_endpoints& to, uint32_t mtu = kMtu) {
  static ExactBytes exact;
  Crossed crossed;
  uint8_t* data = exact.Place(frame);
  crossed.verdict = sluice_parse(data, exact.end(), &crossed.packet);
  if (crossed.verdict != SLUICE_CONTINUE || crossed.packet.kind > SLUICE_PACKET_ICMP_ERROR) return crossed;
  const std::string l3 = frame.substr(crossed.packet.l3_offset, crossed.packet.l3_length);
  sluice_crossing crossing{};
  const uint8_t* read = exact.Place(l3);
  crossed.verdict = sluice_crossing_read(read, exact.end(), &crossed.packet, mtu, &crossing);
  if (crossed.verdict != SLUICE_CONTINUE) return crossed;
  EXPECT_LE(crossing.after - crossing.before, 48);
  const std::string fence(16, '\x5a');
  std::string moved = fence + std::string(crossing.after, '\xee') + l3.substr(crossing.before);
  EXPECT_LE(fence.size() + crossing.length, moved.size());
  moved.resize(fence.size() + crossing.length);
  uint8_t* head = exact.Place(moved) + fence.size();
  EXPECT_TRUE(sluice_crossing_write(head, exact.end(), &crossed.packet, &crossing, &to, mtu));
  EXPECT_EQ(std::string(reinterpret_cast<char*>(head) - fence.size(), fence.size()), fence);
  crossed.ip.assign(reinterpret_cast<char*>(head), crossing.length);
  return crossed;
}

std::string Framed(const std::string& ip) {
  return std::string(12, '\x02') + Word(ByteAt(ip, 0) >> 4 == 6 ? 0x86dd : 0x0800) + ip;
}

// Random packets, as text and with the session that they are of.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed), ipv6_(Below(2)), tcp_(Below(2)) {
    const auto ports = [this] { return sluice_ports(Port(), Port()); };
    left_ = {Address(ipv6_), Address(ipv6_)};
    right_ = {Address(!ipv6_), Address(!ipv6_)};
    session_.left = FlowOf(PathAddress(left_[0]), PathAddress(left_[1]), ports());
    session_.right = FlowOf(PathAddress(right_[0]), PathAddress(right_[1]), ports());
  }

  const Session& session() const { return session_; }
  bool ipv6() const { return ipv6_; }
  uint32_t Below(uint32_t limit) { return random_() % limit; }

  // From the left end, with all that is left out on the way.
  std::string Left(uint32_t fragment_of = 0) {
    std::string text = Ip(left_[0], left_[1], fragment_of);
    if (fragment_of != 0) absl::StrAppend(&text, " / slice(0, ", fragment_of, ")");
    return text + Transport(session_.left.source_port, session_.left.destination_port);
  }
  std::string LaterFragment() {
    const std::string rest = absl::StrCat(" / slice(16, ", 1 + Below(300), ") / udp / payload(400)");
    const uint32_t at = 8 * (2 + Below(8000));
    const bool more = Below(2);
    std::string text = absl::StrCat(ipv6_ ? "ipv6(src=" : "ipv4(src=", left_[0], ", dst=", left_[1], Tos());
    absl::StrAppend(&text, ipv6_ ? ") / frag6(at=" : ", frag=", at, ", id=", Below(65536));
    if (more) text += ipv6_ ? ", more" : ", mf";
    return absl::StrCat(text, ")", rest);
  }
  // From a router on the left, about what the left end was sent.
  std::string Error(uint32_t kind) {
    static const char* const kKinds[][2] = {{"type=3, code=1", "type=1"},
                                            {"type=3, code=3", "type=1, code=4"},
                                            {"type=3, code=4, mtu=1400", "type=2, mtu=1420"},
                                            {"type=11, code=1", "type=3, code=1"},
                                            {"type=12, rest=0x09000000", "type=4, rest=6"}};
    std::string text = Ip(Address(ipv6_), left_[1], 0);
    absl::StrAppend(&text, ipv6_ ? " / icmp6(" : " / icmp(", kKinds[kind][ipv6_], ") / ");
    return text + Ip(left_[1], left_[0], 0) + Transport(session_.left.destination_port, session_.left.source_port);
  }

 private:
  uint16_t Port() { return SLUICE_16(1 + Below(65535)); }
  std::string Address(bool ipv6) {
    if (!ipv6) return absl::StrCat(Below(256), ".", Below(256), ".", Below(256), ".", Below(256));
    std::string text = "2001";
    for (int i = 0; i < 7; i++) absl::StrAppend(&text, ":", absl::Hex(1 + Below(0xffff)));
    return text;
  }
  std::string Tos() { return absl::StrCat(", tos=", Below(256)); }
  std::string Ip(const std::string& source, const std::string& destination, uint32_t fragment_of) {
    std::string text = absl::StrCat(ipv6_ ? "ipv6(src=" : "ipv4(src=", source, ", dst=", destination, Tos());
    if (!ipv6_) {
      static const char* const kOptions[] = {"", ", options=01010100", ", options=83070800000000009404000001010101"};
      absl::StrAppend(&text, ", ttl=", 3 + Below(253), ", id=", Below(65536), kOptions[Below(3)]);
      return text + (fragment_of != 0 ? ", mf)" : Below(2) ? ", df)" : ")");
    }
    static const char* const kExtensions[] = {"", " / hopopts(16)", " / hopopts / dstopts(24) / routing(16)"};
    absl::StrAppend(&text, ", hop=", 3 + Below(253), ", label=", Below(1u << 20), ")", kExtensions[Below(3)]);
    if (fragment_of != 0) absl::StrAppend(&text, " / frag6(more, id=", Below(65536), ")");
    return text;
  }
  std::string Transport(uint16_t source, uint16_t destination) {
    const std::string ports = absl::StrCat("sport=", SLUICE_16(source), ", dport=", SLUICE_16(destination));
    const uint32_t payload = Below(4) ? Below(1400) : Below(8);
    if (!tcp_) return absl::StrCat(" / udp(", ports, ") / payload(", payload, ")");
    const char* option = Below(2) ? ", options=0101080a0102030405060708" : "";
    return absl::StrCat(" / tcp(", ports, ", seq=", random_(), ", acknr=", random_(), ", ack, window=", Below(65536),
                        option, ") / payload(", payload, ")");
  }

  std::mt19937 random_;
  bool ipv6_;
  bool tcp_;
  std::vector<std::string> left_;
  std::vector<std::string> right_;
  Session session_;
};

// What both versions have, but for the hops and for addresses and ports.
void ExpectAlike(const Reading& before, const Reading& after) {
  EXPECT_NE(before.ipv6, after.ipv6);
  EXPECT_EQ(before.tos, after.tos);
  EXPECT_EQ(before.payload, after.payload);
  EXPECT_EQ(before.fragment, after.fragment);
  if (before.fragmented) {
    EXPECT_EQ(before.identification & 0xffff, after.identification);
  }
  EXPECT_TRUE(after.header_sum_right);
}

std::string AddressesOf(const sluice_flow& flow, bool ipv6) {
  const size_t skip = ipv6 ? 0 : 12;
  return std::string(reinterpret_cast<const char*>(&flow.source) + skip, 16 - skip) +
         std::string(reinterpret_cast<const char*>(&flow.destination) + skip, 16 - skip);
}

std::string PortsOf(const sluice_flow& flow) {
  return std::string(reinterpret_cast<const char*>(&flow.ports), 4);
}

constexpr uint32_t kRounds = 2000;

TEST(Translate46Test, ThereAndBackIsTheSamePacket) {
  for (uint32_t seed = 1; seed <= kRounds; seed++) {
    Generator generator(seed);
    const std::string text = generator.Left();
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", text));
    const Session& session = generator.session();
    const std::string ip = Packet("eth / " + text).substr(kEthernet);
    const Reading before = Read(ip);
    const Crossed there = Cross(Packet("eth / " + text + " / pad(9)"), session.Forward());
    ASSERT_EQ(there.verdict, SLUICE_CONTINUE);
    const Reading middle = Read(there.ip);
    ExpectAlike(before, middle);
    EXPECT_EQ(middle.hops, before.hops - 1);
    EXPECT_EQ(middle.addresses, AddressesOf(session.right, middle.ipv6));
    EXPECT_EQ(middle.transport.substr(0, 4), PortsOf(session.right));
    EXPECT_TRUE(TransportSumRight(middle));
    const uint32_t checksum = WordAt(before.transport, before.protocol == 6 ? 16 : 6);
    if (!middle.ipv6) {
      EXPECT_EQ(middle.identification, checksum);
      EXPECT_EQ(middle.dont_fragment, middle.payload + 20 > 1260 || checksum == 0);
    }
    const Crossed again = Cross(Framed(there.ip), session.Undo());
    ASSERT_EQ(again.verdict, SLUICE_CONTINUE);
    const Reading after = Read(again.ip);
    ExpectAlike(middle, after);
    EXPECT_EQ(after.hops, before.hops - 2);
    EXPECT_EQ(after.addresses, before.addresses);
    EXPECT_EQ(after.transport, before.transport);
    if (testing::Test::HasFailure()) break;
  }
}

TEST(Translate46Test, ThereAndBackIsTheSameFragment) {
  for (uint32_t seed = 1; seed <= kRounds; seed++) {
    Generator generator(seed);
    const bool later = generator.Below(2);
    const std::string text = later ? generator.LaterFragment() : generator.Left(40 + 8 * generator.Below(30));
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", text));
    const Session& session = generator.session();
    const std::string frame = Packet("eth / " + text);
    const Reading before = Read(frame.substr(kEthernet));
    const Crossed there = Cross(frame, session.Forward());
    ASSERT_EQ(there.verdict, SLUICE_CONTINUE);
    const Reading middle = Read(there.ip);
    ExpectAlike(before, middle);
    EXPECT_TRUE(middle.fragmented);
    EXPECT_FALSE(middle.dont_fragment);
    EXPECT_EQ(middle.addresses, AddressesOf(session.right, middle.ipv6));
    if (later) {
      EXPECT_EQ(middle.transport, before.transport);
    } else {
      EXPECT_EQ(middle.transport.substr(0, 4), PortsOf(session.right));
    }
    const Crossed again = Cross(Framed(there.ip), session.Undo());
    ASSERT_EQ(again.verdict, SLUICE_CONTINUE);
    const Reading after = Read(again.ip);
    ExpectAlike(middle, after);
    EXPECT_EQ(after.addresses, before.addresses);
    EXPECT_EQ(after.transport, before.transport);
    if (testing::Test::HasFailure()) break;
  }
}

// The quote's first two words, which only its own version has, left out.
TEST(Translate46Test, ThereAndBackIsTheSameError) {
  for (uint32_t seed = 1; seed <= kRounds; seed++) {
    Generator generator(seed);
    const std::string text = generator.Error(generator.Below(5));
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", text));
    const Session& session = generator.session();
    const std::string frame = Packet("eth / " + text);
    const Reading before = Read(frame.substr(kEthernet));
    const Crossed there = Cross(frame, session.Forward());
    ASSERT_EQ(there.verdict, SLUICE_CONTINUE);
    EXPECT_LE(there.ip.size(), 1280u);
    const Reading middle = Read(there.ip);
    EXPECT_TRUE(middle.header_sum_right);
    EXPECT_TRUE(TransportSumRight(middle));
    EXPECT_EQ(middle.tos, before.tos);
    EXPECT_EQ(middle.hops, before.hops - 1);
    EXPECT_EQ(middle.addresses, AddressesOf(session.right, middle.ipv6));
    const Reading quoted = Read(before.transport.substr(8));
    const Reading quoted_middle = Read(middle.transport.substr(8));
    ExpectAlike(quoted, quoted_middle);
    EXPECT_EQ(quoted_middle.hops, quoted.hops);
    const sluice_flow turned =
        FlowOf(session.right.destination, session.right.source, session.right.ports >> 16 | session.right.ports << 16);
    EXPECT_EQ(quoted_middle.addresses, AddressesOf(turned, middle.ipv6));
    EXPECT_EQ(quoted_middle.transport.substr(0, 4), PortsOf(turned));
    if (quoted_middle.transport.size() == quoted_middle.payload) {
      EXPECT_TRUE(TransportSumRight(quoted_middle));
    }
    const Crossed again = Cross(Framed(there.ip), session.Undo());
    ASSERT_EQ(again.verdict, SLUICE_CONTINUE);
    const Reading after = Read(again.ip);
    EXPECT_TRUE(after.header_sum_right);
    EXPECT_TRUE(TransportSumRight(after));
    EXPECT_EQ(after.transport.substr(0, 2), before.transport.substr(0, 2));
    EXPECT_EQ(after.transport.substr(4, 4), before.transport.substr(4, 4));
    const Reading quoted_after = Read(after.transport.substr(8));
    ExpectAlike(quoted_middle, quoted_after);
    EXPECT_EQ(quoted_after.addresses, quoted.addresses);
    EXPECT_EQ(quoted_after.transport, quoted.transport.substr(0, quoted_after.transport.size()));
    if (testing::Test::HasFailure()) break;
  }
}

// Whatever a packet says: nothing is read or written beyond it, and what comes out is a packet.
TEST(Translate46Test, BrokenPackets) {
  for (uint32_t seed = 1; seed <= 200 * kRounds; seed++) {
    std::mt19937 random(seed);
    std::string frame = SamplePackets()[random() % SamplePackets().size()];
    for (uint32_t i = random() % 6; i > 0; i--)
      frame[14 + random() % (frame.size() - 14)] = static_cast<char>(random());
    if (random() % 4 == 0) frame.resize(frame.size() - random() % 20);
    const bool ipv6 = WordAt(frame, 12) == 0x86dd;
    const Session session = {FlowOf(PathAddress("192.0.2.7"), PathAddress("203.0.113.10"), 5),
                             ipv6 ? FlowOf(PathAddress("198.51.100.64"), PathAddress("10.0.1.11"), 7)
                                  : FlowOf(PathAddress("2001:db8:1::40"), PathAddress("2001:db8:1::11"), 7)};
    const Crossed crossed = Cross(frame, session.Forward(), random() % 2 ? 1500 : 0);
    if (crossed.ip.empty()) continue;
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", absl::BytesToHexString(frame)));
    ASSERT_TRUE(Read(crossed.ip).header_sum_right);
    ExactBytes exact;
    sluice_packet again{};
    const std::string out = Framed(crossed.ip);
    ASSERT_EQ(sluice_parse(exact.Place(out), exact.end(), &again), SLUICE_CONTINUE);
    ASSERT_EQ(again.l3_length, crossed.ip.size());
    // A first fragment without another is a whole packet in IPv4.
    if (again.kind != SLUICE_PACKET_UNUSABLE) {
      ASSERT_EQ(again.kind, crossed.packet.kind);
    }
  }
}

// What is wrong with options is no reason: they are left out.
TEST(Translate46Test, OptionsThatMakeNoSense) {
  const Session session = {FlowOf(PathAddress("192.0.2.7"), PathAddress("203.0.113.10"), 5),
                           FlowOf(PathAddress("2001:db8:1::40"), PathAddress("2001:db8:1::11"), 7)};
  const auto verdict = [&session](const std::string& options) {
    const std::string ip = "ipv4(src=192.0.2.7, dst=203.0.113.10, options=" + options + ")";
    return Cross(Packet("eth / " + ip + " / tcp(syn)"), session.Forward()).verdict;
  };
  for (const char* options : {"44000000", "44010000", "44ff0000", "01010144", "00830704", "01010183", "94048307"}) {
    EXPECT_EQ(verdict(options), SLUICE_CONTINUE) << options;
  }
  EXPECT_EQ(verdict("01830704"), SLUICE_VERDICT_untranslatable);
  EXPECT_EQ(verdict("9404000083030401"), SLUICE_CONTINUE);
  EXPECT_EQ(verdict("94040000890b04010000000000000000"), SLUICE_VERDICT_untranslatable);
}

TEST(Translate46Test, Plateaus) {
  const std::pair<uint32_t, uint32_t> expected[] = {{65535, 32000}, {32001, 32000}, {32000, 17914}, {17914, 8166},
                                                    {8166, 4352},   {4352, 2002},   {2003, 2002},   {2002, 1492},
                                                    {1493, 1492},   {1492, 1260},   {68, 1260}};
  for (const auto& [length, mtu] : expected) EXPECT_EQ(sluice_mtu_plateau(length), mtu) << length;
}

TEST(Translate46Test, LengthsThatIpv4CannotSay) {
  const Session session = {FlowOf(PathAddress("2001:db8:f::7"), PathAddress("2001:db8::10"), 5),
                           FlowOf(PathAddress("198.51.100.64"), PathAddress("10.0.1.11"), 7)};
  const auto verdict = [&session](uint32_t length) {
    const std::string quote = absl::StrCat("ipv6(src=2001:db8::10, dst=2001:db8:f::7, len=", length, ")");
    return Cross(Packet("eth/ipv6(src=2001:db8:f::9, dst=2001:db8::10)/icmp6(type=1)/" + quote + "/tcp"),
                 session.Forward())
        .verdict;
  };
  EXPECT_EQ(verdict(65515), SLUICE_CONTINUE);
  EXPECT_EQ(verdict(65516), SLUICE_VERDICT_untranslatable);
}

}  // namespace
}  // namespace sluice::path_test
