#include "path_samples.h"

#include "path_tables.h"
#include "sluice/verdict.h"

namespace sluice::path_test {
namespace {

using namespace decap_test;  // NOLINT(google-build-using-namespace): the vocabulary of every line below

constexpr char kClient4[] = "198.51.100.7";
constexpr char kClient6[] = "2001:db8:7::7";
constexpr uint8_t kSyn = 0x02, kAck = 0x10, kFin = 0x01;
constexpr size_t kLink = 14;
constexpr uint8_t kRouting = 43, kAuthentication = 51;

const Bytes kTags[] = {"", Word(0x8100) + Word(0x0007), Word(0x88a8) + Word(0x0064) + Word(0x8100) + Word(0x0007)};

Bytes Tcp(unsigned source, unsigned destination, uint8_t flags, const Bytes& payload = "") {
  return Word(source) + Word(destination) + Zeros(8) + Byte(0x50) + Byte(flags) + Word(1000) + Zeros(4) + payload;
}

Bytes UdpFrom(unsigned source, unsigned destination, const Bytes& payload) {
  return Word(source) + Word(destination) + Word(8 + payload.size()) + Word(0x1234) + payload;
}

Bytes Icmp(uint8_t type, uint8_t code, const Bytes& rest) {
  return Byte(type) + Byte(code) + Word(0x4321) + rest;
}

Bytes To(Family family, uint8_t protocol, const Bytes& payload, const Bytes& options = "", uint16_t fragment = 0) {
  const bool ipv4 = family == Family::kIpv4;
  const IpHeader header = {.source = ipv4 ? kClient4 : kClient6,
                           .destination = ipv4 ? kVirtual4 : kVirtual6,
                           .protocol = protocol,
                           .ecn = 1,
                           .options = options,
                           .ipv4_fragment = fragment};
  return Ip(family, header, payload);
}

// What the virtual address sent, as an ICMP error quotes it.
Bytes From(Family family, uint8_t protocol, const Bytes& payload, const Bytes& options = "") {
  const bool ipv4 = family == Family::kIpv4;
  const IpHeader header = {.source = ipv4 ? kVirtual4 : kVirtual6,
                           .destination = ipv4 ? kClient4 : kClient6,
                           .protocol = protocol,
                           .options = options};
  return Ip(family, header, payload);
}

uint8_t IcmpOf(Family family) {
  return family == Family::kIpv4 ? SLUICE_IP_ICMP : SLUICE_IP_ICMPV6;
}

Bytes FragmentHeader(uint8_t next, unsigned offset_and_more, unsigned id) {
  return Byte(next) + Byte(0) + Word(offset_and_more) + Word(0) + Word(id);
}

Bytes Options(uint8_t next, size_t units = 0) {
  return Byte(next) + Byte(static_cast<unsigned>(units)) + Zeros(6 + units * 8);
}

int VerdictOf(uint32_t pool) {
  return pool == kNoNextHop ? SLUICE_VERDICT_no_next_hop
         : pool == kEmpty   ? SLUICE_VERDICT_no_backend
                            : SLUICE_VERDICT_forwarded;
}

// Every pool, family, depth of tags and protocol; the TCP flow goes on and ends.
void AddFlows(std::vector<Sample>& all) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const Bytes& tag : kTags) {
      for (uint32_t pool = 0; pool < kPools; pool++) {
        const unsigned port = kFirstPort + pool;
        const std::string name = std::string(family == Family::kIpv4 ? "4" : "6") + " pool " + std::to_string(pool) +
                                 " tag " + std::to_string(tag.size());
        for (uint8_t flags : {kSyn, kAck, static_cast<uint8_t>(kFin | kAck), kSyn}) {
          const Bytes segment = Tcp(1000 + static_cast<unsigned>(tag.size()), port, flags, Bytes(40, 't'));
          all.push_back(
              {name + " tcp", Ethernet(family, To(family, kProtocolTcp, segment), tag), VerdictOf(pool), true});
        }
        const Bytes datagram = UdpFrom(2000, port, Bytes(17, 'u'));
        all.push_back({name + " udp", Ethernet(family, To(family, kProtocolUdp, datagram), tag), VerdictOf(pool)});
        const Bytes large = UdpFrom(2001, port, Bytes(700, 'l'));
        const bool small = pool == kDsrSmall || pool == kIpipSmall;
        all.push_back({name + " large", Ethernet(family, To(family, kProtocolUdp, large), tag),
                       small ? int{SLUICE_VERDICT_replied_too_big} : VerdictOf(pool)});
        const Bytes quoted = From(family, kProtocolUdp, UdpFrom(port, 2000, ""));
        const Bytes error = Icmp(family == Family::kIpv4 ? 3 : 1, 4, Zeros(4) + quoted);
        all.push_back({name + " icmp", Ethernet(family, To(family, IcmpOf(family), error), tag), VerdictOf(pool)});
      }
    }
  }
}

void AddFragments(std::vector<Sample>& all) {
  const Family six = Family::kIpv6;
  for (uint32_t pool : {kDsr, kIpipOver4, kGueOver6}) {
    const Bytes first = UdpFrom(3000 + pool, kFirstPort + pool, Bytes(24, 'f'));
    const Bytes payload = Bytes(32, 'g');
    all.push_back({"first fragment 4", Ethernet(Family::kIpv4, To(Family::kIpv4, kProtocolUdp, first, "", 0x2000)),
                   SLUICE_VERDICT_forwarded});
    all.push_back({"later fragment 4", Ethernet(Family::kIpv4, To(Family::kIpv4, kProtocolUdp, payload, "", 0x2004)),
                   SLUICE_VERDICT_forwarded, true});
    all.push_back({"first fragment 6",
                   Ethernet(six, To(six, kProtocolFragment, first, FragmentHeader(kProtocolUdp, 1, 100 + pool))),
                   SLUICE_VERDICT_forwarded});
    all.push_back({"later fragment 6",
                   Ethernet(six, To(six, kProtocolFragment, payload, FragmentHeader(kProtocolUdp, 32, 100 + pool))),
                   SLUICE_VERDICT_forwarded, true});
  }
  const Bytes unknown = FragmentHeader(kProtocolUdp, 32, 9999);
  all.push_back({"unknown fragment", Ethernet(six, To(six, kProtocolFragment, Bytes(32, 'g'), unknown)),
                 SLUICE_VERDICT_unknown_fragment});
  all.push_back({"tiny fragment", Ethernet(Family::kIpv4, To(Family::kIpv4, kProtocolTcp, Bytes(8, 'g'), "", 0x2000)),
                 SLUICE_VERDICT_tiny_fragment});
  all.push_back({"overlapping", Ethernet(Family::kIpv4, To(Family::kIpv4, kProtocolTcp, Bytes(16, 'g'), "", 0x0001)),
                 SLUICE_VERDICT_tiny_fragment});
}

void AddOptions(std::vector<Sample>& all) {
  const Family four = Family::kIpv4, six = Family::kIpv6;
  const Bytes segment = Tcp(4000, kFirstPort + kIpipOver6, kSyn, Bytes(9, 'o'));
  for (size_t words : {1u, 5u, 10u}) {
    const Bytes options(words * 4, '\x01');
    all.push_back({"ipv4 options", Ethernet(four, To(four, kProtocolTcp, segment, options)), SLUICE_VERDICT_forwarded});
  }
  const Bytes chain = Options(kRouting) + Options(kAuthentication, 2) + Byte(kProtocolDestinationOptions) + Byte(4) +
                      Zeros(22) + Options(kProtocolTcp, 3);
  all.push_back({"extensions", Ethernet(six, To(six, kProtocolHopByHop, segment, chain)), SLUICE_VERDICT_forwarded});
  for (int depth : {SLUICE_EXTENSION_HEADERS - 1, SLUICE_EXTENSION_HEADERS, SLUICE_EXTENSION_HEADERS + 1}) {
    Bytes deep;
    for (int i = 1; i < depth; i++) deep += Options(kProtocolDestinationOptions);
    deep += Options(kProtocolTcp);
    all.push_back({"depth " + std::to_string(depth), Ethernet(six, To(six, kProtocolDestinationOptions, segment, deep)),
                   depth <= SLUICE_EXTENSION_HEADERS ? SLUICE_VERDICT_forwarded : SLUICE_VERDICT_extension_depth});
  }
  all.push_back({"long extension", Ethernet(six, To(six, kProtocolHopByHop, segment, Options(kProtocolTcp, 128))),
                 SLUICE_VERDICT_extension_depth});
  all.push_back({"port range", Ethernet(six, To(six, kProtocolTcp, Tcp(4001, 9009, kSyn))), SLUICE_VERDICT_forwarded});
  all.push_back({"no range", Ethernet(six, To(six, kProtocolTcp, Tcp(4001, 9010, kSyn))), SLUICE_VERDICT_no_listener});
  Bytes last_hop = Ethernet(four, To(four, kProtocolTcp, segment));
  last_hop[kLink + 8] = 1;
  all.push_back({"last hop", last_hop, SLUICE_VERDICT_ttl_expired});
}

void AddIcmp(std::vector<Sample>& all) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool ipv4 = family == Family::kIpv4;
    const auto icmp = [&](const Bytes& message) { return Ethernet(family, To(family, IcmpOf(family), message)); };
    for (const Bytes& tag : kTags) {
      const Bytes echo = Icmp(ipv4 ? 8 : 128, 0, Word(7) + Word(1) + Bytes(31, 'e'));
      all.push_back({"echo", Ethernet(family, To(family, IcmpOf(family), echo), tag), SLUICE_VERDICT_replied_echo});
    }
    const uint8_t unreachable = ipv4 ? 3 : 1;
    const Bytes segment = Tcp(kFirstPort, 1000, kAck);
    all.push_back({"quoted tcp", icmp(Icmp(unreachable, 1, Zeros(4) + From(family, kProtocolTcp, segment))),
                   SLUICE_VERDICT_forwarded});
    all.push_back({"short quote", icmp(Icmp(unreachable, 1, Zeros(4) + From(family, kProtocolTcp, Zeros(7)))),
                   SLUICE_VERDICT_truncated_quote});
    all.push_back({"another's quote", icmp(Icmp(unreachable, 1, Zeros(4) + To(family, kProtocolTcp, segment))),
                   SLUICE_VERDICT_unusable_quote});
    const Bytes to_small = From(family, kProtocolUdp, UdpFrom(kFirstPort + kDsrSmall, 1000, "")) + Zeros(560);
    all.push_back({"error too big", icmp(Icmp(unreachable, 1, Zeros(4) + to_small)), SLUICE_VERDICT_too_big});
    all.push_back({"redirect", icmp(Icmp(ipv4 ? 5 : 137, 1, Zeros(40))), SLUICE_VERDICT_unsupported_icmp});
    all.push_back({"other protocol", Ethernet(family, To(family, 47, Zeros(40))), SLUICE_VERDICT_unsupported_protocol});
  }
  const Family six = Family::kIpv6;
  const Bytes quoted = From(six, kProtocolHopByHop, Tcp(kFirstPort, 1000, kAck),
                            Options(kProtocolDestinationOptions) + Options(kProtocolTcp, 2));
  all.push_back({"extensions in a quote", Ethernet(six, To(six, SLUICE_IP_ICMPV6, Icmp(3, 0, Zeros(4) + quoted))),
                 SLUICE_VERDICT_forwarded});
}

void AddNeighbors(std::vector<Sample>& all) {
  for (const char* target : {kVirtual4, kQuiet4, "203.0.113.12"}) {
    const Bytes arp = Word(1) + Word(0x0800) + Byte(6) + Byte(4) + Word(1) + Bytes("\x02\0\0\0\0\x02", 6) +
                      AddressBytes(Family::kIpv4, kClient4) + Zeros(6) + AddressBytes(Family::kIpv4, target);
    for (const Bytes& tag : kTags) {
      const Bytes head = Bytes("\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x02", 12) + tag + Word(SLUICE_ETHERTYPE_ARP);
      all.push_back({std::string("arp ") + target, head + arp + Zeros(18),
                     target == kVirtual4 ? SLUICE_VERDICT_replied_arp : SLUICE_VERDICT_pass_not_virtual});
    }
  }
  for (const char* source : {kClient6, "::", kVirtual6}) {
    const Bytes option = source[0] == ':' ? "" : Bytes("\x01\x01\x02\0\0\0\0\x02", 8);
    const Bytes message = Icmp(135, 0, Zeros(4) + AddressBytes(Family::kIpv6, kVirtual6) + option);
    const IpHeader header = {.source = source, .destination = "ff02::1:ff00:10", .protocol = SLUICE_IP_ICMPV6};
    for (const Bytes& tag : kTags) {
      Bytes frame = Ethernet(Family::kIpv6, Ipv6(header, message), tag);
      frame[kLink + tag.size() + 7] = '\xff';
      all.push_back({std::string("solicitation from ") + source, frame,
                     source == kVirtual6 ? SLUICE_VERDICT_address_conflict : SLUICE_VERDICT_replied_neighbor});
    }
  }
}

void AddOthers(std::vector<Sample>& all) {
  const Bytes syn = Tcp(5000, kFirstPort, kSyn);
  const auto between = [&](const char* source, const char* destination, const Bytes& payload) {
    return Ethernet(Family::kIpv4, Ipv4({source, destination, kProtocolTcp}, payload));
  };
  all.push_back({"not virtual", between(kClient4, "203.0.113.12", syn), SLUICE_VERDICT_pass_not_virtual});
  all.push_back({"no listener", between(kClient4, kVirtual4, Tcp(1, 2, kSyn)), SLUICE_VERDICT_no_listener});
  all.push_back({"from loopback", between("127.0.0.1", kVirtual4, syn), SLUICE_VERDICT_bad_source});
  all.push_back({"from itself", between(kVirtual4, kVirtual4, syn), SLUICE_VERDICT_bad_source});
  all.push_back({"zero port", between(kClient4, kVirtual4, Tcp(0, kFirstPort, kSyn)), SLUICE_VERDICT_zero_port});
  all.push_back(
      {"SYN and FIN", between(kClient4, kVirtual4, Tcp(1, kFirstPort, kSyn | kFin)), SLUICE_VERDICT_malformed_tcp});
  const Bytes echo = Icmp(8, 0, Bytes(20, 'e'));
  all.push_back(
      {"echo off", Ethernet(Family::kIpv4, Ipv4({kClient4, kQuiet4, SLUICE_IP_ICMP}, echo)), SLUICE_VERDICT_echo_off});
  const Bytes ip = To(Family::kIpv4, kProtocolTcp, syn);
  all.push_back({"three tags", Ethernet(Family::kIpv4, ip, kTags[1] + kTags[2]), SLUICE_VERDICT_pass_vlan_depth});
  all.push_back({"not IP", Bytes(12, '\2') + Word(0x88cc) + Bytes(46, 'x'), SLUICE_VERDICT_pass_not_ip});
  Bytes version = Ethernet(Family::kIpv4, ip);
  version[kLink] = 0x65;
  all.push_back({"version", version, SLUICE_VERDICT_malformed_ip});
  Bytes lie = Ethernet(Family::kIpv4, To(Family::kIpv4, kProtocolUdp, UdpFrom(1, kFirstPort, "lie")));
  SetWord(lie, kLink + 24, 99);
  all.push_back({"lying UDP", lie, SLUICE_VERDICT_malformed_udp});
  all.push_back({"padded", Ethernet(Family::kIpv4, ip) + Zeros(12), SLUICE_VERDICT_forwarded});
}

}  // namespace

std::vector<Sample> Samples() {
  std::vector<Sample> all;
  AddFlows(all);
  AddFragments(all);
  AddOptions(all);
  AddIcmp(all);
  AddNeighbors(all);
  AddOthers(all);
  return all;
}

}  // namespace sluice::path_test
