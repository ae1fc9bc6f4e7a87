#include "tests/packet/session_site.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/packet/bytes.h"

namespace sluice::packet_test {
namespace {

uint32_t AddTranslatingPool(HandTables& tables, HandBackend backend, const std::string& network) {
  const auto pool = static_cast<uint32_t>(tables.counts().pools);
  std::vector<uint32_t> slots;
  for (int i = 1; i <= 2; i++) {
    const std::string address = absl::StrCat(network, i);
    backend.address = address;
    backend.pool = pool;
    slots.push_back(tables.AddBackend(backend));
    if (backend.forwarding == SLUICE_NAT) tables.AddServer(address);
  }
  return tables.AddPool(slots);
}

bool IsIpv6(const std::string& frame) {
  return ByteAt(frame, IpOffset(frame)) >> 4 == 6;
}

void Put(std::string& frame, size_t at, const std::string& bytes) {
  frame.replace(at, bytes.size(), bytes);
}

void Swap(std::string& frame, size_t at, size_t length) {
  std::swap_ranges(frame.begin() + static_cast<std::ptrdiff_t>(at),
                   frame.begin() + static_cast<std::ptrdiff_t>(at + length),
                   frame.begin() + static_cast<std::ptrdiff_t>(at + length));
}

std::string Checksum(uint32_t sum) {
  return Word(static_cast<uint16_t>(~Fold(sum)));
}

// Of the addresses in the IP header at `ip`, and what else is in a pseudo header.
uint32_t PseudoSum(const std::string& frame, size_t ip, bool ipv6, size_t length, uint8_t protocol) {
  const std::string addresses = ipv6 ? frame.substr(ip + 8, 32) : frame.substr(ip + 12, 8);
  return Sum(addresses) + static_cast<uint32_t>(length) + protocol;
}

std::string IpHeader(const std::string& source, const std::string& destination, size_t payload) {
  if (source.size() == 16) return Long(0x60000000) + Word(payload) + Word(0x3a40) + source + destination;
  std::string header = Word(0x4500) + Word(20 + payload) + Long(0) + Word(0x4001) + Word(0);
  header += source + destination;
  Put(header, 10, Checksum(Sum(header)));
  return header;
}

}  // namespace

void FillSessionTables(HandTables& tables) {
  const uint32_t pools[] = {
      AddTranslatingPool(tables, {.forwarding = SLUICE_NAT, .service_port = 8080}, "10.0.1."),
      AddTranslatingPool(tables, {.forwarding = SLUICE_FULL_NAT, .vlan = 7, .port = 1}, "10.0.3."),
      AddTranslatingPool(tables, {.forwarding = SLUICE_NAT}, "2001:db8:6::"),
      AddTranslatingPool(tables, {.forwarding = SLUICE_FULL_NAT, .mtu = 1280, .service_port = 9000}, "2001:db8:7::")};
  const uint32_t of_virtual[] = {pools[0], pools[1], pools[3], pools[2], pools[3], pools[1]};
  for (size_t i = 0; i < std::size(kSessionVirtuals); i++) {
    const char* address = kSessionVirtuals[i];
    const auto first = static_cast<uint32_t>(tables.counts().listeners);
    tables.AddVirtual(address);
    tables.AddListener(address, SLUICE_IP_TCP, 80, of_virtual[i], kSessionTimeouts.established);
    tables.AddListener(address, SLUICE_IP_UDP, 53, of_virtual[i], kSessionTimeouts.established);
    for (const uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
      tables.AddRanges(address, protocol, {{1000, 1003}}, of_virtual[i], kSessionTimeouts.established);
    }
    for (uint32_t listener = first; listener < tables.counts().listeners; listener++) {
      tables.Translate(listener, kSessionTimeouts);
    }
  }
  tables.AddNatAddress("198.51.100.64");
  tables.AddNatAddress("2001:db8:1::40");
  tables.AddPort({{2, 0, 0, 0, 0, 1}, 1500});
  tables.AddPort({{2, 0, 0, 0, 0, 2}, 1500});
}

size_t IpOffset(const std::string& frame) {
  size_t at = 12;
  while (at + 4 < frame.size() && (WordAt(frame, at) == 0x8100 || WordAt(frame, at) == 0x88a8)) at += 4;
  if (at + 22 > frame.size()) return 0;
  const uint32_t type = WordAt(frame, at);
  return type == 0x0800 || (type == 0x86dd && at + 42 <= frame.size()) ? at + 2 : 0;
}

std::string AnswerTo(std::string frame, const AnswerNumbers& numbers) {
  const size_t ip = IpOffset(frame);
  const bool ipv6 = IsIpv6(frame);
  const size_t l4 = ip + (ipv6 ? 40 : 20);
  const uint32_t protocol = ByteAt(frame, ip + (ipv6 ? 6 : 9));
  Swap(frame, 0, 6);
  Swap(frame, ip + (ipv6 ? 8 : 12), ipv6 ? 16 : 4);
  Swap(frame, l4, 2);
  if (protocol != 6) return frame;
  Put(frame, l4 + 4, Long(numbers.sequence) + Long(numbers.acknowledgment));
  Put(frame, l4 + 13, Byte(numbers.flags));
  Put(frame, l4 + 16, Word(0));
  const size_t end = ipv6 ? l4 + WordAt(frame, ip + 4) : ip + WordAt(frame, ip + 2);
  const uint32_t sum = Sum(frame.substr(l4, end - l4)) + PseudoSum(frame, ip, ipv6, end - l4, 6);
  Put(frame, l4 + 16, Checksum(sum));
  return frame;
}

std::string ErrorAbout(const std::string& frame, uint8_t type, uint8_t code, uint32_t rest, size_t quoted) {
  const size_t ip = IpOffset(frame);
  const bool ipv6 = IsIpv6(frame);
  const std::string quote = frame.substr(ip, quoted);
  const std::string router = ipv6 ? Long(0x20010db8) + Long(0) + Long(0) + Long(0xfe) : Long(0xc0a80001);
  const std::string sender = ipv6 ? frame.substr(ip + 8, 16) : frame.substr(ip + 12, 4);
  std::string icmp = Byte(type) + Byte(code) + Word(0) + Long(rest) + quote;
  std::string error = frame.substr(6, 6) + frame.substr(0, 6) + frame.substr(12, ip - 12);
  error += IpHeader(router, sender, icmp.size());
  const uint32_t pseudo = ipv6 ? PseudoSum(error, ip, true, icmp.size(), 58) : 0;
  Put(icmp, 2, Checksum(Sum(icmp) + pseudo));
  return error + icmp;
}

}  // namespace sluice::packet_test
