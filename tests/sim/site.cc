#include "tests/sim/site.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"
#include "sluice/types.h"

namespace sluice::sim_test {
namespace {

Address At(const std::string& text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  assert(address.ok());
  return *address;
}

// Where the outer destination lies in a frame without VLAN tags.
bool IsFor(const Bytes& frame, const Address& address) {
  const bool ipv4 = address.IsIpv4();
  const size_t at = SLUICE_ETHERNET_BYTES + (ipv4 ? 16 : 24);
  const size_t length = ipv4 ? 4 : 16;
  return frame.size() >= at + length &&
         std::equal(frame.begin() + static_cast<ptrdiff_t>(at), frame.begin() + static_cast<ptrdiff_t>(at + length),
                    address.bytes.end() - static_cast<ptrdiff_t>(length));
}

}  // namespace

Site::Site() {
  AddPool("web", "dsr_l2", "10.0.1.");
  AddPool("tunnel", "ipip", "10.0.2.");
  AddPool("dns", "gue", "10.0.3.");
  AddPool("six", "dsr_l2", "2001:db8:6::");
  AddListener({"web", {}, 80, "tcp", SLUICE_IP_TCP, 0, 120}, "203.0.113.10");
  AddListener({"tls", {}, 443, "tcp", SLUICE_IP_TCP, 1, 60}, "203.0.113.10");
  AddListener({"dns", {}, 53, "udp", SLUICE_IP_UDP, 2, 30}, "203.0.113.53");
  AddListener({"six", {}, 8000, "tcp_udp", SLUICE_IP_TCP, 3, 90}, "2001:db8::10");
  AddListener({"six", {}, 8000, "tcp_udp", SLUICE_IP_UDP, 3, 90}, "2001:db8::10");
}

void Site::AddPool(const std::string& name, const std::string& forwarding, const std::string& network) {
  const auto pool = static_cast<uint32_t>(pools_.size());
  SitePool& added = pools_.emplace_back(SitePool{name, forwarding, {}});
  for (uint32_t i = 0; i < kBackends; i++) {
    SiteBackend backend;
    backend.name = absl::StrCat(name, i);
    backend.address = At(absl::StrCat(network, i + 1));
    backend.pool = pool;
    backend.present = i < 5;
    added.backends.push_back(backend);
    Move(added.backends.back());
  }
}

void Site::AddListener(SiteListener listener, const std::string& address) {
  listener.address = At(address);
  listeners_.push_back(std::move(listener));
}

std::string Site::Yaml() const {
  std::string yaml =
      "engine: {workers: 4, interfaces: [{name: eth0}, {name: eth1}], tunnel_source: {ipv4: 198.51.100.2}}\n"
      "listeners:\n";
  std::string last;
  for (const SiteListener& listener : listeners_) {
    if (listener.name == last) continue;
    last = listener.name;
    absl::StrAppend(&yaml, "  - {name: ", listener.name, ", address: \"", FormatAddress(listener.address),
                    "\", ports: [", listener.port, "], protocol: ", listener.protocol,
                    ", pool: ", pools_[listener.pool].name, ", idle_timeout: ", listener.idle_seconds, "s}\n");
  }
  absl::StrAppend(&yaml, "pools:\n");
  for (const SitePool& pool : pools_) {
    absl::StrAppend(&yaml, "  - name: ", pool.name, "\n    forwarding: ", pool.forwarding,
                    "\n    maglev_table_size: 1021\n    backends:\n");
    for (const SiteBackend& backend : pool.backends) {
      if (!backend.present) continue;
      absl::StrAppend(&yaml, "      - {name: ", backend.name, ", address: \"", FormatAddress(backend.address),
                      "\", weight: ", backend.weight, "}\n");
    }
  }
  return yaml;
}

bool Site::TakesFlows(uint32_t pool) const {
  return std::any_of(pools_[pool].backends.begin(), pools_[pool].backends.end(),
                     [](const SiteBackend& backend) { return backend.TakesFlows(); });
}

void Site::Move(SiteBackend& backend) {
  backend.moves++;
  const uint8_t number = backend.address.bytes[15];
  const size_t port = backend.moves % 2;
  backend.hop.ifindex = kInterfaces[port];
  backend.hop.source = {2, 0, 0, 0, 0, static_cast<uint8_t>(port + 1)};
  backend.hop.destination = {2, 1, backend.moves, 0, static_cast<uint8_t>(backend.pool), number};
  backend.hop.mtu = 1500;
}

const SiteBackend* Site::Recipient(const Bytes& frame, uint16_t port) const {
  if (frame.size() < SLUICE_ETHERNET_BYTES || frame[4] >= pools_.size()) return nullptr;
  const SitePool& pool = pools_[frame[4]];
  for (const SiteBackend& backend : pool.backends) {
    if (!std::equal(backend.hop.destination.begin(), backend.hop.destination.end(), frame.begin())) continue;
    const bool there = backend.present && backend.reachable && kInterfaces[port] == backend.hop.ifindex;
    const bool addressed = pool.forwarding == "dsr_l2" || IsFor(frame, backend.address);
    return there && addressed ? &backend : nullptr;
  }
  return nullptr;
}

}  // namespace sluice::sim_test
