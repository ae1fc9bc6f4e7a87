#include "tests/fuzz/session_frames.h"

#include <array>

#include "sluice/session.h"
#include "tests/packet/bytes.h"
#include "tests/packet/hand_tables.h"

namespace sluice::fuzz {
namespace {

using packet_test::Byte;
using packet_test::ByteAt;
using packet_test::Fold;
using packet_test::Long;
using packet_test::Sum;
using packet_test::Word;
using packet_test::WordAt;

struct Ends {
  std::string source;
  std::string destination;
  bool ipv6;
};

std::string AddressBytes(const char* text) {
  const sluice_address address = packet_test::PathAddress(text);
  const std::string bytes(reinterpret_cast<const char*>(address.words), sizeof(address));
  return sluice_address_is_ipv4(&address) ? bytes.substr(12) : bytes;
}

// Client 7 is a server itself.
Ends EndsOf(uint8_t who) {
  const char* const address = packet_test::kSessionVirtuals[who % std::size(packet_test::kSessionVirtuals)];
  const bool ipv6 = std::string(address).find(':') != std::string::npos;
  const uint32_t client = who >> 5;
  std::string source = ipv6 ? AddressBytes("2001:db8:99::1") : AddressBytes("192.0.2.1");
  source.back() = static_cast<char>(client + 1);
  if (client == 7) source = ipv6 ? AddressBytes("2001:db8:6::1") : AddressBytes("10.0.1.1");
  return {source, AddressBytes(address), ipv6};
}

std::string Checksum(uint32_t sum) {
  const auto checksum = static_cast<uint16_t>(~Fold(sum));
  return Word(checksum == 0 ? 0xffff : checksum);
}

std::string Ethernet(bool ipv6, bool vlan) {
  return Word(0x0200) + Long(1) + Word(0x0200) + Long(0xaa) + (vlan ? Word(0x8100) + Word(9) : "") +
         Word(ipv6 ? 0x86dd : 0x0800);
}

// `fragment`: the offset in bytes, and 1 when more follow; -1: none.
std::string Ip(const Ends& ends, uint8_t protocol, const std::string& payload, int fragment, uint16_t id) {
  if (ends.ipv6) {
    const std::string extension =
        fragment < 0 ? "" : Byte(protocol) + Byte(0) + Word(static_cast<uint64_t>(fragment)) + Long(id);
    return Long(0x60000000) + Word(extension.size() + payload.size()) + Byte(fragment < 0 ? protocol : 44) + Byte(64) +
           ends.source + ends.destination + extension + payload;
  }
  const int flags = fragment < 0 ? 0x4000 : fragment >> 3 | (fragment & 1) << 13;
  std::string header = Word(0x4500) + Word(20 + payload.size()) + Word(id) + Word(static_cast<uint64_t>(flags)) +
                       Byte(64) + Byte(protocol) + Word(0) + ends.source + ends.destination;
  header.replace(10, 2, Checksum(Sum(header)));
  return header + payload;
}

std::string WithChecksum(const Ends& ends, uint8_t protocol, std::string segment) {
  const uint32_t sum =
      Sum(segment) + Sum(ends.source + ends.destination) + protocol + static_cast<uint32_t>(segment.size());
  return segment.replace(protocol == SLUICE_IP_TCP ? 16 : 6, 2, Checksum(sum));
}

}  // namespace

packet_test::AnswerNumbers NumbersOf(uint8_t how) {
  static constexpr uint8_t kFlags[] = {SLUICE_TCP_ACK,
                                       SLUICE_TCP_SYN | SLUICE_TCP_ACK,
                                       SLUICE_TCP_FIN | SLUICE_TCP_ACK,
                                       SLUICE_TCP_RST,
                                       SLUICE_TCP_RST | SLUICE_TCP_ACK,
                                       SLUICE_TCP_SYN,
                                       0,
                                       SLUICE_TCP_ACK | 8};
  static constexpr uint32_t kNumbers[] = {1000, 1001, 5000, 5001};
  return {kFlags[how & 7], kNumbers[how >> 3 & 3], kNumbers[how >> 5 & 3]};
}

std::string ClientPacket(uint8_t who, uint8_t how, uint8_t what, uint16_t port) {
  const Ends ends = EndsOf(who);
  const uint16_t source = port != 0 ? port : static_cast<uint16_t>(40000 + (how >> 6));
  const std::string payload((how & 0xf) * 100, 'x');
  if (what == 2) {
    const std::string head = Word(source) + Word(who & 8 ? 53 : 1002) + Word(8 + payload.size()) + Word(0);
    const bool none = (how & 0x30) == 0x30;
    const std::string udp = none ? head + payload : WithChecksum(ends, SLUICE_IP_UDP, head + payload);
    return Ethernet(ends.ipv6, who & 16) + Ip(ends, SLUICE_IP_UDP, udp, -1, how);
  }
  const packet_test::AnswerNumbers numbers =
      what == 0 ? packet_test::AnswerNumbers{SLUICE_TCP_SYN, 1000, 0} : NumbersOf(how);
  std::string tcp = Word(source) + Word(who & 8 ? 80 : 1001) + Long(numbers.sequence) + Long(numbers.acknowledgment) +
                    Word(0x8000 | numbers.flags) + Word(8192) + Long(0);
  tcp += Long(0x01020405) + Long(0xb4010303) + Long(0x07000000) + (what == 0 ? "" : payload);
  return Ethernet(ends.ipv6, who & 16) + Ip(ends, SLUICE_IP_TCP, WithChecksum(ends, SLUICE_IP_TCP, tcp), -1, how);
}

std::array<std::string, 2> ClientPieces(uint8_t who, uint8_t how) {
  const Ends ends = EndsOf(who);
  const std::string whole = WithChecksum(
      ends, SLUICE_IP_UDP, Word(40000) + Word(1002) + Word(64) + Word(0) + std::string(56, static_cast<char>(how)));
  const std::string ethernet = Ethernet(ends.ipv6, false);
  std::array<std::string, 2> pieces = {ethernet + Ip(ends, SLUICE_IP_UDP, whole.substr(0, 32), 1, how & 7),
                                       ethernet + Ip(ends, SLUICE_IP_UDP, whole.substr(32), 32, how & 7)};
  // The later one first.
  if (how & 0x80) std::swap(pieces[0], pieces[1]);
  return pieces;
}

bool CanAnswer(const std::string& frame) {
  const size_t ip = packet_test::IpOffset(frame);
  if (ip == 0) return false;
  const uint32_t first = ByteAt(frame, ip);
  const bool ipv6 = first >> 4 == 6;
  if (!ipv6 && (first != 0x45 || (WordAt(frame, ip + 6) & 0x1fff) != 0)) return false;
  const size_t l4 = ip + (ipv6 ? 40 : 20);
  const size_t end = ipv6 ? l4 + WordAt(frame, ip + 4) : ip + WordAt(frame, ip + 2);
  const uint32_t protocol = ByteAt(frame, ip + (ipv6 ? 6 : 9));
  if (end > frame.size() || (protocol != SLUICE_IP_TCP && protocol != SLUICE_IP_UDP)) return false;
  return end >= l4 + (protocol == SLUICE_IP_TCP ? SLUICE_TCP_BYTES : SLUICE_UDP_BYTES);
}

}  // namespace sluice::fuzz
