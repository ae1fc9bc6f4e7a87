// What parts of a configuration say about each other: listeners about pools, pools about the engine.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/checks.h"
#include "config/suggest.h"

namespace sluice::config {
namespace {

// A pool whose name could not be read may be the one that a listener means.
bool PoolsAreUnsure(const v1::Config& config, const Report& report) {
  if (report.MissingIsExplained("pools")) return true;
  for (int i = 0; i < config.pools_size(); ++i) {
    if (config.pools(i).name().empty()) return true;
  }
  return false;
}

void AddDangling(const v1::Config& config, const NamedPool& named, Report& report) {
  // What is only counted needs no advice: comparing with every name is the costly part.
  if (report.full()) return report.AddError(named.path, "");
  std::vector<std::string> names;
  for (const v1::Pool& pool : config.pools()) names.push_back(pool.name());
  const std::string advice = names.empty() ? "add it under pools" : Suggest(named.name, names);
  report.AddError(named.path, absl::StrCat("no pool is named \"", named.name, "\"; ", advice));
}

// `path`: where the listener names the pool.
void CheckFamily(const v1::Config& config, int listener_index, int pool_index, const std::string& path, Report& report,
                 const Facts& facts) {
  const std::optional<Address>& address = facts.listener_addresses[static_cast<size_t>(listener_index)];
  const v1::Pool& pool = config.pools(pool_index);
  const PoolFacts& families = facts.pools[static_cast<size_t>(pool_index)];
  const bool nat = families.forwarding == v1::Pool::NAT;
  if (!address.has_value() || (!nat && families.forwarding != v1::Pool::DSR_L2)) return;
  const int other = address->IsIpv4() ? families.ipv6_backend : families.ipv4_backend;
  if (other < 0) return;
  const std::string family = address->IsIpv4() ? "IPv4" : "IPv6";
  report.AddError(
      path, absl::StrCat("listener \"", config.listeners(listener_index).name(), "\" is ", family, " but backend \"",
                         pool.backends(other).name(), "\" (",
                         report.Where(At(At("pools", pool_index, "backends"), other, "address")), ") of its ",
                         nat ? "nat" : "dsr_l2", " pool \"", pool.name(), "\" is not; use a pool of ", family,
                         " backends, or forwarding: ", nat ? "full_nat" : "ipip, gue or full_nat"));
}

// Only what is hashed has an affinity, as the split among several pools is.
void CheckAffinity(const v1::Config& config, int listener_index, int pool_index, Report& report) {
  const v1::Listener& listener = config.listeners(listener_index);
  const v1::Pool& pool = config.pools(pool_index);
  if (listener.affinity() == v1::Listener::FIVE_TUPLE || pool.algorithm() == v1::Pool::MAGLEV) return;
  if (listener.pools_size() > 0) return;
  const bool by_source = pool.algorithm() == v1::Pool::SOURCE_HASH;
  if (by_source && listener.affinity() == v1::Listener::SOURCE_IP) return;
  report.AddError(
      At("listeners", listener_index, "affinity"),
      absl::StrCat("affinity of listener \"", listener.name(), "\" is for algorithm: maglev, and its pool \"",
                   pool.name(), "\" (", report.Where(At("pools", pool_index, "algorithm")), ") ",
                   by_source ? "goes by the source alone" : "does not hash",
                   "; remove affinity, or set algorithm: maglev"));
}

// Flows are counted by backend: those that count for a listener are all that its pools have.
void CheckLimit(const v1::Config& config, int listener_index, int pool, int other, Report& report) {
  const std::string& name = config.listeners(listener_index).name();
  report.AddWarning(At("listeners", listener_index, "max_connections"),
                    absl::StrCat("max_connections of listener \"", name, "\" counts all flows of its pool \"",
                                 config.pools(pool).name(), "\", and listener \"", config.listeners(other).name(),
                                 "\" (", report.Where(At("listeners", other, "")),
                                 ") opens some there too; for its own alone give listener \"", name,
                                 "\" a pool of its own, it may have the same backends"));
}

void CheckLimits(const v1::Config& config, Report& report, const Facts& facts) {
  // By pool, the first two listeners that use it.
  std::vector<std::vector<int>> users(static_cast<size_t>(config.pools_size()));
  for (int i = 0; i < config.listeners_size(); ++i) {
    for (const int pool : facts.listener_pools[static_cast<size_t>(i)]) {
      std::vector<int>& sharing = users[static_cast<size_t>(pool)];
      if (sharing.size() < 2 && (sharing.empty() || sharing.back() != i)) sharing.push_back(i);
    }
  }
  for (int i = 0; i < config.listeners_size(); ++i) {
    if (!config.listeners(i).has_max_connections()) continue;
    for (const int pool : facts.listener_pools[static_cast<size_t>(i)]) {
      const std::vector<int>& sharing = users[static_cast<size_t>(pool)];
      if (sharing.size() == 2) CheckLimit(config, i, pool, sharing[0] == i ? sharing[1] : sharing[0], report);
    }
  }
}

void CheckTunnelSource(const v1::Config& config, bool ipv4, Report& report, const Facts& facts) {
  const v1::TunnelSource& source = config.engine().tunnel_source();
  if (!(ipv4 ? source.ipv4() : source.ipv6()).empty()) return;
  for (int i = 0; i < config.pools_size(); ++i) {
    const v1::Pool& pool = config.pools(i);
    const PoolFacts& families = facts.pools[static_cast<size_t>(i)];
    const bool tunnels = pool.forwarding() == v1::Pool::IPIP || pool.forwarding() == v1::Pool::GUE;
    if (!tunnels || (ipv4 ? families.ipv4_backend : families.ipv6_backend) < 0) continue;
    const std::string family = ipv4 ? "ipv4" : "ipv6";
    return Missing(
        report, absl::StrCat("engine.tunnel_source.", family),
        absl::StrCat("pool \"", pool.name(), "\" (", report.Where(At("pools", i, "")), ") tunnels to ",
                     ipv4 ? "IPv4" : "IPv6", " backends and needs an outer source address; add tunnel_source: {",
                     family, ": ...} under engine, an address of this node"));
  }
}

}  // namespace

void CheckReferences(const v1::Config& config, Report& report, Facts& facts) {
  const bool unsure = PoolsAreUnsure(config, report);
  std::vector<bool> used(static_cast<size_t>(config.pools_size()));
  for (int i = 0; i < config.listeners_size(); ++i) {
    std::vector<int>& pools = facts.listener_pools.emplace_back();
    for (const NamedPool& named : PoolsOf(config.listeners(i), i)) {
      const auto pool = facts.pool_by_name.find(named.name);
      if (pool == facts.pool_by_name.end()) {
        if (!unsure) AddDangling(config, named, report);
        continue;
      }
      used[static_cast<size_t>(pool->second)] = true;
      pools.push_back(pool->second);
      CheckFamily(config, i, pool->second, named.path, report, facts);
      CheckAffinity(config, i, pool->second, report);
    }
  }
  for (int i = 0; i < config.pools_size(); ++i) {
    if (used[static_cast<size_t>(i)]) continue;
    report.AddWarning(At("pools", i, ""), absl::StrCat("pool \"", config.pools(i).name(), "\" is used by no listener"));
  }
  CheckLimits(config, report, facts);
  CheckTunnelSource(config, /*ipv4=*/true, report, facts);
  CheckTunnelSource(config, /*ipv4=*/false, report, facts);
}

}  // namespace sluice::config
