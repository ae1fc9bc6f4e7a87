// What a packet of a translated flow may need that does not just pass: its session wherever it is, a new one,
// fragments.
#include <algorithm>
#include <array>
#include <cstring>

#include "engine/session_job.h"
#include "engine/session_path.h"
#include "engine/words.h"
#include "sluice/listener.h"
#include "sluice/select.h"
#include "sluice/session_owner.h"

namespace sluice {
namespace {

enum sluice_session_rank RankOf(const sluice_session& session) {
  return sluice_session_rank(session.protocol, session.forward, session.reverse);
}

// One look at a line that changes with flows, not with packets, for two at buckets.
bool HasNone(const SessionPartition& partition) {
  return __atomic_load_n(&partition.state->free_count, __ATOMIC_RELAXED) == partition.session_count;
}

}  // namespace

sluice_verdict SessionPath::Resolve(const SessionBurst& burst, Job& job, Found* found) {
  if (job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT) return ResolveFragment(burst, job, found);
  const bool flow = job.packet.kind == SLUICE_PACKET_FLOW || IsEcho(job.packet);
  if (!Find(burst, job, found)) {
    if (job.reverse) return Stranger(burst, job);
    if (!flow) return SLUICE_VERDICT_no_session;
    const sluice_verdict verdict = Open(burst, job, found);
    if (verdict != SLUICE_CONTINUE) return verdict;
  } else if (found->record->flags & SLUICE_SESSION_ENDED) {
    return flow ? NoteEnded(burst, job, *found) : SLUICE_VERDICT_no_session;
  } else if (flow) {
    const sluice_verdict verdict = NoteSlowly(burst, job, *found);
    if (verdict != SLUICE_CONTINUE) return verdict;
  }
  if (flow && (job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) RememberFragment(burst, job, *found);
  return SLUICE_CONTINUE;
}

// For no listener, and nobody's answer.
sluice_verdict SessionPath::Stranger(const SessionBurst& burst, const Job& job) const {
  uint32_t flags = 0;
  if (!sluice_virtual_find(&burst.tables, burst.tables.settings, &job.packet.flow.destination, &flags)) {
    return SLUICE_VERDICT_pass_not_virtual;
  }
  if (flags & SLUICE_VIRTUAL_NAT) return SLUICE_VERDICT_no_session;
  if (job.packet.kind == SLUICE_PACKET_ECHO_REPLY) return static_cast<sluice_verdict>(job.packet.reason);
  return SLUICE_VERDICT_no_listener;
}

// The session of the packet's flow, if it has one that is not over: ours, else another's. One of a higher rank goes
// before ours: the kernel may have opened it in our place, or the flow come here from another worker.
bool SessionPath::Find(const SessionBurst& burst, const Job& job, Found* found) {
  enum sluice_session_rank own = SLUICE_RANK_NONE;
  if (FindIn(burst, job, self_, found)) {
    const auto index = static_cast<uint32_t>(found->live - partitions_[self_].sessions);
    switch (UseOf(burst, job, *found->record)) {
      case Use::kGoOn:
        own = RankOf(*found->record);
        if (partitions_.size() == 1 || own == SLUICE_RANK_SETTLED) return true;
        break;
      case Use::kReplace:
        own_.Replace(burst.tables, index);
        break;
      case Use::kOver:
        // The flow may have gone on elsewhere, and come back.
        own_.Close(burst.tables, index);
        break;
    }
  }
  if (FindElsewhere(burst, job, own, found)) return true;
  return own != SLUICE_RANK_NONE && FindIn(burst, job, self_, found);
}

// The session of the highest rank that another owner has, if that is above `than`. A new connection that another worker
// has an entry of is new all the same: it has come here for good. What the kernel has done in a worker's place stands.
bool SessionPath::FindElsewhere(const SessionBurst& burst, const Job& job, enum sluice_session_rank than,
                                Found* found) {
  const auto count = static_cast<uint32_t>(partitions_.size());
  if (count == 1) return false;
  const bool opens = !job.reverse && (job.packet.flags & SLUICE_PACKET_SYN);
  const uint32_t first = opens ? owners_->owners() : 0;
  uint32_t owner = opens ? first : job.reverse ? GuessOwner(burst, job) : self_;
  uint32_t best = count;
  for (uint32_t i = first; i < count && than != SLUICE_RANK_SETTLED; i++, owner = owner + 1 == count ? 0 : owner + 1) {
    if (owner == self_ || HasNone(partitions_[owner]) || !FindIn(burst, job, owner, found)) continue;
    const enum sluice_session_rank rank = RankOf(*found->record);
    if (rank <= than || UseOf(burst, job, *found->record) != Use::kGoOn) continue;
    than = rank;
    best = owner;
  }
  if (best == count || !FindIn(burst, job, best, found)) return false;
  if (job.reverse) Add(own_.counters().answers_elsewhere, 1);
  return true;
}

// An answer to a translated source says whose it is.
uint32_t SessionPath::GuessOwner(const SessionBurst& burst, const Job& job) const {
  uint32_t flags = 0;
  const sluice_flow& flow = job.packet.flow;
  sluice_virtual_find(&burst.tables, burst.tables.settings, &flow.destination, &flags);
  if (!(flags & SLUICE_VIRTUAL_NAT)) return self_;
  return owners_->Of(flow);
}

// What a packet makes of the session that it has found.
SessionPath::Use SessionPath::UseOf(const SessionBurst& burst, const Job& job, const sluice_session& session) const {
  const sluice_tables& tables = burst.tables;
  const sluice_backend* backend = &tables.backends[session.backend];
  const bool serves = job.reverse || sluice_backend_serves(&tables, backend, tables.listeners[job.listener].pool);
  if (!serves || !(backend->flags & SLUICE_BACKEND_LIVE) || (session.flags & SLUICE_SESSION_OVER) ||
      sluice_session_expired(session.protocol, session.forward, session.reverse,
                             &tables.session_terms[session.listener], burst.tick)) {
    return Use::kOver;
  }
  const bool opens = !job.reverse && job.packet.kind == SLUICE_PACKET_FLOW && (job.packet.flags & SLUICE_PACKET_SYN);
  return opens && sluice_session_is_replaced(&session, backend) ? Use::kReplace : Use::kGoOn;
}

// Another owner's record may change while it is read: it is copied, and the entry that named it looked at again. The
// owner takes the entry away before it uses the record for somebody else.
bool SessionPath::FindIn(const SessionBurst& burst, const Job& job, uint32_t owner, Found* found) {
  const SessionPartition& partition = partitions_[owner];
  const sluice_bucket* buckets[] = {&partition.buckets[sluice_primary_bucket(job.hash, partition.bucket_count)],
                                    &partition.buckets[sluice_secondary_bucket(job.hash, partition.bucket_count)]};
  for (const sluice_bucket* bucket : buckets) {
    for (uint32_t match = sluice_bucket_match(bucket, sluice_tag(job.hash)); match != 0; match &= match - 1) {
      const uint64_t* at = &bucket->entries[__builtin_ctz(match)];
      const uint64_t entry = __atomic_load_n(at, __ATOMIC_ACQUIRE);
      if (!sluice_entry_matches(entry, job.hash)) continue;
      sluice_session* live = &partition.sessions[static_cast<uint32_t>(entry)];
      copy_ = LoadWords(live);
      sluice_acquire_fence();
      if (__atomic_load_n(at, __ATOMIC_RELAXED) != entry || !IsOf(burst, job, copy_)) continue;
      *found = {&copy_, live, owner, false};
      return true;
    }
    if (!sluice_sessions_were_crowded(bucket)) return false;
  }
  return false;
}

bool SessionPath::IsOf(const SessionBurst& burst, const Job& job, const sluice_session& session) const {
  const sluice_flow* flow = &job.packet.flow;
  if (!job.reverse) return sluice_session_is_forward(&session, flow, job.listener);
  return sluice_session_is_reverse(&session, flow, &burst.tables.backends[session.backend],
                                   sluice_session_source(&burst.tables, &session));
}

sluice_verdict SessionPath::NoteSlowly(const SessionBurst& burst, const Job& job, const Found& found) {
  const sluice_session& session = *found.record;
  if (!job.reverse && job.packet.l3_offset > SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES) {
    return SLUICE_VERDICT_pass_vlan_depth;
  }
  uint64_t* at = WordOf(found.live, job.reverse);
  const uint64_t own = job.reverse ? session.reverse : session.forward;
  const uint64_t peer = job.reverse ? session.forward : session.reverse;
  if (session.protocol != SLUICE_IP_TCP) {
    NoteWord(at, own, sluice_word_datagram(burst.tick));
    NoteWayBack(burst, job, found);
    return SLUICE_CONTINUE;
  }
  sluice_segment segment = sluice_segment_read(Transport(job));
  if (!job.reverse && (segment.flags & SLUICE_TCP_SYN)) TellAgain(burst, found);
  if (SLUICE_UNLIKELY(session.flags & SLUICE_SESSION_TELLS) && job.reverse) HearServer(burst, job, found, &segment);
  if (job.reverse && (segment.flags & SLUICE_TCP_SYN)) {
    uint8_t* l4 = job.frame->data + job.packet.l4_offset;
    const uint32_t scale = sluice_syn_scale(l4, job.frame->data + job.packet.l3_offset + job.packet.l3_length);
    const auto scales = static_cast<uint8_t>((session.scales & 0xf) | scale << 4);
    __atomic_store_n(&found.live->scales, scales, __ATOMIC_RELAXED);
  }
  const bool believed =
      sluice_segment_in_window(&segment, own, peer, sluice_window_shift(session.scales, !job.reverse));
  if ((segment.flags & SLUICE_TCP_RST) && !believed) return SLUICE_VERDICT_reset_out_of_window;
  const uint64_t after = sluice_word_segment(own, &segment, believed, burst.tick);
  NoteWord(at, own, after);
  const int ends = job.reverse ? 0 : sluice_word_ends(own, after);
  if (ends != 0) {
    Add(burst.selector.traffic[session.backend].ended, static_cast<uint64_t>(ends));
    Add(burst.selector.listener_traffic[session.listener].ended, static_cast<uint64_t>(ends));
  }
  CountOpening(burst, session.backend, sluice_session_opening(job.reverse, own, after, peer));
  NoteWayBack(burst, job, found);
  return SLUICE_CONTINUE;
}

void SessionPath::CountOpening(const SessionBurst& burst, uint32_t slot, enum sluice_opening opening) {
  if (opening == SLUICE_OPENING_ANSWERED) Add(burst.answers[slot].answered, 1);
  if (opening == SLUICE_OPENING_FAILED) Add(burst.answers[slot].failed, 1);
}

// A packet that goes nowhere stays as it came, also where what is noted is what the client would have been sent.
sluice_verdict SessionPath::NoteEnded(const SessionBurst& burst, const Job& job, const Found& found) {
  constexpr uint32_t kLongestHeader = SLUICE_TCP_BYTES + SLUICE_TCP_OPTION_BYTES;
  std::array<uint8_t, kLongestHeader> header;
  uint8_t* l4 = job.frame->data + job.packet.l4_offset;
  const uint32_t bytes = std::min(job.frame->length - job.packet.l4_offset, kLongestHeader);
  std::memcpy(header.data(), l4, bytes);
  const sluice_verdict verdict = NoteSlowly(burst, job, found);
  std::memcpy(l4, header.data(), bytes);
  return verdict == SLUICE_CONTINUE ? SLUICE_VERDICT_no_session : verdict;
}

// Answers go where the client's last packet came from; one that was refused says nothing about that.
void SessionPath::NoteWayBack(const SessionBurst& burst, const Job& job, const Found& found) {
  if (job.reverse) return;
  NoteWord(sluice_session_way_back(found.live), *sluice_session_way_back(&copy_),
           sluice_way_back(job.frame->data, &job.packet));
  if (found.record->client_egress == burst.ingress) return;
  __atomic_store_n(&found.live->client_egress, static_cast<uint8_t>(burst.ingress), __ATOMIC_RELAXED);
}

// A new session for the flow, with the backend that its hash selects.
sluice_verdict SessionPath::Open(const SessionBurst& burst, Job& job, Found* found) {
  const sluice_packet& packet = job.packet;
  sluice_session wanted{};
  const sluice_verdict verdict =
      sluice_session_begin(&burst.tables, &burst.selector, &packet, job.listener, job.hash, &wanted);
  if (verdict != SLUICE_CONTINUE) return verdict;
  uint8_t* frame = job.frame->data;
  sluice_session_note_first(&wanted, frame, frame + packet.l3_offset + packet.l3_length, &packet, burst.ingress,
                            burst.tick);
  const bool keeps = own_.KeepsSource(burst.tables, wanted, burst.tick) && !IsTakenElsewhere(burst, wanted);
  const sluice_verdict taken = keeps ? SLUICE_CONTINUE : own_.TakeSource(burst.tables, &wanted, job.hash, burst.tick);
  if (taken != SLUICE_CONTINUE) return taken;
  int index = own_.Enter(burst.tables, &wanted, packet.flow, job.hash, burst.tick);
  // Another worker may have entered one at the same moment: both see that, and neither keeps its source.
  if (index >= 0 && keeps && IsTakenElsewhere(burst, wanted)) {
    own_.Close(burst.tables, static_cast<uint32_t>(index));
    const sluice_verdict again = own_.TakeSource(burst.tables, &wanted, job.hash, burst.tick);
    if (again != SLUICE_CONTINUE) return again;
    index = own_.Enter(burst.tables, &wanted, packet.flow, job.hash, burst.tick);
  }
  if (index < 0) return SLUICE_VERDICT_sessions_full;
  copy_ = wanted;
  *found = {&copy_, &partitions_[self_].sessions[index], self_, true};
  return SLUICE_CONTINUE;
}

// Whether another worker has a session with the same answers. One of the same flow, which has moved here, is no
// obstacle: its answers are translated alike.
bool SessionPath::IsTakenElsewhere(const SessionBurst& burst, const sluice_session& wanted) {
  if (partitions_.size() == 1) return false;
  sluice_packet answer{};
  sluice_session_answer_flow(&burst.tables, &wanted, &answer.flow);
  Job job{};
  job.packet = answer;
  job.hash = sluice_hash_flow(burst.tables.settings, &answer.flow);
  job.listener = SLUICE_NO_LISTENER;
  job.reverse = true;
  // Ours is entered before we look at theirs.
  sluice_full_fence();
  Found found;
  for (uint32_t i = 0; i < partitions_.size(); i++) {
    if (i == self_ || HasNone(partitions_[i]) || !FindIn(burst, job, i, &found)) continue;
    if (sluice_session_is_of_client(&burst.tables, found.record, &wanted)) continue;
    if (UseOf(burst, job, *found.record) == Use::kGoOn) return true;
  }
  return false;
}

void SessionPath::RememberFragment(const SessionBurst& burst, const Job& job, const Found& found) {
  sluice_fragment fragment{};
  fragment.flow = sluice_fragment_flow(&job.packet);
  fragment.table = found.owner;
  fragment.session = static_cast<uint32_t>(found.live - partitions_[found.owner].sessions);
  fragment.tick = static_cast<uint16_t>(burst.tick);
  fragment.reverse = job.reverse;
  fragment.used = 1;
  sluice_fragment* places = FragmentPlaces(burst, fragment.flow, self_);
  const bool first_older = sluice_age(burst.tick, places[0].tick) >= sluice_age(burst.tick, places[1].tick);
  const bool same = places[1].used && std::memcmp(&places[1].flow, &fragment.flow, sizeof(fragment.flow)) == 0;
  const bool first_same = places[0].used && std::memcmp(&places[0].flow, &fragment.flow, sizeof(fragment.flow)) == 0;
  const bool first = first_same || (!same && (!places[0].used || (places[1].used && first_older)));
  StoreWords(&places[first ? 0 : 1], fragment);
}

// Two neighbours in the table of `owner`.
sluice_fragment* SessionPath::FragmentPlaces(const SessionBurst& burst, const sluice_flow& flow, uint32_t owner) const {
  const uint64_t hash = sluice_hash_flow(burst.tables.settings, &flow);
  return &partitions_[owner].fragments[hash % SLUICE_FRAGMENTS & ~uint64_t{1}];
}

bool SessionPath::FindFragment(const SessionBurst& burst, const sluice_packet& packet,
                               sluice_fragment* fragment) const {
  const sluice_flow flow = sluice_fragment_flow(&packet);
  for (uint32_t i = 0; i < partitions_.size(); i++) {
    // Ours first.
    const auto owner = static_cast<uint32_t>((self_ + i) % partitions_.size());
    if (partitions_[owner].session_count == 0) continue;
    const sluice_fragment* places = FragmentPlaces(burst, flow, owner);
    for (uint32_t place = 0; place < 2; place++) {
      *fragment = LoadWords(&places[place]);
      if (!fragment->used || std::memcmp(&fragment->flow, &flow, sizeof(flow)) != 0) continue;
      if (sluice_age(burst.tick, fragment->tick) <= SLUICE_FRAGMENT_TICKS) return true;
    }
  }
  return false;
}

// The session may be another's by now: then it does not have the addresses of the fragment.
sluice_verdict SessionPath::ResolveFragment(const SessionBurst& burst, Job& job, Found* found) {
  sluice_fragment fragment;
  if (!FindFragment(burst, job.packet, &fragment)) return SLUICE_CONTINUE;
  const sluice_tables& tables = burst.tables;
  sluice_session* live = &partitions_[fragment.table].sessions[fragment.session];
  copy_ = LoadWords(live);
  job.reverse = fragment.reverse;
  const sluice_flow& flow = job.packet.flow;
  const sluice_address* near = job.reverse ? &tables.backends[copy_.backend].destination : &copy_.client;
  const sluice_address* far =
      job.reverse ? sluice_session_source(&tables, &copy_) : &tables.session_terms[copy_.listener].address;
  if (copy_.protocol == 0 || (copy_.flags & SLUICE_SESSION_ENDED) ||
      !(tables.backends[copy_.backend].flags & SLUICE_BACKEND_LIVE) || !sluice_address_equal(near, &flow.source) ||
      !sluice_address_equal(far, &flow.destination)) {
    return SLUICE_VERDICT_unknown_fragment;
  }
  *found = {&copy_, live, fragment.table, false};
  return SLUICE_CONTINUE;
}

}  // namespace sluice
