// What clients, servers, routers and outsiders send.
#include <gtest/gtest.h>

#include <algorithm>

#include "sluice/session.h"
#include "tests/sim/nat_churn.h"

namespace sluice::sim_test {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint32_t kFloodPackets = 20;
// Identifications of fragments that follow none.
constexpr uint32_t kStrayFragment = 0x8000;

}  // namespace

Address NatChurn::NewAddress(bool ipv4) {
  Address address;
  if (ipv4) {
    address.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0};
    address.bytes[13] = static_cast<uint8_t>(Random(4));
  } else {
    address.bytes = {0x20, 1, 0xd, 0xb8, 0, 0xf};
    address.bytes[14] = static_cast<uint8_t>(Random(256));
  }
  address.bytes[15] = static_cast<uint8_t>(1 + Random(250));
  return address;
}

Link NatChurn::NewWay() {
  Link way;
  way.port = static_cast<uint16_t>(Random(2));
  way.destination = NatSite::PortMac(way.port);
  way.source = {2, 0, 0, 0, 1, static_cast<uint8_t>(Random(3))};
  way.vlan = Chance(80) ? 0 : static_cast<uint16_t>(1 + Random(3));
  return way;
}

// Some clients have one port toward several listeners, and some are servers themselves.
std::unique_ptr<NatChurn::Flow> NatChurn::NewFlow() {
  auto flow = std::make_unique<Flow>();
  do {
    flow->listener = static_cast<uint32_t>(Random(site_.listeners().size()));
    const NatListener& listener = site_.listeners()[flow->listener];
    const bool ipv4 = listener.address.IsIpv4();
    flow->key.protocol = Chance(60) ? SLUICE_IP_TCP : SLUICE_IP_UDP;
    if (!listener.Has(flow->key.protocol)) flow->key.protocol ^= SLUICE_IP_TCP ^ SLUICE_IP_UDP;
    const uint64_t ports = listener.last_port - listener.first_port + 1u;
    flow->key.destination = {listener.address, static_cast<uint16_t>(listener.first_port + Random(ports))};
    flow->key.source = {NewAddress(ipv4), static_cast<uint16_t>(1024 + Random(60000))};
    if (!flows_.empty() && Chance(20)) {
      const Endpoint& other = flows_[Random(flows_.size())]->key.source;
      if (other.address.IsIpv4() == ipv4) flow->key.source = other;
    } else if (ipv4 && Chance(3)) {
      flow->key.source.address = site_.pools()[0].backends[Random(NatSite::kBackends)].address;
    }
  } while (!used_.insert(flow->key).second);
  flow->way = NewWay();
  flow->next = {Random32(), Random32()};
  flow->rss_epoch = oracle_->rss_epoch();
  return flow;
}

void NatChurn::Act() {
  if (Chance(4)) return ActStranger();
  std::unique_ptr<Flow>& slot = flows_[Random(flows_.size())];
  if (slot->sleeps_until > now_) return;
  if (Random(500) == 0) slot = NewFlow();
  Flow& flow = *slot;
  // Some sleep until just before or just after they are forgotten.
  if (Random(200) == 0) flow.sleeps_until = now_ + Random(35'000) * kMillisecond;
  if (Random(200) == 0) flow.way = NewWay();
  if (Chance(8)) return ActError(flow);
  if (flow.key.protocol == SLUICE_IP_TCP) return ActTcp(flow);
  return Chance(10) ? ActFragments(flow) : ActUdp(flow);
}

bool NatChurn::Pass(const std::vector<NatPacket>& packets, const Link& in) {
  packets_ += packets.size();
  return oracle_->Pass(packets, in, now_);
}

NatPacket NatChurn::Make(const Flow& flow, const NatSession* session, size_t side) {
  NatPacket packet;
  packet.protocol = flow.key.protocol;
  packet.source = flow.key.source;
  packet.destination = flow.key.destination;
  if (side == 1) {
    packet.source = session->server.source;
    packet.destination = session->server.destination;
  }
  packet.ttl = static_cast<uint8_t>(2 + Random(253));
  packet.seed = Random32();
  packet.payload = static_cast<uint32_t>(Chance(3) ? Random(1400) : Random(40));
  packet.window = static_cast<uint16_t>(Random32());
  packet.sequence = flow.next[side];
  packet.acknowledgment = flow.next[1 - side];
  return packet;
}

bool NatChurn::Send(const Flow& flow, const NatSession* session, size_t side, const std::vector<NatPacket>& packets) {
  if (side == 0) return Pass(packets, flow.way);
  const NatBackend& server = *session->backend;
  return Pass(packets, {server.link.source, server.link.destination, 0, server.link.port});
}

void NatChurn::ActTcp(Flow& flow) {
  const NatSession* session = oracle_->OfClient(flow.key);
  if (session == nullptr) {
    // What the worker of another queue keeps of it is not known to the one that would open it again.
    if (flow.rss_epoch != oracle_->rss_epoch()) {
      flow = *NewFlow();
      return;
    }
    if (Chance(10)) return Segment(flow, nullptr, 0);
    NatPacket syn = Make(flow, nullptr, 0);
    syn.flags = kSyn;
    syn.acknowledgment = 0;
    syn.payload = 0;
    syn.scale = Chance(70) ? static_cast<int>(Random(15)) : kNoScale;
    // A client that is impatient, or several packets of a flow in one burst.
    Pass(std::vector<NatPacket>(Chance(10) ? 2 : 1, syn), flow.way);
    flow.next[0]++;
    return;
  }
  const NatState state = oracle_->StateOf(*session);
  const bool same_queue = flow.rss_epoch == oracle_->rss_epoch();
  if (same_queue && Chance(state == SLUICE_SESSION_CLOSED ? 20 : 2)) {
    NatPacket syn = Make(flow, nullptr, 0);
    syn.flags = kSyn;
    syn.scale = Chance(70) ? static_cast<int>(Random(15)) : kNoScale;
    Pass({syn}, flow.way);
    return;
  }
  const bool answered = session->sides[1].syn;
  if (!answered && Chance(60)) {
    NatPacket answer = Make(flow, session, 1);
    answer.flags = kSyn | kAck;
    answer.payload = 0;
    answer.acknowledgment = session->sides[0].number;
    answer.scale = Chance(70) ? static_cast<int>(Random(15)) : kNoScale;
    Send(flow, session, 1, {answer});
    return;
  }
  Segment(flow, session, Random(2));
}

// In the midst of it: data, FIN, RST, from either side; sequence numbers within the window and without.
void NatChurn::Segment(Flow& flow, const NatSession* session, size_t side) {
  NatPacket packet = Make(flow, session, side);
  packet.flags = kAck;
  if (session != nullptr) packet.acknowledgment = session->sides[1 - side].number + static_cast<uint32_t>(Random(3));
  const uint64_t choice = Random(100);
  if (choice < 7) {
    packet.flags = choice < 4 ? kFin | kAck : Chance(50) ? kRst : kRst | kAck;
    packet.payload = 0;
    if (session != nullptr) AimAtWindow(*session, side, &packet);
  }
  if (Chance(1)) packet.ttl = 1;
  std::vector<NatPacket> packets{packet};
  if (packet.flags == kAck && Chance(10)) packets.push_back(packet);
  flow.next[side] += packet.payload;
  Send(flow, session, side, packets);
}

// Most from outsiders, who miss; the edges of the window among the rest.
void NatChurn::AimAtWindow(const NatSession& session, size_t side, NatPacket* packet) {
  const uint32_t window = NatOracle::WindowOf(session, 1 - side);
  const uint32_t expected = session.sides[1 - side].number;
  const uint32_t sequences[] = {
      expected,          expected + static_cast<uint32_t>(Random(window + uint64_t{1})),
      expected + window, expected + window + 1,
      expected - 1,      expected - 0x10000,
      expected - 0xffff, expected + window + 1 + static_cast<uint32_t>(Random(1u << 30)),
      Random32(),        session.sides[side].number,
  };
  packet->sequence = sequences[Random(std::size(sequences))];
  if (Chance(50)) packet->acknowledgment = expected + static_cast<uint32_t>(Random(2));
}

void NatChurn::ActUdp(Flow& flow) {
  const NatSession* session = oracle_->OfClient(flow.key);
  const size_t side = session == nullptr ? 0 : Random(2);
  NatPacket packet = Make(flow, session, side);
  packet.no_checksum = packet.source.address.IsIpv4() && Chance(10);
  if (session != nullptr && Chance(1)) packet.ttl = 1;
  std::vector<NatPacket> packets{packet};
  if (Chance(5)) packets.push_back(packet);
  Send(flow, session, side, packets);
}

// A router on either side has lost something.
void NatChurn::ActError(Flow& flow) {
  const NatSession* session = oracle_->OfClient(flow.key);
  const size_t side = session == nullptr ? 0 : Random(2);
  NatPacket packet = Make(flow, session, side);
  packet.shape = Shape::kIcmpError;
  packet.flags = kAck;
  packet.payload = static_cast<uint32_t>(Random(100));
  packet.quoted = static_cast<uint32_t>(8 + Random(80));
  // Half a checksum is nobody's.
  if (packet.quoted == 17) packet.quoted = 18;
  packet.router = Chance(50) ? packet.source.address : NewAddress(packet.source.address.IsIpv4());
  Send(flow, session, side, {packet});
}

void NatChurn::ActFragments(Flow& flow) {
  const NatSession* session = oracle_->OfClient(flow.key);
  const size_t side = session == nullptr ? 0 : Random(2);
  NatPacket packet = Make(flow, session, side);
  packet.shape = Shape::kFirstFragment;
  packet.payload = static_cast<uint32_t>(100 + Random(100));
  packet.seed = ++fragments_ % kStrayFragment;
  const Link in = side == 0 ? flow.way
                            : Link{session->backend->link.source, session->backend->link.destination, 0,
                                   session->backend->link.port};
  if (!Pass({packet}, in)) return;
  packet.shape = Shape::kLaterFragment;
  Pass({packet}, in);
}

// Packets that nobody should believe, and flows that nobody has.
void NatChurn::ActStranger() {
  const Flow& flow = *flows_[Random(flows_.size())];
  Flow stranger = flow;
  do {
    stranger.key.source.port = static_cast<uint16_t>(1024 + Random(60000));
  } while (used_.contains(stranger.key));
  NatPacket packet = Make(stranger, nullptr, 0);
  packet.flags = Chance(50) ? kAck : Chance(50) ? kRst : kSyn | kAck;
  const bool ipv4 = packet.source.address.IsIpv4();
  if (packet.protocol == SLUICE_IP_UDP) packet.shape = Chance(50) ? Shape::kLaterFragment : Shape::kIcmpError;
  if (Chance(20)) packet.shape = Shape::kIcmpError;
  if (packet.shape == Shape::kLaterFragment) packet.payload = 100;
  packet.router = packet.source.address;
  if (Chance(50)) {
    // Toward one of our own addresses, from a server or somebody else; or past us.
    const NatPool& pool = site_.pools()[Random(site_.pools().size())];
    const NatBackend& server = pool.backends[Random(pool.backends.size())];
    if (server.address.IsIpv4() == ipv4 && Chance(70)) packet.source.address = server.address;
    const std::vector<Address>& addresses = site_.nat_addresses(ipv4);
    packet.destination.address = Chance(70) ? addresses[Random(addresses.size())] : NewAddress(ipv4);
    packet.destination.port = static_cast<uint16_t>(1024 + Random(60000));
    if (packet.protocol == SLUICE_IP_TCP && Chance(30)) packet.flags = kSyn;
    if (packet.protocol == SLUICE_IP_UDP && Chance(50)) packet.shape = Shape::kWhole;
  }
  packet.seed |= kStrayFragment;
  Pass({packet}, NewWay());
}

// SYNs that nobody will go on with.
void NatChurn::Flood() {
  for (uint32_t i = 0; i < kFloodPackets && !testing::Test::HasFailure(); i++) {
    NatPacket syn;
    syn.protocol = SLUICE_IP_TCP;
    const NatListener* listener = nullptr;
    do {
      listener = &site_.listeners()[Random(site_.listeners().size())];
    } while (!listener->Has(SLUICE_IP_TCP));
    const bool ipv4 = listener->address.IsIpv4();
    syn.destination = {listener->address, listener->first_port};
    do {
      syn.source = {NewAddress(ipv4), static_cast<uint16_t>(1024 + Random(60000))};
    } while (used_.contains({syn.protocol, syn.source, syn.destination}) ||
             oracle_->OfClient({syn.protocol, syn.source, syn.destination}) != nullptr);
    syn.flags = kSyn;
    syn.sequence = Random32();
    Pass({syn}, NewWay());
  }
}

}  // namespace sluice::sim_test
