// What is checked in a listener, and between listeners but for their ports.
#include <algorithm>
#include <cstdint>
#include <string>

#include "config/bounds.h"
#include "config/checks.h"

namespace sluice::config {
namespace {

const char kList[] = "listeners";

void CheckWeights(const v1::Listener& listener, const std::string& list, Report& report) {
  uint64_t sum = 0;
  for (int i = 0; i < listener.pools_size(); ++i) {
    const uint32_t weight = listener.pools(i).weight();
    sum += weight;
    if (weight <= kMaxWeight) continue;
    report.AddError(At(list, i, "weight"),
                    absl::StrCat("weight ", weight, " is too large; choose from 0 to ", kMaxWeight));
  }
  if (sum > 0) return;
  report.AddError(list, "all weights are 0, so new flows have no pool; give one of them a weight");
}

void CheckListOfPools(const v1::Listener& listener, int index, Report& report) {
  const std::string list = At(kList, index, "pools");
  if (!listener.pool().empty()) {
    report.AddError(list, "a listener has either pool or pools; move the one of pool to pools, or remove pools");
  }
  if (listener.pools_size() > kMaxListenerPools) {
    report.AddError(list, absl::StrCat(listener.pools_size(), " pools; at most ", kMaxListenerPools, " are possible"));
  }
  absl::flat_hash_map<absl::string_view, int> first;
  for (int i = 0; i < listener.pools_size(); ++i) {
    const std::string& name = listener.pools(i).name();
    const std::string path = At(list, i, "name");
    if (name.empty()) {
      Missing(report, path, "this needs a name; add name: with that of one under pools");
    } else if (const auto [twin, is_new] = first.emplace(name, i); !is_new) {
      report.AddError(path, absl::StrCat("pool \"", name, "\" stands here already (",
                                         report.Where(At(list, twin->second, "name")), "); add their weights up"));
    }
  }
  CheckWeights(listener, list, report);
}

void CheckItsPools(const v1::Listener& listener, int index, Report& report) {
  if (listener.pools_size() > 0) return CheckListOfPools(listener, index, report);
  if (!listener.pool().empty() || report.MissingIsExplained(At(kList, index, "pools"))) return;
  Missing(report, At(kList, index, "pool"), "a listener needs a pool; add pool: with the name of one under pools");
}

void CheckListener(const v1::Listener& listener, int index, Report& report, Facts& facts) {
  const auto at = [index](const char* field) { return At(kList, index, field); };
  facts.listener_addresses.emplace_back();
  if (listener.address().empty()) {
    Missing(report, at("address"), "a listener needs an address; add address: with the virtual address");
  } else {
    facts.listener_addresses.back() = CheckUnicast(
        report, [&at] { return at("address"); }, listener.address());
  }
  if (listener.ports().empty()) {
    Missing(report, at("ports"), "a listener needs ports; add ports: [80] or ports: [\"8000-8099\"]");
  }
  if (listener.protocol() == v1::Listener::PROTOCOL_UNSPECIFIED) {
    Missing(report, at("protocol"), "a listener needs a protocol; add protocol: tcp, udp or tcp_udp");
  } else if (!v1::Listener::Protocol_IsValid(listener.protocol())) {
    report.AddError(at("protocol"), absl::StrCat("unknown protocol ", static_cast<int>(listener.protocol()),
                                                 "; use tcp, udp or tcp_udp"));
  }
  if (!v1::Listener::Announce_IsValid(listener.announce())) {
    report.AddError(at("announce"),
                    absl::StrCat("unknown value ", static_cast<int>(listener.announce()), "; use link or none"));
  }
  if (!v1::Listener::IcmpEcho_IsValid(listener.icmp_echo())) {
    report.AddError(at("icmp_echo"), absl::StrCat("unknown value ", static_cast<int>(listener.icmp_echo()),
                                                  "; use drop, answer or forward"));
  }
  if (!v1::Listener::Affinity_IsValid(listener.affinity())) {
    report.AddError(at("affinity"), absl::StrCat("unknown affinity ", static_cast<int>(listener.affinity()),
                                                 "; use five_tuple, source_ip or source_ip_and_destination"));
  }
  CheckItsPools(listener, index, report);
  CheckTimeout(listener.idle_timeout(), at("idle_timeout"), "idle_timeout", report);
  const uint32_t most = listener.max_connections();
  if (listener.has_max_connections() && (most == 0 || most > kMaxConnections)) {
    report.AddError(at("max_connections"),
                    "max_connections is out of range; choose from 1 to 1G, or leave it out for no limit");
  }
}

// One address has one answer to ARP and to ping.
void CheckSharedAddress(const v1::Config& config, int first, int second, Report& report) {
  const v1::Listener& a = config.listeners(first);
  const v1::Listener& b = config.listeners(second);
  const auto disagree = [&](const char* field) {
    report.AddError(At(kList, second, field), absl::StrCat("listeners \"", b.name(), "\" and \"", a.name(), "\" (",
                                                           report.Where(At(kList, first, "")), ") share ", b.address(),
                                                           " but differ in ", field, "; set the same in both"));
  };
  if (a.icmp_echo() != b.icmp_echo()) disagree("icmp_echo");
  if (a.announce() != b.announce()) disagree("announce");
}

}  // namespace

void CheckListeners(const v1::Config& config, Report& report, Facts& facts) {
  if (static_cast<size_t>(config.listeners_size()) > kMaxListeners) {
    report.AddError(kList,
                    absl::StrCat(config.listeners_size(), " listeners; at most ", kMaxListeners, " are possible"));
  }
  const auto splits = std::count_if(config.listeners().begin(), config.listeners().end(),
                                    [](const v1::Listener& listener) { return listener.pools_size() > 0; });
  if (splits > kMaxSplitListeners) {
    report.AddError(kList, absl::StrCat(splits, " listeners with pools; at most ", kMaxSplitListeners,
                                        " are possible, others have one pool"));
  }
  CheckNames(report, kList, "a listener", config.listeners());
  for (int i = 0; i < config.listeners_size(); ++i) {
    CheckListener(config.listeners(i), i, report, facts);
    const std::optional<Address>& address = facts.listener_addresses.back();
    if (!address.has_value()) continue;
    CheckNotNat(
        *address, NatClash::kListener, config.listeners(i).name(), [i] { return At(kList, i, "address"); }, report,
        facts);
    const auto [first, is_new] = facts.listener_by_address.emplace(*address, i);
    if (!is_new) CheckSharedAddress(config, first->second, i, report);
  }
}

}  // namespace sluice::config
