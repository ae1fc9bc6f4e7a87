#include "engine/burst.h"

#include <algorithm>

#include "engine/reply_frame.h"
#include "engine/session_path.h"
#include "engine/words.h"
#include "sluice/dispatch.h"
#include "sluice/hash.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/select.h"
#include "sluice/unfinished.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {
namespace {

inline void Add(sluice_traffic& traffic, uint64_t packets, uint64_t bytes, uint64_t new_flows) {
  sluice::Add(traffic.packets, packets);
  sluice::Add(traffic.bytes, bytes);
  if (SLUICE_UNLIKELY(new_flows > 0)) sluice::Add(traffic.new_flows, new_flows);
}

// Nobody's bucket, for packets that have their verdict before the connection table is asked.
alignas(64) constexpr sluice_bucket kEmptyBucket{};

constexpr auto kDone = static_cast<sluice_verdict>(SLUICE_VERDICT_COUNT + 1);

}  // namespace

// What the stages know of one packet. Two cache lines: parse and hash fill the first, the look-ups the second.
struct alignas(64) BurstPath::Job {
  sluice_packet packet;
  uint64_t hash;
  Frame* frame;
  sluice_bucket* bucket;
  // The flow's own entry, if it has one, usable or not.
  uint64_t* at;
  // Of packets that are to be settled: null until they have one.
  const sluice_backend* backend;
  uint32_t slot;
  uint32_t listener;
  sluice_verdict verdict;
};

struct BurstPath::Counted {
  uint32_t listener;
  uint32_t length;
};

// Packets of one burst mostly have one verdict and one listener: those are added up first.
struct BurstPath::Sums {
  uint64_t not_forwarded = 0;
  uint32_t listener = SLUICE_NO_LISTENER;
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t new_flows = 0;
};

// What is the same for all packets of a burst.
struct BurstPath::Burst {
  const sluice_tables tables;
  const sluice_settings* settings;
  uint64_t now;
  uint32_t tick;
  // What an entry says when there is nothing to note in it.
  uint64_t noted;
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
  static void LeaveOut(Job& job, sluice_verdict verdict);
  sluice_verdict Dispatch(Job& job) const;
  uint64_t Hash(const Job& job) const;
  bool Meet(Job& job) const;
  const sluice_backend* Follow(Job& job, uint32_t* slot) const;
};

BurstPath::BurstPath(std::vector<Partition> partitions) : partitions_(std::move(partitions)) {}
BurstPath::BurstPath(BurstPath&& other) noexcept = default;
BurstPath::~BurstPath() = default;

absl::StatusOr<BurstPath> BurstPath::Create(std::vector<Partition> partitions, WorkerSessions sessions) {
  absl::StatusOr<BurstPath> path = Create(std::move(partitions));
  if (!path.ok()) return path.status();
  path->sessions_ = std::make_unique<SessionPath>(std::move(sessions.partitions), sessions.self, sessions.ports);
  return path;
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
  const uint32_t tick = sluice_tick(now);
  const Burst burst{tables, tables.settings, now, tick, sluice_entry_noted(tick), ingress, own, partitions_[own]};
  std::array<Job, SLUICE_BURST> jobs;
  uint64_t bytes = 0;
  bool unfinished = false;
  for (uint32_t i = 0; i < count; i++) {
    bytes += frames[i].length;
    unfinished |= frames[i].unfinished;
    jobs[i].frame = &frames[i];
    jobs[i].packet.l3_length = 0;
    jobs[i].verdict = sluice_parse(frames[i].data, frames[i].data + frames[i].length, &jobs[i].packet);
  }
  if (SLUICE_UNLIKELY(unfinished)) FinishChecksums(jobs.data(), count);
  Sums settled;
  if (SLUICE_LIKELY(tables.settings->sessions == 0)) {
    for (uint32_t i = 0; i < count; i++) burst.Look(jobs[i]);
  } else if (LookForBoth(burst, jobs.data(), count, settled) == 0) {
    return CountBurst(count, bytes, settled.not_forwarded);
  }
  // Hits and misses go apart without a branch: which of them a packet is can't be predicted.
  std::array<Job*, SLUICE_BURST> met;
  std::array<Job*, SLUICE_BURST> missed;
  uint32_t met_count = 0;
  uint32_t missed_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    const bool found = burst.Meet(jobs[i]);
    met[met_count] = missed[missed_count] = &jobs[i];
    met_count += found;
    missed_count += !found;
  }
  for (uint32_t i = 0; i < missed_count; i++) {
    if (SLUICE_UNLIKELY(missed[i]->verdict != SLUICE_CONTINUE)) continue;
    missed[i]->bucket = burst.Secondary(missed[i]->hash);
    __builtin_prefetch(missed[i]->bucket, 1);
  }
  Sums sums;
  if (met_count > 0) sums.listener = met[0]->listener;
  // Bit i for job i.
  uint32_t unsettled = 0;
  for (uint32_t i = 0; i < met_count; i++) {
    if (SLUICE_UNLIKELY(!Pass(burst, *met[i], sums))) unsettled |= 1u << (met[i] - jobs.data());
  }
  for (uint32_t i = 0; i < missed_count; i++) {
    Job& job = *missed[i];
    job.backend = nullptr;
    if (SLUICE_UNLIKELY(!burst.Meet(job) || !Pass(burst, job, sums))) unsettled |= 1u << (&job - jobs.data());
  }
  // In order, so that the second packet of a new flow finds what the first one made.
  for (; unsettled != 0; unsettled &= unsettled - 1) Settle(burst, jobs[__builtin_ctz(unsettled)], settled);
  Flush(sums);
  Flush(settled);
  CountBurst(count, bytes, sums.not_forwarded + settled.not_forwarded);
}

void BurstPath::CountBurst(uint32_t count, uint64_t bytes, uint64_t not_forwarded) {
  Add(counters_.verdicts[SLUICE_VERDICT_forwarded], count - not_forwarded);
  Add(counters_.received, count);
  Add(counters_.bytes, bytes);
}

// Step 3 where some listeners translate: their packets, and those for nobody, are the sessions'. How many are left for
// the connection table.
SLUICE_APART uint32_t BurstPath::LookForBoth(const Burst& burst, Job* jobs, uint32_t count, Sums& sums) {
  std::array<SessionJob, SLUICE_BURST> translated;
  std::array<Job*, SLUICE_BURST> theirs;
  uint32_t translated_count = 0;
  bool fragments = false;
  const SessionBurst session_burst{burst.tables, burst.now, burst.tick, burst.ingress};
  for (uint32_t i = 0; i < count; i++) {
    Job& job = jobs[i];
    if (!IsTranslated(burst, job)) {
      burst.Look(job);
      continue;
    }
    fragments |= job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT;
    job.frame->verdict = SLUICE_CONTINUE;
    theirs[translated_count] = &job;
    SessionJob& session_job = translated[translated_count++];
    session_job.packet = &job.packet;
    session_job.frame = job.frame;
    session_job.listener = job.listener;
    sessions_->Look(burst.settings, session_job);
  }
  if (translated_count == 0) return count;
  sums.not_forwarded += sessions_->Process(session_burst, translated.data(), translated_count, &counters_);
  uint32_t left = count - translated_count;
  // Nothing is left but perhaps later fragments of what is not translated.
  if (SLUICE_LIKELY(left == 0 && !fragments)) return 0;
  for (uint32_t i = 0; i < translated_count; i++) {
    const bool done = theirs[i]->frame->verdict != SLUICE_CONTINUE;
    if (SLUICE_LIKELY(done)) {
      burst.LeaveOut(*theirs[i], kDone);
    } else {
      burst.Look(*theirs[i]);
      left++;
    }
  }
  return left;
}

SLUICE_HOT bool BurstPath::IsTranslated(const Burst& burst, Job& job) {
  job.listener = SLUICE_NO_LISTENER;
  if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) return false;
  if (SLUICE_LIKELY(job.packet.kind == SLUICE_PACKET_FLOW || job.packet.kind == SLUICE_PACKET_ICMP_ERROR)) {
    job.listener = sluice_listener_of(&burst.tables, burst.settings, &job.packet.flow);
    if (job.listener == SLUICE_NO_LISTENER) return true;
    return burst.tables.listeners[job.listener].flags & SLUICE_LISTENER_SESSIONS;
  }
  // Whose it is says its first one, perhaps of this burst.
  return job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT;
}

void BurstPath::Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet) {
  if (sessions_ != nullptr) sessions_->Maintain(tables, now, outlet);
}

SLUICE_COLD void BurstPath::FinishChecksums(Job* jobs, uint32_t count) {
  for (Job* job = jobs; job != jobs + count; job++) {
    if (job->frame->unfinished && job->verdict == SLUICE_CONTINUE)
      sluice_finish_checksum(job->frame->data, &job->packet);
  }
}

const SessionCounters& BurstPath::session_counters() const {
  static constexpr SessionCounters kNone;
  return sessions_ != nullptr ? sessions_->counters() : kNone;
}

// Step 3: listener. The bucket is on its way from here on.
SLUICE_HOT void BurstPath::Burst::Look(Job& job) const {
  job.listener = SLUICE_NO_LISTENER;
  if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) return LeaveOut(job, job.verdict);
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW;
  const sluice_verdict verdict =
      SLUICE_LIKELY(flow) ? sluice_listener_find(&tables, settings, &job.packet.flow, &job.listener) : Dispatch(job);
  if (SLUICE_UNLIKELY(verdict != SLUICE_CONTINUE)) return LeaveOut(job, verdict);
  job.hash = SLUICE_LIKELY(flow) ? sluice_hash_flow(settings, &job.packet.flow) : Hash(job);
  job.bucket = Primary(job.hash);
  __builtin_prefetch(job.bucket, 1);
}

// Its verdict stands; what follows finds nothing for it, in whichever bucket.
SLUICE_COLD void BurstPath::Burst::LeaveOut(Job& job, sluice_verdict verdict) {
  job.verdict = verdict;
  job.hash = 0;
  job.bucket = const_cast<sluice_bucket*>(&kEmptyBucket);
}

SLUICE_COLD sluice_verdict BurstPath::Burst::Dispatch(Job& job) const {
  return sluice_dispatch(&tables, settings, &job.packet, &job.listener);
}

SLUICE_COLD uint64_t BurstPath::Burst::Hash(const Job& job) const {
  return sluice_packet_hash(settings, &job.packet);
}

// Step 4, first half: the entry in the bucket; the backend's record is on its way from here on.
SLUICE_HOT bool BurstPath::Burst::Meet(Job& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  // The last entry stands in for one that isn't there.
  job.at = &job.bucket->entries[static_cast<uint32_t>(__builtin_ctz(match | 1u << (SLUICE_BUCKET_ENTRIES - 1)))];
  __builtin_prefetch(&tables.backends[sluice_entry_slot(SLUICE_LOAD_ENTRY(job.at))]);
  return match != 0;
}

// Step 4, the common case: the flow is known. Null when there is more to be done for the packet; job.backend is then
// its backend, if it has one already.
SLUICE_HOT const sluice_backend* BurstPath::Burst::Follow(Job& job, uint32_t* slot) const {
  const uint64_t entry = SLUICE_LOAD_ENTRY(job.at);
  *slot = sluice_entry_slot(entry);
  if (SLUICE_LIKELY(sluice_nothing_to_note(entry, &job.packet, noted))) {
    const sluice_backend* backend = &tables.backends[*slot];
    if (SLUICE_LIKELY(sluice_backend_serves(backend, tables.listeners[job.listener].pool))) return backend;
  }
  job.backend = nullptr;
  // The sweep may have emptied it meanwhile.
  if (SLUICE_UNLIKELY(!sluice_entry_matches(entry, job.hash))) return nullptr;
  sluice_terms terms;
  if (!sluice_terms_find(&tables, job.listener, &terms)) return nullptr;
  const sluice_backend* backend = sluice_follow(&tables, entry, &job.packet, &terms, tick);
  if (SLUICE_UNLIKELY(backend == nullptr)) return nullptr;
  sluice_touch(job.at, entry, &job.packet, tick);
  const bool first_fragment = job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT;
  if (SLUICE_LIKELY(!first_fragment && job.packet.kind != SLUICE_PACKET_LATER_FRAGMENT)) return backend;
  job.backend = backend;
  job.slot = *slot;
  return nullptr;
}

// Steps 4 and 5 for a packet that has met its entry. False when there is more to be done for it.
SLUICE_HOT bool BurstPath::Pass(const Burst& burst, Job& job, Sums& sums) {
  uint32_t slot;
  const sluice_backend* backend = burst.Follow(job, &slot);
  if (SLUICE_UNLIKELY(backend == nullptr)) return false;
  // Read before the frame is written, which may be anywhere for all that the compiler knows.
  const Counted counted{job.listener, job.packet.l3_length};
  Frame& frame = *job.frame;
  const sluice_verdict verdict = Forward(burst, job, frame, backend);
  frame.verdict = static_cast<uint8_t>(verdict);
  Count(counted, verdict, slot, false, sums);
  return true;
}

// All that a packet without a usable entry may need.
SLUICE_APART void BurstPath::Settle(const Burst& burst, Job& job, Sums& sums) {
  if (job.verdict == kDone) return;
  const bool new_flow = job.verdict == SLUICE_CONTINUE && FindBackend(burst, job);
  sluice_verdict verdict = job.verdict;
  if (verdict == SLUICE_CONTINUE) {
    verdict = Forward(burst, job, *job.frame, job.backend);
  } else if (sluice_verdict_kind(verdict) == SLUICE_KIND_TRANSMIT) {
    verdict = ReplyInPlace(burst.tables, burst.ingress, job.packet, verdict, 0, job.frame);
  }
  job.frame->verdict = static_cast<uint8_t>(verdict);
  Count({job.listener, job.packet.l3_length}, verdict, job.slot, new_flow, sums);
}

// Step 4, the rest: other partitions, a new flow; and the entry that later fragments will find. Whether it was new.
SLUICE_HOT bool BurstPath::FindBackend(const Burst& burst, Job& job) {
  // Identifications come again: the entry that a later fragment has met may be an older datagram's, and its own first
  // fragment be in this burst.
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) job.backend = nullptr;
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW;
  bool new_flow = false;
  if (job.backend == nullptr && !FollowOwn(burst, job)) {
    if (flow && sluice_source_is_bad(&burst.tables, burst.settings, &job.packet.flow.source)) {
      job.verdict = SLUICE_VERDICT_bad_source;
      return false;
    }
    const bool moved = !(job.packet.flags & SLUICE_PACKET_SYN) && FollowElsewhere(burst, job);
    if (!moved) SelectBackend(burst, job);
    if (job.verdict != SLUICE_CONTINUE) return false;
    if (sluice_makes_entry(&job.packet)) {
      new_flow = !moved;
      Insert(burst, job, moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW);
    }
  }
  if (flow && (job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) InsertFragment(burst, job);
  return new_flow;
}

// Both buckets again: an earlier packet of this burst may have made the entry.
SLUICE_HOT bool BurstPath::FollowOwn(const Burst& burst, Job& job) {
  uint64_t* unusable = nullptr;
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
  job.slot = sluice_select(&burst.tables, burst.tables.listeners[job.listener].pool, job.hash);
  if (job.slot == SLUICE_NO_BACKEND) {
    job.verdict = SLUICE_VERDICT_no_backend;
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

// In place of the flow's own unusable entry when it has one, so that no flow is in the table twice.
SLUICE_HOT void BurstPath::Insert(const Burst& burst, Job& job, uint32_t state) {
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

SLUICE_COLD void BurstPath::InsertFragment(const Burst& burst, const Job& job) {
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
SLUICE_HOT sluice_verdict BurstPath::Forward(const Burst& burst, const Job& job, Frame& frame,
                                             const sluice_backend* backend) {
  if (SLUICE_LIKELY(sluice_only_macs_change(&job.packet, backend))) {
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
  if (!sluice_tells_too_big(&job.packet)) return SLUICE_VERDICT_too_big;
  if (!sluice_limiter_take(&too_big_, burst.now, SLUICE_TOO_BIG_INTERVAL, SLUICE_TOO_BIG_BURST)) {
    return SLUICE_VERDICT_too_big;
  }
  const uint32_t mtu = backend->mtu - backend->outer_length;
  return ReplyInPlace(burst.tables, burst.ingress, job.packet, SLUICE_VERDICT_replied_too_big, mtu, job.frame);
}

SLUICE_HOT void BurstPath::Count(const Counted& counted, sluice_verdict verdict, uint32_t slot, bool new_flow,
                                 Sums& sums) {
  if (SLUICE_UNLIKELY(counted.listener != sums.listener)) {
    Flush(sums);
    sums.listener = counted.listener;
    sums.packets = sums.bytes = sums.new_flows = 0;
  }
  sums.packets++;
  sums.bytes += counted.length;
  if (SLUICE_LIKELY(verdict == SLUICE_VERDICT_forwarded)) {
    sums.new_flows += new_flow;
    Add(counters_.backends.As<sluice_traffic>()[slot], 1, counted.length, new_flow);
  } else {
    sums.not_forwarded++;
    Add(counters_.verdicts[verdict], 1);
  }
}

SLUICE_HOT void BurstPath::Flush(const Sums& sums) {
  if (sums.listener == SLUICE_NO_LISTENER) return;
  Add(counters_.listeners.As<sluice_traffic>()[sums.listener], sums.packets, sums.bytes, sums.new_flows);
}

}  // namespace sluice
