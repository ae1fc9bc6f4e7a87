#include "tables/desired.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
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

absl::Status ReadPool(const v1::Pool& pool, const BuildInput& input, DesiredState& state) {
  const auto index = static_cast<uint32_t>(state.pools.size());
  const auto first = static_cast<uint32_t>(state.backends.size());
  for (const v1::Backend& backend : pool.backends()) {
    const absl::StatusOr<Address> address = ParseAddress(backend.address());
    if (!address.ok()) return address.status();
    const auto next_hop = input.next_hops->find(*address);
    const bool known = next_hop != input.next_hops->end();
    if (known && next_hop->second.port >= input.ports.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the next hop of ", backend.address(), " leaves by port ",
                                                     next_hop->second.port, "; there are ", input.ports.size()));
    }
    state.backends.push_back({&backend, *address, index, known ? &next_hop->second : nullptr});
  }
  state.pools.push_back({&pool, first, static_cast<uint32_t>(state.backends.size()), 0});
  return absl::OkStatus();
}

absl::Status ReadListeners(const v1::Config& config, DesiredState& state) {
  absl::flat_hash_map<absl::string_view, uint32_t> pool_by_name;
  for (uint32_t i = 0; i < state.pools.size(); i++) pool_by_name.emplace(state.pools[i].config->name(), i);
  absl::flat_hash_set<Address> seen;
  for (const v1::Listener& listener : config.listeners()) {
    const absl::StatusOr<Address> address = ParseAddress(listener.address());
    if (!address.ok()) return address.status();
    const auto pool = pool_by_name.find(listener.pool());
    if (pool == pool_by_name.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("no pool is named \"", listener.pool(), "\"; listener \"", listener.name(), "\" needs it"));
    }
    const uint16_t idle = IdleTicks(listener.idle_timeout());
    state.listeners.push_back({&listener, *address, pool->second, idle});
    DesiredPool& used = state.pools[pool->second];
    used.idle = std::max(used.idle, idle);
    if (!seen.insert(*address).second) continue;
    state.virtual_addresses.push_back({*address, listener.announce() == v1::Listener::LINK, listener.icmp_echo()});
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
  if (!status.ok()) return status;
  return state;
}

uint16_t IdleTicks(const google::protobuf::Duration& timeout) {
  constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
  constexpr int64_t kTick = int64_t{1} << SLUICE_TICK_SHIFT;
  const int64_t nanoseconds = timeout.seconds() * kNanosecondsPerSecond + timeout.nanos();
  return static_cast<uint16_t>((nanoseconds + kTick - 1) / kTick + 1);
}

}  // namespace sluice
