// Ports of listeners: each range alone, and that no two listeners want the same packets.
#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "config/bounds.h"
#include "config/checks.h"

namespace sluice::config {
namespace {

// A range that one listener claims for one of tcp and udp.
struct Claim {
  Address address;
  bool udp;
  uint32_t first;
  uint32_t last;
  int listener;
  int range;

  auto Group() const { return std::tie(address, udp); }
  auto Order() const { return std::tie(address, udp, first, last, listener, range); }
  auto Owner() const { return std::pair(listener, range); }
};

std::string PortsPath(int listener, int range) {
  return At(absl::StrCat(At("listeners", listener, "ports")), range, "");
}

std::string Text(uint32_t first, uint32_t last) {
  return first == last ? absl::StrCat("port ", first) : absl::StrCat("ports ", first, "-", last);
}

bool CheckRange(const v1::PortRange& range, int listener, int index, Report& report) {
  if (range.first() >= 1 && range.first() <= range.last() && range.last() <= kMaxPort) return true;
  const std::string path = PortsPath(listener, index);
  if (range.first() > range.last()) {
    report.AddError(path, absl::StrCat("the range ", range.first(), "-", range.last(), " ends before it starts; write ",
                                       range.last(), "-", range.first()));
  } else {
    const uint32_t wrong = range.first() == 0 ? 0 : range.last();
    report.AddError(path, absl::StrCat("there is no port ", wrong, "; ports are 1 to ", kMaxPort));
  }
  return false;
}

std::vector<Claim> Claims(const v1::Config& config, Report& report, const Facts& facts) {
  std::vector<Claim> claims;
  for (int i = 0; i < config.listeners_size(); ++i) {
    const v1::Listener& listener = config.listeners(i);
    const std::optional<Address>& address = facts.listener_addresses[static_cast<size_t>(i)];
    for (int j = 0; j < listener.ports_size(); ++j) {
      const v1::PortRange& range = listener.ports(j);
      if (!CheckRange(range, i, j, report) || !address.has_value()) continue;
      const bool both = listener.protocol() == v1::Listener::TCP_UDP;
      if (both || listener.protocol() == v1::Listener::TCP) {
        claims.push_back({*address, false, range.first(), range.last(), i, j});
      }
      if (both || listener.protocol() == v1::Listener::UDP) {
        claims.push_back({*address, true, range.first(), range.last(), i, j});
      }
    }
  }
  return claims;
}

void AddOverlap(const v1::Config& config, const Claim& a, const Claim& b, Report& report) {
  // Told at the one that stands later in the file.
  const auto& [earlier, later] = a.Owner() < b.Owner() ? std::tie(a, b) : std::tie(b, a);
  const std::string& name = config.listeners(earlier.listener).name();
  report.AddError(
      PortsPath(later.listener, later.range),
      absl::StrCat(Text(later.first, later.last), "/", later.udp ? "udp" : "tcp", " of listener \"",
                   config.listeners(later.listener).name(), "\" overlaps ", Text(earlier.first, earlier.last),
                   " of listener \"", name, "\" (", report.Where(PortsPath(earlier.listener, earlier.range)), ") on ",
                   FormatAddress(later.address), "; give each port to one listener"));
}

// Required: sorted.
void CheckRangeCount(const std::vector<Claim>& claims, Report& report) {
  int ranges = 0;
  for (size_t i = 0; i < claims.size(); ++i) {
    if (i > 0 && claims[i - 1].Group() != claims[i].Group()) ranges = 0;
    if (claims[i].first == claims[i].last || ++ranges != kMaxPortRanges + 1) continue;
    report.AddError(PortsPath(claims[i].listener, claims[i].range),
                    absl::StrCat(FormatAddress(claims[i].address), " has more than ", kMaxPortRanges, " ranges of ",
                                 claims[i].udp ? "udp" : "tcp", " ports; join neighbours, or write single ports"));
  }
}

}  // namespace

void CheckPorts(const v1::Config& config, Report& report, const Facts& facts) {
  std::vector<Claim> claims = Claims(config, report, facts);
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) { return a.Order() < b.Order(); });
  CheckRangeCount(claims, report);
  // tcp_udp against tcp_udp is one mistake, not two.
  absl::flat_hash_set<std::pair<std::pair<int, int>, std::pair<int, int>>> told;
  const Claim* reach = nullptr;  // of the same group, the one so far that ends last
  for (const Claim& claim : claims) {
    if (reach == nullptr || reach->Group() != claim.Group()) {
      reach = &claim;
      continue;
    }
    if (claim.first <= reach->last) {
      const auto [earlier, later] = std::minmax({claim.Owner(), reach->Owner()});
      if (told.insert({earlier, later}).second) AddOverlap(config, *reach, claim, report);
    }
    if (claim.last > reach->last) reach = &claim;
  }
}

}  // namespace sluice::config
