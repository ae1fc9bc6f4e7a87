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
absl::Status Allocate(size_t records, HugePages pages, Region& region) {
  absl::StatusOr<Region> created = Region::Create(records * sizeof(Record), pages);
  if (!created.ok()) return created.status();
  region = *std::move(created);
  return absl::OkStatus();
}

void WriteSettings(const TablesPlan& plan, const DesiredFront& desired, const TablesFront& front,
                   sluice_settings& settings) {
  std::copy(plan.hash_key.begin(), plan.hash_key.end(), settings.hash_key);
  settings.generation = plan.generation;
  settings.index_mask = front.index_mask;
  settings.ranges = front.ranges.size() > 0 ? 1 : 0;
  size_t translating = 0;
  for (const DesiredListener& listener : desired.listeners) {
    settings.longest_idle = std::max(settings.longest_idle, listener.idle);
    translating += listener.translates ? 1 : 0;
  }
  if (translating > 0) {
    settings.sessions = translating == desired.listeners.size() ? SLUICE_SESSIONS_ALL : SLUICE_SESSIONS_SOME;
  }
  settings.nat_ipv4 = static_cast<uint16_t>(desired.nat_ipv4);
  settings.nat_ipv6 = static_cast<uint16_t>(desired.nat_addresses.size() - desired.nat_ipv4);
}

sluice_address PathAddress(const Address& address) {
  sluice_address result;
  std::memcpy(&result, address.bytes.data(), sizeof(result));
  return result;
}

sluice_session_terms TermsOf(const DesiredListener& listener, uint32_t pool) {
  sluice_session_terms terms{};
  terms.address = PathAddress(listener.address);
  terms.pool = pool;
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
  const auto by_source = [&](uint32_t pool) { return AlgorithmOf(*state.pools[pool]->config) == SLUICE_SOURCE_HASH; };
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
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    const DesiredListener& listener = state.front->listeners[i];
    const uint32_t at = plan.listeners.indices[i];
    listeners[at] = {plan.pools.indices[listener.pool], listener.idle, FlagsOf(state, listener)};
    terms[at] = TermsOf(listener, listeners[at].pool);
  }
  for (const TablesPlan::Gone& gone : plan.gone_listeners) {
    listeners[gone.index].pool = SLUICE_NO_POOL;
    terms[gone.index].pool = SLUICE_NO_POOL;
    terms[gone.index].address = PathAddress(gone.address);
  }
}

// What the listeners' keys say of their records.
void WritePoolsOfKeys(const sluice_listener* listeners, uint32_t mask, sluice_index_entry* index) {
  for (uint32_t i = 0; i <= mask; i++) {
    if (index[i].kind == SLUICE_INDEX_LISTENER) index[i].pool = listeners[index[i].value].pool;
  }
}

void AddServices(const v1::Listener& listener, const DesiredBackend& backend, std::set<Service>& services) {
  const v1::Listener::Protocol protocol = listener.protocol();
  if (listener.icmp_echo() == v1::Listener::FORWARD) services.insert({backend.address, SLUICE_IP_ICMP, 0});
  for (const v1::PortRange& range : listener.ports()) {
    const uint32_t first = backend.port != 0 ? backend.port : range.first();
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
  for (const DesiredListener& listener : state.front->listeners) {
    for (const uint32_t index : listener.pools) {
      const DesiredPool& pool = *state.pools[index];
      if (pool.config->forwarding() != v1::Pool::NAT) continue;
      for (const DesiredBackend& backend : pool.backends) AddServices(*listener.config, backend, services);
    }
  }
  return {services.begin(), services.end()};
}

std::vector<ListenerTerms> ListenerTermsOf(const TablesPlan& plan, const DesiredState& state) {
  std::vector<ListenerTerms> all;
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    const DesiredListener& listener = state.front->listeners[i];
    if (listener.config->max_connections() == 0) continue;
    ListenerTerms& terms = all.emplace_back();
    terms.listener = plan.listeners.indices[i];
    terms.max_connections = listener.config->max_connections();
    for (const uint32_t pool : listener.pools) terms.pools.push_back(plan.pools.indices[pool]);
  }
  return all;
}

std::vector<LoadTerms> LoadTermsOf(const DesiredPool& pool, uint32_t index, bool limited) {
  std::vector<LoadTerms> terms;
  if (!limited && !GoesByLoad(AlgorithmOf(*pool.config)) && !HasLimits(*pool.config)) return terms;
  for (const DesiredBackend& backend : pool.backends) {
    if (!backend.TakesFlows() && (!limited || backend.gives_flows_up)) continue;
    LoadTerms& of = terms.emplace_back();
    of.slot = backend.slot;
    of.weight = backend.config->weight();
    of.translates = Translates(*pool.config);
    of.takes_flows = backend.TakesFlows();
    of.by_time = of.takes_flows && pool.config->algorithm() == v1::Pool::LEAST_TIME;
    of.max_connections = backend.config->max_connections();
    of.pool = index;
    of.hash_balance_factor = pool.config->hash_balance_factor();
  }
  return terms;
}

void WritePlaces(const MaglevTable& table, sluice_pool& pool) {
  pool.offset = table.part == nullptr ? 0 : table.part->offset();
  pool.size = table.part == nullptr ? 0 : table.demand.size;
  pool.members = table.part == nullptr ? 0 : table.part->size() - pool.size;
}

void WritePools(const TablesPlan& plan, const DesiredState& state, sluice_pool* pools) {
  for (const uint32_t i : state.new_pools) {
    pools[plan.pools.indices[i]].algorithm = static_cast<uint16_t>(AlgorithmOf(*state.pools[i]->config));
  }
  for (const uint32_t i : state.new_splits) {
    sluice_pool& split = pools[plan.pools.indices[state.pools.size() + i]];
    split.algorithm = SLUICE_SPLIT;
    const std::vector<DesiredSplit::Part>& parts = state.splits[i]->parts;
    split.takers = static_cast<uint16_t>(
        std::count_if(parts.begin(), parts.end(), [](const DesiredSplit::Part& part) { return part.weight > 0; }));
  }
}

// Not live; but its sessions are found by its address.
void WriteGone(const TablesPlan::Gone& gone, sluice_backend* records) {
  records[gone.index] = {};
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
  for (const uint32_t slot : plan.left_slots) records[slot] = {};
  for (const TablesPlan::Gone& gone : plan.gone_backends) WriteGone(gone, records);
  for (const uint32_t i : state.new_pools) {
    const BackendPool pool = {state.pools[i]->config, plan.pools.indices[i], state.front->uses[i].idle};
    for (const DesiredBackend& backend : state.pools[i]->backends) {
      if (backend.gives_flows_up) {
        WriteGone({backend.slot, backend.address}, records);
        continue;
      }
      const absl::StatusOr<sluice_backend> record = MakeBackendRecord(*state.front, pool, backend, ports);
      if (!record.ok()) return record.status();
      records[backend.slot] = *record;
    }
  }
  return absl::OkStatus();
}

std::vector<uint32_t> ChangedSlots(const TablesPlan& plan, const DesiredState& state) {
  std::vector<uint32_t> slots = plan.left_slots;
  for (const uint32_t i : state.new_pools) {
    for (const DesiredBackend& backend : state.pools[i]->backends) slots.push_back(backend.slot);
  }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

void WriteNames(const TablesPlan& plan, const DesiredState& state, TablesFront& front) {
  front.listener_names.resize(plan.listeners.size);
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    front.listener_names[plan.listeners.indices[i]] = state.front->listeners[i].config->name();
  }
  front.pool_names.resize(plan.pools.size);
  front.backend_names.resize(plan.backend_slots);
  for (size_t i = 0; i < state.pools.size(); i++) {
    const std::string& name = state.pools[i]->config->name();
    front.pool_names[plan.pools.indices[i]] = name;
    for (const DesiredBackend& backend : state.pools[i]->backends) {
      front.backend_names[backend.slot] = {name, backend.config->name()};
    }
  }
}

// In the order of the pools.
std::vector<LoadTerms> AllLoadTerms(const DesiredState& state) {
  std::vector<LoadTerms> all;
  for (const std::shared_ptr<DesiredPool>& pool : state.pools) {
    all.insert(all.end(), pool->load_terms.begin(), pool->load_terms.end());
  }
  return all;
}

std::vector<uint32_t> AllResetSlots(const DesiredState& state) {
  std::vector<uint32_t> all;
  for (const std::shared_ptr<DesiredPool>& pool : state.pools) {
    all.insert(all.end(), pool->reset_slots.begin(), pool->reset_slots.end());
  }
  return all;
}

}  // namespace

void TablesWriter::WriteTerms(const TablesPlan& plan, DesiredState& state) {
  for (const uint32_t i : state.new_pools) {
    DesiredPool& pool = *state.pools[i];
    pool.load_terms = LoadTermsOf(pool, plan.pools.indices[i], state.front->uses[i].limited);
    for (const DesiredBackend& backend : pool.backends) {
      if (backend.resets_flows) pool.reset_slots.push_back(backend.slot);
    }
  }
}

absl::StatusOr<std::shared_ptr<const TablesFront>> TablesWriter::WriteFront(const TablesPlan& plan,
                                                                            const DesiredState& state,
                                                                            absl::Span<const PortDescription> ports,
                                                                            ListenerIndex index, AccessIndex access,
                                                                            HugePages pages) {
  const auto front = std::make_shared<TablesFront>();
  const DesiredFront& desired = *state.front;
  absl::Status status = Allocate<sluice_listener>(plan.listeners.size, pages, front->listeners);
  if (status.ok()) status = Allocate<sluice_session_terms>(plan.listeners.size, pages, front->session_terms);
  if (status.ok()) status = Allocate<sluice_nat_address>(desired.nat_addresses.size(), pages, front->nat_addresses);
  if (status.ok()) status = Allocate<sluice_port>(ports.size(), pages, front->ports);
  if (!status.ok()) return status;
  front->index = std::move(index.entries);
  front->ranges = std::move(index.ranges);
  front->index_mask = index.mask;
  front->limits_sources = access.limits_sources;
  front->access = std::move(access.access);
  front->access_nodes = std::move(access.nodes);
  WritePorts(ports, front->ports.As<sluice_port>());
  WriteListeners(plan, state, front->listeners.As<sluice_listener>(), front->session_terms.As<sluice_session_terms>());
  WritePoolsOfKeys(front->listeners.As<sluice_listener>(), front->index_mask, front->index.As<sluice_index_entry>());
  for (size_t i = 0; i < desired.nat_addresses.size(); i++) {
    front->nat_addresses.As<sluice_nat_address>()[i] = {PathAddress(desired.nat_addresses[i])};
  }
  front->services = ServicesOf(state);
  WriteNames(plan, state, *front);
  front->listener_terms = ListenerTermsOf(plan, state);
  front->virtual_addresses = desired.virtual_addresses;
  return front;
}

absl::StatusOr<std::shared_ptr<const Tables>> TablesWriter::Write(const TablesPlan& plan, const DesiredState& state,
                                                                  absl::Span<const PortDescription> ports,
                                                                  std::shared_ptr<const TablesFront> front,
                                                                  std::shared_ptr<const MaglevSet> maglev,
                                                                  const Tables* before, HugePages pages) {
  const std::shared_ptr<Tables> tables(new Tables);
  absl::Status status = Allocate<sluice_settings>(1, pages, tables->settings_);
  if (status.ok()) status = Allocate<sluice_pool>(plan.pools.size, pages, tables->pools_);
  if (status.ok()) status = Allocate<sluice_backend>(plan.backend_slots, pages, tables->backends_);
  if (!status.ok()) return status;
  auto* pools = tables->pools_.As<sluice_pool>();
  auto* backends = tables->backends_.As<sluice_backend>();
  if (before != nullptr) {
    std::copy_n(before->view_.pools, before->pool_count(), pools);
    std::copy_n(before->view_.backends, before->backend_slots(), backends);
    if (before->front_ == front) tables->changed_slots_ = ChangedSlots(plan, state);
  }
  status = WriteBackends(plan, state, ports, backends);
  if (!status.ok()) return status;
  WritePools(plan, state, pools);
  for (const uint32_t i : maglev->moved) WritePlaces(*maglev->pools[i], pools[i]);
  for (uint32_t i = 0; i < maglev->pools.size() && before == nullptr; i++) WritePlaces(*maglev->pools[i], pools[i]);
  WriteSettings(plan, *state.front, *front, *tables->settings_.As<sluice_settings>());
  tables->load_terms_ = std::make_shared<const std::vector<LoadTerms>>(AllLoadTerms(state));
  tables->reset_slots_ = AllResetSlots(state);
  tables->view_ = {};
  sluice_tables& view = tables->view_;
  view.settings = tables->settings_.As<sluice_settings>();
  view.index = front->index.As<sluice_index_entry>();
  view.ranges = front->ranges.As<sluice_port_range>();
  view.listeners = front->listeners.As<sluice_listener>();
  view.session_terms = front->session_terms.As<sluice_session_terms>();
  view.pools = pools;
  view.backends = backends;
  view.ports = front->ports.As<sluice_port>();
  view.nat_addresses = front->nat_addresses.As<sluice_nat_address>();
  view.access = front->access.As<sluice_access>();
  view.access_nodes = front->access_nodes.As<sluice_access_node>();
  if (maglev->arena != nullptr) view.maglev = maglev->arena->region().As<uint32_t>();
  tables->front_ = std::move(front);
  tables->maglev_ = std::move(maglev);
  return tables;
}

}  // namespace sluice
