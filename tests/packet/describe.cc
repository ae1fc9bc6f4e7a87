#include "tests/packet/describe.h"

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"

namespace sluice::packet_test {
namespace {

std::string MacText(std::string_view bytes) {
  Mac mac;
  std::memcpy(mac.data(), bytes.data(), mac.size());
  return FormatMac(mac);
}

std::string AddressText(std::string_view bytes, bool ipv6) {
  Address address;
  address.bytes[10] = address.bytes[11] = 0xff;
  std::memcpy(address.bytes.data() + (ipv6 ? 0 : 12), bytes.data(), ipv6 ? 16 : 4);
  return FormatAddress(address);
}

// `, key=value` unless the value is the notation's own.
std::string Field(const char* key, uint32_t value, uint32_t otherwise = 0) {
  return value == otherwise ? "" : absl::StrCat(", ", key, "=", value);
}

// Each function describes what is at the front of `left` and takes it away; std::out_of_range ends the description.
class Describer {
 public:
  explicit Describer(std::string_view frame) : left_(frame) {}

  std::string Text() {
    try {
      Ethernet();
    } catch (const std::out_of_range&) {
    }
    Rest();
    return text_;
  }

 private:
  std::string_view Take(size_t length) {
    const std::string_view taken = left_.substr(0, length);
    if (taken.size() < length) throw std::out_of_range("");
    left_.remove_prefix(length);
    return taken;
  }

  void Ethernet() {
    const std::string_view eth = Take(14);
    text_ = absl::StrCat("eth(dst=", MacText(eth), ", src=", MacText(eth.substr(6)), ")");
    uint32_t type = WordAt(eth, 12);
    while (type == 0x8100 || type == 0x88a8) {
      const std::string_view tag = Take(4);
      absl::StrAppend(&text_, type == 0x8100 ? " / vlan(" : " / qinq(", WordAt(tag, 0), ")");
      type = WordAt(tag, 2);
    }
    if (type == 0x0800) return Ipv4();
    if (type == 0x86dd) return Ipv6();
    if (type == 0x0806) return Arp();
  }

  void Arp() {
    const std::string_view arp = Take(28);
    absl::StrAppend(&text_, " / arp(op=", WordAt(arp, 6), ", smac=", MacText(arp.substr(8)),
                    ", sip=", AddressText(arp.substr(14), false), ", tmac=", MacText(arp.substr(18)),
                    ", tip=", AddressText(arp.substr(24), false), ")");
    if (!left_.empty()) absl::StrAppend(&text_, " / pad(", left_.size(), ")");
    left_ = {};
  }

  // What is behind the innermost length is padding; what is missing has been cut.
  void Bound(size_t length) {
    if (length > left_.size()) absl::StrAppend(&cut_, "cut short by ", length - left_.size(), " bytes");
    left_ = left_.substr(0, length);
  }

  void Ipv4() {
    const std::string_view ip = Take(20);
    absl::StrAppend(&text_, " / ipv4(src=", AddressText(ip.substr(12), false),
                    ", dst=", AddressText(ip.substr(16), false), Field("ttl", ByteAt(ip, 8), 64),
                    Field("tos", ByteAt(ip, 1)), Field("id", WordAt(ip, 4)), (WordAt(ip, 6) & 0x4000) ? ", df" : "",
                    (WordAt(ip, 6) & 0x2000) ? ", mf" : "", Field("frag", (WordAt(ip, 6) & 0x1fff) * 8));
    const size_t options = (ByteAt(ip, 0) & 15) * 4 - 20;
    if (options) absl::StrAppend(&text_, ", options=", absl::BytesToHexString(std::string(Take(options))));
    text_ += ")";
    Bound(WordAt(ip, 2) - 20 - options);
    if ((WordAt(ip, 6) & 0x1fff) == 0) Protocol(ByteAt(ip, 9));
  }

  void Ipv6() {
    const std::string_view ip = Take(40);
    absl::StrAppend(&text_, " / ipv6(src=", AddressText(ip.substr(8), true), ", dst=", AddressText(ip.substr(24), true),
                    Field("hop", ByteAt(ip, 7), 64), Field("tos", LongAt(ip, 0) >> 20 & 0xff),
                    Field("label", LongAt(ip, 0) & 0xfffff), ")");
    Bound(WordAt(ip, 4));
    Protocol(ByteAt(ip, 6));
  }

  void Protocol(uint32_t protocol) {
    switch (protocol) {
      case 4:
        return Ipv4();
      case 41:
        return Ipv6();
      case 6:
        return Tcp();
      case 17:
        return Udp();
      case 1:
        return Icmp("icmp");
      case 58:
        return Icmp("icmp6");
      default:
        return;
    }
  }

  void Tcp() {
    const std::string_view tcp = Take(20);
    absl::StrAppend(&text_, " / tcp(sport=", WordAt(tcp, 0), ", dport=", WordAt(tcp, 2), Field("seq", LongAt(tcp, 4)),
                    Field("acknr", LongAt(tcp, 8)), Field("window", WordAt(tcp, 14), 8192));
    for (int bit = 0; bit < 8; bit++) {
      static const char* const kFlags[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
      if (ByteAt(tcp, 13) >> bit & 1) absl::StrAppend(&text_, ", ", kFlags[bit]);
    }
    const size_t options = (ByteAt(tcp, 12) >> 4) * 4 - 20;
    if (options) absl::StrAppend(&text_, ", options=", absl::BytesToHexString(std::string(Take(options))));
    text_ += ")";
  }

  void Udp() {
    const std::string_view udp = Take(8);
    absl::StrAppend(&text_, " / udp(sport=", WordAt(udp, 0), ", dport=", WordAt(udp, 2),
                    WordAt(udp, 6) == 0 ? ", sum=0" : "", ")");
    if (WordAt(udp, 2) != 6080) return;
    const std::string_view gue = Take(4);
    text_ += " / gue";
    Protocol(ByteAt(gue, 1));
  }

  void Icmp(const char* name) {
    const std::string_view icmp = Take(8);
    const uint32_t type = ByteAt(icmp, 0);
    absl::StrAppend(&text_, " / ", name, "(type=", type, Field("code", ByteAt(icmp, 1)),
                    LongAt(icmp, 4) ? absl::StrCat(", rest=0x", absl::Hex(LongAt(icmp, 4))) : "", ")");
    const bool ipv6 = name[4] == '6';
    if (ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12) ipv6 ? Ipv6() : Ipv4();
  }

  void Rest() {
    std::string pattern;
    for (size_t i = 0; i < left_.size(); i++) pattern += Byte(i);
    if (left_.empty()) return;
    if (left_ == pattern) {
      absl::StrAppend(&text_, " / payload(", left_.size(), ")");
    } else {
      absl::StrAppend(&text_, " / hex(bytes=", absl::BytesToHexString(std::string(left_)), ")");
    }
    if (!cut_.empty()) absl::StrAppend(&text_, " (", cut_, ")");
  }

  std::string_view left_;
  std::string text_;
  std::string cut_;
};

}  // namespace

std::string DescribePacket(std::string_view frame) {
  const std::string text = Describer(frame).Text();
  const absl::StatusOr<std::string> again = EncodePacket(text);
  if (again.ok() && *again == frame) return text;
  return absl::StrCat(text, "\n  = ", absl::BytesToHexString(std::string(frame)));
}

}  // namespace sluice::packet_test
