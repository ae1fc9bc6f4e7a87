// Connections whose server is told the client's address by a header in front of the client's bytes: a client and a
// server as plain as can be, which send and repeat pieces of their streams at random through a network that loses,
// repeats and reorders. Whatever comes, the server gets header and stream, the client the server's stream; nobody hears
// of bytes that it has not sent, or that the other one has not got.
#include <algorithm>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/sim/sim_engine.h"
#include "gtest/gtest.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using packet_test::ByteAt;
using packet_test::Long;
using packet_test::LongAt;
using packet_test::Word;
using packet_test::WordAt;

constexpr uint32_t kFin = 1;
constexpr uint32_t kSyn = 2;
constexpr uint32_t kRst = 4;
constexpr uint32_t kAck = 16;

struct Segment {
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint32_t window = 0;
  uint32_t flags = 0;
  std::string options;
  std::string payload;
};

// Of a frame, whose checksum has to be right.
Segment ReadSegment(const std::string& frame, uint32_t* source_port) {
  const bool ipv6 = WordAt(frame, 12) == 0x86dd;
  const std::string ip = frame.substr(14, ipv6 ? WordAt(frame, 18) + 40 : WordAt(frame, 16));
  const std::string tcp = ip.substr(ipv6 ? 40 : 20);
  const std::string addresses = ipv6 ? ip.substr(8, 32) : ip.substr(12, 8);
  EXPECT_EQ(
      packet_test::Fold(packet_test::Sum(addresses) + 6 + static_cast<uint32_t>(tcp.size()) + packet_test::Sum(tcp)),
      0xffff);
  EXPECT_TRUE(ipv6 || packet_test::Fold(packet_test::Sum(ip.substr(0, 20))) == 0xffff);
  const size_t header = (ByteAt(tcp, 12) >> 4) * 4;
  *source_port = WordAt(tcp, 0);
  return {LongAt(tcp, 4),    LongAt(tcp, 8), WordAt(tcp, 14), ByteAt(tcp, 13), tcp.substr(20, header - 20),
          tcp.substr(header)};
}

std::string TcpText(uint32_t source, uint32_t destination, const Segment& segment) {
  std::string text = absl::StrCat("tcp(sport=", source, ", dport=", destination, ", seq=", segment.sequence,
                                  ", acknr=", segment.acknowledgment, ", window=", segment.window);
  for (const auto& [flag, name] : {std::pair(kFin, ", fin"), {kSyn, ", syn"}, {kRst, ", rst"}, {kAck, ", ack"}}) {
    if (segment.flags & flag) text += name;
  }
  if (!segment.options.empty()) absl::StrAppend(&text, ", options=", absl::BytesToHexString(segment.options));
  text += ")";
  if (!segment.payload.empty()) absl::StrAppend(&text, " / hex(bytes=", absl::BytesToHexString(segment.payload), ")");
  return text;
}

using Random = std::mt19937;

// One side. Bytes are counted from 0, the first one behind the SYN; the FIN counts as the byte behind the last.
class End {
 public:
  End(Random& random, std::string out, std::string expected, bool closes, uint32_t shift)
      : random_(random),
        out_(std::move(out)),
        expected_(std::move(expected)),
        have_(expected_.size() + 1),
        closes_(closes),
        shift_(shift),
        // Often close to where the numbers turn over.
        isn_(random() % 2 ? static_cast<uint32_t>(random()) : 0u - random() % 3000) {}

  // `ahead`: bytes that stand in front of ours when they get there.
  void Face(const End* other, uint32_t ahead) {
    other_ = other;
    ahead_ = ahead;
  }
  bool Knows() const { return knows_; }
  bool HasAll() const { return Received() == expected_.size() + (closes_ ? 1 : 0); }
  bool IsAcknowledged() const { return acknowledged_ == out_.size() + (closes_ ? 1 : 0); }
  uint32_t Received() const {
    return static_cast<uint32_t>(std::find(have_.begin(), have_.end(), false) - have_.begin());
  }
  bool Has(uint32_t at) const { return have_.at(at); }
  bool HasClosed() const { return sent_ > out_.size(); }
  // For people.
  std::string Words() const {
    return absl::StrCat(acknowledged_, " of ", sent_, " of ", out_.size(), " acknowledged, ", edge_, " may be sent, ",
                        Received(), " of ", expected_.size(), " here");
  }

  // `answers`: the other one's.
  Segment Syn(bool answers) {
    Segment segment{isn_, 0, Window(0), kSyn, "\2\4" + Word(kMss), ""};
    segment.options += std::string("\1\3\3", 3) + packet_test::Byte(shift_);
    if (!answers) return segment;
    segment.flags |= kAck;
    segment.acknowledgment = first_;
    return segment;
  }

  // Behind all that was sent.
  Segment Reset() const { return {Number(sent_), first_, 0, kRst, "", ""}; }

  Segment Any() {
    Segment segment{Number(sent_), first_ + Received(), Window(shift_), kAck, Options(), ""};
    const uint32_t kind = random_() % 8;
    if (kind == 0) return segment;
    if (kind == 1) {
      // A probe: the last byte again that was acknowledged, or any byte in front of the first one.
      segment.sequence = Number(acknowledged_ - 1);
      segment.payload = acknowledged_ > 0 && acknowledged_ <= out_.size() ? out_.substr(acknowledged_ - 1, 1) : "?";
      return segment;
    }
    const uint32_t start = acknowledged_ + (random_() % 2 ? random_() % (sent_ - acknowledged_ + 1) : 0);
    const auto rest = static_cast<uint32_t>(out_.size() - std::min<size_t>(start, out_.size()));
    const uint32_t room = edge_ - std::min(start, edge_);
    const auto most = std::min({rest, room, mss_ - static_cast<uint32_t>(segment.options.size())});
    segment.sequence = Number(start);
    segment.payload = out_.substr(std::min<size_t>(start, out_.size()), most > 0 ? 1 + random_() % most : 0);
    uint32_t end = start + static_cast<uint32_t>(segment.payload.size());
    if (closes_ && end >= out_.size() && edge_ > out_.size() && start <= out_.size()) {
      segment.flags |= kFin;
      end++;
    }
    sent_ = std::max(sent_, end);
    return segment;
  }

  void Take(const Segment& segment) {
    if (segment.flags & kSyn) return TakeSyn(segment);
    if (!knows_) return;
    if (segment.flags & kRst) {
      EXPECT_EQ(segment.sequence - first_, Received());
      return;
    }
    TakeAcknowledgment(segment, their_shift_);
    TakePayload(segment);
  }

 private:
  static constexpr uint32_t kMss = 700;

  uint32_t Number(uint32_t at) const { return isn_ + 1 + at; }

  // As little as a byte more than there was.
  uint32_t Window(uint32_t shift) {
    const uint32_t units = (100 + random_() % 200) >> shift;
    allowed_ = std::max(allowed_, Received() + (units << shift));
    return units;
  }

  // Timestamps and what has come out of order, at even and at odd places.
  std::string Options() {
    std::string options;
    if (random_() % 2) options += std::string("\1\1\x8\xa", 4) + Long(random_()) + Long(random_());
    std::string blocks;
    for (uint32_t at = Received(), count = 0; at < have_.size() && count < 3; count++) {
      while (at < have_.size() && !have_[at]) at++;
      const uint32_t from = at;
      while (at < have_.size() && have_[at]) at++;
      if (at > from) blocks += Long(first_ + from) + Long(first_ + at);
    }
    if (!blocks.empty()) {
      options += std::string(1 + random_() % 2, '\1') + "\5" + packet_test::Byte(2 + blocks.size()) + blocks;
    }
    while (options.size() % 4 != 0) options += '\0';
    return options;
  }

  void TakeSyn(const Segment& segment) {
    EXPECT_EQ(segment.options.substr(0, 2), "\2\4");
    mss_ = WordAt(segment.options, 2);
    their_shift_ = ByteAt(segment.options, 7);
    first_ = segment.sequence + 1;
    knows_ = true;
    if (segment.flags & kAck) TakeAcknowledgment(segment, 0);
  }

  void TakeAcknowledgment(const Segment& segment, uint32_t shift) {
    const uint32_t at = segment.acknowledgment - Number(0);
    ASSERT_LE(at, sent_);
    ASSERT_LE(at + (at > 0 ? ahead_ : 0), other_->Received());
    acknowledged_ = std::max(acknowledged_, at);
    edge_ = std::max(edge_, at + (segment.window << shift));
    if (segment.flags & kSyn) return;
    const std::string edges = Edges(segment.options);
    for (size_t i = 0; i < edges.size(); i += 8) {
      const uint32_t from = LongAt(edges, i) - Number(0);
      const uint32_t end = LongAt(edges, i + 4) - Number(0);
      ASSERT_LT(from, end);
      ASSERT_LE(end, sent_);
      for (uint32_t held = from; held < end; held++) ASSERT_TRUE(other_->Has(held + ahead_));
    }
  }

  // What an option of selective acknowledgment holds, or nothing.
  static std::string Edges(const std::string& options) {
    for (size_t at = 0; at < options.size() && options[at] != 0;) {
      if (options[at] == 5) return options.substr(at + 2, ByteAt(options, at + 1) - 2);
      at += options[at] == 1 ? 1 : ByteAt(options, at + 1);
    }
    return "";
  }

  void TakePayload(const Segment& segment) {
    uint32_t at = segment.sequence - first_;
    for (const char byte : segment.payload) {
      // In front of the first one is what a probe has.
      if (at != UINT32_MAX && !have_.at(at)) {
        ASSERT_EQ(byte, expected_.at(at)) << at;
        ASSERT_LT(at, allowed_);
        have_[at] = true;
      }
      at++;
    }
    if (!(segment.flags & kFin)) return;
    ASSERT_EQ(at, expected_.size());
    have_[at] = true;
  }

  Random& random_;
  const std::string out_;
  const std::string expected_;
  std::vector<bool> have_;
  const bool closes_;
  const uint32_t shift_;
  const uint32_t isn_;
  const End* other_ = nullptr;
  uint32_t ahead_ = 0;
  // Of the other side: its first byte's number, when it is known.
  bool knows_ = false;
  uint32_t first_ = 0;
  uint32_t mss_ = 536;
  uint32_t their_shift_ = 0;
  // Of our bytes: how many were sent, acknowledged, may be sent; and how many we have let the other one send.
  uint32_t sent_ = 0;
  uint32_t acknowledged_ = 0;
  uint32_t edge_ = 0;
  uint32_t allowed_ = 0;
};

struct Site {
  const char* name;
  const char* forwarding;
  bool client_ipv6;
  bool server_ipv6;
  uint32_t workers;
};

class SessionClientAddressTest : public testing::TestWithParam<Site> {
 protected:
  void SetUp() override {
    const Site& site = GetParam();
    input_.Load(absl::StrCat(
        "engine: {interfaces: [{name: eth0}], nat_addresses: [198.51.100.64, '2001:db8:1::40']}\n"
        "listeners: [{name: web, address: '",
        site.client_ipv6 ? "2001:db8::10" : "203.0.113.10", "', ports: [80], protocol: tcp, pool: web}]\n",
        "pools: [{name: web, client_address: proxy_v2, forwarding: ", site.forwarding,
        ", backends: [{name: a, port: 8080, address: '", site.server_ipv6 ? "2001:db8:1::11" : "10.0.1.11", "'}]}]\n"));
    input_.ResolveAll();
    SimOptions options;
    options.workers = site.workers;
    options.max_sessions = 1024;
    options.clock = [] { return uint64_t{1'000'000'000'000}; };
    for (const PortDescription& port : input_.ports) {
      options.ports.push_back({.name = "sim", .mac = port.mac, .mtu = port.mtu, .link_up = true, .mode = "sim"});
    }
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    ASSERT_TRUE(engine.ok());
    engine_ = *std::move(engine);
    ASSERT_TRUE(engine_->Publish(input_.Build(builder_)).ok());
  }

  // By proxy-protocol.txt.
  std::string Header(uint32_t port) const {
    const std::string ports = Word(port) + Word(80);
    const std::string start = std::string("\r\n\r\n\0\r\nQUIT\n", 12) + "\x21";
    if (!GetParam().client_ipv6) {
      return start + "\x11" + Word(12) + absl::HexStringToBytes("c0000207cb00710a") + ports;
    }
    return start + "\x21" + Word(36) +
           absl::HexStringToBytes("20010db8000f0000000000000000000720010db8000000000000000000000010") + ports;
  }

  // A network: each packet is lost, or comes at some time, perhaps again.
  struct Packet {
    Segment segment;
    bool to_server;
    bool passed;
  };
  void Enter(const Packet& packet) {
    if (random_() % 8 == 0 && lossy_) return;
    network_.push_back(packet);
    if (random_() % 8 == 0 && lossy_) network_.push_back(packet);
  }

  // One of them goes on, through the engine or to its end.
  void Deliver() {
    if (network_.empty()) return;
    const size_t at = random_() % std::min<size_t>(network_.size(), lossy_ ? 8 : 1);
    const Packet packet = network_[at];
    network_.erase(network_.begin() + static_cast<ptrdiff_t>(at));
    // Nothing lives for so long in a network that it comes behind the end, where a SYN begins another connection.
    if ((packet.segment.flags & kSyn) && client_->HasClosed()) return;
    if (packet.passed) return (packet.to_server ? server_ : client_)->Take(packet.segment);
    if (const std::optional<Segment> segment = Translate(packet.segment, packet.to_server)) {
      Enter({*segment, packet.to_server, true});
    }
  }

  std::optional<Segment> Translate(const Segment& segment, bool to_server) {
    const Site& site = GetParam();
    const bool full = std::string(site.forwarding) == "full_nat";
    const char* virtual_address = site.client_ipv6 ? "2001:db8::10" : "203.0.113.10";
    const char* client = site.client_ipv6 ? "2001:db8:f::7" : "192.0.2.7";
    const char* source = full ? (site.server_ipv6 ? "2001:db8:1::40" : "198.51.100.64") : client;
    const char* server = site.server_ipv6 ? "2001:db8:1::11" : "10.0.1.11";
    const std::string text =
        to_server
            ? absl::StrCat(site.client_ipv6 ? "eth / ipv6(src=" : "eth / ipv4(src=", client, ", dst=", virtual_address,
                           ") / ", TcpText(client_port_, 80, segment))
            : absl::StrCat("eth(src=02:00:00:00:01:11)", site.server_ipv6 ? " / ipv6(src=" : " / ipv4(src=", server,
                           ", dst=", source, ") / ", TcpText(8080, source_port_, segment));
    const std::string bytes = packet_test::Packet(text);
    const std::vector<SimPacket> packets = {{.bytes = {bytes.begin(), bytes.end()}, .port = 0}};
    const SimResult result = engine_->Receive(packets).at(0);
    if (result.out.bytes.empty()) return std::nullopt;
    passed_++;
    uint32_t port = 0;
    const Segment out = ReadSegment({result.out.bytes.begin(), result.out.bytes.end()}, &port);
    if (to_server) source_port_ = port;
    return out;
  }

  void Step() {
    const uint32_t kind = random_() % 8;
    if (kind == 0) {
      Enter({client_->Knows() && random_() % 16 ? client_->Any() : client_->Syn(false), true, false});
    } else if (kind == 1 && server_->Knows()) {
      const bool has_header = server_->Received() > 0;
      Enter({has_header ? server_->Any() : server_->Syn(true), false, false});
    } else {
      Deliver();
    }
  }

  std::string Bytes(uint32_t most) {
    std::string bytes(random_() % most, ' ');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  // A connection from its SYN to its end.
  void Connect(bool closes) {
    client_port_++;
    const std::string up = Bytes(6000);
    const std::string down = Bytes(4000);
    const std::string header = Header(client_port_);
    const uint32_t shift = random_() % 2 * 3;
    client_ = std::make_unique<End>(random_, up, down, closes, shift);
    server_ = std::make_unique<End>(random_, down, header + up, closes, shift);
    client_->Face(server_.get(), static_cast<uint32_t>(header.size()));
    server_->Face(client_.get(), 0);
    network_.clear();
    for (uint32_t step = 0; !HasFailure(); step++) {
      ASSERT_LT(step, 20'000u) << "it does not come to its end\nclient: " << client_->Words()
                               << "\nserver: " << server_->Words() << "\nunder way: " << network_.size();
      lossy_ = step < 2'000;
      Step();
      const bool over =
          client_->HasAll() && server_->HasAll() && client_->IsAcknowledged() && server_->IsAcknowledged();
      if (over && !lossy_) break;
    }
    while (!network_.empty()) Deliver();
    if (closes) return;
    // What comes behind all that the other side has is believed, here and there.
    const uint64_t before = passed_;
    const bool to_server = random_() % 2;
    network_.push_back({to_server ? client_->Reset() : server_->Reset(), to_server, false});
    while (!network_.empty()) Deliver();
    EXPECT_EQ(passed_, before + 1) << (to_server ? "to the server" : "to the client")
                                   << "\nclient: " << client_->Words() << "\nserver: " << server_->Words();
  }

  TestInput input_;
  Builder builder_;
  std::unique_ptr<SimEngine> engine_;
  Random random_{33};
  std::unique_ptr<End> client_;
  std::unique_ptr<End> server_;
  std::vector<Packet> network_;
  bool lossy_ = true;
  uint32_t client_port_ = 40'000;
  uint32_t source_port_ = 0;
  uint64_t passed_ = 0;
};

TEST_P(SessionClientAddressTest, RandomConnections) {
  for (int i = 0; i < 60 && !HasFailure(); i++) {
    SCOPED_TRACE(i);
    Connect(i % 2 == 0);
  }
  // More where a SYN of the server has come late.
  EXPECT_GE(engine_->ReadCounters().sessions.proxy_acknowledged, 60u);
}

INSTANTIATE_TEST_SUITE_P(Sites, SessionClientAddressTest,
                         testing::Values(Site{"nat", "nat", false, false, 1}, Site{"nat6", "nat", true, true, 2},
                                         Site{"full_nat", "full_nat", false, false, 2},
                                         Site{"full_nat64", "full_nat", true, false, 1},
                                         Site{"full_nat46", "full_nat", false, true, 1}),
                         [](const testing::TestParamInfo<Site>& site) { return std::string(site.param.name); });

}  // namespace
}  // namespace sluice
