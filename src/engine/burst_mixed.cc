// Bursts where some listeners translate: flows and fragments are the sessions' first (session_path.h), and what is
// nobody's there the connection table's.
#include <array>

#include "engine/burst_job.h"
#include "engine/session_path.h"
#include "sluice/hash.h"
#include "sluice/listener.h"

namespace sluice {

// How many are left for the connection table; those have been looked up.
SLUICE_HOT uint32_t BurstPath::LookForBoth(const Burst& burst, Frame* frames, Job* jobs, uint32_t count,
                                           bool unfinished, Totals* totals) {
  // Whose it is says its first one, perhaps of this burst.
  Jobs fragments = 0;
  Jobs others = 0;
  for (uint32_t i = 0; i < count; i++) {
    Job& job = jobs[i];
    totals->bytes += frames[i].length;
    FetchAhead(frames, i, count);
    job.Parse(&frames[i], unfinished);
    if (SLUICE_UNLIKELY(job.verdict != SLUICE_CONTINUE) ||
        (SLUICE_UNLIKELY(job.packet.kind != SLUICE_PACKET_FLOW) && !IsOtherFlow(burst, job.packet))) {
      if (job.verdict == SLUICE_CONTINUE && job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) fragments |= Jobs{1} << i;
      others |= Jobs{1} << i;
      Burst::LeaveOut(job, job.verdict, SLUICE_NO_LISTENER);
      continue;
    }
    job.hash = sluice_hash_flow(burst.settings, &job.packet.flow);
    job.bucket = sessions_->Fetch(job.hash);
  }
  const Jobs all = FirstJobs(count);
  const Jobs flows = all & ~others;
  const SessionBurst session_burst{burst.tables,  burst.now,      burst.tick,
                                   burst.ingress, burst.selector, counters_.backend(0, true)};
  const SessionPath::Rest rest = sessions_->Process(session_burst, jobs, count, {flows, fragments}, &counters_);
  totals->not_forwarded += rest.not_forwarded;
  const Jobs done = (flows | fragments) & ~rest.left;
  if (SLUICE_LIKELY(done == all)) return 0;
  for (uint32_t i = 0; i < count; i++) {
    if (done & Jobs{1} << i) {
      Burst::LeaveOut(jobs[i], kDone, SLUICE_NO_LISTENER);
    } else {
      burst.Look(jobs[i]);
    }
  }
  return static_cast<uint32_t>(__builtin_popcountll(all & ~done));
}

// As Process, where a burst needs more than the connection table.
void BurstPath::ProcessMixed(const Burst& burst, Frame* frames, uint32_t count, bool unfinished) {
  std::array<Job, SLUICE_BURST> jobs;
  Totals totals;
  // Twice in the code, as in Process.
  const uint32_t left = SLUICE_UNLIKELY(unfinished) ? LookForBoth(burst, frames, jobs.data(), count, true, &totals)
                                                    : LookForBoth(burst, frames, jobs.data(), count, false, &totals);
  if (left > 0) totals.not_forwarded += FinishMixed(burst, jobs.data(), count);
  CountBurst(count, totals.bytes, totals.not_forwarded);
}

// An error about a flow's packet, a ping that a listener forwards, or what may be the answer to one.
SLUICE_COLD bool BurstPath::IsOtherFlow(const Burst& burst, const sluice_packet& packet) {
  if (packet.kind == SLUICE_PACKET_ICMP_ERROR) return true;
  if (packet.kind == SLUICE_PACKET_ECHO_REPLY) return true;
  return packet.kind == SLUICE_PACKET_ECHO &&
         sluice_listener_of(&burst.tables, burst.settings, &packet.flow) != SLUICE_NO_LISTENER;
}

void BurstPath::Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet) {
  if (sessions_ != nullptr) sessions_->Maintain(tables, now, outlet);
}

const SessionCounters& BurstPath::session_counters() const {
  static constexpr SessionCounters kNone{};
  return sessions_ != nullptr ? sessions_->counters() : kNone;
}

}  // namespace sluice
