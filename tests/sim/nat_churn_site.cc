#include "tests/sim/nat_churn_site.h"

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

}  // namespace

bool NatListener::Has(uint8_t number) const {
  return protocol == "tcp_udp" || protocol == (number == SLUICE_IP_TCP ? "tcp" : "udp");
}

// Two listeners share a pool and its servers' ports: one client may have the same port toward both.
NatSite::NatSite(uint32_t workers) : workers_(workers) {
  AddPool("web", false, "10.0.1.", 8080);
  AddPool("dns", false, "10.0.2.", 0);
  AddPool("six", false, "2001:db8:6::", 9000);
  AddPool("full", true, "10.0.3.", 0);
  AddPool("fullsix", true, "2001:db8:7::", 8443);
  AddListener("203.0.113.10", {"web", {}, 80, 80, "tcp", 0, 20, 5, 10, 8});
  AddListener("203.0.113.11", {"web2", {}, 80, 80, "tcp", 0, 30, 6, 12, 9});
  AddListener("203.0.113.10", {"dns", {}, 53, 53, "udp", 1, 12});
  AddListener("203.0.113.11", {"dns2", {}, 53, 53, "udp", 1, 15});
  AddListener("2001:db8::10", {"six", {}, 8000, 8019, "tcp_udp", 2, 25, 5, 10, 9});
  AddListener("203.0.113.20", {"full", {}, 443, 446, "tcp_udp", 3, 20, 5, 10, 8});
  AddListener("2001:db8::20", {"fullsix", {}, 443, 443, "tcp_udp", 4, 18, 6, 11, 10});
  for (const char* address : {"198.51.100.64", "198.51.100.65"}) nat_ipv4_.push_back(At(address));
  for (const char* address : {"2001:db8:1::40", "2001:db8:1::41"}) nat_ipv6_.push_back(At(address));
}

void NatSite::AddPool(const std::string& name, bool full, const std::string& network, uint16_t port) {
  const auto pool = static_cast<uint32_t>(pools_.size());
  NatPool& added = pools_.emplace_back(NatPool{name, full, {}});
  for (uint32_t i = 0; i < kBackends; i++) {
    NatBackend backend;
    backend.name = absl::StrCat(name, i);
    backend.address = At(absl::StrCat(network, i + 1));
    backend.port = port;
    backend.pool = pool;
    backend.present = i < 3;
    Move(added.backends.emplace_back(backend));
  }
}

void NatSite::AddListener(const std::string& address, NatListener listener) {
  listener.address = At(address);
  listeners_.push_back(std::move(listener));
}

std::string NatSite::Yaml() const {
  std::string yaml = absl::StrCat("engine: {workers: ", workers_,
                                  ", interfaces: [{name: eth0}, {name: eth1}], nat_addresses: [198.51.100.64/31, "
                                  "\"2001:db8:1::40/127\"]}\nlisteners:\n");
  for (const NatListener& listener : listeners_) {
    if (!listener.present) continue;
    absl::StrAppend(&yaml, "  - {name: ", listener.name, ", address: \"", FormatAddress(listener.address),
                    "\", ports: [\"", listener.first_port, "-", listener.last_port,
                    "\"], protocol: ", listener.protocol, ", pool: ", pools_[listener.pool].name,
                    ", idle_timeout: ", listener.idle, "s");
    if (listener.Has(SLUICE_IP_TCP)) {
      absl::StrAppend(&yaml, ", handshake_timeout: ", listener.handshake,
                      "s, half_closed_timeout: ", listener.half_closed, "s, closed_timeout: ", listener.closed, "s");
    }
    absl::StrAppend(&yaml, "}\n");
  }
  absl::StrAppend(&yaml, "pools:\n");
  for (const NatPool& pool : pools_) {
    absl::StrAppend(&yaml, "  - name: ", pool.name, "\n    forwarding: ", pool.full ? "full_nat" : "nat",
                    "\n    maglev_table_size: 1021\n    backends:\n");
    for (const NatBackend& backend : pool.backends) {
      if (!backend.present) continue;
      absl::StrAppend(&yaml, "      - {name: ", backend.name, ", address: \"", FormatAddress(backend.address),
                      "\", weight: ", backend.weight);
      if (backend.port != 0) absl::StrAppend(&yaml, ", port: ", backend.port);
      absl::StrAppend(&yaml, "}\n");
    }
  }
  return yaml;
}

bool NatSite::TakesFlows(uint32_t pool) const {
  return std::any_of(pools_[pool].backends.begin(), pools_[pool].backends.end(),
                     [](const NatBackend& backend) { return backend.TakesFlows(); });
}

bool NatSite::IsVirtual(const Address& address) const {
  const auto has = [&address](const NatListener& listener) { return listener.present && listener.address == address; };
  return IsNat(address) || std::any_of(listeners_.begin(), listeners_.end(), has);
}

bool NatSite::IsNat(const Address& address) const {
  const std::vector<Address>& addresses = nat_addresses(address.IsIpv4());
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

bool NatSite::IsServer(const Address& address) const {
  for (const NatPool& pool : pools_) {
    for (const NatBackend& backend : pool.backends) {
      if (!pool.full && backend.present && backend.address == address) return true;
    }
  }
  return false;
}

void NatSite::Move(NatBackend& backend) {
  backend.moves++;
  const auto port = static_cast<uint16_t>(backend.moves % 2);
  backend.hop.ifindex = kInterfaces[port];
  backend.hop.source = PortMac(port);
  backend.hop.destination = {2, 1, backend.moves, 0, static_cast<uint8_t>(backend.pool), backend.address.bytes[15]};
  backend.hop.mtu = 1500;
  backend.link = {backend.hop.destination, backend.hop.source, 0, port};
}

const NatBackend* NatSite::Recipient(const Bytes& frame) const {
  if (frame.size() < SLUICE_ETHERNET_BYTES || frame[4] >= pools_.size()) return nullptr;
  for (const NatBackend& backend : pools_[frame[4]].backends) {
    if (std::equal(backend.hop.destination.begin(), backend.hop.destination.end(), frame.begin())) return &backend;
  }
  return nullptr;
}

}  // namespace sluice::sim_test
