#include "tables/desired.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "config/forwarding.h"
#include "sluice/tables.h"
#include "sluice/time.h"

namespace sluice {
namespace {

absl::Status ReadTunnelSource(const std::string& text, std::optional<Address>& source) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) return address.status();
  source = *address;
  return absl::OkStatus();
}

// Every address of every prefix. IPv4 first, each family in the order of the file.
absl::Status ReadNatAddresses(const v1::Engine& engine, DesiredState& state) {
  std::vector<Address> ipv6;
  for (const std::string& text : engine.nat_addresses()) {
    const absl::StatusOr<Prefix> prefix = ParsePrefixOrAddress(text);
    if (!prefix.ok()) return prefix.status();
    const int host_bits = AddressBits(prefix->address) - prefix->length;
    if (host_bits > 16) return absl::InvalidArgumentError(absl::StrCat(text, " has too many addresses"));
    Address address = prefix->address;
    const uint32_t first = uint32_t{address.bytes[14]} << 8 | address.bytes[15];
    for (uint32_t i = 0; i < uint32_t{1} << host_bits; i++) {
      address.bytes[14] = static_cast<uint8_t>((first + i) >> 8);
      address.bytes[15] = static_cast<uint8_t>(first + i);
      (address.IsIpv4() ? state.nat_addresses : ipv6).push_back(address);
    }
  }
  state.nat_ipv4 = static_cast<uint32_t>(state.nat_addresses.size());
  state.nat_addresses.insert(state.nat_addresses.end(), ipv6.begin(), ipv6.end());
  if (state.nat_addresses.size() >= SLUICE_NO_NAT_ADDRESS) {
    return absl::InvalidArgumentError(absl::StrCat(state.nat_addresses.size(), " NAT addresses are too many"));
  }
  // Answers come to them, so they are asked for on the link as a virtual address is.
  for (const Address& address : state.nat_addresses) state.virtual_addresses.push_back({address, true, true, true});
  return absl::OkStatus();
}

// Of one pool, whose backends these are. Whether it fails open.
bool ReadHealth(const v1::Pool& pool, const BackendNames* unhealthy, absl::Span<DesiredBackend> backends) {
  if (unhealthy == nullptr) return false;
  const auto names = unhealthy->find(pool.name());
  if (names == unhealthy->end()) return false;
  for (DesiredBackend& backend : backends) backend.unhealthy = names->second.contains(backend.config->name());
  const bool any_left =
      std::any_of(backends.begin(), backends.end(), [](const DesiredBackend& backend) { return backend.TakesFlows(); });
  const bool as_if_healthy = !any_left && pool.when_all_unhealthy() == v1::Pool::FAIL_OPEN;
  for (DesiredBackend& backend : backends) {
    if (as_if_healthy) backend.unhealthy = false;
    backend.gives_flows_up = backend.unhealthy && pool.on_unhealthy() == v1::Pool::MOVE;
    backend.resets_flows = backend.unhealthy && pool.on_unhealthy() == v1::Pool::RESET;
  }
  return as_if_healthy;
}

absl::Status ReadPool(const v1::Pool& pool, const BuildInput& input, DesiredState& state) {
  const auto index = static_cast<uint32_t>(state.pools.size());
  const auto first = static_cast<uint32_t>(state.backends.size());
  for (const v1::Backend& backend : pool.backends()) {
    if (backend.state() == v1::Backend::DISABLED) continue;
    const absl::StatusOr<Address> address = ParseAddress(backend.address());
    if (!address.ok()) return address.status();
    const auto next_hop = input.next_hops->find(*address);
    const bool known = next_hop != input.next_hops->end();
    if (known && next_hop->second.port >= input.ports.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the next hop of ", backend.address(), " leaves by port ",
                                                     next_hop->second.port, "; there are ", input.ports.size()));
    }
    state.backends.push_back(
        {.config = &backend, .address = *address, .pool = index, .next_hop = known ? &next_hop->second : nullptr});
  }
  const bool fails_open = ReadHealth(pool, input.unhealthy, absl::MakeSpan(state.backends).subspan(first));
  state.pools.push_back({&pool, first, static_cast<uint32_t>(state.backends.size()), 0, fails_open});
  return absl::OkStatus();
}

bool TakesFlows(const DesiredState& state, const DesiredPool& pool) {
  const auto first = state.backends.begin() + pool.first_backend;
  const auto last = state.backends.begin() + pool.last_backend;
  return std::any_of(first, last, [](const DesiredBackend& backend) { return backend.TakesFlows(); });
}

// A pool without backends for new flows leaves its share to the others; and so does one that fails open, which is the
// last resort, while another one has healthy backends.
void ShareOut(const DesiredState& state, DesiredSplit& split) {
  bool any_healthy = false;
  for (DesiredSplit::Part& part : split.parts) {
    const DesiredPool& pool = state.pools[part.pool];
    if (!TakesFlows(state, pool)) part.weight = 0;
    any_healthy |= part.weight > 0 && !pool.fails_open;
  }
  for (DesiredSplit::Part& part : split.parts) {
    if (any_healthy && state.pools[part.pool].fails_open) part.weight = 0;
  }
  std::stable_partition(split.parts.begin(), split.parts.end(),
                        [](const DesiredSplit::Part& part) { return part.weight > 0; });
}

// Finds listeners' pools.
class PoolReader {
 public:
  explicit PoolReader(DesiredState& state) : state_(state) {
    for (uint32_t i = 0; i < state.pools.size(); i++) by_name_.emplace(state.pools[i].config->name(), i);
  }

  absl::Status Read(const v1::Listener& config, DesiredListener& listener) {
    if (config.pools().empty()) {
      const absl::Status status = Add(config.pool(), listener);
      if (status.ok()) listener.pool = listener.pools[0];
      return status;
    }
    DesiredSplit split;
    for (const v1::WeightedPool& pool : config.pools()) {
      const absl::Status status = Add(pool.name(), listener);
      if (!status.ok()) return status;
      split.parts.push_back({listener.pools.back(), pool.weight()});
      absl::StrAppend(&split.key, pool.name(), "=", pool.weight(), ",");
    }
    const auto position = static_cast<uint32_t>(state_.pools.size() + state_.splits.size());
    const auto [known, is_new] = split_by_key_.emplace(split.key, position);
    listener.pool = known->second;
    if (!is_new) return absl::OkStatus();
    ShareOut(state_, split);
    state_.splits.push_back(std::move(split));
    return absl::OkStatus();
  }

 private:
  absl::Status Add(const std::string& name, DesiredListener& listener) const {
    const auto pool = by_name_.find(name);
    if (pool == by_name_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("no pool is named \"", name, "\"; listener \"", listener.config->name(), "\" needs it"));
    }
    listener.pools.push_back(pool->second);
    return absl::OkStatus();
  }

  DesiredState& state_;
  absl::flat_hash_map<absl::string_view, uint32_t> by_name_;
  absl::flat_hash_map<std::string, uint32_t> split_by_key_;
};

absl::Status ReadListeners(const v1::Config& config, DesiredState& state) {
  PoolReader pools(state);
  absl::flat_hash_set<Address> seen;
  for (const v1::Listener& listener : config.listeners()) {
    const absl::StatusOr<Address> address = ParseAddress(listener.address());
    if (!address.ok()) return address.status();
    DesiredListener& desired = state.listeners.emplace_back();
    desired.config = &listener;
    desired.address = *address;
    desired.idle = IdleTicks(listener.idle_timeout());
    if (absl::Status status = pools.Read(listener, desired); !status.ok()) return status;
    desired.translates = Translates(*state.pools[desired.pools[0]].config);
    for (const uint32_t pool : desired.pools) state.pools[pool].idle = std::max(state.pools[pool].idle, desired.idle);
    if (!seen.insert(*address).second) continue;
    state.virtual_addresses.push_back(
        {*address, listener.announce() == v1::Listener::LINK, listener.icmp_echo() == v1::Listener::ANSWER, false});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DesiredState> ReadDesiredState(const BuildInput& input) {
  const v1::Config& config = *input.config;
  DesiredState state;
  absl::Status status = ReadTunnelSource(config.engine().tunnel_source().ipv4(), state.ipv4_source);
  if (status.ok()) status = ReadTunnelSource(config.engine().tunnel_source().ipv6(), state.ipv6_source);
  for (const v1::Pool& pool : config.pools()) {
    if (status.ok()) status = ReadPool(pool, input, state);
  }
  if (status.ok()) status = ReadListeners(config, state);
  if (status.ok()) status = ReadNatAddresses(config.engine(), state);
  if (!status.ok()) return status;
  return state;
}

sluice_algorithm AlgorithmOf(const v1::Pool& pool) {
  switch (pool.algorithm()) {
    case v1::Pool::ROUND_ROBIN:
      return SLUICE_ROUND_ROBIN;
    case v1::Pool::SOURCE_HASH:
      return SLUICE_SOURCE_HASH;
    case v1::Pool::RANDOM:
      return SLUICE_RANDOM;
    case v1::Pool::LEAST_CONNECTIONS:
      return SLUICE_LEAST_CONNECTIONS;
    case v1::Pool::LEAST_TIME:
      return SLUICE_LEAST_TIME;
    default:
      return SLUICE_MAGLEV;
  }
}

bool HasLimits(const v1::Pool& pool) {
  return pool.hash_balance_factor() != 0 ||
         std::any_of(pool.backends().begin(), pool.backends().end(),
                     [](const v1::Backend& backend) { return backend.max_connections() != 0; });
}

uint16_t IdleTicks(const google::protobuf::Duration& timeout) {
  constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
  constexpr int64_t kTick = int64_t{1} << SLUICE_TICK_SHIFT;
  const int64_t nanoseconds = timeout.seconds() * kNanosecondsPerSecond + timeout.nanos();
  return static_cast<uint16_t>((nanoseconds + kTick - 1) / kTick + 1);
}

}  // namespace sluice
