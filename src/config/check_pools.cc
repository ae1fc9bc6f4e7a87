// What is checked in a pool and its backends.
#include <cstdint>
#include <string>
#include <utility>

#include "config/bounds.h"
#include "config/checks.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

const char kList[] = "pools";

bool IsPrime(uint32_t number) {
  if (number < 2) return false;
  for (uint32_t factor = 2; factor <= number / factor; ++factor) {
    if (number % factor == 0) return false;
  }
  return true;
}

uint32_t PrimeFrom(uint64_t number) {
  if (number >= kMaxMaglevTableSize) return kMaxMaglevTableSize;
  auto prime = static_cast<uint32_t>(number);
  while (!IsPrime(prime)) ++prime;
  return prime;
}

// Parses every address once: in its own pool it stands once (with nat and full_nat: once a port), and it is no
// listener's.
void CheckAddresses(const v1::Config& config, int index, Report& report, Facts& facts) {
  const v1::Pool& pool = config.pools(index);
  const std::string list = At(kList, index, "backends");
  // By the port on the server as well, 0 for the listener's.
  absl::flat_hash_map<std::pair<Address, uint32_t>, int> by_address;
  PoolFacts& families = facts.pools.back();
  // Several servers may run on one machine; modes that keep the port know the machine alone.
  const bool has_ports = families.forwarding == v1::Pool::FORWARDING_UNSPECIFIED || Translates(families.forwarding);
  for (int i = 0; i < pool.backends_size(); ++i) {
    const v1::Backend& backend = pool.backends(i);
    const auto path = [&list, i] { return At(list, i, "address"); };
    if (backend.address().empty()) {
      Missing(report, path(), "a backend needs an address; add address: with the server's own address");
      continue;
    }
    const std::optional<Address> address = CheckUnicast(report, path, backend.address());
    if (!address.has_value()) continue;
    int& of_family = address->IsIpv4() ? families.ipv4_backend : families.ipv6_backend;
    if (of_family < 0) of_family = i;
    const uint32_t port = has_ports ? backend.port() : 0;
    const auto [first, is_new] = by_address.emplace(std::pair(*address, port), i);
    if (!is_new) {
      report.AddError(path(), absl::StrCat(backend.address(), port == 0 ? "" : absl::StrCat(" port ", port),
                                           " is already backend \"", pool.backends(first->second).name(), "\" (",
                                           report.Where(At(list, first->second, "address")),
                                           ") of this pool; raise that one's weight instead",
                                           has_ports ? ", or give each a port of its own" : ""));
    }
    CheckNotNat(*address, NatClash::kBackend, backend.name(), path, report, facts);
    const auto listener = facts.listener_by_address.find(*address);
    if (listener != facts.listener_by_address.end()) {
      report.AddError(path(), absl::StrCat(backend.address(), " is the virtual address of listener \"",
                                           config.listeners(listener->second).name(), "\" (",
                                           report.Where(At("listeners", listener->second, "address")),
                                           "); write the server's own address"));
    }
  }
}

void CheckWeights(const v1::Pool& pool, const std::string& path, Report& report) {
  uint64_t sum = 0;
  uint64_t used = 0;
  for (int i = 0; i < pool.backends_size(); ++i) {
    const uint32_t weight = pool.backends(i).weight();
    if (weight > kMaxWeight) {
      report.AddError(At(absl::StrCat(path, ".backends"), i, "weight"),
                      absl::StrCat("weight ", weight, " is too large; choose from 0 to ", kMaxWeight));
    }
    if (!v1::Backend::State_IsValid(pool.backends(i).state())) {
      report.AddError(
          At(absl::StrCat(path, ".backends"), i, "state"),
          absl::StrCat("unknown state ", static_cast<int>(pool.backends(i).state()), "; use ready, drain or disabled"));
    }
    sum += weight;
    used += weight > 0 && pool.backends(i).state() == v1::Backend::READY ? 1 : 0;
  }
  const uint32_t size = pool.maglev_table_size();
  if (sum > kMaxWeightSum) {
    report.AddError(path, absl::StrCat("the weights of pool \"", pool.name(), "\" add up to ", sum,
                                       "; divide them so that they stay below ", kMaxWeightSum));
  } else if (used > size) {
    report.AddError(absl::StrCat(path, ".maglev_table_size"),
                    absl::StrCat("a table of ", size, " has no entry for each of ", used, " backends; use ",
                                 PrimeFrom(used * kGoodMaglevEntriesPerBackend)));
  } else if (used * kGoodMaglevEntriesPerBackend > size && size < kMaxMaglevTableSize) {
    report.AddWarning(path, absl::StrCat("pool \"", pool.name(), "\" spreads ", used,
                                         " backends unevenly; set "
                                         "maglev_table_size: ",
                                         PrimeFrom(used * kGoodMaglevEntriesPerBackend)));
  }
  if (pool.backends_size() == 0) {
    if (!report.MissingIsExplained(absl::StrCat(path, ".backends"))) {
      report.AddWarning(path, absl::StrCat("pool \"", pool.name(), "\" has no backends; its packets are dropped"));
    }
  } else if (used == 0) {
    report.AddWarning(
        path, absl::StrCat("pool \"", pool.name(), "\" takes no new flows; no backend is ready and has a weight"));
  }
}

void CheckTableSize(const v1::Pool& pool, const std::string& path, Report& report) {
  const uint32_t size = pool.maglev_table_size();
  if (size < kMinMaglevTableSize || size > kMaxMaglevTableSize) {
    report.AddError(path, absl::StrCat("maglev_table_size ", size, " is out of range; choose a prime from ",
                                       kMinMaglevTableSize, " to ", kMaxMaglevTableSize));
  } else if (!IsPrime(size)) {
    report.AddError(path, absl::StrCat("maglev_table_size ", size, " is not a prime; use ", PrimeFrom(size)));
  }
}

// What the file says, which is the default only when it says nothing.
v1::Pool::Forwarding ReadForwarding(const v1::Pool& pool, const std::string& path, const Report& report) {
  const bool unread =
      pool.forwarding() == v1::Pool::DSR_L2 && report.MissingIsExplained(absl::StrCat(path, ".forwarding"));
  return unread ? v1::Pool::FORWARDING_UNSPECIFIED : pool.forwarding();
}

void CheckForwarding(const v1::Pool& pool, const PoolFacts& facts, const std::string& path, Report& report) {
  if (!v1::Pool::Forwarding_IsValid(pool.forwarding())) {
    report.AddError(absl::StrCat(path, ".forwarding"),
                    absl::StrCat("unknown forwarding ", static_cast<int>(pool.forwarding()),
                                 "; use dsr_l2, ipip, gue, nat or full_nat"));
  }
  if (!v1::Pool::Algorithm_IsValid(pool.algorithm())) {
    report.AddError(absl::StrCat(path, ".algorithm"),
                    absl::StrCat("unknown algorithm ", static_cast<int>(pool.algorithm()),
                                 "; use maglev, round_robin, source_hash, random, least_connections or least_time"));
  }
  const v1::HealthCheck::Type check = pool.health_check().type();
  const bool checked = check != v1::HealthCheck::TYPE_UNSPECIFIED && check != v1::HealthCheck::NONE;
  if (pool.algorithm() == v1::Pool::LEAST_TIME && !checked) {
    Missing(report, absl::StrCat(path, ".health_check"),
            absl::StrCat("algorithm: least_time goes by the time that health checks take; add a health_check to pool "
                         "\"",
                         pool.name(), "\", or use least_connections"));
  }
  if (!pool.has_gue_port() || facts.forwarding == v1::Pool::FORWARDING_UNSPECIFIED) return;
  const std::string port_path = absl::StrCat(path, ".gue_port");
  if (pool.forwarding() != v1::Pool::GUE) {
    report.AddError(port_path, "gue_port says nothing to this pool; remove it or set forwarding: gue");
  } else if (pool.gue_port() < 1 || pool.gue_port() > kMaxPort) {
    report.AddError(port_path, absl::StrCat("there is no port ", pool.gue_port(), "; ports are 1 to ", kMaxPort));
  }
}

void CheckSeconds(const google::protobuf::Duration& time, int64_t most, const std::string& path,
                  absl::string_view field, Report& report) {
  if (time.seconds() >= 1 && time.seconds() + (time.nanos() > 0 ? 1 : 0) <= most) return;
  report.AddError(absl::StrCat(path, ".", field),
                  absl::StrCat(field, " is out of range; choose from 1s to ", most / 3'600, "h"));
}

// How many flows a backend may have.
void CheckLimits(const v1::Pool& pool, const std::string& path, Report& report) {
  for (int i = 0; i < pool.backends_size(); ++i) {
    const v1::Backend& backend = pool.backends(i);
    if (!backend.has_max_connections()) continue;
    if (backend.max_connections() >= 1 && backend.max_connections() <= kMaxBackendConnections) continue;
    report.AddError(At(absl::StrCat(path, ".backends"), i, "max_connections"),
                    absl::StrCat("max_connections is out of range; choose from 1 to ", kMaxBackendConnections,
                                 ", or leave it out for no limit"));
  }
  if (!pool.has_hash_balance_factor()) return;
  const std::string factor = absl::StrCat(path, ".hash_balance_factor");
  if (pool.hash_balance_factor() <= 100 || pool.hash_balance_factor() > kMaxHashBalanceFactor) {
    report.AddError(factor, absl::StrCat("hash_balance_factor is out of range; choose from 101 to ",
                                         kMaxHashBalanceFactor, ", percent of a backend's share"));
  } else if (pool.algorithm() != v1::Pool::MAGLEV && pool.algorithm() != v1::Pool::SOURCE_HASH) {
    report.AddError(factor,
                    "hash_balance_factor is for algorithms that go by a hash; remove it, or use maglev or source_hash");
  }
}

// Which backends of it are used when, and how they come and go.
void CheckRoles(const v1::Config& config, const v1::Pool& pool, const std::string& path, Report& report) {
  if (pool.has_drain_timeout()) CheckSeconds(pool.drain_timeout(), kMaxDrainSeconds, path, "drain_timeout", report);
  if (pool.has_slow_start()) CheckSeconds(pool.slow_start(), kMaxSlowStartSeconds, path, "slow_start", report);
  bool any_backup = false;
  for (int i = 0; i < pool.backends_size(); ++i) {
    const v1::Backend& backend = pool.backends(i);
    any_backup |= backend.backup();
    if (!backend.zone().empty() && !IsName(backend.zone())) {
      AddBadName(report, At(absl::StrCat(path, ".backends"), i, "zone"), backend.zone());
    }
  }
  if (!v1::Pool::CrossZone_IsValid(pool.cross_zone())) {
    report.AddError(absl::StrCat(path, ".cross_zone"), "unknown cross_zone; use always, prefer_local or never");
  } else if (pool.cross_zone() != v1::Pool::ALWAYS && config.engine().zone().empty() &&
             !report.MissingIsExplained("engine.zone")) {
    report.AddError(absl::StrCat(path, ".cross_zone"),
                    "this node has no zone to compare with; add zone: to engine, or remove this");
  }
  if (!pool.has_minimum_healthy()) return;
  if (pool.minimum_healthy() < 1 || pool.minimum_healthy() > kMaxBackends) {
    report.AddError(absl::StrCat(path, ".minimum_healthy"),
                    absl::StrCat("minimum_healthy is out of range; choose from 1 to ", kMaxBackends));
  } else if (!any_backup && pool.cross_zone() != v1::Pool::PREFER_LOCAL) {
    report.AddError(absl::StrCat(path, ".minimum_healthy"),
                    "minimum_healthy has nobody to call: no backend has backup: true, and cross_zone is not "
                    "prefer_local; add one, or remove this");
  }
}

}  // namespace

void CheckPools(const v1::Config& config, Report& report, Facts& facts) {
  if (static_cast<size_t>(config.pools_size()) > kMaxPools) {
    report.AddError(kList, absl::StrCat(config.pools_size(), " pools; at most ", kMaxPools, " are possible"));
  }
  const std::string& zone = config.engine().zone();
  if (!zone.empty() && !IsName(zone)) AddBadName(report, "engine.zone", zone);
  facts.pool_by_name = CheckNames(report, kList, "a pool", config.pools());
  size_t backends = 0;
  uint64_t entries = 0;
  for (int i = 0; i < config.pools_size(); ++i) {
    const v1::Pool& pool = config.pools(i);
    const std::string path = At(kList, i, "");
    backends += static_cast<size_t>(pool.backends_size());
    entries += pool.maglev_table_size();
    CheckNames(report, absl::StrCat(path, ".backends"), "a backend", pool.backends());
    facts.pools.push_back({.forwarding = ReadForwarding(pool, path, report)});
    CheckAddresses(config, i, report, facts);
    CheckForwarding(pool, facts.pools.back(), path, report);
    CheckTableSize(pool, absl::StrCat(path, ".maglev_table_size"), report);
    CheckWeights(pool, path, report);
    CheckRoles(config, pool, path, report);
    CheckLimits(pool, path, report);
  }
  if (backends > kMaxBackends) {
    report.AddError(kList, absl::StrCat(backends, " backends in all pools; at most ", kMaxBackends, " are possible"));
  }
  if (entries > kMaxMaglevEntries) {
    report.AddError(kList, absl::StrCat("the tables of all pools have ", entries, " entries, more than ",
                                        kMaxMaglevEntries, "; set maglev_table_size: 4099 in pools of few backends"));
  }
}

}  // namespace sluice::config
