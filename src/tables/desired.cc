#include "tables/desired.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
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
absl::Status ReadNatAddresses(const v1::Engine& engine, DesiredFront& front) {
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
      (address.IsIpv4() ? front.nat_addresses : ipv6).push_back(address);
    }
  }
  front.nat_ipv4 = static_cast<uint32_t>(front.nat_addresses.size());
  front.nat_addresses.insert(front.nat_addresses.end(), ipv6.begin(), ipv6.end());
  if (front.nat_addresses.size() >= SLUICE_NO_NAT_ADDRESS) {
    return absl::InvalidArgumentError(absl::StrCat(front.nat_addresses.size(), " NAT addresses are too many"));
  }
  // Answers come to them, so they are asked for on the link as a virtual address is.
  for (const Address& address : front.nat_addresses) front.virtual_addresses.push_back({address, true, true, true});
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

absl::StatusOr<std::shared_ptr<DesiredPool>> ReadPool(const v1::Pool& pool, const BuildInput& input) {
  auto desired = std::make_shared<DesiredPool>();
  desired->config = &pool;
  desired->backends.reserve(static_cast<size_t>(pool.backends_size()));
  for (const v1::Backend& config : pool.backends()) {
    if (config.state() == v1::Backend::DISABLED) continue;
    const absl::StatusOr<Address> address = ParseAddress(config.address());
    if (!address.ok()) return address.status();
    DesiredBackend& backend = desired->backends.emplace_back();
    backend.config = &config;
    backend.address = *address;
    backend.port = static_cast<uint16_t>(config.port());
    const auto next_hop = input.next_hops->find(*address);
    if (next_hop == input.next_hops->end()) continue;
    backend.next_hop = next_hop->second;
    if (backend.next_hop->port < input.ports.size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("the next hop of ", config.address(), " leaves by port ",
                                                   backend.next_hop->port, "; there are ", input.ports.size()));
  }
  desired->fails_open = ReadHealth(pool, input.unhealthy, absl::MakeSpan(desired->backends));
  desired->takes_flows = std::any_of(desired->backends.begin(), desired->backends.end(),
                                     [](const DesiredBackend& backend) { return backend.TakesFlows(); });
  return desired;
}

// A pool without backends for new flows leaves its share to the others; and so does one that fails open, which is the
// last resort, while another one has healthy backends.
std::shared_ptr<const DesiredSplit> ShareOut(const DesiredState& state, DesiredSplit split) {
  bool any_healthy = false;
  for (DesiredSplit::Part& part : split.parts) {
    const DesiredPool& pool = *state.pools[part.pool];
    if (!pool.takes_flows) part.weight = 0;
    any_healthy |= part.weight > 0 && !pool.fails_open;
  }
  for (DesiredSplit::Part& part : split.parts) {
    if (any_healthy && state.pools[part.pool]->fails_open) part.weight = 0;
  }
  std::stable_partition(split.parts.begin(), split.parts.end(),
                        [](const DesiredSplit::Part& part) { return part.weight > 0; });
  return std::make_shared<const DesiredSplit>(std::move(split));
}

// Finds listeners' pools.
class PoolReader {
 public:
  PoolReader(const v1::Config& config, DesiredFront& front) : front_(front) {
    uint32_t position = 0;
    for (const v1::Pool& pool : config.pools()) front.pools.emplace(pool.name(), position++);
    front.uses.resize(position);
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
    const auto position = static_cast<uint32_t>(front_.uses.size() + front_.splits.size());
    const auto [known, is_new] = split_by_key_.emplace(split.key, position);
    listener.pool = known->second;
    if (is_new) front_.splits.push_back(std::move(split));
    return absl::OkStatus();
  }

 private:
  absl::Status Add(const std::string& name, DesiredListener& listener) {
    const auto pool = front_.pools.find(name);
    if (pool == front_.pools.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("no pool is named \"", name, "\"; listener \"", listener.config->name(), "\" needs it"));
    }
    listener.pools.push_back(pool->second);
    DesiredFront::PoolUse& use = front_.uses[pool->second];
    use.idle = std::max(use.idle, listener.idle);
    use.limited |= listener.config->max_connections() != 0;
    return absl::OkStatus();
  }

  DesiredFront& front_;
  absl::flat_hash_map<std::string, uint32_t> split_by_key_;
};

absl::Status ReadListeners(const v1::Config& config, DesiredFront& front) {
  PoolReader pools(config, front);
  absl::flat_hash_set<Address> seen;
  for (const v1::Listener& listener : config.listeners()) {
    const absl::StatusOr<Address> address = ParseAddress(listener.address());
    if (!address.ok()) return address.status();
    DesiredListener& desired = front.listeners.emplace_back();
    desired.config = &listener;
    desired.address = *address;
    desired.idle = IdleTicks(listener.idle_timeout());
    if (absl::Status status = pools.Read(listener, desired); !status.ok()) return status;
    desired.translates = Translates(config.pools(static_cast<int>(desired.pools[0])));
    if (!seen.insert(*address).second) continue;
    front.virtual_addresses.push_back(
        {*address, listener.announce() == v1::Listener::LINK, listener.icmp_echo() == v1::Listener::ANSWER, false});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const DesiredFront>> ReadFront(const v1::Config& config) {
  auto front = std::make_shared<DesiredFront>();
  absl::Status status = ReadTunnelSource(config.engine().tunnel_source().ipv4(), front->ipv4_source);
  if (status.ok()) status = ReadTunnelSource(config.engine().tunnel_source().ipv6(), front->ipv6_source);
  if (status.ok()) status = ReadListeners(config, *front);
  if (status.ok()) status = ReadNatAddresses(config.engine(), *front);
  if (!status.ok()) return status;
  return front;
}

// Positions of pools that have changed.
std::vector<uint32_t> ChangedPools(const InputChange& change, const DesiredState& before) {
  std::set<uint32_t> changed;
  for (const std::string& name : change.pools) {
    const auto pool = before.front->pools.find(name);
    if (pool != before.front->pools.end()) changed.insert(pool->second);
  }
  for (uint32_t i = 0; i < before.pools.size() && !change.next_hops.empty(); i++) {
    const std::vector<DesiredBackend>& backends = before.pools[i]->backends;
    const bool found = std::any_of(backends.begin(), backends.end(), [&](const DesiredBackend& backend) {
      return change.next_hops.contains(backend.address);
    });
    if (found) changed.insert(i);
  }
  return {changed.begin(), changed.end()};
}

// Those that have a pool that is new.
std::vector<uint32_t> ChangedSplits(const DesiredState& state) {
  std::vector<bool> is_new(state.pools.size());
  for (const uint32_t pool : state.new_pools) is_new[pool] = true;
  std::vector<uint32_t> changed;
  for (uint32_t i = 0; i < state.front->splits.size(); i++) {
    const std::vector<DesiredSplit::Part>& parts = state.front->splits[i].parts;
    const bool found =
        std::any_of(parts.begin(), parts.end(), [&](const DesiredSplit::Part& part) { return is_new[part.pool]; });
    if (found) changed.push_back(i);
  }
  return changed;
}

std::vector<uint32_t> UpTo(size_t count) {
  std::vector<uint32_t> all(count);
  std::iota(all.begin(), all.end(), uint32_t{0});
  return all;
}

}  // namespace

absl::StatusOr<DesiredState> ReadDesiredState(const BuildInput& input, const DesiredState* before) {
  const v1::Config& config = *input.config;
  DesiredState state;
  if (before != nullptr) {
    state = *before;
    state.new_pools = ChangedPools(*input.change, *before);
    state.new_splits = ChangedSplits(state);
  } else {
    absl::StatusOr<std::shared_ptr<const DesiredFront>> front = ReadFront(config);
    if (!front.ok()) return front.status();
    state.front = *std::move(front);
    state.pools.resize(static_cast<size_t>(config.pools_size()));
    state.splits.resize(state.front->splits.size());
    state.new_pools = UpTo(state.pools.size());
    state.new_splits = UpTo(state.splits.size());
  }
  for (const uint32_t i : state.new_pools) {
    absl::StatusOr<std::shared_ptr<DesiredPool>> pool = ReadPool(config.pools(static_cast<int>(i)), input);
    if (!pool.ok()) return pool.status();
    state.pools[i] = *std::move(pool);
  }
  for (const uint32_t i : state.new_splits) state.splits[i] = ShareOut(state, state.front->splits[i]);
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
