#include "engine/nat_owners.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

// Where the destination port is in the input.
constexpr size_t kPortOfIpv4 = 10;
constexpr size_t kPortOfIpv6 = 34;
// Larger tables are nobody's.
constexpr size_t kMostHashes = 4096;
// A worker that has less than this part of an even share would be out of ports long before the others.
constexpr uint64_t kLeastPartOfShare = 4;

// What each byte at the place adds: linear, so eight hashes tell of all 256.
std::array<uint32_t, 256> PartsOf(const NatOwners::Rss& rss, size_t at) {
  std::array<uint32_t, 256> parts{};
  for (uint32_t bit = 1; bit < 256; bit <<= 1) {
    NatOwners::Input input{};
    input[at] = static_cast<uint8_t>(bit);
    parts[bit] = rss.hash(input);
    for (uint32_t lower = 1; lower < bit; lower++) parts[bit | lower] = parts[bit] ^ parts[lower];
  }
  return parts;
}

}  // namespace

NatOwners::NatOwners(uint32_t owners, const Rss& rss, const sluice_nat_ports& ports) : owners_(owners) {
  const size_t hashes = rss.worker_of_hash.size();
  if (!std::has_single_bit(hashes) || hashes > kMostHashes) return;
  if (std::any_of(rss.worker_of_hash.begin(), rss.worker_of_hash.end(),
                  [owners](uint16_t worker) { return worker >= owners; })) {
    return;
  }
  worker_of_hash_ = rss.worker_of_hash;
  for (size_t at = 0; at < kInput; at++) parts_.push_back(PartsOf(rss, at));
  for (const bool ipv6 : {false, true}) {
    if (!EnoughForAll(ports, &parts_[ipv6 ? kPortOfIpv6 : kPortOfIpv4])) continue;
    by_rss_ |= rss.with_ports & (Kind(ipv6, false) | Kind(ipv6, true));
  }
}

// Whatever the addresses are: they only shift the table that the ports are spread over.
bool NatOwners::EnoughForAll(const sluice_nat_ports& ports, const Place* places) const {
  const size_t hashes = worker_of_hash_.size();
  std::vector<uint32_t> ports_of_hash(hashes);
  for (uint32_t i = 0; i < ports.count; i++) {
    const uint16_t port = sluice_nat_port(&ports, i);
    ports_of_hash[(places[0][port >> 8] ^ places[1][port & 0xff]) & (hashes - 1)]++;
  }
  for (size_t shift = 0; shift < hashes; shift++) {
    std::vector<uint64_t> share(owners_);
    for (size_t hash = 0; hash < hashes; hash++) share[worker_of_hash_[hash ^ shift]] += ports_of_hash[hash];
    if (*std::min_element(share.begin(), share.end()) * owners_ * kLeastPartOfShare < ports.count) return false;
  }
  return true;
}

sluice_nat_rss NatOwners::rss() const {
  sluice_nat_rss rss{};
  if (by_rss_ == 0) return rss;
  static_assert(sizeof(Place) == sizeof(uint32_t[256]));
  rss.parts = reinterpret_cast<const uint32_t(*)[256]>(parts_.data());
  rss.owner_of_hash = worker_of_hash_.data();
  rss.hash_mask = static_cast<uint32_t>(worker_of_hash_.size() - 1);
  rss.kinds = by_rss_;
  return rss;
}

std::string KindsText(uint32_t kinds) {
  std::vector<std::string> versions;
  for (const bool ipv6 : {false, true}) {
    std::vector<const char*> protocols;
    if (kinds & NatOwners::Kind(ipv6, false)) protocols.push_back("TCP");
    if (kinds & NatOwners::Kind(ipv6, true)) protocols.push_back("UDP");
    if (!protocols.empty())
      versions.push_back(absl::StrCat(absl::StrJoin(protocols, " and "), ipv6 ? " over IPv6" : " over IPv4"));
  }
  return absl::StrJoin(versions, ", ");
}

}  // namespace sluice
