#include "engine/xdp/kernel_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/counters.h"
#include "engine/xdp/bpf_status.h"
// The last one: its types are those of the path.
#include "sluice.skel.h"

namespace sluice {
namespace {

constexpr uint32_t kLeastRecords = 256;
constexpr uint32_t kLeastMaglev = 1u << 20;
constexpr uint32_t kMaglevLine = sizeof(sluice_maglev_line) / sizeof(uint32_t);

uint32_t Roomy(uint64_t records, uint32_t least) {
  return static_cast<uint32_t>(std::max<uint64_t>(std::bit_ceil(2 * records), least));
}

template <typename Record>
absl::Status MapArray(const bpf_map* map, Region* region) {
  absl::StatusOr<Region> shared = Region::Share(bpf_map__fd(map), bpf_map__max_entries(map) * sizeof(Record));
  if (!shared.ok()) return shared.status();
  *region = *std::move(shared);
  return absl::OkStatus();
}

}  // namespace

KernelRoom KernelRoom::For(const Tables& tables) {
  KernelRoom room;
  room.index = Roomy(uint64_t{tables.view().settings->index_mask} + 1, kLeastRecords);
  room.ranges = Roomy(tables.range_count(), kLeastRecords);
  room.listeners = Roomy(tables.listener_count(), kLeastRecords);
  room.pools = Roomy(tables.pool_count(), kLeastRecords);
  room.backends = Roomy(tables.backend_slots(), kLeastRecords);
  room.ports = SLUICE_PORTS;
  room.nat_addresses = Roomy(tables.nat_address_count(), kLeastRecords);
  room.access_nodes = Roomy(tables.access_node_count(), kLeastRecords);
  room.source_lines = tables.limits_sources() ? SLUICE_SOURCE_LINES : 0;
  uint64_t maglev = 0;
  for (uint32_t i = 0; i < tables.pool_count(); i++) maglev += sluice_pool_places(&tables.view().pools[i]);
  room.maglev = Roomy(maglev, kLeastMaglev);
  return room;
}

absl::StatusOr<std::unique_ptr<KernelPath>> KernelPath::Load(const Options& options) {
  LogLibbpf();
  auto path = std::unique_ptr<KernelPath>(new KernelPath(sluice_bpf__open(), options));
  if (path->skeleton_ == nullptr) return BpfStatus(errno, "opening the XDP program");
  path->SetRoom();
  if (absl::Status status = path->ReuseMaps(); !status.ok()) return status;
  if (const int error = sluice_bpf__load(path->skeleton_); error != 0) {
    return LoadStatus(-error, "loading the XDP program");
  }
  path->inner_ = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sluice_grace", sizeof(uint32_t), sizeof(uint32_t), 1, nullptr);
  bpf_map_create_opts outer;
  PrepareBpfOptions(&outer);
  outer.inner_map_fd = static_cast<uint32_t>(path->inner_);
  path->outer_ =
      bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "sluice_graces", sizeof(uint32_t), sizeof(uint32_t), 1, &outer);
  if (path->inner_ < 0 || path->outer_ < 0) return BpfStatus(errno, "making the map to wait with");
  // The next daemon finds them among the program's maps, which they are not by themselves: the program reads neither.
  const auto& maps = path->skeleton_->maps;
  for (const bpf_map* map : {maps.sluice_state_map, maps.sluice_settings_map}) {
    if (bpf_prog_bind_map(path->program(), bpf_map__fd(map), nullptr) != 0)
      return BpfStatus(errno, absl::StrCat("binding the map ", bpf_map__name(map)));
  }
  if (absl::Status status = path->MapAll(); !status.ok()) return status;
  return path;
}

KernelPath::~KernelPath() {
  if (grace_.valid()) grace_.wait();
  for (const int fd : {inner_, outer_}) {
    if (fd >= 0) close(fd);
  }
  sluice_bpf__destroy(skeleton_);
}

// Those that others have made.
absl::Status KernelPath::ReuseMaps() {
  const auto& maps = skeleton_->maps;
  std::vector<std::pair<bpf_map*, int>> reused = {{maps.sluice_buckets_map, options_.connections}};
  if (options_.sessions.has_value()) {
    const KernelSessionArrays& sessions = *options_.sessions;
    reused.push_back({maps.sluice_session_buckets_map, sessions.bucket_array});
    reused.push_back({maps.sluice_sessions_map, sessions.session_array});
    reused.push_back({maps.sluice_fragments_map, sessions.fragment_array});
    reused.push_back({maps.sluice_free_map, sessions.free_array});
    reused.push_back({maps.sluice_session_owners_map, sessions.owner_array});
    reused.push_back({maps.sluice_expired_map, sessions.expired_array});
  }
  if (options_.workers.has_value()) {
    reused.push_back({maps.sluice_owners_map, options_.workers->owners});
    reused.push_back({maps.vips, options_.workers->virtual_addresses});
    reused.push_back({maps.services, options_.workers->services});
    reused.push_back({maps.locals, options_.workers->local_addresses});
  }
  for (const auto& [map, fd] : reused) {
    if (const int error = bpf_map__reuse_fd(map, fd); error != 0)
      return BpfStatus(-error, absl::StrCat("going on with the map ", bpf_map__name(map)));
  }
  return absl::OkStatus();
}

void KernelPath::SetRoom() {
  const KernelRoom& room = options_.room;
  const auto& maps = skeleton_->maps;
  auto* constants = skeleton_->rodata;
  constants->sluice_index_room = room.index;
  constants->sluice_ranges_room = room.ranges;
  constants->sluice_listeners_room = room.listeners;
  constants->sluice_pools_room = room.pools;
  constants->sluice_backends_room = room.backends;
  constants->sluice_ports_room = room.ports;
  constants->sluice_session_terms_room = room.listeners;
  constants->sluice_nat_addresses_room = room.nat_addresses;
  constants->sluice_access_room = room.listeners;
  constants->sluice_access_nodes_room = room.access_nodes;
  constants->sluice_partitions = options_.partitions;
  constants->sluice_partition_buckets = options_.buckets;
  constants->sluice_takeover_after = options_.workers.has_value() ? options_.workers->takeover_after : 0;
  bpf_map__set_max_entries(maps.sluice_sockets, options_.partitions);
  bpf_map__set_max_entries(maps.sluice_owners_map, options_.partitions);
  bpf_map__set_max_entries(maps.sluice_settings_map, 2);
  bpf_map__set_max_entries(maps.sluice_index_map, 2 * room.index);
  bpf_map__set_max_entries(maps.sluice_ranges_map, 2 * room.ranges);
  bpf_map__set_max_entries(maps.sluice_listeners_map, 2 * room.listeners);
  bpf_map__set_max_entries(maps.sluice_pools_map, 2 * room.pools);
  bpf_map__set_max_entries(maps.sluice_backends_map, 2 * room.backends);
  bpf_map__set_max_entries(maps.sluice_ports_map, 2 * room.ports);
  bpf_map__set_max_entries(maps.sluice_session_terms_map, 2 * room.listeners);
  bpf_map__set_max_entries(maps.sluice_nat_addresses_map, 2 * room.nat_addresses);
  bpf_map__set_max_entries(maps.sluice_access_map, 2 * room.listeners);
  bpf_map__set_max_entries(maps.sluice_access_nodes_map, 2 * room.access_nodes);
  bpf_map__set_max_entries(maps.sluice_sources_map, std::max(options_.partitions * room.source_lines, 1u));
  bpf_map__set_max_entries(maps.sluice_maglev_map, (room.maglev + kMaglevLine - 1) / kMaglevLine);
  bpf_map__set_max_entries(maps.sluice_cursors_map, options_.partitions * room.pools);
  bpf_map__set_max_entries(maps.sluice_loads_map, options_.partitions * room.backends);
  bpf_map__set_max_entries(maps.sluice_listener_loads_map, options_.partitions * room.listeners);
  bpf_map__set_max_entries(maps.sluice_buckets_map, options_.partitions * options_.buckets);
  bpf_map__set_max_entries(maps.sluice_counters_map, options_.partitions);
  bpf_map__set_max_entries(maps.sluice_listener_traffic_map, 2 * options_.partitions * room.listeners);
  bpf_map__set_max_entries(maps.sluice_backend_traffic_map, 2 * options_.partitions * room.backends);
  SetSessionRoom();
}

void KernelPath::SetSessionRoom() {
  if (!options_.sessions.has_value()) return;
  const KernelSessionArrays& sessions = *options_.sessions;
  auto* constants = skeleton_->rodata;
  constants->sluice_session_partitions = sessions.partitions;
  constants->sluice_session_workers = sessions.workers;
  constants->sluice_session_records = sessions.records;
  constants->sluice_session_buckets = sessions.buckets;
  std::memcpy(const_cast<sluice_nat_ports*>(&constants->sluice_nat_ranges), &sessions.ports, sizeof(sessions.ports));
}

absl::Status KernelPath::MapAll() {
  const auto& maps = skeleton_->maps;
  absl::Status status = MapArray<sluice_settings>(maps.sluice_settings_map, &settings_.region);
  status.Update(MapArray<sluice_index_entry>(maps.sluice_index_map, &index_.region));
  status.Update(MapArray<sluice_port_range>(maps.sluice_ranges_map, &ranges_.region));
  status.Update(MapArray<sluice_listener>(maps.sluice_listeners_map, &listeners_.region));
  status.Update(MapArray<sluice_pool>(maps.sluice_pools_map, &pools_.region));
  status.Update(MapArray<sluice_backend>(maps.sluice_backends_map, &backends_.region));
  status.Update(MapArray<sluice_port>(maps.sluice_ports_map, &ports_.region));
  status.Update(MapArray<sluice_session_terms>(maps.sluice_session_terms_map, &session_terms_.region));
  status.Update(MapArray<sluice_nat_address>(maps.sluice_nat_addresses_map, &nat_addresses_.region));
  status.Update(MapArray<sluice_access>(maps.sluice_access_map, &access_.region));
  status.Update(MapArray<sluice_access_node>(maps.sluice_access_nodes_map, &access_nodes_.region));
  status.Update(MapArray<sluice_counters>(maps.sluice_counters_map, &counters_.region));
  status.Update(MapArray<sluice_traffic>(maps.sluice_listener_traffic_map, &listener_traffic_.region));
  status.Update(MapArray<sluice_traffic>(maps.sluice_backend_traffic_map, &backend_traffic_.region));
  status.Update(MapArray<sluice_load>(maps.sluice_loads_map, &loads_.region));
  status.Update(MapArray<sluice_listener_load>(maps.sluice_listener_loads_map, &listener_loads_.region));
  status.Update(MapArray<sluice_kernel_state>(maps.sluice_state_map, &state_.region));
  Region maglev;
  status.Update(MapArray<sluice_maglev_line>(maps.sluice_maglev_map, &maglev));
  if (!status.ok()) return status;
  maglev_ = MaglevArena::In(std::move(maglev));
  sluice_kernel_state* state = state_.at(0);
  state->layout = SLUICE_LAYOUT_VERSION;
  state->partitions = options_.partitions;
  state->partition_buckets = options_.buckets;
  state->backends_room = options_.room.backends;
  state->marks_vacated = SLUICE_MARKS_SESSIONS;
  if (options_.sessions.has_value()) {
    state->session_records = options_.sessions->records;
    state->session_buckets = options_.sessions->buckets;
    state->session_partitions = options_.sessions->partitions;
    state->session_workers = options_.sessions->workers;
  }
  return absl::OkStatus();
}

int KernelPath::program() const {
  return bpf_program__fd(skeleton_->progs.sluice_xdp);
}

bool KernelPath::Fits(const Tables& tables) const {
  const KernelRoom& room = options_.room;
  return tables.view().settings->index_mask < room.index && tables.range_count() <= room.ranges &&
         tables.listener_count() <= room.listeners && tables.pool_count() <= room.pools &&
         tables.backend_slots() <= room.backends && tables.port_count() <= room.ports &&
         tables.nat_address_count() <= room.nat_addresses && tables.access_node_count() <= room.access_nodes &&
         (room.source_lines > 0 || !tables.limits_sources());
}

// A pool whose table is the same memory as in the generation before has not changed: that generation has kept it.
absl::StatusOr<std::vector<KernelPath::Placed>> KernelPath::PlaceMaglev(const Tables& tables) const {
  const sluice_tables& view = tables.view();
  std::vector<Placed> placed(tables.pool_count());
  for (uint32_t i = 0; i < placed.size(); i++) {
    const sluice_pool& pool = view.pools[i];
    if (sluice_pool_places(&pool) == 0) continue;
    placed[i].source = view.maglev + pool.offset;
    const bool known = i < current_.maglev.size() && current_.maglev[i].source == placed[i].source;
    if (known && current_.maglev[i].part->size() == sluice_pool_places(&pool)) {
      placed[i].part = current_.maglev[i].part;
      continue;
    }
    std::shared_ptr<MaglevArena::Part> part = maglev_->Take(sluice_pool_places(&pool));
    if (part == nullptr) return absl::ResourceExhaustedError("no room for the Maglev tables in the kernel");
    std::memcpy(part->data(), placed[i].source, part->size() * sizeof(uint32_t));
    placed[i].part = std::move(part);
  }
  return placed;
}

void KernelPath::WriteFront(const Tables& tables, uint32_t half) {
  const sluice_tables& view = tables.view();
  const KernelRoom& room = options_.room;
  std::copy_n(view.index, view.settings->index_mask + 1, index_.at(size_t{half} * room.index));
  std::copy_n(view.ranges, tables.range_count(), ranges_.at(size_t{half} * room.ranges));
  std::copy_n(view.listeners, tables.listener_count(), listeners_.at(size_t{half} * room.listeners));
  std::copy_n(view.ports, tables.port_count(), ports_.at(size_t{half} * room.ports));
  std::copy_n(view.session_terms, tables.listener_count(), session_terms_.at(size_t{half} * room.listeners));
  std::copy_n(view.nat_addresses, tables.nat_address_count(), nat_addresses_.at(size_t{half} * room.nat_addresses));
  std::copy_n(view.access, tables.listener_count(), access_.at(size_t{half} * room.listeners));
  std::copy_n(view.access_nodes, tables.access_node_count(), access_nodes_.at(size_t{half} * room.access_nodes));
}

// Those that have changed since what the half has, by the two generations since, where these say which.
void KernelPath::WriteBackends(const Tables& tables, uint32_t half) {
  sluice_backend* to = backends_.at(size_t{half} * options_.room.backends);
  const sluice_backend* from = tables.view().backends;
  const Tables* before = current_.tables.get();
  const bool follows = before != nullptr && before->front() == tables.front() &&
                       written_[half].front == tables.front() && before->generation() + 1 == tables.generation() &&
                       written_[half].generation + 1 == before->generation() && before->changed_slots().has_value() &&
                       tables.changed_slots().has_value();
  if (!follows) {
    std::copy_n(from, tables.backend_slots(), to);
    return;
  }
  for (const Tables* changed : {before, &tables}) {
    for (const uint32_t slot : *changed->changed_slots()) to[slot] = from[slot];
  }
}

void KernelPath::WriteTables(const Tables& tables, const std::vector<Placed>& maglev, uint32_t half) {
  const sluice_tables& view = tables.view();
  // The second one is the next daemon's.
  skeleton_->bss->sluice_settings[half] = *view.settings;
  *settings_.at(half) = *view.settings;
  if (written_[half].front != tables.front()) WriteFront(tables, half);
  WriteBackends(tables, half);
  sluice_pool* pools = pools_.at(size_t{half} * options_.room.pools);
  for (uint32_t i = 0; i < tables.pool_count(); i++) {
    pools[i] = view.pools[i];
    if (maglev[i].part != nullptr) pools[i].offset = maglev[i].part->offset();
  }
  written_[half] = {tables.front(), tables.generation()};
}

absl::Status KernelPath::Publish(std::shared_ptr<const Tables> tables) {
  if (absl::Status status = EndGrace(); !status.ok()) return status;
  absl::StatusOr<std::vector<Placed>> maglev = PlaceMaglev(*tables);
  if (!maglev.ok()) return maglev.status();
  const uint32_t next = 1 - skeleton_->bss->sluice_half;
  WriteTables(*tables, *maglev, next);
  __atomic_store_n(&skeleton_->bss->sluice_half, next, __ATOMIC_RELEASE);
  // The same for the next daemon.
  __atomic_store_n(&state_.at(0)->half, next, __ATOMIC_RELEASE);
  left_ = std::exchange(current_, {std::move(tables), *std::move(maglev)});
  // Milliseconds, in which nobody has to wait for it: most often it is over by the next time.
  if (left_.tables != nullptr) grace_ = std::async([this] { return WaitForPackets(); });
  return absl::OkStatus();
}

// No packet is with what is left from here on, so it may be written over.
absl::Status KernelPath::EndGrace() {
  if (grace_.valid() && grace_.get().ok()) left_ = {};
  if (left_.tables == nullptr) return absl::OkStatus();
  absl::Status status = WaitForPackets();
  if (status.ok()) left_ = {};
  return status;
}

// The kernel waits in an update of a map of maps until every program that may have seen the old one has ended
// (Linux 5.0, "bpf: wait for running BPF programs when updating map-in-map").
absl::Status KernelPath::WaitForPackets() const {
  const uint32_t key = 0;
  if (bpf_map_update_elem(outer_, &key, &inner_, BPF_ANY) == 0) return absl::OkStatus();
  return BpfStatus(errno, "waiting until packets have left the old tables");
}

void KernelPath::SetIngress(const std::vector<sluice_ingress>& interfaces) {
  auto& places = skeleton_->bss->sluice_ingress;
  for (const sluice_ingress& interface : interfaces) {
    uint32_t at = interface.ifindex % SLUICE_INGRESS;
    while (places[at].ifindex != 0) at = (at + 1) % SLUICE_INGRESS;
    places[at] = interface;
  }
}

absl::Status KernelPath::SetDevice(uint32_t port, int ifindex) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.sluice_devices), &port, &ifindex, BPF_ANY) == 0) {
    return absl::OkStatus();
  }
  return BpfStatus(errno, absl::StrCat("letting packets leave by interface ", ifindex));
}

absl::Status KernelPath::SetSocket(uint32_t partition, int fd) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.sluice_sockets), &partition, &fd, BPF_ANY) == 0) {
    return absl::OkStatus();
  }
  return BpfStatus(errno, absl::StrCat("giving the packets of partition ", partition, " to its socket"));
}

std::vector<LoadedWorker> KernelPath::loaded_workers() const {
  std::vector<LoadedWorker> workers;
  const KernelRoom& room = options_.room;
  for (size_t partition = 0; partition < options_.partitions; partition++) {
    workers.push_back({backend_traffic_.at(2 * partition * room.backends), loads_.at(partition * room.backends),
                       room.backends, listener_traffic_.at(2 * partition * room.listeners),
                       listener_loads_.at(partition * room.listeners), room.listeners});
  }
  return workers;
}

void KernelPath::AddCounters(EngineCounters* sum) const {
  sum->workers.resize(std::max<size_t>(sum->workers.size(), options_.partitions));
  for (size_t partition = 0; partition < options_.partitions; partition++) {
    const size_t listeners = options_.room.listeners;
    const size_t backends = options_.room.backends;
    sluice::AddCounters(
        *counters_.at(partition),
        {listener_traffic_.at(2 * partition * listeners), backend_traffic_.at(2 * partition * backends)},
        {listener_traffic_.at((2 * partition + 1) * listeners), backend_traffic_.at((2 * partition + 1) * backends)},
        &sum->workers[partition], sum);
  }
}

}  // namespace sluice
