#include "tests/packet/random_traffic.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bpf/mutate.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/packet/session_site.h"

namespace sluice::packet_test {
namespace {

// Packets that come again.
constexpr size_t kWindow = 8192;
constexpr size_t kLongestFrame = 1600;

constexpr const char* kTags[] = {
    "eth", "eth", "eth", "eth", "eth", "eth", "eth/vlan(7)", "eth/vlan(100)", "eth/qinq(100)/vlan(7)"};
constexpr uint32_t kPayloads[] = {0, 0, 0, 1, 1, 9, 9, 40, 100, 536, 700, 1200, 1232, 1360, 1432, 1460, 1472};

}  // namespace

RandomTraffic::RandomTraffic(uint64_t seed, const RandomSite& site) : random_(seed), site_(site) {
  while (window_.size() < kWindow / 8) AddFlow();
}

void RandomTraffic::KeepFrame(std::string frame) {
  if (frame.size() < kLeastFrame || frame.size() > kLongestFrame) return;
  if (window_.size() < kWindow) {
    window_.push_back(std::move(frame));
  } else {
    window_[Random(kWindow)] = std::move(frame);
  }
}

void RandomTraffic::Keep(const std::string& text) {
  KeepFrame(Packet(text));
}

std::string RandomTraffic::Next() {
  const uint32_t what = Random(256);
  if (what < 4) AddFlow();
  if (what == 4) AddOther();
  if (what % 16 != 5) return window_[Random(static_cast<uint32_t>(window_.size()))];
  std::string frame = Mutate(random_, window_);
  if (frame.size() > kLongestFrame) frame.resize(kLongestFrame);
  return frame;
}

std::string RandomTraffic::Client(bool ipv6) {
  constexpr const char* kBad4[] = {"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "203.0.113.10"};
  constexpr const char* kBad6[] = {"::1", "::", "ff02::1", "2001:db8::10"};
  if (Random(64) == 0) return ipv6 ? OneOf(kBad6) : OneOf(kBad4);
  if (ipv6) return absl::StrCat("2001:db8:f::", 1 + Random(9000));
  return absl::StrCat("192.0.", Random(8), ".", 1 + Random(250));
}

std::string RandomTraffic::Ip(const std::string& source, const std::string& destination, bool ipv6,
                              const std::string& more) {
  constexpr uint32_t kHops[] = {64, 64, 64, 64, 63, 63, 128, 255, 255, 2, 1, 0};
  const std::string ends =
      absl::StrCat("src=", source, ", dst=", destination, ", tos=", Random(8) == 0 ? Random(256) : 0);
  if (ipv6) {
    std::string header = absl::StrCat("/ipv6(", ends, ", hop=", OneOf(kHops), ", label=", Random(1 << 20), ")/");
    constexpr const char* kExtensions[] = {"hopopts",     "dstopts", "dstopts(24)", "routing",
                                           "routing(24)", "ah(24)",  "frag6"};
    while (Random(6) == 0) absl::StrAppend(&header, OneOf(kExtensions), "/");
    return header;
  }
  const std::string options = Random(8) == 0 ? absl::StrCat(", options=", std::string(8 * (1 + Random(10)), '1')) : "";
  const char* fragments = Random(2) == 0 ? ", df" : "";
  return absl::StrCat("/ipv4(", ends, ", ttl=", OneOf(kHops), ", id=", Random(65536), fragments, options, more, ")/");
}

std::string RandomTraffic::Payload() {
  return absl::StrCat("/payload(", OneOf(kPayloads), ")", Random(16) == 0 ? "/pad(6)" : "");
}

void RandomTraffic::AddFlow() {
  const SiteListener& listener = site_.listeners()[Random(static_cast<uint32_t>(site_.listeners().size()))];
  const std::string client = Client(listener.ipv6);
  const uint32_t source = Random(64) == 0 ? 0 : 1024 + Random(64000);
  const uint32_t destination =
      Random(32) == 0 ? Random(65536) : listener.first + Random(listener.last - listener.first + 1u);
  const bool tcp =
      std::string(listener.protocol) == "tcp" || (std::string(listener.protocol) != "udp" && Random(2) == 0);
  const std::string head = absl::StrCat(OneOf(kTags), Ip(client, listener.address, listener.ipv6));
  const std::string ports = absl::StrCat("(sport=", source, ", dport=", destination, ")");
  if (tcp) {
    AddTcp(head, source, destination);
  } else {
    AddUdp(head, source, destination);
  }
  const std::string transport = absl::StrCat(tcp ? "tcp" : "udp", ports, "/payload(", 40 + Random(1400), ")");
  if (Random(4) == 0) AddFragments(client, listener.address, listener.ipv6, transport);
  if (Random(4) == 0) {
    const std::string quoted = absl::StrCat(tcp ? "tcp" : "udp", "(sport=", destination, ", dport=", source, ")");
    AddError(client, listener.address, listener.ipv6, quoted);
  }
  if (Random(16) == 0) AddEcho(client, listener.address, listener.ipv6);
}

void RandomTraffic::AddTcp(const std::string& ip, uint32_t source, uint32_t destination) {
  const std::string ports = absl::StrCat("tcp(sport=", source, ", dport=", destination, ", seq=", Random(1u << 31));
  constexpr const char* kOptions[] = {"", "", ", options=020405b4", ", options=020405b401030307"};
  const std::string options = OneOf(kOptions);
  Keep(absl::StrCat(ip, ports, ", syn", options, ")"));
  Keep(absl::StrCat(ip, ports, ", ack)", Payload()));
  Keep(absl::StrCat(ip, ports, ", ack, psh)", Payload()));
  constexpr const char* kEnds[] = {"fin, ack", "rst", "rst, ack", "ack", "ack", "syn, fin", "syn, ack"};
  Keep(absl::StrCat(ip, ports, ", ", OneOf(kEnds), ")"));
}

void RandomTraffic::AddUdp(const std::string& ip, uint32_t source, uint32_t destination) {
  const std::string ports = absl::StrCat("udp(sport=", source, ", dport=", destination);
  for (uint32_t i = 0; i < 3; i++) Keep(absl::StrCat(ip, ports, ")", Payload()));
  if (Random(8) == 0) Keep(absl::StrCat(ip, ports, ", sum=0)", Payload()));
}

// Two pieces that fit together, or do not: the cut is anywhere.
void RandomTraffic::AddFragments(const std::string& source, const std::string& destination, bool ipv6,
                                 const std::string& transport) {
  const uint32_t cut = 8 * Random(80);
  const uint32_t id = Random(1 << 16);
  const std::string first = absl::StrCat("slice(0, ", cut, ")/", transport);
  const std::string later = absl::StrCat("slice(", cut, ", 700)/", transport);
  const std::string tag = OneOf(kTags);
  if (ipv6) {
    const std::string head = absl::StrCat(tag, "/ipv6(src=", source, ", dst=", destination, ")/frag6(id=", id);
    Keep(absl::StrCat(head, ", more)/", first));
    Keep(absl::StrCat(head, ", at=", cut, ")/", later));
    return;
  }
  const std::string head = absl::StrCat(tag, "/ipv4(src=", source, ", dst=", destination, ", id=", id);
  Keep(absl::StrCat(head, ", mf)/", first));
  Keep(absl::StrCat(head, ", frag=", cut, ")/", later));
}

void RandomTraffic::AddError(const std::string& client, const std::string& address, bool ipv6,
                             const std::string& quoted) {
  constexpr const char* kErrors4[] = {"icmp(type=3, code=1)", "icmp(type=3, code=4, mtu=1400)", "icmp(type=11)",
                                      "icmp(type=12)", "icmp(type=5)"};
  constexpr const char* kErrors6[] = {"icmp6(type=1, code=4)", "icmp6(type=2, mtu=1400)", "icmp6(type=3)",
                                      "icmp6(type=4)", "icmp6(type=137)"};
  const std::string router = Random(2) == 0 ? client : Client(ipv6);
  const std::string cut = Random(4) == 0 ? absl::StrCat("/slice(0, ", 20 + Random(60), ")") : "";
  Keep(absl::StrCat(OneOf(kTags), Ip(router, address, ipv6), ipv6 ? OneOf(kErrors6) : OneOf(kErrors4), cut,
                    Ip(address, client, ipv6), quoted, Payload()));
}

void RandomTraffic::AddEcho(const std::string& client, const std::string& address, bool ipv6) {
  constexpr uint32_t kTypes4[] = {8, 8, 8, 0, 13};
  constexpr uint32_t kTypes6[] = {128, 128, 128, 129, 130};
  Keep(absl::StrCat(OneOf(kTags), Ip(client, address, ipv6), ipv6 ? "icmp6(type=" : "icmp(type=",
                    ipv6 ? OneOf(kTypes6) : OneOf(kTypes4), ", id=", Random(65536), ", seq=1)", Payload()));
}

// What asks for an address of ours, and what is nobody's business here.
void RandomTraffic::AddOther() {
  const SiteListener& listener = site_.listeners()[Random(static_cast<uint32_t>(site_.listeners().size()))];
  const std::string tag = OneOf(kTags);
  const std::string ip = absl::StrCat(tag, Ip(Client(listener.ipv6), listener.address, listener.ipv6, ", proto=47"));
  if (!listener.ipv6) Keep(absl::StrCat(ip, "payload(40)"));
  if (listener.ipv6) {
    const std::string group = absl::StrCat("ff02::1:ff00:", listener.address.substr(listener.address.rfind(':') + 1));
    Keep(absl::StrCat(tag, "/ipv6(src=", Client(true), ", dst=", group, ", hop=", Random(8) == 0 ? 64 : 255,
                      ")/ns(target=", listener.address, Random(2) == 0 ? ", mac=02:00:00:00:00:aa)" : ")"));
  } else {
    Keep(absl::StrCat(tag, "/arp(op=", 1 + Random(2), ", sip=", Random(8) == 0 ? listener.address : Client(false),
                      ", tip=", listener.address, ")/pad(18)"));
  }
  Keep(absl::StrCat(tag, Ip(Client(false), absl::StrCat("198.18.0.", Random(256)), false), "tcp(syn)"));
  Keep(absl::StrCat(tag, Ip(Client(true), absl::StrCat("2001:db8:18::", Random(256)), true), "udp/payload(12)"));
  Keep(Random(2) == 0 ? "eth(type=0x88cc)/payload(46)" : "eth/vlan(1)/vlan(2)/vlan(3)/payload(46)");
}

void RandomTraffic::Saw(const std::string& frame) {
  if (!site_.IsTranslated(frame) || Random(8) != 0) return;
  const size_t ip = IpOffset(frame);
  if (ip == 0 || frame.size() < ip + 60) return;
  const bool ipv6 = ByteAt(frame, ip) >> 4 == 6;
  const uint32_t protocol = ByteAt(frame, ip + (ipv6 ? 6 : 9));
  const bool plain = (protocol == 6 || protocol == 17) && (ipv6 || ByteAt(frame, ip) == 0x45);
  if (plain && Random(4) != 0) {
    constexpr uint8_t kFlags[] = {0x12, 0x10, 0x18, 0x11, 0x14};
    return KeepFrame(
        AnswerTo(frame, {.flags = OneOf(kFlags), .sequence = static_cast<uint32_t>(random_()), .acknowledgment = 1}));
  }
  KeepFrame(ErrorAbout(frame, ipv6 ? 1 : 3, 1, 0, 60));
}

}  // namespace sluice::packet_test
