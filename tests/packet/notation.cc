#include "tests/packet/notation.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/packet/bytes.h"
#include "tests/packet/layers.h"

namespace sluice::packet_test {
namespace {

const std::map<std::string, uint8_t> kProtocols = {
    {"hopopts", 0}, {"icmp", 1}, {"ipv4", 4},   {"tcp", 6}, {"udp", 17}, {"ipv6", 41},    {"routing", 43},
    {"frag6", 44},  {"ah", 51},  {"icmp6", 58}, {"ns", 58}, {"na", 58},  {"dstopts", 60}, {"mobility", 135}};
const std::map<std::string, uint16_t> kEthertypes = {
    {"ipv4", 0x0800}, {"arp", 0x0806}, {"vlan", 0x8100}, {"ipv6", 0x86dd}, {"qinq", 0x88a8}};

// Layers from the inside out: each is put in front of what is there already.
class Encoder {
 public:
  explicit Encoder(std::vector<Layer> layers) : layers_(std::move(layers)) {}

  absl::StatusOr<std::string> Encode() {
    // IP headers are needed by the checksums inside them.
    for (Layer& layer : layers_) {
      const bool ipv6 = layer.name == "ipv6";
      pseudo_.push_back(layer.name == "ipv4" || ipv6 ? layer.AddressBytes("src", ipv6) + layer.AddressBytes("dst", ipv6)
                                                     : "");
    }
    for (at_ = layers_.size(); at_-- > 0;) {
      if (!Put(layers_[at_])) return absl::InvalidArgumentError(absl::StrCat("no layer '", layers_[at_].name, "'"));
      if (const std::string mistake = layers_[at_].Mistake(); !mistake.empty()) {
        return absl::InvalidArgumentError(mistake);
      }
    }
    bytes_ += std::string(padding_, '\0');
    if (cut_ < bytes_.size()) bytes_.resize(cut_);
    return bytes_;
  }

 private:
  bool Put(Layer& layer) {
    using Putter = void (Encoder::*)(Layer&);
    static const std::map<std::string, Putter> kPutters = {
        {"eth", &Encoder::Ethernet}, {"vlan", &Encoder::Vlan},         {"qinq", &Encoder::Vlan},
        {"arp", &Encoder::Arp},      {"ipv4", &Encoder::Ipv4},         {"ipv6", &Encoder::Ipv6},
        {"tcp", &Encoder::Tcp},      {"udp", &Encoder::Udp},           {"gue", &Encoder::Gue},
        {"icmp", &Encoder::Icmp},    {"icmp6", &Encoder::Icmp},        {"ns", &Encoder::Neighbor},
        {"na", &Encoder::Neighbor},  {"hopopts", &Encoder::Extension}, {"routing", &Encoder::Extension},
        {"ah", &Encoder::Extension}, {"dstopts", &Encoder::Extension}, {"mobility", &Encoder::Extension},
        {"frag6", &Encoder::Frag6},  {"payload", &Encoder::Payload},   {"hex", &Encoder::Hex},
        {"slice", &Encoder::Slice},  {"pad", &Encoder::Pad},           {"cut", &Encoder::Cut}};
    const auto putter = kPutters.find(layer.name);
    if (putter == kPutters.end()) return false;
    (this->*putter->second)(layer);
    return true;
  }

  // What follows this layer, for its type or protocol field; 0xffff when that says nothing.
  template <typename Map>
  uint32_t Next(const Map& numbers) const {
    size_t next = at_ + 1;
    while (next < layers_.size() && layers_[next].name == "slice") next++;
    if (next == layers_.size()) return 0xffff;
    const auto number = numbers.find(layers_[next].name);
    return number == numbers.end() ? 0xffff : number->second;
  }
  uint32_t NextProtocol() const { return Next(kProtocols) == 0xffff ? 59 : Next(kProtocols); }

  // Sum over the pseudo header of the IP header around this layer (RFC 9293 section 3.1, RFC 8200 section 8.1).
  uint32_t PseudoSum(uint8_t protocol) const {
    size_t ip = at_;
    while (ip > 0 && pseudo_[ip].empty()) ip--;
    return Sum(pseudo_[ip] + Word(protocol) + Long(bytes_.size()));
  }

  // Fills the checksum field of the header in front unless the case gives one.
  void Seal(Layer& layer, size_t offset, uint32_t pseudo) {
    uint16_t sum = static_cast<uint16_t>(~Fold(Sum(bytes_) + pseudo));
    if (layer.name == "udp" && sum == 0) sum = 0xffff;
    bytes_.replace(offset, 2, Word(layer.Number("sum", sum)));
  }

  void Ethernet(Layer& layer) {
    const std::string macs = layer.MacBytes("dst", "02:00:00:00:00:01") + layer.MacBytes("src", "02:00:00:00:00:aa");
    bytes_ = macs + Word(layer.Number("type", Next(kEthertypes))) + bytes_;
  }
  void Vlan(Layer& layer) {
    const uint32_t tag = layer.Number("0", 0) | layer.Number("pcp", 0) << 13;
    bytes_ = Word(tag) + Word(layer.Number("type", Next(kEthertypes))) + bytes_;
  }
  void Arp(Layer& layer) {
    std::string arp = Word(layer.Number("hardware", 1)) + Word(layer.Number("protocol", 0x0800));
    arp += Byte(layer.Number("hlen", 6)) + Byte(layer.Number("plen", 4)) + Word(layer.Number("op", 1));
    arp += layer.MacBytes("smac", "02:00:00:00:00:aa") + layer.AddressBytes("sip", false);
    arp += layer.MacBytes("tmac", "00:00:00:00:00:00") + layer.AddressBytes("tip", false);
    bytes_ = arp + bytes_;
  }
  void Ipv4(Layer& layer) {
    const std::string options = layer.HexBytes("options");
    const size_t length = 20 + options.size();
    std::string ip = Byte(layer.Number("version", 4) << 4 | layer.Number("ihl", length / 4));
    ip +=
        Byte(layer.Number("tos", 0)) + Word(layer.Number("len", length + bytes_.size())) + Word(layer.Number("id", 0));
    const uint32_t flags = (layer.Flag("df") ? 0x4000u : 0) | (layer.Flag("mf") ? 0x2000u : 0);
    ip += Word(flags | layer.Number("frag", 0) / 8) + Byte(layer.Number("ttl", 64));
    ip += Byte(layer.Number("proto", NextProtocol())) + Word(0) + pseudo_[at_] + options;
    ip.replace(10, 2, Word(layer.Number("sum", static_cast<uint16_t>(~Fold(Sum(ip))))));
    bytes_ = ip + bytes_;
  }
  void Ipv6(Layer& layer) {
    const uint32_t word = layer.Number("version", 6) << 28 | layer.Number("tos", 0) << 20 | layer.Number("label", 0);
    bytes_ = Long(word) + Word(layer.Number("len", bytes_.size())) + Byte(layer.Number("next", NextProtocol())) +
             Byte(layer.Number("hop", 64)) + pseudo_[at_] + bytes_;
  }
  void Extension(Layer& layer) {
    const uint32_t length = layer.Number("0", 8);
    const uint32_t units = layer.name == "ah" ? length / 4 - 2 : length / 8 - 1;
    const std::string head = Byte(layer.Number("next", NextProtocol())) + Byte(layer.Number("len", units));
    // A PadN option where options are, so that receivers accept it (RFC 8200 section 4.2).
    const bool options = layer.name == "hopopts" || layer.name == "dstopts";
    bytes_ = head + (options ? Byte(1) + Byte(length - 4) : Word(0)) + std::string(length - 4, '\0') + bytes_;
  }
  void Frag6(Layer& layer) {
    const std::string head = Byte(layer.Number("next", NextProtocol())) + Byte(0);
    const uint32_t offset = layer.Number("at", 0);
    bytes_ = head + Word(offset | (layer.Flag("more") ? 1 : 0)) + Long(layer.Number("id", 0)) + bytes_;
  }
  void Tcp(Layer& layer) {
    const std::string options = layer.HexBytes("options");
    uint32_t flags = 0;
    uint32_t bit = 1;
    for (const char* name : {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}) {
      flags |= layer.Flag(name) ? bit : 0;
      bit <<= 1;
    }
    std::string tcp = Word(layer.Number("sport", 40000)) + Word(layer.Number("dport", 80));
    tcp += Long(layer.Number("seq", 0)) + Long(layer.Number("acknr", 0));
    tcp += Byte(layer.Number("doff", (20 + options.size()) / 4) << 4) + Byte(flags);
    bytes_ = tcp + Word(layer.Number("window", 8192)) + Long(0) + options + bytes_;
    Seal(layer, 16, PseudoSum(6));
  }
  void Udp(Layer& layer) {
    const std::string ports = Word(layer.Number("sport", 40000)) + Word(layer.Number("dport", 53));
    bytes_ = ports + Word(layer.Number("len", 8 + bytes_.size())) + Word(0) + bytes_;
    Seal(layer, 6, PseudoSum(17));
  }
  void Gue(Layer& layer) { bytes_ = Long(layer.Number("word", layer.Number("proto", NextProtocol()) << 16)) + bytes_; }
  void Icmp(Layer& layer) {
    uint32_t rest = layer.Number("id", 0) << 16 | layer.Number("seq", 0);
    rest = layer.Number("rest", layer.Number("mtu", rest));
    bytes_ = Byte(layer.Number("type", 0)) + Byte(layer.Number("code", 0)) + Word(0) + Long(rest) + bytes_;
    Seal(layer, 2, layer.name == "icmp6" ? PseudoSum(58) : 0);
  }
  // RFC 4861 sections 4.3 and 4.4.
  void Neighbor(Layer& layer) {
    const bool solicitation = layer.name == "ns";
    std::string icmp = Byte(solicitation ? 135 : 136) + Byte(0) + Word(0) + Long(layer.Number("flags", 0));
    icmp += layer.AddressBytes("target", true);
    if (layer.Has("mac")) icmp += Byte(solicitation ? 1 : 2) + Byte(1) + layer.MacBytes("mac", "");
    bytes_ = icmp + bytes_;
    Seal(layer, 2, PseudoSum(58));
  }
  void Payload(Layer& layer) {
    const uint32_t length = layer.Number("0", 0);
    std::string pattern;
    for (uint32_t i = 0; i < length; i++) pattern += Byte(i & 0xff);
    bytes_ = pattern + bytes_;
  }
  void Hex(Layer& layer) { bytes_ = layer.HexBytes("bytes") + bytes_; }
  void Slice(Layer& layer) {
    const uint32_t offset = layer.Number("0", 0);
    const uint32_t length = layer.Number("1", 0);
    bytes_ = offset < bytes_.size() ? bytes_.substr(offset, length) : "";
  }
  void Pad(Layer& layer) { padding_ = layer.Number("0", 0); }
  void Cut(Layer& layer) { cut_ = layer.Number("0", 0); }

  std::vector<Layer> layers_;
  // Source and destination address of the layers that are IP headers.
  std::vector<std::string> pseudo_;
  size_t at_ = 0;
  std::string bytes_;
  size_t padding_ = 0;
  size_t cut_ = SIZE_MAX;
};

}  // namespace

absl::StatusOr<std::string> EncodePacket(std::string_view text) {
  absl::StatusOr<std::vector<Layer>> layers = SplitLayers(text);
  if (!layers.ok()) return layers.status();
  return Encoder(*std::move(layers)).Encode();
}

std::string Packet(std::string_view text) {
  absl::StatusOr<std::string> bytes = EncodePacket(text);
  if (!bytes.ok()) {
    std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(text.size()), text.data(), bytes.status().ToString().c_str());
    std::abort();
  }
  return *std::move(bytes);
}

}  // namespace sluice::packet_test
