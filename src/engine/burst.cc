#include "engine/burst.h"

#include "engine/burst_job.h"
#include "engine/reply_frame.h"
#include "engine/session_path.h"
#include "engine/words.h"
#include "sluice/access.h"
#include "sluice/dispatch.h"
#include "sluice/hash.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/select.h"
#include "sluice/unplaced.h"

namespace sluice {
BurstPath::BurstPath(std::vector<Partition> partitions) : partitions_(std::move(partitions)) {
  for (const Partition& partition : partitions_) sources_.push_back(partition.sources);
}
BurstPath::BurstPath(BurstPath&& other) noexcept = default;
BurstPath::~BurstPath() = default;

absl::StatusOr<BurstPath> BurstPath::Create(std::vector<Partition> partitions, WorkerSessions sessions) {
  absl::StatusOr<BurstPath> path = Create(std::move(partitions));
  if (!path.ok()) return path.status();
  path->sessions_ = std::make_unique<SessionPath>(std::move(sessions));
  return path;
}

absl::StatusOr<BurstPath> BurstPath::Create(std::vector<Partition> partitions) {
  BurstPath path(std::move(partitions));
  absl::StatusOr<Region> listeners =
      Region::Create(2 * sizeof(sluice_traffic) * (SLUICE_LISTENERS + 1), HugePages::kOff);
  if (!listeners.ok()) return listeners.status();
  absl::StatusOr<Region> backends = Region::Create(2 * sizeof(sluice_traffic) * (SLUICE_BACKENDS + 1), HugePages::kOff);
  if (!backends.ok()) return backends.status();
  path.counters_.listeners = *std::move(listeners);
  path.counters_.backends = *std::move(backends);
  const size_t cursors = path.partitions_.size() * SLUICE_POOLS;
  absl::StatusOr<Region> rounds = Region::Create(cursors * sizeof(sluice_cursor), HugePages::kOff);
  if (!rounds.ok()) return rounds.status();
  absl::StatusOr<Region> loads = Region::Create(sizeof(sluice_load) * (SLUICE_BACKENDS + 1), HugePages::kOff);
  if (!loads.ok()) return loads.status();
  absl::StatusOr<Region> listener_loads =
      Region::Create(sizeof(sluice_listener_load) * (SLUICE_LISTENERS + 1), HugePages::kOff);
  if (!listener_loads.ok()) return listener_loads.status();
  path.selection_ = {*std::move(rounds), *std::move(loads), *std::move(listener_loads)};
  return path;
}

// Of the worker, for flows of this partition.
SLUICE_HOT sluice_selector BurstPath::Selector(uint32_t own, uint64_t now) const {
  return {own,
          now,
          selection_.cursors.As<sluice_cursor>() + size_t{own} * SLUICE_POOLS,
          selection_.loads.As<sluice_load>(),
          counters_.backend(0, false),
          sources_.data(),
          static_cast<uint32_t>(sources_.size()),
          selection_.listener_loads.As<sluice_listener_load>(),
          counters_.listener(0, false)};
}

void BurstPath::Process(const sluice_tables& tables, uint64_t now, uint16_t ingress, uint32_t own, Frame* frames,
                        uint32_t count, bool unfinished) {
  const uint32_t tick = sluice_tick(now);
  const Burst burst{tables,           tables.settings,   now, tick, sluice_entry_noted(tick), ingress, own,
                    partitions_[own], Selector(own, now)};
  if (SLUICE_UNLIKELY(tables.settings->sessions != 0)) return ProcessMixed(burst, frames, count, unfinished);
  std::array<Job, SLUICE_BURST> jobs;
  // Twice in the code, for once in a burst is often enough to ask.
  const uint64_t bytes = SLUICE_UNLIKELY(unfinished) ? LookForAll(burst, frames, jobs.data(), count, true)
                                                     : LookForAll(burst, frames, jobs.data(), count, false);
  CountBurst(count, bytes, Finish(burst, jobs.data(), count));
}

// Steps 1 to 3 and half of 4. How many bytes they have.
SLUICE_HOT uint64_t BurstPath::LookForAll(const Burst& burst, Frame* frames, Job* jobs, uint32_t count,
                                          bool unfinished) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    FetchAhead(frames, i, count);
    bytes += frames[i].length;
    jobs[i].Parse(&frames[i], unfinished);
    burst.Aim(jobs[i]);
  }
  for (uint32_t i = 0; i < count; i++) burst.FindListener(jobs[i]);
  return bytes;
}

// For bursts that have taken another way to here.
SLUICE_APART uint64_t BurstPath::FinishMixed(const Burst& burst, Job* jobs, uint32_t count) {
  return Finish(burst, jobs, count);
}

// Steps 4 and 5 for packets that have been looked up. How many were not forwarded.
SLUICE_HOT uint64_t BurstPath::Finish(const Burst& burst, Job* jobs, uint32_t count) {
  // Hits and misses go apart without a branch: which of them a packet is can't be predicted.
  Jobs met = 0;
  for (uint32_t i = 0; i < count; i++) met |= Jobs{burst.Meet(jobs[i])} << i;
  const Jobs missed = ~met & FirstJobs(count);
  for (Jobs left = missed; left != 0; left &= left - 1) {
    Job& job = jobs[FirstOf(left)];
    if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) continue;
    job.bucket = burst.Secondary(job.hash);
    __builtin_prefetch(job.bucket, 1);
  }
  Sums sums;
  Jobs unsettled = 0;
  for (Jobs left = met; left != 0; left &= left - 1) {
    const auto i = FirstOf(left);
    if (SLUICE_LIKELY(Pass(burst, jobs[i], sums))) continue;
    jobs[i].absent = false;
    unsettled |= Jobs{1} << i;
  }
  for (Jobs left = missed; left != 0; left &= left - 1) {
    const auto i = FirstOf(left);
    const uint32_t match = sluice_bucket_match(jobs[i].bucket, sluice_tag(jobs[i].hash));
    if (match != 0) {
      burst.Take(jobs[i], match);
      if (SLUICE_LIKELY(Pass(burst, jobs[i], sums))) continue;
    } else {
      jobs[i].backend = nullptr;
    }
    jobs[i].absent = match == 0;
    unsettled |= Jobs{1} << i;
  }
  Flush(sums);
  if (SLUICE_UNLIKELY(unsettled != 0)) sums.not_forwarded += SettleAll(burst, jobs, unsettled);
  return sums.not_forwarded;
}

// Jobs that are left. How many were not forwarded. In order, so that the second packet of a new flow finds what the
// first one made.
SLUICE_APART uint64_t BurstPath::SettleAll(const Burst& burst, Job* jobs, Jobs unsettled) {
  Sums sums;
  for (; unsettled != 0; unsettled &= unsettled - 1) Settle(burst, jobs[FirstOf(unsettled)], sums);
  Flush(sums);
  return sums.not_forwarded;
}

void BurstPath::CountBurst(uint32_t count, uint64_t bytes, uint64_t not_forwarded) {
  Add(counters_.verdicts[SLUICE_VERDICT_forwarded], count - not_forwarded);
  Add(counters_.received, count);
  Add(counters_.bytes, bytes);
}

SLUICE_APART void BurstPath::Burst::Look(Job& job) const {
  Aim(job);
  FindListener(job);
}

// Where the connection table has the flow. That bucket is on its way from here on, while listeners are looked for.
SLUICE_HOT void BurstPath::Burst::Aim(Job& job) const {
  if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) {
    // Whatever the parser had begun to write there.
    job.packet.kind = SLUICE_PACKET_UNUSABLE;
    return LeaveOut(job, job.verdict, SLUICE_NO_LISTENER);
  }
  if (SLUICE_UNLIKELY(job.packet.kind != SLUICE_PACKET_FLOW)) return Dispatch(job);
  Fetch(job, sluice_hash_flow(settings, &job.packet.flow));
}

SLUICE_HOT void BurstPath::Burst::Fetch(Job& job, uint64_t hash) const {
  job.hash = hash;
  job.bucket = Primary(hash);
  __builtin_prefetch(job.bucket, 1);
}

// Its verdict stands; what follows finds nothing for it, in whichever bucket.
SLUICE_COLD void BurstPath::Burst::LeaveOut(Job& job, sluice_verdict verdict, uint32_t listener) {
  job.verdict = verdict;
  job.listener = listener;
  job.hash = 0;
  job.bucket = const_cast<sluice_bucket*>(&kEmptyBucket);
}

// Step 3 for all that is no flow, and so has no listener to be found by its ports.
SLUICE_COLD void BurstPath::Burst::Dispatch(Job& job) const {
  job.listener = SLUICE_NO_LISTENER;
  uint32_t pool;
  const sluice_verdict verdict = sluice_dispatch(&tables, settings, &job.packet, &job.listener, &pool);
  if (verdict != SLUICE_CONTINUE) return LeaveOut(job, verdict, job.listener);
  Fetch(job, sluice_packet_hash(settings, &job.packet));
}

// Step 3: a flow's listener.
SLUICE_HOT void BurstPath::Burst::FindListener(Job& job) const {
  if (SLUICE_UNLIKELY(job.packet.kind != SLUICE_PACKET_FLOW)) return;
  uint32_t pool;
  const sluice_verdict verdict = sluice_listener_find(&tables, settings, &job.packet.flow, &job.listener, &pool);
  if (SLUICE_UNLIKELY(verdict != SLUICE_CONTINUE)) LeaveOut(job, verdict, SLUICE_NO_LISTENER);
}

// Step 4, first half: whether the flow has an entry in the bucket.
SLUICE_HOT bool BurstPath::Burst::Meet(Job& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  // The last entry stands in for one that isn't there.
  Take(job, match | 1u << (SLUICE_BUCKET_ENTRIES - 1));
  return match != 0;
}

// The first of the entries that match; the backend's record is on its way from here on.
SLUICE_HOT void BurstPath::Burst::Take(Job& job, uint32_t match) const {
  job.entry = SLUICE_LOAD_ENTRY(&job.bucket->entries[__builtin_ctz(match)]);
  __builtin_prefetch(&tables.backends[sluice_entry_slot(job.entry)]);
}

// Step 4 for a packet that may change its flow's entry, at job.at. Null when there is more to be done for the packet;
// job.backend is then its backend, if it has one already.
SLUICE_HOT const sluice_backend* BurstPath::Burst::Follow(Job& job, uint32_t* slot) const {
  job.backend = nullptr;
  // The sweep may have emptied it meanwhile.
  if (SLUICE_UNLIKELY(job.at == nullptr)) return nullptr;
  const uint64_t entry = SLUICE_LOAD_ENTRY(job.at);
  *slot = sluice_entry_slot(entry);
  if (SLUICE_LIKELY(sluice_nothing_to_note(entry, &job.packet, noted))) {
    const sluice_backend* backend = &tables.backends[*slot];
    if (SLUICE_LIKELY(sluice_backend_is_of(backend, tables.listeners[job.listener].pool))) return backend;
  }
  if (SLUICE_UNLIKELY(!sluice_entry_matches(entry, job.hash))) return nullptr;
  sluice_terms terms;
  if (!sluice_terms_find(&tables, job.listener, &terms)) return nullptr;
  const sluice_backend* backend = sluice_follow(&tables, entry, &job.packet, &terms, tick);
  if (SLUICE_UNLIKELY(backend == nullptr)) return nullptr;
  if (sluice_touch(job.at, entry, &job.packet, tick)) {
    Add(selector.traffic[*slot].ended, 1);
    Add(selector.listener_traffic[job.listener].ended, 1);
  }
  const bool first_fragment = job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT;
  if (SLUICE_LIKELY(!first_fragment && job.packet.kind != SLUICE_PACKET_LATER_FRAGMENT)) return backend;
  job.backend = backend;
  job.slot = *slot;
  return nullptr;
}

// Where flows are split among pools, those of one pool go the short way: of the one that the first packet is for.
SLUICE_APART uint32_t BurstPath::Burst::PoolOf(const Job& job) const {
  if (SLUICE_UNLIKELY(job.listener == SLUICE_NO_LISTENER)) return SLUICE_NO_POOL;
  const uint32_t pool = tables.listeners[job.listener].pool;
  if (SLUICE_LIKELY(!(tables.listeners[job.listener].flags & SLUICE_LISTENER_SPLIT))) return pool;
  const sluice_backend* backend = &tables.backends[sluice_entry_slot(job.entry)];
  return sluice_backend_serves(&tables, backend, pool) ? backend->pool : pool;
}

// Steps 4 and 5 for a packet that has met its entry. False when there is more to be done for it.
SLUICE_HOT bool BurstPath::Pass(const Burst& burst, Job& job, Sums& sums) {
  if (SLUICE_UNLIKELY(job.listener != sums.listener)) {
    Begin(job.listener, sums);
    sums.TurnTo(burst.PoolOf(job));
  }
  uint32_t slot = sluice_entry_slot(job.entry);
  const sluice_backend* backend = &burst.tables.backends[slot];
  // Read before the frame is written, which may be anywhere for all that the compiler knows.
  const uint32_t length = job.packet.l3_length;
  Frame& frame = *job.frame;
  sluice_verdict verdict = SLUICE_VERDICT_forwarded;
  const bool noted = sluice_nothing_to_note(job.entry, &job.packet, burst.noted);
  // Nearly all packets.
  if (SLUICE_LIKELY(noted && sluice_only_macs_change(&job.packet, backend, sums.plain))) {
    sluice_write_macs(frame.data, backend);
    frame.egress = backend->port;
  } else {
    if (!noted || !sluice_backend_is_of(backend, sums.pool)) {
      job.at = sluice_bucket_find(job.bucket, job.hash);
      backend = burst.Follow(job, &slot);
    }
    if (backend == nullptr) return false;
    verdict = Forward(burst, job, frame, backend);
  }
  frame.verdict = static_cast<uint8_t>(verdict);
  Count(length, verdict, slot, false, sums);
  return true;
}

// All that a packet without a usable entry may need.
SLUICE_HOT void BurstPath::Settle(const Burst& burst, Job& job, Sums& sums) {
  if (job.verdict == kDone) return;
  const bool new_flow = job.verdict == SLUICE_CONTINUE && FindBackend(burst, job, sums);
  sluice_verdict verdict = job.verdict;
  if (verdict == SLUICE_CONTINUE) {
    verdict = Forward(burst, job, *job.frame, job.backend);
  } else if (sluice_reply_refuses(verdict)) {
    verdict = RefuseInPlace(burst.tables, burst.ingress, job.packet, verdict, burst.now, &errors_, job.frame);
  } else if (sluice_verdict_kind(verdict) == SLUICE_KIND_TRANSMIT) {
    verdict = ReplyInPlace(burst.tables, burst.ingress, job.packet, verdict, 0, job.frame);
  }
  job.frame->verdict = static_cast<uint8_t>(verdict);
  if (SLUICE_UNLIKELY(job.listener != sums.listener)) Begin(job.listener, sums);
  Count(job.packet.l3_length, verdict, job.slot, new_flow, sums);
}

// Step 4, the rest: other partitions, a new flow; and the entry that later fragments will find. Whether it was new.
SLUICE_HOT bool BurstPath::FindBackend(const Burst& burst, Job& job, Sums& sums) {
  // Identifications come again: the entry that a later fragment has met may be an older datagram's, and its own first
  // fragment be in this burst.
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) job.backend = nullptr;
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW;
  bool new_flow = false;
  if (job.backend == nullptr && !FollowOwn(burst, job, sums)) {
    if (flow && sluice_source_is_bad(&burst.tables, &job.packet.flow.source)) {
      job.verdict = SLUICE_VERDICT_bad_source;
      return false;
    }
    const bool moved =
        burst.selector.partitions > 1 && !(job.packet.flags & SLUICE_PACKET_SYN) && FollowElsewhere(burst, job);
    if (!moved) SelectBackend(burst, job);
    if (job.verdict != SLUICE_CONTINUE) return false;
    if (sluice_makes_entry(&job.packet)) {
      const bool placed = Insert(burst, job, moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW);
      sums.NoteMade(job.hash);
      if (SLUICE_UNLIKELY(!placed) && !GoUnplaced(burst, job)) return false;
      new_flow = placed && !moved;
    }
  }
  if (flow && (job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) InsertFragment(burst, job, sums);
  return new_flow;
}

// Both buckets again, where an earlier packet of this burst may have made the entry.
SLUICE_HOT bool BurstPath::FollowOwn(const Burst& burst, Job& job, const Sums& sums) {
  uint64_t* unusable = nullptr;
  if (SLUICE_LIKELY(job.absent && !sums.MayHaveMade(job.hash))) {
    job.at = nullptr;
    return false;
  }
  for (sluice_bucket* bucket : {burst.Primary(job.hash), burst.Secondary(job.hash)}) {
    job.at = sluice_bucket_find(bucket, job.hash);
    if (job.at == nullptr) continue;
    uint32_t slot;
    const sluice_backend* backend = burst.Follow(job, &slot);
    // Null with a backend in the job: a fragment.
    if (backend != nullptr) {
      job.backend = backend;
      job.slot = slot;
    }
    if (job.backend != nullptr) return true;
    unusable = job.at;
  }
  job.at = unusable;
  return false;
}

SLUICE_HOT void BurstPath::SelectBackend(const Burst& burst, Job& job) {
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) {
    job.verdict = SLUICE_VERDICT_unknown_fragment;
    return;
  }
  const int admitted = sluice_admit(&burst.tables, &burst.selector, job.listener, &job.packet);
  if (SLUICE_UNLIKELY(admitted != SLUICE_CONTINUE)) {
    job.verdict = static_cast<sluice_verdict>(admitted);
    return;
  }
  job.slot = sluice_select(&burst.tables, &burst.selector, job.listener, &job.packet, job.hash);
  if (const int selected = sluice_selected(job.slot); SLUICE_UNLIKELY(selected != SLUICE_CONTINUE)) {
    job.verdict = static_cast<sluice_verdict>(selected);
    return;
  }
  job.backend = &burst.tables.backends[job.slot];
}

// Fragments, ICMP errors and a changed RSS table bring packets to other queues than their flow's. Reads only. When
// several have it, because it has moved more than once, the one that has seen it last knows.
SLUICE_APART bool BurstPath::FollowElsewhere(const Burst& burst, Job& job) {
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

// In place of the flow's own unusable entry when it has one, so that no flow is in the table twice. False when there is
// no place for it.
SLUICE_HOT bool BurstPath::Insert(const Burst& burst, Job& job, uint32_t state) {
  const uint64_t entry = sluice_entry_make(job.hash, job.slot, state, burst.tick);
  if (job.at != nullptr) {
    SLUICE_STORE_ENTRY(job.at, entry);
    Add(counters_.inserted_over[SLUICE_VICTIM_EXPIRED], 1);
    return true;
  }
  const sluice_victim victim =
      sluice_connection_insert(burst.Primary(job.hash), burst.Secondary(job.hash), entry, burst.settings->longest_idle);
  Add(counters_.inserted_over[victim], 1);
  return SLUICE_LIKELY(victim != SLUICE_VICTIM_NONE);
}

// Whether the packet goes on, to a backend that the flow's next ones find without an entry.
SLUICE_COLD bool BurstPath::GoUnplaced(const Burst& burst, Job& job) {
  sluice_unplaced flow{job.hash, job.listener, job.slot};
  job.verdict = static_cast<sluice_verdict>(sluice_admit_unplaced(&burst.tables, &burst.selector, &job.packet, &flow));
  if (job.verdict != SLUICE_CONTINUE) return false;
  job.slot = flow.slot;
  job.backend = &burst.tables.backends[flow.slot];
  return true;
}

SLUICE_COLD void BurstPath::InsertFragment(const Burst& burst, const Job& job, Sums& sums) {
  const sluice_flow flow = sluice_fragment_flow(&job.packet);
  const uint64_t hash = sluice_hash_flow(burst.settings, &flow);
  sums.NoteMade(hash);
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
SLUICE_HOT sluice_verdict BurstPath::Forward(const Burst& burst, const Job& job, Frame& frame,
                                             const sluice_backend* backend) {
  if (SLUICE_LIKELY(sluice_only_macs_change(&job.packet, backend, sluice_plain_backend(backend->pool)))) {
    sluice_write_macs(frame.data, backend);
    frame.egress = backend->port;
    return SLUICE_VERDICT_forwarded;
  }
  if (SLUICE_UNLIKELY(!(backend->flags & SLUICE_BACKEND_NEXT_HOP))) return SLUICE_VERDICT_no_next_hop;
  if (SLUICE_UNLIKELY(sluice_exceeds_mtu(&job.packet, backend))) return TooBig(burst, job, backend);
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

SLUICE_COLD sluice_verdict BurstPath::TooBig(const Burst& burst, const Job& job, const sluice_backend* backend) {
  if (!sluice_tells_too_big(&job.packet) || !sluice_error_take(&errors_, burst.now)) return SLUICE_VERDICT_too_big;
  const uint32_t mtu = backend->mtu - backend->outer_length;
  return ReplyInPlace(burst.tables, burst.ingress, job.packet, SLUICE_VERDICT_replied_too_big, mtu, job.frame);
}

SLUICE_HOT void BurstPath::Count(uint32_t length, sluice_verdict verdict, uint32_t slot, bool new_flow, Sums& sums) {
  const Volume packet{1, length};
  sums.volume += packet;
  if (SLUICE_LIKELY(verdict == SLUICE_VERDICT_forwarded)) {
    // Not summed up: the next flow of this burst may be one too many.
    if (new_flow) Add(counters_.listener(sums.listener, false)->new_flows, 1);
    Add(counters_.backends.As<sluice_traffic>()[slot], packet, new_flow);
  } else {
    sums.not_forwarded++;
    Add(counters_.verdicts[verdict], 1);
  }
}

// Sums are of one listener.
SLUICE_HOT void BurstPath::Begin(uint32_t listener, Sums& sums) {
  Flush(sums);
  sums.listener = listener;
  sums.volume = Volume{};
}

SLUICE_HOT void BurstPath::Flush(const Sums& sums) {
  if (sums.listener == SLUICE_NO_LISTENER) return;
  Add(counters_.listeners.As<sluice_traffic>()[sums.listener], sums.volume);
}

}  // namespace sluice
