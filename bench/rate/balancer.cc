#include "balancer.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/forwarding.h"
#include "config/load.h"
#include "engine/burst.h"
#include "engine/dpdk/dpdk_engine.h"
#include "site.h"
#include "sluice/session_records.h"

namespace sluice::bench {
namespace {

constexpr std::array<uint8_t, config::kHashKeyBytes> kHashKey = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};

std::string Server(bool ipv6, uint32_t number) {
  return absl::StrCat(ipv6 ? "2001:db8:5::" : "10.0.1.", number + 1);
}

std::string Pool(bool ipv6, const std::string& forwarding) {
  std::string servers;
  for (uint32_t i = 0; i < Balancer::kServers; i++) {
    absl::StrAppend(&servers, i == 0 ? "" : ", ", "{name: s", i, ", address: '", Server(ipv6, i), "'}");
  }
  return absl::StrCat("  - {name: web", ipv6 ? 6 : 4, ", forwarding: ", forwarding, ", backends: [", servers, "]}\n");
}

std::string ConfigText(const BalancerOptions& options) {
  const std::string forwarding = absl::AsciiStrToLower(v1::Pool::Forwarding_Name(options.forwarding));
  const std::string listener =
      absl::StrCat("ports: [80], protocol: ", options.protocol == SLUICE_IP_UDP ? "udp" : "tcp", ", pool: ");
  return absl::StrCat("engine:\n  interfaces: [{device: '", options.device, "'}]\n",
                      "  tunnel_source: {ipv4: 198.51.100.2, ipv6: '2001:db8:1::2'}\n",
                      "  nat_addresses: [198.51.100.64/26, '2001:db8:2::/122']\n",
                      "listeners:\n  - {name: web4, address: 203.0.113.10, ", listener, "web4}\n",
                      "  - {name: web6, address: '2001:db8::10', ", listener, "web6}\npools:\n",
                      Pool(false, forwarding), Pool(true, forwarding));
}

DpdkOptions EngineOptions(const BalancerOptions& options) {
  DpdkOptions engine;
  engine.interfaces = {{.device = options.device, .mtu = options.mtu}};
  engine.workers = options.workers;
  engine.huge_pages = options.huge_pages;
  engine.kept_packets = static_cast<uint32_t>(options.kept_packets);
  const uint64_t room = std::max(options.workers * options.room, config::kMinConnections);
  // Of translated flows only fragments have connections.
  const bool translates = Translates(options.forwarding);
  engine.max_connections = translates ? config::kMinConnections : room;
  // A worker keeps some free.
  engine.max_sessions = translates ? room + uint64_t{options.workers} * SLUICE_MOST_SPARE : 0;
  return engine;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Balancer>> Balancer::Start(const BalancerOptions& options,
                                                          std::vector<std::string>* notes) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = OpenDpdkEngine(EngineOptions(options), notes);
  if (!engine.ok()) return engine.status();
  auto balancer = std::make_unique<Balancer>();
  balancer->engine_ = *std::move(engine);
  if (absl::Status status = balancer->Publish(options); !status.ok()) return status;
  return balancer;
}

absl::Status Balancer::Publish(const BalancerOptions& options) {
  absl::StatusOr<LoadedConfig> loaded = LoadConfigText(ConfigText(options), "sluicebench");
  if (!loaded.ok()) return loaded.status();
  absl::flat_hash_map<Address, BackendNextHop> next_hops;
  for (const bool ipv6 : {false, true}) {
    for (uint32_t i = 0; i < kServers; i++) {
      absl::StatusOr<Address> address = ParseAddress(Server(ipv6, i));
      if (!address.ok()) return address.status();
      const Mac server = {2, 0, 0, 0, 1, static_cast<uint8_t>(i)};
      next_hops[*address] = {.source = kBalancerMac, .destination = server, .mtu = options.mtu};
    }
  }
  const std::vector<PortDescription> ports = {{kBalancerMac, options.mtu}};
  absl::StatusOr<std::shared_ptr<const Tables>> tables = builder_.Build({&loaded->config, kHashKey, &next_hops, ports});
  if (!tables.ok()) return tables.status();
  return engine_->Publish(*std::move(tables));
}

uint64_t Balancer::table_bytes() const {
  uint64_t bytes = 0;
  for (const Partition& partition : engine_->partitions()) bytes += uint64_t{partition.count} * sizeof(sluice_bucket);
  for (const SessionPartition& partition : engine_->session_partitions()) {
    bytes += uint64_t{partition.bucket_count} * sizeof(sluice_bucket);
    bytes += uint64_t{partition.session_count} * (sizeof(sluice_session) + sizeof(*partition.free));
  }
  return bytes;
}

}  // namespace sluice::bench
