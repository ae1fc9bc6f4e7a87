#include "path_fixture.h"

#include <cstdlib>
#include <random>

#include "absl/strings/str_format.h"
#include "sluice/listener.h"

namespace sluice::bench {

Tables::Tables(sluice_forwarding forwarding) {
  for (uint32_t i = 0; i < 10; i++) settings_.hash_key[i] = 0x9e3779b9u * (i + 1) ^ 0x5bd1e995u;
  settings_.index_mask = kIndexSize - 1;
  settings_.longest_idle = 170;
  AddKey(VirtualIpv4(), SLUICE_IP_TCP, SLUICE_16(80), SLUICE_INDEX_LISTENER, 0);
  AddKey(VirtualIpv6(), SLUICE_IP_TCP, SLUICE_16(80), SLUICE_INDEX_LISTENER, 1);
  AddKey(VirtualIpv4(), 0, 0, SLUICE_INDEX_VIRTUAL, SLUICE_VIRTUAL_ECHO);
  AddKey(VirtualIpv6(), 0, 0, SLUICE_INDEX_VIRTUAL, SLUICE_VIRTUAL_ECHO);
  for (uint32_t slot = 0; slot < kBackends; slot++) {
    sluice_backend& backend = backends_[slot];
    backend.destination_mac[0] = backend.source_mac[0] = 2;
    backend.destination_mac[5] = static_cast<uint8_t>(slot);
    backend.source = sluice_ipv4(SLUICE_32(0x0a000001));
    backend.destination = sluice_ipv4(SLUICE_32(0x0a000100 + slot));
    backend.mtu = 9000;
    backend.forwarding = static_cast<uint8_t>(forwarding);
    backend.flags = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP;
    backend.idle = 170;
    backend.outer_length = forwarding == SLUICE_DSR_L2 ? 0 : forwarding == SLUICE_IPIP ? 20 : 32;
    backend.outer_sum = sluice_outer_sum(backend.source.words[3], backend.destination.words[3]);
    backend.service_port = forwarding == SLUICE_GUE ? SLUICE_16(6080) : 0;
  }
  if (forwarding == SLUICE_NAT || forwarding == SLUICE_FULL_NAT) Translate();
  for (uint32_t i = 0; i < kMaglev; i++) maglev_[i] = i % kBackends;
  view_ = {&settings_,     index_.data(),       nullptr,       listeners_.data(),     pools_.data(),
           maglev_.data(), backends_,           ports_.data(), session_terms_.data(), nat_addresses_.data(),
           access_.data(), access_nodes_.data()};
}

AccessTree RandomAccess(bool ipv6, uint32_t prefixes) {
  std::mt19937 random(prefixes);
  v1::Access access;
  access.add_allow(ipv6 ? "2001:db8::/32" : "11.0.0.0/8");
  for (uint32_t i = 1; i < prefixes; i++) {
    const uint32_t length = 16 + random() % 9;
    // Bits behind the length are taken away again.
    const uint32_t at = (0x0c000000u + random() % 0xd0000000u) & ~0u << (32 - length);
    (random() % 2 == 0 ? access.add_allow() : access.add_deny())
        ->assign(ipv6 ? absl::StrFormat("%x:%x::/%d", at >> 16, at & 0xffff, length)
                      : absl::StrFormat("%d.%d.%d.%d/%d", at >> 24, at >> 16 & 255, at >> 8 & 255, at & 255, length));
  }
  absl::StatusOr<AccessTree> tree = BuildAccessTree(access, !ipv6);
  if (!tree.ok()) std::abort();
  return *std::move(tree);
}

void Tables::Admit(const AccessTree& tree) {
  access_nodes_ = tree.nodes;
  view_.access_nodes = access_nodes_.data();
  const auto lowest = static_cast<uint16_t>(tree.admits_lowest ? SLUICE_ACCESS_LOWEST : 0);
  for (size_t i = 0; i < listeners_.size(); i++) {
    listeners_[i].flags |= SLUICE_LISTENER_ACCESS;
    access_[i] = {0, tree.levels, lowest, 0, 0};
  }
}

void Tables::Translate() {
  settings_.sessions = SLUICE_SESSIONS_ALL;
  settings_.nat_ipv4 = 1;
  const sluice_address addresses[] = {VirtualIpv4(), VirtualIpv6()};
  for (size_t i = 0; i < listeners_.size(); i++) {
    listeners_[i].flags = SLUICE_LISTENER_SESSIONS;
    session_terms_[i] = {addresses[i], 15, 170, 60, 30, 0, {}};
  }
  for (uint32_t slot = 0; slot < kBackends; slot++) backends_[slot].outer_length = 0;
}

void Tables::AddKey(const sluice_address& address, uint32_t protocol, uint16_t port, sluice_index_kind kind,
                    uint32_t value) {
  const uint32_t key = sluice_index_key(protocol, port);
  uint32_t at = sluice_hash_index(&address, key);
  while (index_[at & (kIndexSize - 1)].kind != SLUICE_INDEX_EMPTY) at++;
  index_[at & (kIndexSize - 1)] = {address, key, value, 0, static_cast<uint16_t>(kind), 0};
}

Packets::Packets(bool ipv6, uint64_t flows) : ipv6_(ipv6), flows_(flows) {
  // 64-byte frames on the wire: 60 without the check sequence; IPv6 TCP does not fit and takes 74.
  pristine_.resize(ipv6 ? 74 : 60);
  uint8_t* at = pristine_.data();
  at[0] = at[6] = 2;
  sluice_store16(at + 12, ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  uint8_t* l3 = at + SLUICE_ETHERNET_BYTES;
  uint8_t* l4 = l3 + (ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
  const sluice_address to = ipv6 ? Tables::VirtualIpv6() : Tables::VirtualIpv4();
  if (ipv6) {
    l3[0] = 0x60;
    l3[5] = SLUICE_TCP_BYTES;
    l3[6] = SLUICE_IP_TCP;
    l3[7] = 64;
    sluice_store32(l3 + 8, SLUICE_32(0x20010db8));
    std::memcpy(l3 + 24, &to, sizeof(to));
  } else {
    l3[0] = 0x45;
    l3[3] = SLUICE_IPV4_BYTES + SLUICE_TCP_BYTES;
    l3[8] = 64;
    l3[9] = SLUICE_IP_TCP;
    sluice_store32(l3 + 16, to.words[3]);
  }
  sluice_store16(l4 + 2, SLUICE_16(80));
  l4[12] = 0x50;
  l4[13] = 0x10;
}

void Packets::Next() {
  for (uint32_t i = 0; i < SLUICE_BURST; i++) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    Write(i, (random_ >> 32) * flows_ >> 32);
  }
}

void Packets::Fill(uint64_t first) {
  for (uint32_t i = 0; i < SLUICE_BURST; i++) Write(i, (first + i) % flows_);
}

void Packets::Write(uint32_t i, uint64_t flow) {
  Frame& frame = frames_[i];
  frame.data = memory_.data() + size_t{i} * kRoom + SLUICE_HEADROOM;
  frame.length = static_cast<uint32_t>(pristine_.size());
  frame.headroom = SLUICE_HEADROOM;
  frame.tailroom = 64;
  std::memcpy(frame.data, pristine_.data(), pristine_.size());
  uint8_t* l3 = frame.data + SLUICE_ETHERNET_BYTES;
  // 50,000 ports on each of as many clients as it takes.
  const uint32_t client = 0x0b000000u + static_cast<uint32_t>(flow / 50000);
  sluice_store32(l3 + (ipv6_ ? 20 : 12), SLUICE_32(client));
  sluice_store16(l3 + (ipv6_ ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES), SLUICE_16(10000 + flow % 50000));
}

namespace {

BurstPath MustCreatePath(const Partition& partition) {
  absl::StatusOr<BurstPath> path = BurstPath::Create({partition});
  if (!path.ok()) std::abort();
  return *std::move(path);
}

}  // namespace

Path::Path(Tables& tables, Packets& packets, uint64_t flows, bool established)
    : tables_(tables),
      flows_(flows),
      buckets_(MustCreate(uint64_t{BucketsFor(flows)} * sizeof(sluice_bucket))),
      path_(MustCreatePath(partition())) {
  // Twice: the second packet confirms the flow.
  for (uint64_t i = 0; established && i < 2 * flows; i += SLUICE_BURST) {
    packets.Fill(i);
    Process(packets);
  }
}

}  // namespace sluice::bench
