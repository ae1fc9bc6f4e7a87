#include "tables/tables_writer.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "config/forwarding.h"
#include "tables/backend_record.h"

namespace sluice {
namespace {

template <typename Record>
absl::Status Allocate(size_t records, HugePages pages, Region& region, const Record*& view) {
  absl::StatusOr<Region> created = Region::Create(records * sizeof(Record), pages);
  if (!created.ok()) return created.status();
  region = *std::move(created);
  view = region.As<Record>();
  return absl::OkStatus();
}

void WriteSettings(const TablesPlan& plan, const DesiredState& state, uint32_t index_mask, sluice_settings& settings) {
  std::copy(plan.hash_key.begin(), plan.hash_key.end(), settings.hash_key);
  settings.generation = plan.generation;
  settings.index_mask = index_mask;
  for (const DesiredListener& listener : state.listeners) {
    settings.longest_idle = std::max(settings.longest_idle, listener.idle);
    settings.sessions |= listener.translates ? 1 : 0;
  }
  settings.nat_ipv4 = static_cast<uint16_t>(state.nat_ipv4);
  settings.nat_ipv6 = static_cast<uint16_t>(state.nat_addresses.size() - state.nat_ipv4);
}

sluice_address PathAddress(const Address& address) {
  sluice_address result;
  std::memcpy(&result, address.bytes.data(), sizeof(result));
  return result;
}

sluice_session_terms TermsOf(const DesiredListener& listener) {
  sluice_session_terms terms{};
  terms.address = PathAddress(listener.address);
  if (!listener.translates) return terms;
  const v1::Listener& config = *listener.config;
  terms.established = listener.idle;
  terms.handshake = IdleTicks(config.handshake_timeout());
  terms.half_closed = IdleTicks(config.half_closed_timeout());
  terms.closed = IdleTicks(config.closed_timeout());
  terms.flags = config.reset_on_idle() ? SLUICE_TERMS_RESET_ON_IDLE : 0;
  return terms;
}

// Where each pool knows the source alone, so does their split: a client has one backend.
bool SplitsBySource(const DesiredState& state, const DesiredListener& listener) {
  const auto by_source = [&](uint32_t pool) { return AlgorithmOf(*state.pools[pool].config) == SLUICE_SOURCE_HASH; };
  return listener.pools.size() > 1 && std::all_of(listener.pools.begin(), listener.pools.end(), by_source);
}

uint16_t FlagsOf(const DesiredState& state, const DesiredListener& listener) {
  uint16_t flags = listener.translates ? SLUICE_LISTENER_SESSIONS : 0;
  const v1::Listener::Affinity affinity = listener.config->affinity();
  if (affinity != v1::Listener::FIVE_TUPLE || SplitsBySource(state, listener)) flags |= SLUICE_LISTENER_BY_SOURCE;
  if (affinity == v1::Listener::SOURCE_IP_AND_DESTINATION) flags |= SLUICE_LISTENER_BY_DESTINATION;
  if (HasAccess(*listener.config)) flags |= SLUICE_LISTENER_ACCESS;
  if (!listener.config->pools().empty()) flags |= SLUICE_LISTENER_SPLIT;
  return flags;
}

void WriteListeners(const TablesPlan& plan, const DesiredState& state, sluice_listener* listeners,
                    sluice_session_terms* terms) {
  for (size_t i = 0; i < state.listeners.size(); i++) {
    const DesiredListener& listener = state.listeners[i];
    const uint32_t at = plan.listeners.indices[i];
    listeners[at] = {plan.pools.indices[listener.pool], listener.idle, FlagsOf(state, listener)};
    terms[at] = TermsOf(listener);
  }
  for (const TablesPlan::Gone& gone : plan.gone_listeners) {
    listeners[gone.index].pool = SLUICE_NO_POOL;
    terms[gone.index].address = PathAddress(gone.address);
  }
}

void AddServices(const v1::Listener& listener, const DesiredBackend& backend, std::set<Service>& services) {
  const v1::Listener::Protocol protocol = listener.protocol();
  if (listener.icmp_echo() == v1::Listener::FORWARD) services.insert({backend.address, SLUICE_IP_ICMP, 0});
  for (const v1::PortRange& range : listener.ports()) {
    const uint32_t first = backend.config->port() != 0 ? backend.config->port() : range.first();
    for (uint32_t port = first; port <= first + (range.last() - range.first()); port++) {
      const auto number = static_cast<uint16_t>(port);
      if (protocol != v1::Listener::UDP) services.insert({backend.address, SLUICE_IP_TCP, number});
      if (protocol != v1::Listener::TCP) services.insert({backend.address, SLUICE_IP_UDP, number});
    }
  }
}

// What answers of nat pools come from: each backend's port for each port of the listeners.
std::vector<Service> ServicesOf(const DesiredState& state) {
  std::set<Service> services;
  for (const DesiredListener& listener : state.listeners) {
    for (const uint32_t index : listener.pools) {
      const DesiredPool& pool = state.pools[index];
      if (pool.config->forwarding() != v1::Pool::NAT) continue;
      for (uint32_t i = pool.first_backend; i < pool.last_backend; i++) {
        AddServices(*listener.config, state.backends[i], services);
      }
    }
  }
  return {services.begin(), services.end()};
}

std::vector<ListenerTerms> ListenerTermsOf(const TablesPlan& plan, const DesiredState& state) {
  std::vector<ListenerTerms> all;
  for (size_t i = 0; i < state.listeners.size(); i++) {
    const DesiredListener& listener = state.listeners[i];
    if (listener.config->max_connections() == 0) continue;
    ListenerTerms& terms = all.emplace_back();
    terms.listener = plan.listeners.indices[i];
    terms.max_connections = listener.config->max_connections();
    for (const uint32_t pool : listener.pools) terms.pools.push_back(plan.pools.indices[pool]);
  }
  return all;
}

// By pool: whether a listener of it has a limit.
std::vector<bool> LimitedPools(const DesiredState& state) {
  std::vector<bool> limited(state.pools.size());
  for (const DesiredListener& listener : state.listeners) {
    if (listener.config->max_connections() == 0) continue;
    for (const uint32_t pool : listener.pools) limited[pool] = true;
  }
  return limited;
}

std::vector<LoadTerms> LoadTermsOf(const TablesPlan& plan, const DesiredState& state) {
  std::vector<LoadTerms> terms;
  const std::vector<bool> limited_pools = LimitedPools(state);
  for (size_t at = 0; at < state.pools.size(); at++) {
    const DesiredPool& pool = state.pools[at];
    const bool limited = limited_pools[at];
    if (!limited && !GoesByLoad(AlgorithmOf(*pool.config)) && !HasLimits(*pool.config)) continue;
    for (uint32_t i = pool.first_backend; i < pool.last_backend; i++) {
      const DesiredBackend& backend = state.backends[i];
      if (!backend.TakesFlows() && (!limited || backend.gives_flows_up)) continue;
      LoadTerms& of = terms.emplace_back();
      of.slot = plan.backends.indices[i];
      of.weight = backend.config->weight();
      of.translates = Translates(*pool.config);
      of.takes_flows = backend.TakesFlows();
      of.by_time = of.takes_flows && pool.config->algorithm() == v1::Pool::LEAST_TIME;
      of.max_connections = backend.config->max_connections();
      of.pool = plan.pools.indices[at];
      of.hash_balance_factor = pool.config->hash_balance_factor();
    }
  }
  return terms;
}

void WritePools(const TablesPlan& plan, const DesiredState& state, const MaglevSet& maglev, sluice_pool* pools) {
  for (size_t i = 0; i < maglev.pools.size(); i++) {
    if (maglev.pools[i] == nullptr || maglev.pools[i]->part == nullptr) continue;
    const MaglevArena::Part& part = *maglev.pools[i]->part;
    const uint32_t size = maglev.pools[i]->demand.size;
    pools[i] = {part.offset(), size, 0, 0, part.size() - size};
  }
  for (size_t i = 0; i < state.pools.size(); i++) {
    pools[plan.pools.indices[i]].algorithm = static_cast<uint16_t>(AlgorithmOf(*state.pools[i].config));
  }
  for (size_t i = 0; i < state.splits.size(); i++) {
    sluice_pool& split = pools[plan.pools.indices[state.pools.size() + i]];
    split.algorithm = SLUICE_SPLIT;
    const std::vector<DesiredSplit::Part>& parts = state.splits[i].parts;
    split.takers = static_cast<uint16_t>(
        std::count_if(parts.begin(), parts.end(), [](const DesiredSplit::Part& part) { return part.weight > 0; }));
  }
}

// Not live; but its sessions are found by its address.
void WriteGone(const TablesPlan::Gone& gone, sluice_backend* records) {
  records[gone.index].destination = PathAddress(gone.address);
}

void WritePorts(absl::Span<const PortDescription> ports, sluice_port* records) {
  for (size_t i = 0; i < ports.size(); i++) {
    std::copy(ports[i].mac.begin(), ports[i].mac.end(), records[i].mac);
    records[i].mtu = ports[i].mtu;
  }
}

absl::Status WriteBackends(const TablesPlan& plan, const DesiredState& state, absl::Span<const PortDescription> ports,
                           sluice_backend* records) {
  for (size_t i = 0; i < state.backends.size(); i++) {
    const DesiredBackend& backend = state.backends[i];
    if (backend.gives_flows_up) {
      WriteGone({plan.backends.indices[i], backend.address}, records);
      continue;
    }
    const absl::StatusOr<sluice_backend> record =
        MakeBackendRecord(state, backend, plan.pools.indices[backend.pool], ports);
    if (!record.ok()) return record.status();
    records[plan.backends.indices[i]] = *record;
  }
  for (const TablesPlan::Gone& gone : plan.gone_backends) WriteGone(gone, records);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Tables>> TablesWriter::Write(const TablesPlan& plan, DesiredState state,
                                                                  absl::Span<const PortDescription> ports,
                                                                  ListenerIndex index, AccessIndex access,
                                                                  const MaglevSet& maglev, HugePages pages) {
  const std::shared_ptr<Tables> tables(new Tables);
  sluice_tables& view = tables->view_;
  absl::Status status = Allocate(1, pages, tables->settings_, view.settings);
  if (status.ok()) status = Allocate(plan.listeners.size, pages, tables->listeners_, view.listeners);
  if (status.ok()) status = Allocate(plan.listeners.size, pages, tables->session_terms_, view.session_terms);
  if (status.ok()) status = Allocate(state.nat_addresses.size(), pages, tables->nat_addresses_, view.nat_addresses);
  if (status.ok()) status = Allocate(plan.pools.size, pages, tables->pools_, view.pools);
  if (status.ok()) status = Allocate(plan.backends.size, pages, tables->backends_, view.backends);
  if (status.ok()) status = Allocate(ports.size(), pages, tables->ports_, view.ports);
  if (status.ok()) status = WriteBackends(plan, state, ports, tables->backends_.As<sluice_backend>());
  if (!status.ok()) return status;

  WriteSettings(plan, state, index.mask, *tables->settings_.As<sluice_settings>());
  tables->settings_.As<sluice_settings>()->ranges = index.ranges.size() > 0 ? 1 : 0;
  tables->index_ = std::move(index.entries);
  tables->ranges_ = std::move(index.ranges);
  view.index = tables->index_.As<sluice_index_entry>();
  view.ranges = tables->ranges_.As<sluice_port_range>();
  tables->limits_sources_ = access.limits_sources;
  tables->access_ = std::move(access.access);
  tables->access_nodes_ = std::move(access.nodes);
  view.access = tables->access_.As<sluice_access>();
  view.access_nodes = tables->access_nodes_.As<sluice_access_node>();
  WritePorts(ports, tables->ports_.As<sluice_port>());
  WriteListeners(plan, state, tables->listeners_.As<sluice_listener>(),
                 tables->session_terms_.As<sluice_session_terms>());
  for (size_t i = 0; i < state.nat_addresses.size(); i++) {
    tables->nat_addresses_.As<sluice_nat_address>()[i] = {PathAddress(state.nat_addresses[i])};
  }
  tables->services_ = ServicesOf(state);
  tables->listener_names_.resize(plan.listeners.size);
  for (size_t i = 0; i < state.listeners.size(); i++) {
    tables->listener_names_[plan.listeners.indices[i]] = state.listeners[i].config->name();
  }
  tables->pool_names_.resize(plan.pools.size);
  for (size_t i = 0; i < state.pools.size(); i++) {
    tables->pool_names_[plan.pools.indices[i]] = state.pools[i].config->name();
  }
  tables->backend_names_.resize(plan.backends.size);
  for (size_t i = 0; i < state.backends.size(); i++) {
    const DesiredBackend& backend = state.backends[i];
    tables->backend_names_[plan.backends.indices[i]] = {state.pools[backend.pool].config->name(),
                                                        backend.config->name()};
    if (backend.resets_flows) tables->reset_slots_.push_back(plan.backends.indices[i]);
  }
  for (const std::shared_ptr<const MaglevTable>& table : maglev.pools) {
    if (table != nullptr && table->part != nullptr) tables->maglev_.push_back(table->part);
  }
  WritePools(plan, state, maglev, tables->pools_.As<sluice_pool>());
  tables->load_terms_ = LoadTermsOf(plan, state);
  tables->listener_terms_ = ListenerTermsOf(plan, state);
  if (maglev.arena != nullptr) view.maglev = maglev.arena->region().As<uint32_t>();
  tables->virtual_addresses_ = std::move(state.virtual_addresses);
  return tables;
}

}  // namespace sluice
