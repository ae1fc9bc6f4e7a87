#include "tests/unit/path/naive_parse.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "tests/packet/bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::ByteAt;
using packet_test::LongAt;
using packet_test::WordAt;

// Ends a parse.
struct Stop {
  sluice_verdict verdict;
  // The packet's IP header is good: it is only unusable when it is for a virtual address.
  bool unusable;
};

void Need(bool holds, sluice_verdict verdict) {
  if (!holds) throw Stop{verdict, false};
}
void Want(bool holds, sluice_verdict verdict) {
  if (!holds) throw Stop{verdict, true};
}

sluice_address AddressAt(std::string_view bytes, bool ipv6) {
  std::string address(ipv6 ? bytes.substr(0, 16) : bytes.substr(0, 4));
  if (!ipv6) address = std::string(10, '\0') + "\xff\xff" + address;
  sluice_address result;
  memcpy(&result, address.data(), sizeof(result));
  return result;
}

bool IsMapped(std::string_view address) {
  return address.substr(0, 12) == std::string(10, '\0') + "\xff\xff";
}

struct Extensions {
  uint32_t protocol = 0;
  size_t offset = 0;
  bool fragmented = false;
  uint32_t fragment_offset = 0;
  bool more = false;
  uint32_t id = 0;
};

// `bytes` starts with the first extension header.
Extensions Walk(std::string_view bytes, uint32_t protocol) {
  const std::set<uint32_t> known = {0, 43, 44, 51, 60, 135, 139, 140};
  Extensions at{.protocol = protocol};
  for (int count = 0; known.contains(at.protocol); count++) {
    Want(count < 8, SLUICE_VERDICT_extension_depth);
    Want(bytes.size() >= at.offset + 8, SLUICE_VERDICT_truncated_extension);
    const uint32_t type = at.protocol;
    const uint32_t length = ByteAt(bytes, at.offset + 1);
    at.protocol = ByteAt(bytes, at.offset);
    if (type == 44) {
      at.fragmented = true;
      at.fragment_offset = WordAt(bytes, at.offset + 2) & 0xfff8;
      at.more = (WordAt(bytes, at.offset + 2) & 1) != 0;
      at.id = LongAt(bytes, at.offset + 4);
    }
    at.offset += type == 44 ? 8 : type == 51 ? (length + 2) * 4 : (length + 1) * 8;
    if (type == 44 && at.fragment_offset != 0) break;
    Want(at.offset <= 1024, SLUICE_VERDICT_extension_depth);
  }
  return at;
}

class Parser {
 public:
  Parser(std::string_view frame, sluice_packet* packet) : frame_(frame), packet_(*packet) {}

  void Run() {
    Need(frame_.size() >= 14, SLUICE_VERDICT_truncated_ethernet);
    size_t at = 12;
    for (int tags = 0; IsTag(WordAt(frame_, at)); tags++) {
      Need(tags < 2, SLUICE_VERDICT_pass_vlan_depth);
      Need(frame_.size() >= at + 6, SLUICE_VERDICT_truncated_ethernet);
      at += 4;
    }
    packet_.l3_offset = static_cast<uint16_t>(at + 2);
    ip_ = frame_.substr(at + 2);
    switch (WordAt(frame_, at)) {
      case 0x0800:
        return Ipv4();
      case 0x86dd:
        return Ipv6();
      case 0x0806:
        return Arp();
      default:
        Need(false, SLUICE_VERDICT_pass_not_ip);
    }
  }

 private:
  static bool IsTag(uint32_t type) { return type == 0x8100 || type == 0x88a8; }

  void Arp() {
    Need(ip_.size() >= 28, SLUICE_VERDICT_truncated_ip);
    Need(ip_.substr(0, 8) == std::string("\0\1\10\0\6\4\0\1", 8), SLUICE_VERDICT_pass_not_virtual);
    packet_.kind = SLUICE_PACKET_ARP;
    packet_.l3_length = 28;
    packet_.flow.source = AddressAt(ip_.substr(14), false);
    packet_.flow.destination = AddressAt(ip_.substr(24), false);
  }

  void Ipv4() {
    Need(ip_.size() >= 20, SLUICE_VERDICT_truncated_ip);
    const uint32_t header = (ByteAt(ip_, 0) & 15) * 4;
    const uint32_t total = WordAt(ip_, 2);
    Need(ByteAt(ip_, 0) >> 4 == 4 && header >= 20 && total >= header, SLUICE_VERDICT_malformed_ip);
    Need(ip_.size() >= total, SLUICE_VERDICT_truncated_ip);
    packet_.l3_length = total;
    packet_.l4_offset = static_cast<uint16_t>(packet_.l3_offset + header);
    packet_.flow.source = AddressAt(ip_.substr(12), false);
    packet_.flow.destination = AddressAt(ip_.substr(16), false);
    packet_.flow.protocol = ByteAt(ip_, 9);
    const uint32_t offset = (WordAt(ip_, 6) & 0x1fff) * 8;
    const bool more = (WordAt(ip_, 6) & 0x2000) != 0;
    if (offset != 0 || more) {
      uint16_t id;
      memcpy(&id, &ip_[4], sizeof(id));
      packet_.fragment_id = id;
    }
    Fragment(offset, more);
    if (offset == 0) Transport(ip_.substr(header, total - header));
  }

  void Ipv6() {
    Need(ip_.size() >= 40, SLUICE_VERDICT_truncated_ip);
    Need(ByteAt(ip_, 0) >> 4 == 6, SLUICE_VERDICT_malformed_ip);
    const uint32_t total = 40 + WordAt(ip_, 4);
    Need(ip_.size() >= total, SLUICE_VERDICT_truncated_ip);
    Need(!IsMapped(ip_.substr(8)) && !IsMapped(ip_.substr(24)), SLUICE_VERDICT_malformed_ip);
    packet_.flags = SLUICE_PACKET_IPV6;
    packet_.l3_length = total;
    packet_.flow.source = AddressAt(ip_.substr(8), true);
    packet_.flow.destination = AddressAt(ip_.substr(24), true);
    const Extensions extensions = Walk(ip_.substr(40), ByteAt(ip_, 6));
    Want(40 + extensions.offset <= total, SLUICE_VERDICT_truncated_extension);
    packet_.flow.protocol = extensions.protocol;
    packet_.l4_offset = static_cast<uint16_t>(packet_.l3_offset + 40 + extensions.offset);
    if (extensions.fragmented) memcpy(&packet_.fragment_id, &Swapped(extensions.id), 4);
    Fragment(extensions.fragment_offset, extensions.more);
    if (extensions.fragment_offset == 0) {
      Transport(ip_.substr(40 + extensions.offset, total - 40 - extensions.offset));
    }
  }

  // A number as it lies in the packet.
  const uint32_t& Swapped(uint32_t value) {
    swapped_ = __builtin_bswap32(value);
    return swapped_;
  }

  void Fragment(uint32_t offset, bool more) {
    if (offset != 0) {
      Want(offset != 8 || packet_.flow.protocol != 6, SLUICE_VERDICT_tiny_fragment);
      packet_.kind = SLUICE_PACKET_LATER_FRAGMENT;
    } else if (more) {
      packet_.flags |= SLUICE_PACKET_FIRST_FRAGMENT;
      first_ = true;
    }
  }

  void Transport(std::string_view bytes) {
    const bool ipv6 = packet_.flags & SLUICE_PACKET_IPV6;
    const uint32_t protocol = packet_.flow.protocol;
    if (protocol == 6) return Tcp(bytes);
    if (protocol == 17) return Udp(bytes);
    Want(protocol == (ipv6 ? 58u : 1u), SLUICE_VERDICT_unsupported_protocol);
    Icmp(bytes, ipv6);
  }

  void Ports(std::string_view bytes) { memcpy(&packet_.flow.ports, bytes.data(), 4); }

  void Tcp(std::string_view bytes) {
    const sluice_verdict shorter = first_ ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_truncated_transport;
    Want(bytes.size() >= 20, shorter);
    Ports(bytes);
    const uint32_t header = (ByteAt(bytes, 12) >> 4) * 4;
    Want(header <= bytes.size(), first_ ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_malformed_tcp);
    Want(header >= 20, SLUICE_VERDICT_malformed_tcp);
    const uint32_t flags = ByteAt(bytes, 13);
    const bool fin = flags & 1, syn = flags & 2, rst = flags & 4, ack = flags & 16;
    Want(!(syn && (fin || rst)), SLUICE_VERDICT_malformed_tcp);
    Want(WordAt(bytes, 0) != 0 && WordAt(bytes, 2) != 0, SLUICE_VERDICT_zero_port);
    if (syn && !ack) packet_.flags |= SLUICE_PACKET_SYN;
    if (fin || rst) packet_.flags |= SLUICE_PACKET_CLOSE;
  }

  void Udp(std::string_view bytes) {
    Want(bytes.size() >= 8, first_ ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_truncated_transport);
    Ports(bytes);
    const uint32_t length = WordAt(bytes, 4);
    Want(length >= 8 && (first_ || length <= bytes.size()), SLUICE_VERDICT_malformed_udp);
    Want(WordAt(bytes, 0) != 0 && WordAt(bytes, 2) != 0, SLUICE_VERDICT_zero_port);
  }

  void Icmp(std::string_view bytes, bool ipv6) {
    Want(bytes.size() >= 8, SLUICE_VERDICT_truncated_transport);
    const uint32_t type = ByteAt(bytes, 0);
    const bool request = type == (ipv6 ? 128u : 8u);
    if ((request || type == (ipv6 ? 129u : 0u)) && ByteAt(bytes, 1) == 0) {
      packet_.kind = request ? SLUICE_PACKET_ECHO : SLUICE_PACKET_ECHO_REPLY;
      packet_.reason = SLUICE_VERDICT_unsupported_icmp;
      packet_.flow.protocol = 1;
      memcpy(request ? &packet_.flow.source_port : &packet_.flow.destination_port, &bytes[4], 2);
      return;
    }
    Want(!first_, SLUICE_VERDICT_unsupported_icmp);
    const std::set<uint32_t> errors = ipv6 ? std::set<uint32_t>{1, 2, 3, 4} : std::set<uint32_t>{3, 11, 12};
    if (errors.contains(type)) {
      Quote(bytes.substr(8), ipv6);
    } else if (ipv6 && type == 135) {
      Want(bytes.size() >= 24, SLUICE_VERDICT_truncated_transport);
      Want(ByteAt(ip_, 7) == 255 && ByteAt(bytes, 1) == 0, SLUICE_VERDICT_unsupported_icmp);
      packet_.kind = SLUICE_PACKET_NEIGHBOR;
      packet_.flow.destination = AddressAt(bytes.substr(8), true);
    } else {
      Want(false, SLUICE_VERDICT_unsupported_icmp);
    }
  }

  void Quote(std::string_view quote, bool ipv6) {
    Want(quote.size() >= (ipv6 ? 40u : 20u), SLUICE_VERDICT_truncated_quote);
    Want(ByteAt(quote, 0) >> 4 == (ipv6 ? 6u : 4u), SLUICE_VERDICT_unusable_quote);
    const sluice_address from = AddressAt(quote.substr(ipv6 ? 8 : 12), ipv6);
    const sluice_address to = AddressAt(quote.substr(ipv6 ? 24 : 16), ipv6);
    Want(sluice_address_equal(&from, &packet_.flow.destination), SLUICE_VERDICT_unusable_quote);
    uint32_t protocol = ByteAt(quote, ipv6 ? 6 : 9);
    size_t offset = ipv6 ? 40 : (ByteAt(quote, 0) & 15) * 4;
    bool later = !ipv6 && (WordAt(quote, 6) & 0x1fff) != 0;
    if (ipv6) {
      try {
        // Like the path, on whatever is there; what is beyond the quote is too much below.
        const Extensions extensions = Walk(frame_.substr(quote.data() - frame_.data() + 40), protocol);
        protocol = extensions.protocol;
        offset += extensions.offset;
        later = extensions.fragment_offset != 0;
      } catch (const Stop&) {
        Want(false, SLUICE_VERDICT_unusable_quote);
      }
    }
    const bool echo = protocol == (ipv6 ? 58u : 1u);
    Want(!later && offset >= 20 && (protocol == 6 || protocol == 17 || echo), SLUICE_VERDICT_unusable_quote);
    Want(quote.size() >= offset + 8, SLUICE_VERDICT_truncated_quote);
    packet_.flow.source = to;
    packet_.flow.protocol = protocol;
    packet_.quote_l4 = static_cast<uint32_t>(offset);
    if (echo) {
      const uint32_t type = ByteAt(quote, offset);
      const bool request = type == (ipv6 ? 128u : 8u);
      Want(ByteAt(quote, offset + 1) == 0 && (request || type == (ipv6 ? 129u : 0u)), SLUICE_VERDICT_unusable_quote);
      packet_.kind = SLUICE_PACKET_ICMP_ERROR;
      packet_.flow.protocol = 1;
      packet_.flow.ports = 0;
      memcpy(request ? &packet_.flow.destination_port : &packet_.flow.source_port, &quote[offset + 4], 2);
      return;
    }
    memcpy(&packet_.flow.source_port, &quote[offset + 2], 2);
    memcpy(&packet_.flow.destination_port, &quote[offset], 2);
    packet_.kind = SLUICE_PACKET_ICMP_ERROR;
    Want(packet_.flow.source_port != 0 && packet_.flow.destination_port != 0, SLUICE_VERDICT_zero_port);
  }

  std::string_view frame_;
  sluice_packet& packet_;
  // From the IP header to the frame's end.
  std::string_view ip_;
  bool first_ = false;
  uint32_t swapped_ = 0;
};

}  // namespace

Parsed NaiveParse(std::string_view frame) {
  Parsed parsed;
  try {
    Parser(frame, &parsed.packet).Run();
  } catch (const Stop& stop) {
    if (stop.unusable) {
      parsed.packet.kind = SLUICE_PACKET_UNUSABLE;
      parsed.packet.reason = static_cast<uint8_t>(stop.verdict);
    } else {
      parsed.verdict = stop.verdict;
    }
  }
  return parsed;
}

Parsed PathParse(const uint8_t* data, const uint8_t* end) {
  Parsed parsed;
  memset(&parsed.packet, 0xa5, sizeof(parsed.packet));
  parsed.verdict = sluice_parse(data, end, &parsed.packet);
  return parsed;
}

// Of an unusable packet only the reason and whom it is for count: nothing else is used.
std::string Text(const Parsed& parsed) {
  if (parsed.verdict != SLUICE_CONTINUE) return sluice_verdict_name(parsed.verdict);
  const sluice_packet& packet = parsed.packet;
  Address source, destination;
  memcpy(source.bytes.data(), &packet.flow.source, 16);
  memcpy(destination.bytes.data(), &packet.flow.destination, 16);
  const std::string to = FormatAddress(destination);
  if (packet.kind == SLUICE_PACKET_UNUSABLE) return absl::StrCat("for ", to, ": ", sluice_verdict_name(packet.reason));
  const bool ports = packet.kind == SLUICE_PACKET_FLOW || packet.kind == SLUICE_PACKET_ICMP_ERROR ||
                     packet.kind == SLUICE_PACKET_ECHO || packet.kind == SLUICE_PACKET_ECHO_REPLY;
  return absl::StrCat("kind ", packet.kind, " protocol ", packet.flow.protocol, " ", FormatAddress(source), " > ", to,
                      ports ? absl::StrCat(" ports ", SLUICE_16(packet.flow.source_port), " > ",
                                           SLUICE_16(packet.flow.destination_port))
                            : "",
                      " flags ", packet.flags, " fragment ", packet.fragment_id, " l3 ", packet.l3_offset, "+",
                      packet.l3_length, " l4 ", packet.l4_offset);
}

}  // namespace sluice::path_test
