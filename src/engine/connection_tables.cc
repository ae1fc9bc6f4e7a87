#include "engine/connection_tables.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

// Closed, and since then without a packet for more than so many ticks.
constexpr uint32_t kQuietTicks = 1;

bool IsOver(uint64_t entry, uint32_t tick) {
  return sluice_entry_state(entry) == SLUICE_STATE_CLOSING && sluice_age(tick, sluice_entry_seen(entry)) > kQuietTicks;
}

}  // namespace

uint32_t BucketsFor(uint64_t flows) {
  const uint64_t buckets = (flows * 12 + sizeof(sluice_bucket) - 1) / sizeof(sluice_bucket);
  return static_cast<uint32_t>(std::clamp<uint64_t>(buckets, 2, UINT32_MAX));
}

absl::StatusOr<ConnectionTables> ConnectionTables::Create(uint32_t partitions, uint64_t max_connections,
                                                          HugePages pages) {
  const uint32_t each = BucketsFor((max_connections + partitions - 1) / partitions);
  absl::StatusOr<Region> region = Region::Create(uint64_t{each} * partitions * sizeof(sluice_bucket), pages);
  if (!region.ok()) return region.status();
  // Pages of normal size come when they are touched: now, not under a flood of new flows.
  std::memset(region->data(), 0, region->size());
  return In(*std::move(region), partitions, each);
}

absl::StatusOr<ConnectionTables> ConnectionTables::In(Region memory, uint32_t partitions, uint32_t each) {
  ConnectionTables tables;
  const size_t lines = size_t{partitions} * SLUICE_SOURCE_LINES;
  absl::StatusOr<Region> sources = Region::Create(lines * sizeof(sluice_source_line), HugePages::kOff);
  if (!sources.ok()) return sources.status();
  tables.sources_ = *std::move(sources);
  tables.buckets_ = uint64_t{each} * partitions;
  tables.region_ = std::move(memory);
  for (uint32_t i = 0; i < partitions; i++) {
    tables.partitions_.push_back({tables.region_.As<sluice_bucket>() + uint64_t{i} * each, each,
                                  tables.sources_.As<sluice_source_line>() + size_t{i} * SLUICE_SOURCE_LINES});
  }
  for (Engine::Occupancy* occupancy : {&tables.counting_, &tables.occupancy_}) {
    occupancy->flows_of_slot.resize(SLUICE_BACKENDS);
    occupancy->open_of_slot.resize(SLUICE_BACKENDS);
    occupancy->active_of_slot.resize(SLUICE_BACKENDS);
  }
  return tables;
}

void ConnectionTables::Sweep(const sluice_tables& tables, uint64_t now) {
  const uint32_t tick = sluice_tick(now);
  const uint64_t end = std::min(buckets_, position_ + (buckets_ + 99) / 100);
  // The partitions lie behind one another.
  sluice_bucket* buckets = region_.As<sluice_bucket>();
  for (; position_ < end; position_++) SweepBucket(buckets[position_], tables, tick);
  if (position_ < buckets_) return;
  position_ = 0;
  counting_.sweeps = occupancy_.sweeps + 1;
  std::swap(occupancy_, counting_);
  std::fill(counting_.flows_of_slot.begin(), counting_.flows_of_slot.end(), 0);
  std::fill(counting_.open_of_slot.begin(), counting_.open_of_slot.end(), 0);
  std::fill(counting_.active_of_slot.begin(), counting_.active_of_slot.end(), 0);
}

void ConnectionTables::SweepBucket(sluice_bucket& bucket, const sluice_tables& tables, uint32_t tick) {
  for (uint64_t& at : bucket.entries) {
    const uint64_t entry = __atomic_load_n(&at, __ATOMIC_RELAXED);
    if (sluice_entry_is_empty(entry)) continue;
    const uint32_t slot = sluice_entry_slot(entry);
    const sluice_backend& backend = tables.backends[slot];
    const bool gone = !(backend.flags & SLUICE_BACKEND_LIVE);
    const bool clear = gone || sluice_entry_expired(entry, tick, backend.idle);
    if (clear && sluice_entry_clear(&at, entry)) continue;
    counting_.flows_of_slot[slot]++;
    if (!IsOver(entry, tick)) counting_.open_of_slot[slot]++;
    if (sluice_entry_state(entry) != SLUICE_STATE_CLOSING) counting_.active_of_slot[slot]++;
  }
}

}  // namespace sluice
