#include "control/flow_filter.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/not_found.h"
#include "sluice/types.h"

namespace sluice {
namespace {

uint32_t NumberOf(v1::FiveTuple::Protocol protocol) {
  switch (protocol) {
    case v1::FiveTuple::UDP:
      return SLUICE_IP_UDP;
    case v1::FiveTuple::ICMP:
      return SLUICE_IP_ICMP;
    default:
      return SLUICE_IP_TCP;
  }
}

// The first few of them.
std::string Names(const std::vector<std::string>& names) {
  constexpr size_t kMost = 10;
  if (names.empty()) return "none";
  const size_t count = std::min(names.size(), kMost);
  std::string text = absl::StrJoin(names.begin(), names.begin() + static_cast<ptrdiff_t>(count), ", ");
  if (count < names.size()) absl::StrAppend(&text, " and ", names.size() - count, " more");
  return text;
}

// Those that are drained after their removal are there still.
absl::Status CheckNames(const v1::Config& config, const std::string& wanted_pool, const std::string& backend) {
  std::set<std::string> backends;
  bool found = wanted_pool.empty();
  for (const v1::Pool& pool : config.pools()) {
    if (!wanted_pool.empty() && wanted_pool != pool.name()) continue;
    found = true;
    for (const v1::Backend& one : pool.backends()) backends.insert(one.name());
  }
  if (!found) return NoPool(config, wanted_pool);
  if (backend.empty() || backends.contains(backend)) return absl::OkStatus();
  const std::vector<std::string> names(backends.begin(), backends.end());
  if (!wanted_pool.empty()) return NoBackend(wanted_pool, backend, names);
  return absl::NotFoundError(absl::StrCat("no pool has a backend \"", backend, "\"; there are: ", Names(names)));
}

}  // namespace

Address AddressOf(const sluice_address& from) {
  Address address;
  std::memcpy(address.bytes.data(), &from, sizeof(from));
  return address;
}

absl::Status NoTablesYet() {
  return absl::UnavailableError("sluiced is still starting; try again");
}

absl::StatusOr<sluice_flow> ReadFlow(const v1::FiveTuple& from) {
  if (!v1::FiveTuple::Protocol_IsValid(from.protocol())) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown protocol ", int{from.protocol()}, "; use tcp, udp or icmp"));
  }
  const absl::StatusOr<Address> source = ParseAddress(from.source());
  if (!source.ok()) return source.status();
  const absl::StatusOr<Address> destination = ParseAddress(from.destination());
  if (!destination.ok()) return destination.status();
  if (source->IsIpv4() != destination->IsIpv4()) {
    return absl::InvalidArgumentError("source and destination are of different IP versions; no packet has both");
  }
  const bool ping = from.protocol() == v1::FiveTuple::ICMP;
  for (const uint32_t port : {from.source_port(), from.destination_port()}) {
    if (port <= UINT16_MAX && (ping || port > 0)) continue;
    return absl::InvalidArgumentError(absl::StrCat(port, " is not a port; use 1 to 65535"));
  }
  sluice_flow flow{};
  std::memcpy(&flow.source, source->bytes.data(), sizeof(flow.source));
  std::memcpy(&flow.destination, destination->bytes.data(), sizeof(flow.destination));
  flow.source_port = SLUICE_16(from.source_port());
  flow.destination_port = ping ? 0 : SLUICE_16(from.destination_port());
  flow.protocol = NumberOf(from.protocol());
  return flow;
}

absl::Status NoListener(const Tables& tables, const v1::FiveTuple& flow) {
  std::vector<std::string> names;
  for (const std::string& name : tables.listener_names()) {
    if (!name.empty()) names.push_back(name);
  }
  return absl::NotFoundError(absl::StrCat("no listener takes packets to ", flow.destination(), " port ",
                                          flow.destination_port(), "; there are: ", Names(names)));
}

absl::StatusOr<FlowFilter> FlowFilter::Make(const Controller& controller, const std::string& pool,
                                            const std::string& backend, const std::string& source) {
  if (controller.tables() == nullptr) return NoTablesYet();
  if (absl::Status status = CheckNames(controller.effective().config(), pool, backend); !status.ok()) return status;
  FlowFilter filter(*controller.tables(), pool, backend);
  if (source.empty()) return filter;
  const absl::StatusOr<Prefix> prefix = ParsePrefix(source);
  if (!prefix.ok()) return prefix.status();
  filter.source_ = *prefix;
  return filter;
}

bool FlowFilter::Fits(const FlowRecord& flow) const {
  if (flow.slot >= tables_->backend_slots()) return false;
  const BackendName& name = tables_->backend_names()[flow.slot];
  if (!pool_.empty() && pool_ != name.pool) return false;
  if (!backend_.empty() && backend_ != name.backend) return false;
  if (flow.session.has_value() && flow.session->listener >= tables_->listener_count()) return false;
  if (!source_.has_value()) return true;
  return flow.session.has_value() && Contains(*source_, AddressOf(flow.session->flow.source));
}

}  // namespace sluice
