#include "engine/burst.h"

#include <algorithm>

#include "sluice/dispatch.h"
#include "sluice/hash.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/select.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {
namespace {

// One writer, so a plain addition; readers must not see half of it.
inline void Add(uint64_t& counter, uint64_t value) {
  __atomic_store_n(&counter, __atomic_load_n(&counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

inline void Add(sluice_traffic& traffic, uint64_t packets, uint64_t bytes, uint64_t new_flows) {
  Add(traffic.packets, packets);
  Add(traffic.bytes, bytes);
  if (SLUICE_UNLIKELY(new_flows > 0)) Add(traffic.new_flows, new_flows);
}

}  // namespace

// What the stages know of one packet.
struct BurstPath::Job {
  sluice_packet packet;
  uint64_t hash;
  // The flow's own entry, if it has one, usable or not.
  uint64_t* at;
  // Null until the packet has one.
  const sluice_backend* backend;
  uint32_t listener;
  uint32_t slot;
  sluice_verdict verdict;
  bool new_flow;
};

// What is the same for all packets of a burst.
struct BurstPath::Burst {
  const sluice_tables& tables;
  const sluice_settings* settings;
  uint64_t now;
  uint32_t tick;
  uint16_t ingress;
  uint32_t own;
  Partition partition;

  sluice_bucket* Primary(uint64_t hash) const {
    return &partition.buckets[sluice_primary_bucket(hash, partition.count)];
  }
  sluice_bucket* Secondary(uint64_t hash) const {
    return &partition.buckets[sluice_secondary_bucket(hash, partition.count)];
  }

  void Look(Job& job) const;
  void Meet(Job& job) const;
  bool Follow(Job& job) const;
};

uint32_t BucketsFor(uint64_t flows) {
  const uint64_t buckets = (flows * 12 + sizeof(sluice_bucket) - 1) / sizeof(sluice_bucket);
  return static_cast<uint32_t>(std::clamp<uint64_t>(buckets, 2, UINT32_MAX));
}

absl::StatusOr<BurstPath> BurstPath::Create(std::vector<Partition> partitions) {
  BurstPath path(std::move(partitions));
  absl::StatusOr<Region> listeners = Region::Create(sizeof(sluice_traffic) * (SLUICE_LISTENERS + 1), HugePages::kOff);
  if (!listeners.ok()) return listeners.status();
  absl::StatusOr<Region> backends = Region::Create(sizeof(sluice_traffic) * (SLUICE_BACKENDS + 1), HugePages::kOff);
  if (!backends.ok()) return backends.status();
  path.counters_.listeners = *std::move(listeners);
  path.counters_.backends = *std::move(backends);
  return path;
}

void BurstPath::Process(const sluice_tables& tables, uint64_t now, uint16_t ingress, uint32_t own, Frame* frames,
                        uint32_t count) {
  const Burst burst{tables, tables.settings, now, sluice_tick(now), ingress, own, partitions_[own]};
  std::array<Job, SLUICE_BURST> jobs;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    bytes += frames[i].length;
    jobs[i].packet.l3_length = 0;
    jobs[i].verdict = sluice_parse(frames[i].data, frames[i].data + frames[i].length, &jobs[i].packet);
  }
  for (uint32_t i = 0; i < count; i++) burst.Look(jobs[i]);
  for (uint32_t i = 0; i < count; i++) {
    if (SLUICE_LIKELY(jobs[i].verdict == SLUICE_CONTINUE)) burst.Meet(jobs[i]);
  }
  std::array<uint8_t, SLUICE_BURST> unsettled;
  uint32_t unsettled_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (SLUICE_UNLIKELY(jobs[i].verdict != SLUICE_CONTINUE)) continue;
    unsettled[unsettled_count] = static_cast<uint8_t>(i);
    unsettled_count += !burst.Follow(jobs[i]);
  }
  // In order, so that the second packet of a new flow finds what the first one made.
  for (uint32_t i = 0; i < unsettled_count; i++) Settle(burst, jobs[unsettled[i]]);
  for (uint32_t i = 0; i < count; i++) {
    Job& job = jobs[i];
    if (SLUICE_LIKELY(job.verdict == SLUICE_CONTINUE)) {
      job.verdict = Forward(burst, frames[i], job);
    } else if (sluice_verdict_kind(job.verdict) == SLUICE_KIND_TRANSMIT) {
      job.verdict = Reply(burst, frames[i], job, job.verdict, 0);
    }
    frames[i].verdict = static_cast<uint8_t>(job.verdict);
  }
  Count(jobs.data(), count);
  Add(counters_.received, count);
  Add(counters_.bytes, bytes);
}

// Step 3: listener. The bucket is on its way from here on.
SLUICE_HOT void BurstPath::Burst::Look(Job& job) const {
  job.listener = SLUICE_NO_LISTENER;
  if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) return;
  job.verdict = sluice_dispatch(&tables, settings, &job.packet, &job.listener);
  job.hash = sluice_packet_hash(settings, &job.packet);
  __builtin_prefetch(Primary(job.hash), 1);
  job.backend = nullptr;
  job.new_flow = false;
}

// Step 4, first half: the entry in its primary bucket; the backend's record, or the other bucket, is fetched.
SLUICE_HOT void BurstPath::Burst::Meet(Job& job) const {
  job.at = sluice_bucket_find(Primary(job.hash), job.hash);
  if (SLUICE_LIKELY(job.at != nullptr)) {
    __builtin_prefetch(&tables.backends[sluice_entry_slot(SLUICE_LOAD_ENTRY(job.at))]);
  } else {
    __builtin_prefetch(Secondary(job.hash), 1);
  }
}

// Step 4, the common case: the flow is known, and nothing else is to be done for the packet.
SLUICE_HOT bool BurstPath::Burst::Follow(Job& job) const {
  if (SLUICE_UNLIKELY(job.at == nullptr)) return false;
  const uint64_t entry = SLUICE_LOAD_ENTRY(job.at);
  // The sweep may have emptied it meanwhile.
  if (SLUICE_UNLIKELY(!sluice_entry_matches(entry, job.hash))) return false;
  sluice_terms terms;
  if (!sluice_terms_find(&tables, job.listener, &terms)) return false;
  job.backend = sluice_follow(&tables, entry, &job.packet, &terms, tick);
  if (SLUICE_UNLIKELY(job.backend == nullptr)) return false;
  job.slot = sluice_entry_slot(entry);
  sluice_touch(job.at, entry, &job.packet, tick);
  return !(job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) && job.packet.kind != SLUICE_PACKET_LATER_FRAGMENT;
}

// Step 4, the rest: secondary bucket, other partitions, a new flow; and the entry that later fragments will find.
SLUICE_COLD void BurstPath::Settle(const Burst& burst, Job& job) {
  // Identifications come again: the entry that a later fragment has met may be an older datagram's, and its own first
  // fragment be in this burst.
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) job.backend = nullptr;
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW;
  if (job.backend == nullptr && !FollowOwn(burst, job)) {
    if (flow && sluice_source_is_bad(&burst.tables, burst.settings, &job.packet.flow.source)) {
      job.verdict = SLUICE_VERDICT_bad_source;
      return;
    }
    const bool moved = !(job.packet.flags & SLUICE_PACKET_SYN) && FollowElsewhere(burst, job);
    if (!moved) SelectBackend(burst, job);
    if (job.verdict != SLUICE_CONTINUE) return;
    if (sluice_makes_entry(&job.packet)) {
      job.new_flow = !moved;
      Insert(burst, job, moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW);
    }
  }
  if (flow && (job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) InsertFragment(burst, job);
}

// Both buckets again: an earlier packet of this burst may have made the entry.
bool BurstPath::FollowOwn(const Burst& burst, Job& job) {
  uint64_t* unusable = nullptr;
  for (sluice_bucket* bucket : {burst.Primary(job.hash), burst.Secondary(job.hash)}) {
    job.at = sluice_bucket_find(bucket, job.hash);
    if (job.at == nullptr) continue;
    burst.Follow(job);
    if (job.backend != nullptr) return true;
    unusable = job.at;
  }
  job.at = unusable;
  return false;
}

void BurstPath::SelectBackend(const Burst& burst, Job& job) {
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) {
    job.verdict = SLUICE_VERDICT_unknown_fragment;
    return;
  }
  job.slot = sluice_select(&burst.tables, burst.tables.listeners[job.listener].pool, job.hash);
  if (job.slot == SLUICE_NO_BACKEND) {
    job.verdict = SLUICE_VERDICT_no_backend;
    return;
  }
  job.backend = &burst.tables.backends[job.slot];
}

// Fragments, ICMP errors and a changed RSS table bring packets to other queues than their flow's. Reads only. When
// several have it, because it has moved more than once, the one that has seen it last knows.
bool BurstPath::FollowElsewhere(const Burst& burst, Job& job) {
  uint32_t least_age = UINT32_MAX;
  sluice_terms terms;
  if (!sluice_terms_find(&burst.tables, job.listener, &terms)) return false;
  for (uint32_t i = 0; i < partitions_.size(); i++) {
    if (i == burst.own) continue;
    const Partition& other = partitions_[i];
    sluice_bucket* buckets[] = {&other.buckets[sluice_primary_bucket(job.hash, other.count)],
                                &other.buckets[sluice_secondary_bucket(job.hash, other.count)]};
    for (sluice_bucket* bucket : buckets) {
      const uint64_t* at = sluice_bucket_find(bucket, job.hash);
      if (at == nullptr) continue;
      const uint64_t entry = SLUICE_LOAD_ENTRY(at);
      if (!sluice_entry_matches(entry, job.hash)) continue;
      const uint32_t age = sluice_age(burst.tick, sluice_entry_seen(entry));
      if (age >= least_age) continue;
      const sluice_backend* backend = sluice_follow(&burst.tables, entry, &job.packet, &terms, burst.tick);
      if (backend == nullptr) continue;
      least_age = age;
      job.backend = backend;
      job.slot = sluice_entry_slot(entry);
    }
  }
  return job.backend != nullptr;
}

// In place of the flow's own unusable entry when it has one, so that no flow is in the table twice.
void BurstPath::Insert(const Burst& burst, Job& job, uint32_t state) {
  const uint64_t entry = sluice_entry_make(job.hash, job.slot, state, burst.tick);
  if (job.at != nullptr) {
    SLUICE_STORE_ENTRY(job.at, entry);
    Add(counters_.inserted_over[SLUICE_VICTIM_EXPIRED], 1);
    return;
  }
  Add(counters_.inserted_over[sluice_connection_insert(burst.Primary(job.hash), burst.Secondary(job.hash), entry,
                                                       burst.settings->longest_idle)],
      1);
}

void BurstPath::InsertFragment(const Burst& burst, const Job& job) {
  const sluice_flow flow = sluice_fragment_flow(&job.packet);
  const uint64_t hash = sluice_hash_flow(burst.settings, &flow);
  sluice_bucket* primary = burst.Primary(hash);
  sluice_bucket* secondary = burst.Secondary(hash);
  const uint64_t entry = sluice_entry_make(hash, job.slot, SLUICE_STATE_NEW, burst.tick);
  uint64_t* at = sluice_bucket_find(primary, hash);
  if (at == nullptr) at = sluice_bucket_find(secondary, hash);
  if (at != nullptr) {
    SLUICE_STORE_ENTRY(at, entry);
  } else {
    Add(counters_.inserted_over[sluice_connection_insert(primary, secondary, entry, burst.settings->longest_idle)], 1);
  }
}

// Step 5.
SLUICE_HOT sluice_verdict BurstPath::Forward(const Burst& burst, Frame& frame, const Job& job) {
  const sluice_backend* backend = job.backend;
  if (SLUICE_UNLIKELY(!(backend->flags & SLUICE_BACKEND_NEXT_HOP))) return SLUICE_VERDICT_no_next_hop;
  if (SLUICE_UNLIKELY(sluice_exceeds_mtu(&job.packet, backend))) return TooBig(burst, frame, job);
  if (SLUICE_UNLIKELY(sluice_ttl_expires(frame.data + job.packet.l3_offset, &job.packet, backend))) {
    return SLUICE_VERDICT_ttl_expired;
  }
  const int32_t growth = sluice_rewrite_growth(&job.packet, backend);
  if (SLUICE_UNLIKELY(growth > frame.headroom)) return SLUICE_VERDICT_no_headroom;
  frame.length = sluice_rewrite_length(frame.length, &job.packet, backend);
  frame.data -= growth;
  frame.egress = backend->port;
  sluice_rewrite(frame.data, frame.data + frame.length, &job.packet, backend, job.hash);
  return SLUICE_VERDICT_forwarded;
}

SLUICE_COLD sluice_verdict BurstPath::TooBig(const Burst& burst, Frame& frame, const Job& job) {
  if (!sluice_tells_too_big(&job.packet)) return SLUICE_VERDICT_too_big;
  if (!sluice_limiter_take(&too_big_, burst.now, SLUICE_TOO_BIG_INTERVAL, SLUICE_TOO_BIG_BURST)) {
    return SLUICE_VERDICT_too_big;
  }
  const uint32_t mtu = job.backend->mtu - job.backend->outer_length;
  return Reply(burst, frame, job, SLUICE_VERDICT_replied_too_big, mtu);
}

SLUICE_COLD sluice_verdict BurstPath::Reply(const Burst& burst, Frame& frame, const Job& job, sluice_verdict reply,
                                            uint32_t mtu) {
  const int32_t growth = sluice_reply_growth(&job.packet, reply);
  const uint32_t length = sluice_reply_length(frame.length, &job.packet, reply);
  if (growth > frame.headroom || length > growth + frame.length + frame.tailroom) return SLUICE_VERDICT_no_headroom;
  frame.data -= growth;
  frame.length = length;
  frame.egress = burst.ingress;
  const sluice_port* port = &burst.tables.ports[burst.ingress];
  sluice_reply_write(frame.data, frame.data + length, &job.packet, reply, port, mtu);
  return reply;
}

// Packets of one burst mostly have one verdict and one listener: those are added up first.
SLUICE_HOT void BurstPath::Count(const Job* jobs, uint32_t count) {
  auto* listeners = counters_.listeners.As<sluice_traffic>();
  auto* backends = counters_.backends.As<sluice_traffic>();
  uint64_t forwarded = 0;
  uint32_t listener = SLUICE_NO_LISTENER;
  sluice_traffic run{};
  for (uint32_t i = 0; i < count; i++) {
    const Job& job = jobs[i];
    const uint64_t length = job.packet.l3_length;
    if (SLUICE_UNLIKELY(job.listener != listener)) {
      if (listener != SLUICE_NO_LISTENER) Add(listeners[listener], run.packets, run.bytes, run.new_flows);
      run = {};
      listener = job.listener;
    }
    run.packets++;
    run.bytes += length;
    if (SLUICE_LIKELY(job.verdict == SLUICE_VERDICT_forwarded)) {
      forwarded++;
      run.new_flows += job.new_flow;
      Add(backends[job.slot], 1, length, job.new_flow);
    } else {
      Add(counters_.verdicts[job.verdict], 1);
    }
  }
  if (listener != SLUICE_NO_LISTENER) Add(listeners[listener], run.packets, run.bytes, run.new_flows);
  Add(counters_.verdicts[SLUICE_VERDICT_forwarded], forwarded);
}

}  // namespace sluice
