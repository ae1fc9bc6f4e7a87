#include "tables/tables_writer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
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
  }
}

absl::Status WriteBackends(const TablesPlan& plan, const DesiredState& state, absl::Span<const PortDescription> ports,
                           sluice_backend* records) {
  for (size_t i = 0; i < state.backends.size(); i++) {
    const DesiredBackend& backend = state.backends[i];
    const absl::StatusOr<sluice_backend> record =
        MakeBackendRecord(state, backend, plan.pools.indices[backend.pool], ports);
    if (!record.ok()) return record.status();
    records[plan.backends.indices[i]] = *record;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Tables>> TablesWriter::Write(const TablesPlan& plan, DesiredState state,
                                                                  absl::Span<const PortDescription> ports,
                                                                  ListenerIndex index, const MaglevSet& maglev,
                                                                  HugePages pages) {
  const std::shared_ptr<Tables> tables(new Tables);
  sluice_tables& view = tables->view_;
  absl::Status status = Allocate(1, pages, tables->settings_, view.settings);
  if (status.ok()) status = Allocate(plan.listeners.size, pages, tables->listeners_, view.listeners);
  if (status.ok()) status = Allocate(plan.pools.size, pages, tables->pools_, view.pools);
  if (status.ok()) status = Allocate(plan.backends.size, pages, tables->backends_, view.backends);
  if (status.ok()) status = Allocate(ports.size(), pages, tables->ports_, view.ports);
  if (status.ok()) status = WriteBackends(plan, state, ports, tables->backends_.As<sluice_backend>());
  if (!status.ok()) return status;

  WriteSettings(plan, state, index.mask, *tables->settings_.As<sluice_settings>());
  tables->index_ = std::move(index.entries);
  tables->ranges_ = std::move(index.ranges);
  view.index = tables->index_.As<sluice_index_entry>();
  view.ranges = tables->ranges_.As<sluice_port_range>();
  for (size_t i = 0; i < ports.size(); i++) {
    sluice_port& record = tables->ports_.As<sluice_port>()[i];
    std::copy(ports[i].mac.begin(), ports[i].mac.end(), record.mac);
    record.mtu = ports[i].mtu;
  }
  tables->listener_names_.resize(plan.listeners.size);
  for (size_t i = 0; i < state.listeners.size(); i++) {
    const DesiredListener& listener = state.listeners[i];
    const uint32_t at = plan.listeners.indices[i];
    tables->listeners_.As<sluice_listener>()[at] = {plan.pools.indices[listener.pool], listener.idle, 0};
    tables->listener_names_[at] = listener.config->name();
  }
  tables->backend_names_.resize(plan.backends.size);
  for (size_t i = 0; i < state.backends.size(); i++) {
    const DesiredBackend& backend = state.backends[i];
    tables->backend_names_[plan.backends.indices[i]] = {state.pools[backend.pool].config->name(),
                                                        backend.config->name()};
  }
  for (size_t i = 0; i < maglev.pools.size(); i++) {
    if (maglev.pools[i] == nullptr || maglev.pools[i]->part == nullptr) continue;
    const MaglevArena::Part& part = *maglev.pools[i]->part;
    tables->pools_.As<sluice_pool>()[i] = {part.offset(), part.size()};
    tables->maglev_.push_back(maglev.pools[i]->part);
  }
  if (maglev.arena != nullptr) view.maglev = maglev.arena->region().As<uint32_t>();
  tables->virtual_addresses_ = std::move(state.virtual_addresses);
  return tables;
}

}  // namespace sluice
