// Bursts where some listeners translate: their packets, and those for nobody, are the sessions' (session_path.h), the
// others the connection table's. And bursts whose checksums may be unfinished.
#include <array>

#include "engine/burst_job.h"
#include "engine/session_path.h"
#include "sluice/listener.h"
#include "sluice/unfinished.h"

namespace sluice {
namespace {

bool IsFlow(const sluice_packet& packet) {
  return packet.kind == SLUICE_PACKET_FLOW || packet.kind == SLUICE_PACKET_ICMP_ERROR;
}

}  // namespace

// As Process, where a burst needs more than the connection table.
void BurstPath::ProcessMixed(const Burst& burst, Frame* frames, uint32_t count, bool unfinished) {
  std::array<Job, SLUICE_BURST> jobs;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    bytes += frames[i].length;
    jobs[i].frame = &frames[i];
    jobs[i].verdict = sluice_parse(frames[i].data, frames[i].data + frames[i].length, &jobs[i].packet);
  }
  if (unfinished) FinishChecksums(jobs.data(), count);
  uint64_t not_forwarded = 0;
  uint32_t left = count;
  if (burst.settings->sessions != 0) {
    left = LookForBoth(burst, jobs.data(), count, &not_forwarded);
  } else {
    for (uint32_t i = 0; i < count; i++) burst.Look(jobs[i]);
  }
  if (left > 0) not_forwarded += FinishMixed(burst, jobs.data(), count);
  CountBurst(count, bytes, not_forwarded);
}

// How many are left for the connection table; those have been looked up.
uint32_t BurstPath::LookForBoth(const Burst& burst, Job* jobs, uint32_t count, uint64_t* not_forwarded) {
  // Their buckets are on their way while listeners are looked for.
  for (Job* job = jobs; job != jobs + count; job++) {
    if (SLUICE_UNLIKELY(job->verdict != SLUICE_CONTINUE || !IsFlow(job->packet))) continue;
    job->hash = sluice_hash_flow(burst.settings, &job->packet.flow);
    job->bucket = sessions_->Fetch(job->hash);
  }
  std::array<SessionJob, SLUICE_BURST> translated;
  std::array<Job*, SLUICE_BURST> theirs;
  uint32_t translated_count = 0;
  bool fragments = false;
  for (Job* job = jobs; job != jobs + count; job++) {
    if (SLUICE_UNLIKELY(!IsTranslated(burst, *job))) {
      burst.Look(*job);
      continue;
    }
    fragments |= job->packet.kind == SLUICE_PACKET_LATER_FRAGMENT;
    theirs[translated_count] = job;
    translated[translated_count++] = {
        &job->packet, job->frame, job->hash, job->bucket, nullptr, job->listener, job->listener == SLUICE_NO_LISTENER};
  }
  if (translated_count == 0) return count;
  const SessionBurst session_burst{burst.tables, burst.now, burst.tick, burst.ingress};
  *not_forwarded += sessions_->Process(session_burst, translated.data(), translated_count, &counters_);
  uint32_t left = count - translated_count;
  // Nothing is left but perhaps later fragments of what is not translated.
  if (SLUICE_LIKELY(left == 0 && !fragments)) return 0;
  for (uint32_t i = 0; i < translated_count; i++) {
    if (SLUICE_UNLIKELY(theirs[i]->frame->verdict == SLUICE_CONTINUE)) {
      burst.Look(*theirs[i]);
      left++;
    } else {
      Burst::LeaveOut(*theirs[i], kDone, SLUICE_NO_LISTENER);
    }
  }
  return left;
}

SLUICE_HOT bool BurstPath::IsTranslated(const Burst& burst, Job& job) {
  if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE)) return false;
  job.listener = SLUICE_NO_LISTENER;
  if (SLUICE_LIKELY(IsFlow(job.packet))) {
    job.listener = sluice_listener_of(&burst.tables, burst.settings, &job.packet.flow);
    if (job.listener == SLUICE_NO_LISTENER) return true;
    return burst.tables.listeners[job.listener].flags & SLUICE_LISTENER_SESSIONS;
  }
  // Whose it is says its first one, perhaps of this burst.
  job.hash = 0;
  job.bucket = sessions_->Fetch(0);
  return job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT;
}

void BurstPath::FinishChecksums(Job* jobs, uint32_t count) {
  for (Job* job = jobs; job != jobs + count; job++) {
    if (job->verdict == SLUICE_CONTINUE) sluice_finish_checksum(job->frame->data, &job->packet);
  }
}

void BurstPath::Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet) {
  if (sessions_ != nullptr) sessions_->Maintain(tables, now, outlet);
}

const SessionCounters& BurstPath::session_counters() const {
  static constexpr SessionCounters kNone;
  return sessions_ != nullptr ? sessions_->counters() : kNone;
}

}  // namespace sluice
