#include "tests/packet/random_site.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/load.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {
namespace {

constexpr uint32_t kBackends = 6;
constexpr uint32_t kVirtuals = 4;
// An outcome may not depend on when a packet came: nothing expires while the test runs.
constexpr const char* kTimeout = "6000s";

Address At(const std::string& text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) std::abort();
  return *address;
}

}  // namespace

RandomSite::RandomSite(uint64_t seed, absl::Span<const PoolKind> pools) : random_(seed) {
  for (const PoolKind& kind : pools) AddPool(kind);
  for (uint32_t i = 0; i < kVirtuals; i++) {
    AddVirtual(absl::StrCat("203.0.113.", 10 + i), false);
    AddVirtual(absl::StrCat("2001:db8::", 10 + i), true);
  }
  // One that refuses by RST at first, whatever the seed: by chance alone no listener of TCP did in one run of 80.
  listeners_[0].present = listeners_[0].denies = true;
}

bool RandomSite::Translates(const PoolKind& kind) {
  return std::string_view(kind.forwarding).ends_with("nat");
}

void RandomSite::AddPool(PoolKind kind) {
  const size_t number = pools_.size();
  Pool& pool = pools_.emplace_back(Pool{kind, 251, {}});
  for (uint32_t i = 0; i < kBackends; i++) {
    const std::string network =
        kind.ipv6 ? absl::StrCat("2001:db8:", number + 1, "::") : absl::StrCat("10.", number, ".0.");
    Backend& backend = pool.backends.emplace_back(Backend{absl::StrCat(network, i + 1), i < 4, 1, true, true, {}});
    Move(backend, number, i);
  }
}

void RandomSite::AddVirtual(const std::string& address, bool ipv6) {
  constexpr const char* kAffinities[] = {"five_tuple", "source_ip", "source_ip_and_destination"};
  virtuals_.push_back({address, true, Random(4) != 0, kAffinities[Random(std::size(kAffinities))]});
  struct {
    const char* protocol;
    uint16_t first, last;
  } constexpr kServices[] = {{"tcp", 80, 80}, {"udp", 53, 53}, {"tcp_udp", 443, 443}, {"tcp_udp", 1000, 1015}};
  for (const auto& service : kServices) {
    const bool present = Random(8) != 0;
    SiteListener& listener = listeners_.emplace_back(
        SiteListener{address, ipv6, service.protocol, service.first, service.last, 0, 0, {}, present, Random(4) == 0});
    ChangePools(listener);
  }
}

// dsr_l2 and nat leave the client's address as it is, so their servers are of the client's IP version.
uint32_t RandomSite::PoolFor(bool ipv6) {
  while (true) {
    const uint32_t pool = Random(static_cast<uint32_t>(pools_.size()));
    const PoolKind& kind = pools_[pool].kind;
    const std::string_view forwarding = kind.forwarding;
    if (kind.ipv6 == ipv6 || (forwarding != "dsr_l2" && forwarding != "nat")) return pool;
  }
}

// One of them stays now and then, so that flows go on whose pool was alone before.
void RandomSite::ChangePools(SiteListener& listener) {
  const bool was_one = listener.other == listener.pool && listener.weights[0] > 0;
  if (!was_one || Random(2) == 0) listener.pool = PoolFor(listener.ipv6);
  listener.other = listener.pool;
  if (Random(2) == 0) {
    do listener.other = PoolFor(listener.ipv6);
    while (Translates(pools_[listener.other].kind) != Translates(pools_[listener.pool].kind));
  }
  listener.weights[0] = 1 + Random(3);
  listener.weights[1] = Random(4);
  if (Random(2) == 0) std::swap(listener.weights[0], listener.weights[1]);
}

std::string RandomSite::PoolsOf(const SiteListener& listener) const {
  if (listener.other == listener.pool) return absl::StrCat("pool: p", listener.pool);
  return absl::StrCat("pools: [{name: p", listener.pool, ", weight: ", listener.weights[0], "}, {name: p",
                      listener.other, ", weight: ", listener.weights[1], "}]");
}

void RandomSite::Move(Backend& backend, size_t pool, size_t number) {
  constexpr uint16_t kMtus[] = {1500, 1500, 1500, 1400, 1280, 9000};
  constexpr uint16_t kTags[] = {0, 0, 7, 100};
  BackendNextHop& hop = backend.hop;
  hop.port = static_cast<uint16_t>(Random(kTestedPorts));
  hop.source = TestedPorts()[hop.port].mac;
  const auto moves = static_cast<uint8_t>(hop.destination[2] + 1);
  hop.destination = {2, 1, moves, 0, static_cast<uint8_t>(pool), static_cast<uint8_t>(number)};
  hop.mtu = kMtus[Random(std::size(kMtus))];
  hop.vlan = kTags[Random(std::size(kTags))];
}

void RandomSite::ChangeBackend() {
  const uint32_t number = Random(static_cast<uint32_t>(pools_.size()));
  Pool& pool = pools_[number];
  const uint32_t at = Random(kBackends);
  Backend& backend = pool.backends[at];
  // Now and then nobody takes new flows.
  const bool drained = Random(24) == 0;
  for (Backend& one : pool.backends) {
    if (drained) one.weight = 0;
  }
  switch (Random(6)) {
    case 0:
    case 1:
      backend.present = !backend.present;
      break;
    case 2:
      backend.weight = Random(4);
      break;
    case 3:
      Move(backend, number, at);
      break;
    case 4:
      backend.healthy = !backend.healthy;
      break;
    default:
      // So often that every long run has many whose flows are there already: with one in four, one run in some 2,000
      // had none.
      backend.reachable = Random(2) != 0;
  }
  if (Random(16) == 0) pool.maglev_table_size = pool.maglev_table_size == 251 ? 1021 : 251;
}

void RandomSite::ChangeListener() {
  SiteListener& listener = listeners_[Random(static_cast<uint32_t>(listeners_.size()))];
  const uint32_t what = Random(3);
  if (what == 0) ChangePools(listener);
  if (what == 1) listener.present = Random(6) != 0;
  if (what == 2) listener.denies = Random(4) == 0;
}

void RandomSite::Change() {
  for (uint32_t changes = 1 + Random(4); changes > 0; changes--) {
    const uint32_t what = Random(10);
    Virtual& address = virtuals_[Random(static_cast<uint32_t>(virtuals_.size()))];
    if (what < 6) ChangeBackend();
    if (what >= 6 && what < 8) ChangeListener();
    if (what == 8) address.announce = !address.announce;
    if (what == 9) address.echo = !address.echo;
  }
}

std::string RandomSite::Yaml() const {
  std::string yaml =
      "engine: {interfaces: [{name: eth0}, {name: eth1}], tunnel_source: {ipv4: 198.51.100.2, ipv6: "
      "\"2001:db8:99::2\"}";
  const bool translates =
      std::any_of(pools_.begin(), pools_.end(), [](const Pool& pool) { return Translates(pool.kind); });
  if (translates) absl::StrAppend(&yaml, ", nat_addresses: [198.51.100.64/30, \"2001:db8:99::40/126\"]");
  absl::StrAppend(&yaml, "}\nlisteners:\n");
  for (size_t i = 0; i < listeners_.size(); i++) {
    const SiteListener& listener = listeners_[i];
    if (!listener.present) continue;
    const auto address = std::find_if(virtuals_.begin(), virtuals_.end(),
                                      [&](const Virtual& one) { return one.address == listener.address; });
    absl::StrAppend(&yaml, "  - {name: l", i, ", address: \"", listener.address, "\", protocol: ", listener.protocol,
                    ", ports: [", listener.first, "-", listener.last, "], ", PoolsOf(listener));
    absl::StrAppend(&yaml, ", idle_timeout: ", kTimeout, ", announce: ", address->announce ? "link" : "none",
                    ", icmp_echo: ", address->echo ? "answer" : "drop");
    if (listener.denies) {
      // How many ICMP errors are sent depends on time; RSTs don't.
      const bool told = std::string_view(listener.protocol) == "tcp";
      absl::StrAppend(&yaml, ", access: {deny: [\"", listener.ipv6 ? "2001:db8:f::/116" : "192.0.1.0/24",
                      "\"], on_refused: ", told ? "reset" : "drop", "}");
    }
    const bool hashed =
        listener.other != listener.pool || std::string_view(pools_[listener.pool].kind.algorithm) == "maglev";
    absl::StrAppend(&yaml, hashed ? ", affinity: " : "", hashed ? address->affinity : "", "}\n");
  }
  absl::StrAppend(&yaml, "pools:\n");
  for (size_t i = 0; i < pools_.size(); i++) {
    const Pool& pool = pools_[i];
    absl::StrAppend(&yaml, "  - name: p", i, "\n    forwarding: ", pool.kind.forwarding,
                    "\n    algorithm: ", pool.kind.algorithm, "\n    maglev_table_size: ", pool.maglev_table_size,
                    "\n    backends:\n");
    for (size_t j = 0; j < pool.backends.size(); j++) {
      const Backend& backend = pool.backends[j];
      // Never none at all.
      if (!backend.present && j != 0) continue;
      absl::StrAppend(&yaml, "      - {name: b", j, ", address: \"", backend.address, "\", weight: ", backend.weight,
                      "}\n");
    }
  }
  return yaml;
}

v1::Config RandomSite::Config() const {
  const std::string yaml = Yaml();
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(yaml, "random site");
  if (loaded.ok()) return loaded->config;
  std::fprintf(stderr, "%s\n%s\n", yaml.c_str(), loaded.status().ToString().c_str());
  std::abort();
}

absl::flat_hash_map<Address, BackendNextHop> RandomSite::NextHops() const {
  absl::flat_hash_map<Address, BackendNextHop> hops;
  for (const Pool& pool : pools_) {
    for (const Backend& backend : pool.backends) {
      if (backend.reachable) hops[At(backend.address)] = backend.hop;
    }
  }
  return hops;
}

BackendNames RandomSite::Unhealthy() const {
  BackendNames names;
  for (size_t i = 0; i < pools_.size(); i++) {
    for (size_t j = 0; j < kBackends; j++) {
      if (!pools_[i].backends[j].healthy) names[absl::StrCat("p", i)].insert(absl::StrCat("b", j));
    }
  }
  return names;
}

bool RandomSite::IsTranslated(const std::string& frame) const {
  if (frame.size() < 6 || frame[0] != 2 || frame[1] != 1) return false;
  const auto pool = static_cast<uint8_t>(frame[4]);
  return pool < pools_.size() && Translates(pools_[pool].kind);
}

}  // namespace sluice::packet_test
