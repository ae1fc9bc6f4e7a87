#include "engine/burst.h"

#include <algorithm>

#include "sluice/dispatch.h"
#include "sluice/hash.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/select.h"

namespace sluice {
namespace {

// One writer, so a plain addition; readers must not see half of it.
inline void Add(uint64_t& counter, uint64_t value) {
  __atomic_store_n(&counter, __atomic_load_n(&counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

inline void CountTraffic(Region& region, uint32_t index, uint64_t bytes, bool new_flow) {
  sluice_traffic& traffic = region.As<sluice_traffic>()[index];
  Add(traffic.packets, 1);
  Add(traffic.bytes, bytes);
  if (new_flow) Add(traffic.new_flows, 1);
}

}  // namespace

// What the stages know of one packet.
struct BurstPath::Job {
  sluice_packet packet;
  uint64_t hash;
  uint32_t listener;
  uint32_t slot;
  sluice_terms terms;
  sluice_bucket* primary;
  // The flow's own entry, if it has one, usable or not.
  uint64_t* at;
  const sluice_backend* backend;
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
  for (uint32_t i = 0; i < count; i++) Look(burst, frames[i], jobs[i]);
  for (uint32_t i = 0; i < count; i++) {
    if (jobs[i].verdict == SLUICE_CONTINUE) Meet(burst, jobs[i]);
  }
  for (uint32_t i = 0; i < count; i++) {
    if (jobs[i].verdict == SLUICE_CONTINUE) Follow(burst, jobs[i]);
  }
  // In order, so that the second packet of a new flow finds what the first one made.
  for (uint32_t i = 0; i < count; i++) {
    if (jobs[i].verdict == SLUICE_CONTINUE) Settle(burst, jobs[i]);
  }
  for (uint32_t i = 0; i < count; i++) Finish(burst, frames[i], jobs[i]);
  Add(counters_.received, count);
}

// Steps 2 and 3: parse, listener; the bucket is fetched.
void BurstPath::Look(const Burst& burst, Frame& frame, Job& job) {
  job.listener = SLUICE_NO_LISTENER;
  job.backend = nullptr;
  job.at = nullptr;
  job.new_flow = false;
  job.verdict = sluice_parse(frame.data, frame.data + frame.length, &job.packet);
  if (job.verdict != SLUICE_CONTINUE) return;
  job.verdict = sluice_dispatch(&burst.tables, burst.settings, &job.packet, &job.listener);
  if (job.verdict != SLUICE_CONTINUE) return;
  sluice_terms_find(&burst.tables, job.listener, &job.terms);
  job.hash = sluice_packet_hash(burst.settings, &job.packet);
  job.primary = &burst.partition.buckets[sluice_primary_bucket(job.hash, burst.partition.count)];
  __builtin_prefetch(job.primary, 1);
}

// Step 4, first half: the entry in its primary bucket; the backend's record, or the other bucket, is fetched.
void BurstPath::Meet(const Burst& burst, Job& job) {
  job.at = sluice_bucket_find(job.primary, job.hash);
  if (SLUICE_LIKELY(job.at != nullptr)) {
    __builtin_prefetch(&burst.tables.backends[sluice_entry_slot(SLUICE_LOAD_ENTRY(job.at))]);
  } else {
    __builtin_prefetch(&burst.partition.buckets[sluice_secondary_bucket(job.hash, burst.partition.count)], 1);
  }
}

// Step 4, the common case: the flow is known.
void BurstPath::Follow(const Burst& burst, Job& job) {
  if (job.at == nullptr) return;
  const uint64_t entry = SLUICE_LOAD_ENTRY(job.at);
  // The sweep may have emptied it meanwhile.
  if (SLUICE_UNLIKELY((entry ^ job.hash << SLUICE_ENTRY_TAG_SHIFT) >> SLUICE_ENTRY_TAG_SHIFT != 0)) return;
  job.backend = sluice_follow(&burst.tables, entry, &job.packet, &job.terms, burst.tick);
  if (SLUICE_UNLIKELY(job.backend == nullptr)) return;
  job.slot = sluice_entry_slot(entry);
  sluice_touch(job.at, entry, &job.packet, burst.tick);
}

// Step 4, the rest: secondary bucket, other partitions, a new flow; and the entry that later fragments will find.
void BurstPath::Settle(const Burst& burst, Job& job) {
  const bool first_fragment = job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT;
  if (SLUICE_LIKELY(job.backend != nullptr && !first_fragment)) return;
  const bool syn = job.packet.flags & SLUICE_PACKET_SYN;
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW;
  if (job.backend == nullptr && !FollowOwn(burst, job)) {
    if (flow && sluice_source_is_bad(&burst.tables, burst.settings, &job.packet.flow.source)) {
      job.verdict = SLUICE_VERDICT_bad_source;
      return;
    }
    const bool moved = !syn && FollowElsewhere(burst, job);
    if (!moved) {
      if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) {
        job.verdict = SLUICE_VERDICT_unknown_fragment;
        return;
      }
      job.slot = sluice_select(&burst.tables, job.terms.pool, job.hash);
      if (job.slot == SLUICE_NO_BACKEND) {
        job.verdict = SLUICE_VERDICT_no_backend;
        return;
      }
      job.backend = &burst.tables.backends[job.slot];
      job.new_flow = sluice_makes_entry(&job.packet);
    }
    if (sluice_makes_entry(&job.packet)) {
      Insert(burst, job, moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW);
    }
  }
  if (first_fragment && flow) InsertFragment(burst, job);
}

// Both buckets again: an earlier packet of this burst may have made the entry.
bool BurstPath::FollowOwn(const Burst& burst, Job& job) {
  sluice_bucket* buckets[] = {job.primary,
                              &burst.partition.buckets[sluice_secondary_bucket(job.hash, burst.partition.count)]};
  for (sluice_bucket* bucket : buckets) {
    uint64_t* at = sluice_bucket_find(bucket, job.hash);
    if (at == nullptr) continue;
    job.at = at;
    Follow(burst, job);
    if (job.backend != nullptr) return true;
  }
  return false;
}

// Fragments, ICMP errors and a changed RSS table bring packets to other queues than their flow's. Reads only.
bool BurstPath::FollowElsewhere(const Burst& burst, Job& job) {
  for (uint32_t i = 0; i < partitions_.size(); i++) {
    if (i == burst.own) continue;
    const Partition& other = partitions_[i];
    sluice_bucket* buckets[] = {&other.buckets[sluice_primary_bucket(job.hash, other.count)],
                                &other.buckets[sluice_secondary_bucket(job.hash, other.count)]};
    for (sluice_bucket* bucket : buckets) {
      const uint64_t* at = sluice_bucket_find(bucket, job.hash);
      if (at == nullptr) continue;
      const uint64_t entry = SLUICE_LOAD_ENTRY(at);
      if ((entry ^ job.hash << SLUICE_ENTRY_TAG_SHIFT) >> SLUICE_ENTRY_TAG_SHIFT != 0) continue;
      job.backend = sluice_follow(&burst.tables, entry, &job.packet, &job.terms, burst.tick);
      job.slot = sluice_entry_slot(entry);
      if (job.backend != nullptr) return true;
    }
  }
  return false;
}

// In place of the flow's own unusable entry when it has one, so that no flow is in the table twice.
void BurstPath::Insert(const Burst& burst, Job& job, uint32_t state) {
  const uint64_t entry = sluice_entry_make(job.hash, job.slot, state, burst.tick);
  if (job.at != nullptr) {
    SLUICE_STORE_ENTRY(job.at, entry);
    Add(counters_.inserted_over[SLUICE_VICTIM_EXPIRED], 1);
    return;
  }
  sluice_bucket* secondary = &burst.partition.buckets[sluice_secondary_bucket(job.hash, burst.partition.count)];
  Add(counters_.inserted_over[sluice_connection_insert(job.primary, secondary, entry, burst.settings->longest_idle)],
      1);
}

void BurstPath::InsertFragment(const Burst& burst, const Job& job) {
  const sluice_flow flow = sluice_fragment_flow(&job.packet);
  const uint64_t hash = sluice_hash_flow(burst.settings, &flow);
  sluice_bucket* primary = &burst.partition.buckets[sluice_primary_bucket(hash, burst.partition.count)];
  sluice_bucket* secondary = &burst.partition.buckets[sluice_secondary_bucket(hash, burst.partition.count)];
  const uint64_t entry = sluice_entry_make(hash, job.slot, SLUICE_STATE_NEW, burst.tick);
  uint64_t* at = sluice_bucket_find(primary, hash);
  if (at == nullptr) at = sluice_bucket_find(secondary, hash);
  if (at != nullptr) {
    SLUICE_STORE_ENTRY(at, entry);
  } else {
    Add(counters_.inserted_over[sluice_connection_insert(primary, secondary, entry, burst.settings->longest_idle)], 1);
  }
}

// Step 5, and the books.
void BurstPath::Finish(const Burst& burst, Frame& frame, Job& job) {
  Add(counters_.bytes, frame.length);
  if (SLUICE_LIKELY(job.verdict == SLUICE_CONTINUE)) {
    job.verdict = Forward(burst, frame, job);
  } else if (sluice_verdict_kind(job.verdict) == SLUICE_KIND_TRANSMIT) {
    job.verdict = Reply(burst, frame, job, job.verdict, 0);
  }
  frame.verdict = static_cast<uint8_t>(job.verdict);
  Count(frame, job);
}

sluice_verdict BurstPath::Forward(const Burst& burst, Frame& frame, const Job& job) {
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

// Errors are never answered with errors (RFC 1122 section 3.2.2).
sluice_verdict BurstPath::TooBig(const Burst& burst, Frame& frame, const Job& job) {
  if (job.packet.kind == SLUICE_PACKET_ICMP_ERROR) return SLUICE_VERDICT_too_big;
  if (!sluice_limiter_take(&too_big_, burst.now, SLUICE_TOO_BIG_INTERVAL, SLUICE_TOO_BIG_BURST)) {
    return SLUICE_VERDICT_too_big;
  }
  const uint32_t mtu = job.backend->mtu - job.backend->outer_length;
  return Reply(burst, frame, job, SLUICE_VERDICT_replied_too_big, mtu);
}

sluice_verdict BurstPath::Reply(const Burst& burst, Frame& frame, const Job& job, sluice_verdict reply, uint32_t mtu) {
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

void BurstPath::Count(const Frame& frame, const Job& job) {
  Add(counters_.verdicts[frame.verdict], 1);
  if (job.listener != SLUICE_NO_LISTENER) {
    CountTraffic(counters_.listeners, job.listener, job.packet.l3_length, job.new_flow);
  }
  if (SLUICE_LIKELY(frame.verdict == SLUICE_VERDICT_forwarded)) {
    CountTraffic(counters_.backends, job.slot, job.packet.l3_length, job.new_flow);
  }
}

}  // namespace sluice
