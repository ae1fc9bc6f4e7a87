// What nat and full_nat need, and the keys that only they know.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/checks.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

const char kListeners[] = "listeners";
const char kPools[] = "pools";

// The most ports that a range of a pool's listeners has, and which it is.
struct Widest {
  int listener = -1;
  int range = -1;
  uint32_t first = 0;
  uint32_t last = 0;
};

const PoolFacts& Of(const Facts& facts, int pool) {
  return facts.pools[static_cast<size_t>(pool)];
}

bool IsUnsure(const Facts& facts, int pool) {
  return Of(facts, pool).forwarding == v1::Pool::FORWARDING_UNSPECIFIED;
}

// Whether flows have sessions is the listener's: all of its pools agree. The one that says what they do (if one does
// not translate, that one); -1 when the listener has none, or that could not be read.
int CheckAgreement(const v1::Config& config, int index, Report& report, const Facts& facts) {
  const std::vector<int>& pools = facts.listener_pools[static_cast<size_t>(index)];
  const auto translates = [&](int pool) { return Translates(Of(facts, pool).forwarding); };
  if (pools.empty() || std::any_of(pools.begin(), pools.end(), [&](int pool) { return IsUnsure(facts, pool); })) {
    return -1;
  }
  const auto direct = std::find_if_not(pools.begin(), pools.end(), translates);
  if (direct == pools.end()) return pools[0];
  const auto other = std::find_if(pools.begin(), pools.end(), translates);
  if (other != pools.end()) {
    const auto told = [&](int pool) {
      return absl::StrCat("\"", config.pools(pool).name(), "\" (", report.Where(At(kPools, pool, "")), ")");
    };
    report.AddError(At(kListeners, index, "pools"),
                    absl::StrCat("pool ", told(*other), " of listener \"", config.listeners(index).name(),
                                 "\" translates and pool ", told(*direct),
                                 " does not; set forwarding: nat or full_nat in all of them, or in none"));
    return -1;
  }
  return *direct;
}

// `pool` is CheckAgreement's.
void CheckSessionKeys(const v1::Config& config, int index, int pool, Report& report, const Facts& facts) {
  struct Key {
    const char* name;
    bool written;
    const google::protobuf::Duration* timeout;
  };
  const v1::Listener& listener = config.listeners(index);
  const std::array<Key, 4> keys = {{
      {"handshake_timeout", listener.has_handshake_timeout(), &listener.handshake_timeout()},
      {"half_closed_timeout", listener.has_half_closed_timeout(), &listener.half_closed_timeout()},
      {"closed_timeout", listener.has_closed_timeout(), &listener.closed_timeout()},
      {"reset_on_idle", listener.has_reset_on_idle(), nullptr},
  }};
  for (const Key& key : keys) {
    if (!key.written) continue;
    const std::string path = At(kListeners, index, key.name);
    if (listener.protocol() == v1::Listener::UDP) {
      report.AddError(path, absl::StrCat(key.name, " is for TCP alone; remove it, or set protocol: tcp or tcp_udp"));
    } else if (pool >= 0 && !Translates(Of(facts, pool).forwarding)) {
      report.AddError(path, absl::StrCat(key.name,
                                         " says nothing to this listener; remove it, or set forwarding: nat or "
                                         "full_nat in its pool \"",
                                         config.pools(pool).name(), "\" (", report.Where(At(kPools, pool, "")), ")"));
    } else if (key.timeout != nullptr) {
      CheckTimeout(*key.timeout, path, key.name, report);
    }
  }
}

// Nobody else's server has the virtual address in a way that its answers come back by.
void CheckEcho(const v1::Config& config, int index, int pool, Report& report, const Facts& facts) {
  const v1::Listener& listener = config.listeners(index);
  if (listener.icmp_echo() != v1::Listener::FORWARD) return;
  if (pool < 0 || Translates(Of(facts, pool).forwarding)) return;
  report.AddError(At(kListeners, index, "icmp_echo"),
                  absl::StrCat("icmp_echo: forward needs a pool that translates; set answer or drop, or set "
                               "forwarding: nat or full_nat in its pool \"",
                               config.pools(pool).name(), "\" (", report.Where(At(kPools, pool, "")), ")"));
}

void Widen(const v1::Listener& listener, int index, Widest& widest) {
  for (int i = 0; i < listener.ports_size(); ++i) {
    const v1::PortRange& range = listener.ports(i);
    // Others have an error already.
    const bool sane = range.first() >= 1 && range.first() <= range.last() && range.last() <= kMaxPort;
    if (!sane || (widest.listener >= 0 && range.last() - range.first() <= widest.last - widest.first)) continue;
    widest = {index, i, range.first(), range.last()};
  }
}

void CheckBackendPorts(const v1::Config& config, int index, const Widest& widest, Report& report, const Facts& facts) {
  const v1::Pool& pool = config.pools(index);
  const v1::Pool::Forwarding forwarding = Of(facts, index).forwarding;
  if (forwarding == v1::Pool::FORWARDING_UNSPECIFIED) return;
  for (int i = 0; i < pool.backends_size(); ++i) {
    if (!pool.backends(i).has_port()) continue;
    const uint32_t port = pool.backends(i).port();
    const std::string path = At(At(kPools, index, "backends"), i, "port");
    if (!Translates(forwarding)) {
      report.AddError(path,
                      "port says nothing to this pool, which keeps the listener's; remove it or set forwarding: "
                      "nat or full_nat");
    } else if (port < 1 || port > kMaxPort) {
      report.AddError(path, absl::StrCat("there is no port ", port, "; ports are 1 to ", kMaxPort));
    } else if (port + (widest.last - widest.first) > kMaxPort) {
      const uint32_t more = widest.last - widest.first;
      report.AddError(path,
                      absl::StrCat("ports ", widest.first, "-", widest.last, " of listener \"",
                                   config.listeners(widest.listener).name(), "\" (",
                                   report.Where(At(At(kListeners, widest.listener, "ports"), widest.range, "")),
                                   ") would become ", port, "-", port + more, "; choose from 1 to ", kMaxPort - more));
    }
  }
}

// Whether the client's address is to be told, and may be.
bool CheckClientAddress(const v1::Config& config, int index, Report& report, const Facts& facts) {
  const v1::Pool& pool = config.pools(index);
  const std::string path = At(kPools, index, "client_address");
  if (!v1::Pool::ClientAddress_IsValid(pool.client_address())) {
    report.AddError(path, absl::StrCat("unknown client_address ", static_cast<int>(pool.client_address()),
                                       "; use none, proxy_v2 or toa"));
    return false;
  }
  const v1::Pool::Forwarding forwarding = Of(facts, index).forwarding;
  if (pool.client_address() == v1::Pool::NONE || forwarding == v1::Pool::FORWARDING_UNSPECIFIED) return false;
  if (Translates(forwarding)) return true;
  report.AddError(path,
                  "client_address says nothing to this pool, whose servers get the client's own packets; remove it or "
                  "set forwarding: nat or full_nat");
  return false;
}

// Only TCP has room for an address.
void CheckTellsOfTcp(const v1::Config& config, int index, int pool, Report& report) {
  const v1::Listener& listener = config.listeners(index);
  if (listener.protocol() != v1::Listener::UDP && listener.protocol() != v1::Listener::TCP_UDP) return;
  report.AddError(At(kListeners, index, "protocol"),
                  absl::StrCat("pool \"", config.pools(pool).name(), "\" tells its servers the client's address (",
                               report.Where(At(kPools, pool, "client_address")),
                               "), which only TCP can carry; set protocol: tcp, or take a pool without "
                               "client_address for UDP"));
}

// An error for the first pool that cannot do without, a warning for each that can.
void CheckNatSources(const v1::Config& config, bool ipv4, Report& report, const Facts& facts) {
  if (ipv4 ? facts.nat_ipv4 : facts.nat_ipv6) return;
  const std::string family = ipv4 ? "IPv4" : "IPv6";
  bool told = false;
  for (int i = 0; i < config.pools_size(); ++i) {
    const PoolFacts& pool = Of(facts, i);
    const int backend = ipv4 ? pool.ipv4_backend : pool.ipv6_backend;
    if (backend < 0 || !Translates(pool.forwarding)) continue;
    const std::string start = absl::StrCat("pool \"", config.pools(i).name(), "\" ");
    if (pool.forwarding == v1::Pool::NAT) {
      report.AddWarning(At(kPools, i, ""),
                        absl::StrCat(start, "does not serve clients that are its own ", family, " backends; add an ",
                                     family, " address to engine.nat_addresses for them"));
    } else if (!told) {
      report.AddError(At(At(kPools, i, "backends"), backend, "address"),
                      absl::StrCat(start, "sends to this ", family, " backend from an ", family,
                                   " address of this node; add one to engine.nat_addresses"));
      told = true;
    }
  }
}

}  // namespace

void CheckTranslation(const v1::Config& config, Report& report, const Facts& facts) {
  std::vector<Widest> widest(static_cast<size_t>(config.pools_size()));
  std::vector<bool> tells;
  for (int i = 0; i < config.pools_size(); ++i) tells.push_back(CheckClientAddress(config, i, report, facts));
  for (int i = 0; i < config.listeners_size(); ++i) {
    const int agreed = CheckAgreement(config, i, report, facts);
    CheckSessionKeys(config, i, agreed, report, facts);
    CheckEcho(config, i, agreed, report, facts);
    for (const int pool : facts.listener_pools[static_cast<size_t>(i)]) {
      if (tells[static_cast<size_t>(pool)]) CheckTellsOfTcp(config, i, pool, report);
      Widen(config.listeners(i), i, widest[static_cast<size_t>(pool)]);
    }
  }
  for (int i = 0; i < config.pools_size(); ++i) {
    CheckBackendPorts(config, i, widest[static_cast<size_t>(i)], report, facts);
  }
  CheckNatSources(config, /*ipv4=*/true, report, facts);
  CheckNatSources(config, /*ipv4=*/false, report, facts);
}

}  // namespace sluice::config
