#include "engine/session_tables.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "engine/burst.h"
#include "sluice/session.h"

namespace sluice {
namespace {

constexpr size_t kLine = 64;

size_t Aligned(size_t bytes) {
  return (bytes + kLine - 1) / kLine * kLine;
}

struct Layout {
  uint32_t sessions;
  uint32_t buckets;
  // One that is nobody's at least: an empty bucket's entries name it.
  size_t sessions_bytes() const { return std::max<size_t>(sessions, 1) * sizeof(sluice_session); }
  size_t buckets_bytes() const { return size_t{buckets} * sizeof(sluice_bucket); }
  size_t fragments_bytes() const { return sessions == 0 ? 0 : size_t{SLUICE_FRAGMENTS} * sizeof(sluice_fragment); }
  size_t free_bytes() const { return Aligned(size_t{sessions} * sizeof(uint32_t)); }
  size_t bytes() const { return sessions_bytes() + buckets_bytes() + fragments_bytes() + free_bytes(); }
};

}  // namespace

void ScatterPorts(const SessionPartition& partition, const sluice_nat_ports& ports, uint64_t seed) {
  if (ports.count == 0) return;
  std::mt19937_64 random(seed);
  for (uint16_t& cursor : partition.state->cursors) cursor = static_cast<uint16_t>(random() % ports.count);
}

absl::StatusOr<SessionTables> SessionTables::Create(uint32_t workers, uint64_t max_sessions, HugePages pages) {
  SessionTables tables;
  Layout layout{};
  layout.sessions = static_cast<uint32_t>(std::min<uint64_t>((max_sessions + workers - 1) / workers, UINT32_MAX / 2));
  layout.buckets = BucketsForSessions(layout.sessions);
  tables.total_ = uint64_t{layout.sessions} * workers;
  absl::StatusOr<Region> memory =
      Region::Create(layout.bytes() * workers, tables.total_ == 0 ? HugePages::kOff : pages);
  if (!memory.ok()) return memory.status();
  tables.memory_ = *std::move(memory);
  // Pages come when they are touched: now, not under a flood of new flows.
  std::memset(tables.memory_.data(), 0, tables.memory_.size());
  for (uint32_t i = 0; i < workers; i++) {
    uint8_t* at = tables.memory_.data() + layout.bytes() * i;
    SessionPartition& partition = tables.partitions_.emplace_back();
    partition.buckets = reinterpret_cast<sluice_bucket*>(at);
    partition.bucket_count = layout.buckets;
    at += layout.buckets_bytes();
    partition.sessions = reinterpret_cast<sluice_session*>(at);
    partition.session_count = layout.sessions;
    at += layout.sessions_bytes();
    partition.fragments = reinterpret_cast<sluice_fragment*>(at);
    at += layout.fragments_bytes();
    partition.free = reinterpret_cast<uint32_t*>(at);
    for (uint32_t session = 0; session < layout.sessions; session++) partition.free[session] = session;
    partition.state = tables.states_.emplace_back(std::make_unique<sluice_session_owner>()).get();
    sluice_session_owner_begin(partition.state, layout.sessions);
    partition.expired = tables.queues_.emplace_back(std::make_unique<ExpiredSessions>()).get();
  }
  tables.MakeOccupancy();
  return tables;
}

SessionTables SessionTables::In(std::vector<SessionPartition> partitions) {
  SessionTables tables;
  tables.total_ = uint64_t{partitions[0].session_count} * partitions.size();
  tables.partitions_ = std::move(partitions);
  tables.MakeOccupancy();
  return tables;
}

// Two entries a session.
uint32_t SessionTables::BucketsForSessions(uint32_t sessions) {
  return sessions == 0 ? 1 : BucketsFor(2 * uint64_t{sessions});
}

void SessionTables::MakeOccupancy() {
  for (Engine::SessionOccupancy* occupancy : {&counting_, &occupancy_}) {
    occupancy->of_slot.resize(SLUICE_BACKENDS);
    occupancy->open_of_slot.resize(SLUICE_BACKENDS);
    occupancy->of_listener.resize(SLUICE_LISTENERS);
    occupancy->active_of_slot.resize(SLUICE_BACKENDS);
  }
}

void SessionTables::Sweep(const sluice_tables& tables, uint64_t now) {
  // Nothing to count, and megabytes of zeros to leave alone.
  if (total_ == 0) {
    occupancy_.sweeps++;
    return;
  }
  const uint32_t tick = sluice_tick(now);
  const uint64_t end = std::min(total_, position_ + (total_ + 99) / 100);
  for (; position_ < end; position_++) {
    const SessionPartition& partition = partitions_[position_ / partitions_[0].session_count];
    SweepSession(partition, static_cast<uint32_t>(position_ % partition.session_count), tables, tick);
  }
  if (position_ < total_) return;
  position_ = 0;
  counting_.sweeps = occupancy_.sweeps + 1;
  std::swap(occupancy_, counting_);
  counting_.sessions = 0;
  std::fill(counting_.of_slot.begin(), counting_.of_slot.end(), 0);
  std::fill(counting_.open_of_slot.begin(), counting_.open_of_slot.end(), 0);
  std::fill(counting_.of_listener.begin(), counting_.of_listener.end(), 0);
  std::fill(counting_.active_of_slot.begin(), counting_.active_of_slot.end(), 0);
}

// The record may change under our eyes: what is read makes sense at worst too late or too early, and the owner looks
// again before it believes us.
void SessionTables::SweepSession(const SessionPartition& partition, uint32_t index, const sluice_tables& tables,
                                 uint32_t tick) {
  const sluice_session& session = partition.sessions[index];
  const uint8_t protocol = __atomic_load_n(&session.protocol, __ATOMIC_RELAXED);
  if (protocol == 0) return;
  const uint32_t slot = std::min<uint32_t>(__atomic_load_n(&session.backend, __ATOMIC_RELAXED), SLUICE_BACKENDS - 1);
  const uint16_t listener = __atomic_load_n(&session.listener, __ATOMIC_RELAXED);
  counting_.sessions++;
  counting_.of_slot[slot]++;
  if (listener < counting_.of_listener.size()) counting_.of_listener[listener]++;
  const uint64_t forward = __atomic_load_n(&session.forward, __ATOMIC_RELAXED);
  const uint64_t reverse = __atomic_load_n(&session.reverse, __ATOMIC_RELAXED);
  const uint8_t flags = __atomic_load_n(&session.flags, __ATOMIC_RELAXED);
  const bool closed =
      (flags & SLUICE_SESSION_ENDED) || sluice_session_state(protocol, forward, reverse) == SLUICE_SESSION_CLOSED;
  if (!closed) counting_.open_of_slot[slot]++;
  if (!closed && !(forward & SLUICE_WORD_FIN)) counting_.active_of_slot[slot]++;
  const bool gone = !(tables.backends[slot].flags & SLUICE_BACKEND_LIVE) || (flags & SLUICE_SESSION_OVER);
  if (!gone && !sluice_session_expired(protocol, forward, reverse, &tables.session_terms[listener], tick)) return;
  ExpiredSessions& queue = *partition.expired;
  const uint32_t tail = queue.tail;
  // Full: the owner is behind; the next sweep finds it again.
  if (tail - SLUICE_LOAD_ACQUIRE(&queue.head) == SLUICE_EXPIRED) return;
  queue.ring[tail % SLUICE_EXPIRED] = index;
  SLUICE_STORE_RELEASE(&queue.tail, tail + 1);
}

}  // namespace sluice
