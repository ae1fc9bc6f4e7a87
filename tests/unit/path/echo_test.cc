// Echo through a translation, within and between IP versions: every packet against one that is built from nothing.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "sluice/parse.h"
#include "sluice/translate.h"
#include "sluice/translate46.h"
#include "tests/packet/hand_tables.h"
#include "tests/packet/notation.h"

namespace sluice::path_test {
namespace {

using packet_test::Packet;
using packet_test::PathAddress;

constexpr uint32_t kEthernet = SLUICE_ETHERNET_BYTES;

// Who sends to whom, on one side of the translation.
struct Side {
  bool ipv6;
  std::string source;
  std::string destination;
  uint32_t identifier;
};

Side Client(bool ipv6, uint32_t identifier) {
  if (ipv6) return {true, "2001:db8:f::7", "2001:db8::10", identifier};
  return {false, "192.0.2.7", "203.0.113.10", identifier};
}
Side Server(bool ipv6, uint32_t identifier) {
  if (ipv6) return {true, "2001:db8:1::40", "2001:db8:1::11", identifier};
  return {false, "198.51.100.64", "10.0.1.11", identifier};
}

// The frame of an echo on that side. `rest` is what all of them share.
std::string EchoOn(const Side& side, bool reply, const std::string& ip, const std::string& rest) {
  const std::string& from = reply ? side.destination : side.source;
  const std::string& to = reply ? side.source : side.destination;
  const int type = side.ipv6 ? 128 + reply : reply ? 0 : 8;
  return absl::StrCat("eth/ip", side.ipv6 ? "v6" : "v4", "(src=", from, ", dst=", to, ip, ")/icmp",
                      side.ipv6 ? "6" : "", "(type=", type, ", id=", side.identifier, ", ", rest);
}

sluice_flow FlowOn(const Side& side, bool reply) {
  sluice_flow flow{};
  flow.source = PathAddress(reply ? side.destination : side.source);
  flow.destination = PathAddress(reply ? side.source : side.destination);
  (reply ? flow.destination_port : flow.source_port) = SLUICE_16(side.identifier);
  flow.protocol = SLUICE_IP_ICMP;
  return flow;
}

// The frame as it is on the other side.
std::string Translated(const std::string& text, const Side& to, bool reply, uint16_t delta) {
  std::string frame = Packet(text);
  sluice_packet packet;
  auto* data = reinterpret_cast<uint8_t*>(frame.data());
  EXPECT_EQ(sluice_parse(data, data + frame.size(), &packet), SLUICE_CONTINUE) << text;
  const sluice_flow after = FlowOn(to, reply);
  const sluice_endpoints endpoints = {&after.source, &after.destination, after.ports, delta, false};
  if (to.ipv6 == ((packet.flags & SLUICE_PACKET_IPV6) != 0)) {
    EXPECT_TRUE(sluice_translate(data + kEthernet, data + frame.size(), &packet, &endpoints)) << text;
    return frame;
  }
  sluice_crossing crossing{};
  EXPECT_EQ(sluice_crossing_read(data + kEthernet, data + frame.size(), &packet, 9000, &crossing), SLUICE_CONTINUE);
  std::string out = Packet(EchoOn(to, reply, "", "seq=1)")).substr(0, kEthernet);
  out.append(crossing.after, '\0');
  out.append(frame.substr(kEthernet + crossing.before));
  auto* l3 = reinterpret_cast<uint8_t*>(out.data()) + kEthernet;
  EXPECT_TRUE(sluice_crossing_write(l3, l3 + crossing.length, &packet, &crossing, &endpoints, 9000)) << text;
  return out;
}

// The identification that an IPv4 packet without one gets: its checksum as it came.
std::string Identified(const std::string& text, const Side& to, bool from_ipv6) {
  if (to.ipv6 || !from_ipv6) return "";
  const std::string frame = Packet(text);
  const size_t at = kEthernet + SLUICE_IPV6_BYTES + 2;
  return absl::StrCat(", id=", static_cast<uint8_t>(frame[at]) << 8 | static_cast<uint8_t>(frame[at + 1]));
}

TEST(EchoTest, OfAnyKindAndLength) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; i++) {
    const Side client = Client(random() % 2 != 0, random() % 4 == 0 ? 0 : random() % 65536);
    const Side server = Server(random() % 2 != 0, 1024 + random() % 64512);
    const bool reply = random() % 2 != 0;
    const Side& from = reply ? server : client;
    const Side& to = reply ? client : server;
    const std::string rest = absl::StrCat("seq=", random() % 65536, ")/payload(", random() % 100, ")");
    const sluice_flow before = FlowOn(client, false);
    const sluice_flow after = FlowOn(server, false);
    const uint16_t delta = sluice_echo_delta(&before, &after);
    const std::string in = EchoOn(from, reply, from.ipv6 ? ", hop=9" : ", ttl=9", rest);
    const std::string ip = absl::StrCat(to.ipv6 ? ", hop=8" : ", ttl=8", Identified(in, to, from.ipv6));
    const std::string out = EchoOn(to, reply, ip, rest);
    ASSERT_EQ(Translated(in, to, reply, reply ? static_cast<uint16_t>(~delta) : delta), Packet(out)) << in << "\n"
                                                                                                     << out;
  }
}

TEST(EchoTest, OfZerosAloneTheChecksumIsOnes) {
  const Side client = Client(false, 0);
  const Side server = Server(false, 5000);
  const sluice_flow before = FlowOn(client, false);
  const sluice_flow after = FlowOn(server, false);
  const auto delta = static_cast<uint16_t>(~sluice_echo_delta(&before, &after));
  EXPECT_EQ(Translated(EchoOn(server, true, ", ttl=9", "seq=0)"), client, true, delta),
            Packet(EchoOn(client, true, ", ttl=8", "seq=0, sum=0xffff)")));
  const Side six = Server(true, 5000);
  const sluice_flow across = FlowOn(six, false);
  const auto back = static_cast<uint16_t>(~sluice_echo_delta(&before, &across));
  const std::string in = EchoOn(six, true, ", hop=9", "seq=0)");
  const std::string ip = absl::StrCat(", ttl=8", Identified(in, client, true));
  EXPECT_EQ(Translated(in, client, true, back), Packet(EchoOn(client, true, ip, "seq=0, sum=0xffff)")));
}

}  // namespace
}  // namespace sluice::path_test
