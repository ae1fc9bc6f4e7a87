#include "engine/session_path.h"

#include "engine/reply_frame.h"
#include "engine/session_job.h"
#include "engine/words.h"
#include "sluice/listener.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {

// Packets of one burst mostly have one listener: those are added up first.
struct SessionPath::Sums {
  uint32_t listener = SLUICE_NO_LISTENER;
  uint64_t packets = 0;
  uint64_t bytes = 0;

  void Flush(WorkerCounters* counters, bool reverse) {
    if (listener == SLUICE_NO_LISTENER || packets == 0) return;
    sluice_traffic& traffic = counters->listeners.As<sluice_traffic>()[listener];
    Add(reverse ? traffic.answer_packets : traffic.packets, packets);
    Add(reverse ? traffic.answer_bytes : traffic.bytes, bytes);
    packets = bytes = 0;
  }
};

SessionPath::SessionPath(std::vector<SessionPartition> partitions, uint32_t self, const sluice_nat_ports& ports)
    : partitions_(std::move(partitions)),
      self_(self),
      own_(partitions_[self], self, static_cast<uint32_t>(partitions_.size()), ports) {}

uint32_t SessionPath::Process(const SessionBurst& burst, SessionJob* jobs, uint32_t count, WorkerCounters* counters) {
  for (uint32_t i = 0; i < count; i++) Look(burst, jobs[i]);
  std::array<SessionJob*, SLUICE_BURST> missed;
  uint32_t missed_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    missed[missed_count] = &jobs[i];
    missed_count += !Meet(jobs[i]);
  }
  for (uint32_t i = 0; i < missed_count; i++) {
    const SessionPartition& owner = partitions_[missed[i]->owner];
    missed[i]->bucket = &owner.buckets[sluice_secondary_bucket(missed[i]->hash, owner.bucket_count)];
    __builtin_prefetch(missed[i]->bucket);
  }
  for (uint32_t i = 0; i < missed_count; i++) Meet(*missed[i]);
  std::array<Sums, 2> sums;
  uint32_t not_forwarded = 0;
  // In order, so that the second packet of a new flow finds what the first one made.
  for (uint32_t i = 0; i < count; i++) {
    SessionJob& job = jobs[i];
    const uint32_t length = job.packet->l3_length;
    Outcome outcome;
    if (SLUICE_UNLIKELY(!Pass(burst, job, &outcome))) outcome = Settle(burst, job);
    job.frame->verdict = static_cast<uint8_t>(outcome.verdict);
    if (SLUICE_UNLIKELY(outcome.verdict == SLUICE_CONTINUE)) continue;
    Count(outcome, length, &sums[outcome.reverse], counters);
    not_forwarded += outcome.verdict != SLUICE_VERDICT_forwarded;
  }
  sums[0].Flush(counters, false);
  sums[1].Flush(counters, true);
  return not_forwarded;
}

SLUICE_HOT void SessionPath::Count(const Outcome& outcome, uint32_t length, Sums* sums, WorkerCounters* counters) {
  if (SLUICE_UNLIKELY(outcome.listener != sums->listener)) {
    sums->Flush(counters, outcome.reverse);
    sums->listener = outcome.listener;
  }
  sums->packets++;
  sums->bytes += length;
  if (SLUICE_UNLIKELY(outcome.verdict != SLUICE_VERDICT_forwarded)) Add(counters->verdicts[outcome.verdict], 1);
  if (SLUICE_UNLIKELY(outcome.verdict != SLUICE_VERDICT_forwarded && outcome.verdict != SLUICE_VERDICT_returned))
    return;
  sluice_traffic& backend = counters->backends.As<sluice_traffic>()[outcome.slot];
  Add(outcome.reverse ? backend.answer_packets : backend.packets, 1);
  Add(outcome.reverse ? backend.answer_bytes : backend.bytes, length);
  if (SLUICE_UNLIKELY(outcome.opened)) {
    Add(backend.new_flows, 1);
    Add(counters->listeners.As<sluice_traffic>()[outcome.listener].new_flows, 1);
  }
}

// The bucket is on its way from here on. An answer to a translated source says by its port whose it is.
SLUICE_HOT void SessionPath::Look(const SessionBurst& burst, SessionJob& job) const {
  job.hash = sluice_hash_flow(burst.tables.settings, &job.packet->flow);
  job.reverse = job.listener == SLUICE_NO_LISTENER;
  job.owner = self_;
  if (job.reverse && partitions_.size() > 1) job.owner = GuessOwner(burst, job);
  const SessionPartition& owner = partitions_[job.owner];
  job.bucket = &owner.buckets[sluice_primary_bucket(job.hash, owner.bucket_count)];
  __builtin_prefetch(job.bucket);
}

SLUICE_APART uint32_t SessionPath::GuessOwner(const SessionBurst& burst, const SessionJob& job) const {
  uint32_t flags = 0;
  const sluice_flow& flow = job.packet->flow;
  sluice_virtual_find(&burst.tables, burst.tables.settings, &flow.destination, &flags);
  if (!(flags & SLUICE_VIRTUAL_NAT)) return self_;
  return sluice_nat_owner(SLUICE_16(flow.destination_port), static_cast<uint32_t>(partitions_.size()));
}

// The record is on its way from here on.
SLUICE_HOT bool SessionPath::Meet(SessionJob& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  const uint64_t* at = &job.bucket->entries[static_cast<uint32_t>(__builtin_ctz(match | 1u << 7))];
  const auto index = static_cast<uint32_t>(__atomic_load_n(at, __ATOMIC_ACQUIRE));
  sluice_session* session = &partitions_[job.owner].sessions[index];
  job.session = match != 0 ? session : nullptr;
  __builtin_prefetch(session, 1);
  return match != 0;
}

// The common case: a packet in the midst of a session of ours. False when there is more to be done for it.
SLUICE_HOT bool SessionPath::Pass(const SessionBurst& burst, SessionJob& job, Outcome* outcome) {
  const uint32_t flags = SLUICE_PACKET_SYN | SLUICE_PACKET_CLOSE | SLUICE_PACKET_FIRST_FRAGMENT;
  // Kind (0 is a flow) and flags in one comparison.
  if (SLUICE_UNLIKELY((sluice_load32(&job.packet->kind) & (0xff | flags << 8)) != 0)) return false;
  sluice_session* session = job.session;
  if (SLUICE_UNLIKELY(session == nullptr || job.owner != self_)) return false;
  if (SLUICE_UNLIKELY(!Matches(burst, job, *session))) return false;
  if (!job.reverse && SLUICE_UNLIKELY(WayBack(job) != *WayBackOf(session) || session->client_egress != burst.ingress)) {
    return false;
  }
  if (SLUICE_UNLIKELY(!NoteQuickly(burst, job, session))) return false;
  outcome->listener = session->listener;
  outcome->slot = session->backend;
  outcome->reverse = job.reverse;
  outcome->opened = false;
  outcome->verdict = Emit(burst, job, ExitOf(burst, job.reverse, *session));
  return true;
}

// Exactly, and whether the backend is still there for it.
SLUICE_HOT bool SessionPath::Matches(const SessionBurst& burst, const SessionJob& job,
                                     const sluice_session& session) const {
  const sluice_backend* backend = &burst.tables.backends[session.backend];
  const sluice_flow* flow = &job.packet->flow;
  if (job.reverse) {
    return sluice_session_is_reverse(&session, flow, backend, sluice_session_source(&burst.tables, &session)) &&
           (backend->flags & SLUICE_BACKEND_LIVE);
  }
  return sluice_session_is_forward(&session, flow, job.listener) &&
         sluice_backend_serves(backend, burst.tables.listeners[job.listener].pool);
}

// Writes down that the packet has passed. False when it changes the session's state, or the session is over.
SLUICE_HOT bool SessionPath::NoteQuickly(const SessionBurst& burst, const SessionJob& job,
                                         sluice_session* session) const {
  uint64_t* at = WordOf(session, job.reverse);
  const uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
  uint64_t after = sluice_word_datagram(burst.tick);
  if (session->protocol == SLUICE_IP_TCP) {
    const sluice_segment segment = sluice_segment_read(Transport(job));
    if (SLUICE_UNLIKELY((segment.flags & (SLUICE_TCP_SYN | SLUICE_TCP_FIN | SLUICE_TCP_RST | SLUICE_TCP_ACK)) !=
                        SLUICE_TCP_ACK)) {
      return false;
    }
    if (SLUICE_UNLIKELY(!(word & SLUICE_WORD_ACK))) return false;
    after = sluice_word_segment(word, &segment, false, burst.tick);
  }
  if (SLUICE_UNLIKELY((word & SLUICE_WORD_TICK) != burst.tick)) {
    const uint64_t other = __atomic_load_n(WordOf(session, !job.reverse), __ATOMIC_RELAXED);
    const uint64_t forward = job.reverse ? other : word;
    const uint64_t reverse = job.reverse ? word : other;
    if (sluice_session_expired(session->protocol, forward, reverse, &burst.tables.session_terms[session->listener],
                               burst.tick)) {
      return false;
    }
  }
  NoteWord(at, word, after);
  return true;
}

SLUICE_HOT SessionPath::Exit SessionPath::ExitOf(const SessionBurst& burst, bool reverse,
                                                 const sluice_session& session) const {
  const sluice_tables& tables = burst.tables;
  const sluice_backend* backend = &tables.backends[session.backend];
  if (reverse) {
    const sluice_port* port = &tables.ports[session.client_egress];
    const sluice_endpoints to = {&tables.session_terms[session.listener].address, &session.client,
                                 session.ports >> 16 | session.ports << 16, static_cast<uint16_t>(~session.delta),
                                 false};
    return {session.client_mac, port->mac, session.client_vlan, session.client_egress, port->mtu, to};
  }
  const sluice_endpoints to = {sluice_session_source(&tables, &session), &backend->destination,
                               sluice_ports(session.source_port, session.server_port), session.delta,
                               session.nat_address == SLUICE_NO_NAT_ADDRESS};
  const uint16_t mtu = backend->flags & SLUICE_BACKEND_NEXT_HOP ? backend->mtu : 0;
  return {backend->destination_mac, backend->source_mac, backend->vlan, backend->port, mtu, to};
}

// An exit without a next hop has no MTU.
SLUICE_HOT sluice_verdict SessionPath::Emit(const SessionBurst& burst, const SessionJob& job, const Exit& exit) {
  const sluice_packet& packet = *job.packet;
  Frame& frame = *job.frame;
  if (SLUICE_UNLIKELY(exit.mtu == 0)) return SLUICE_VERDICT_no_next_hop;
  const bool ipv6 = packet.flags & SLUICE_PACKET_IPV6;
  if (SLUICE_UNLIKELY(frame.data[packet.l3_offset + (ipv6 ? 7 : 8)] <= 1)) return SLUICE_VERDICT_ttl_expired;
  if (SLUICE_UNLIKELY(sluice_address_is_ipv4(exit.to.destination) == ipv6)) return SLUICE_VERDICT_untranslatable;
  if (SLUICE_UNLIKELY(packet.l3_length > exit.mtu)) return TooBig(burst, job, exit.mtu);
  const int32_t growth =
      SLUICE_ETHERNET_BYTES + (exit.vlan != 0 ? SLUICE_VLAN_BYTES : 0) - static_cast<int32_t>(packet.l3_offset);
  if (SLUICE_UNLIKELY(growth > frame.headroom)) return SLUICE_VERDICT_no_headroom;
  uint8_t* l3 = frame.data + packet.l3_offset;
  frame.data -= growth;
  frame.length += static_cast<uint32_t>(growth);
  frame.egress = exit.port;
  __builtin_memcpy(frame.data, exit.destination_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(frame.data + SLUICE_MAC_BYTES, exit.source_mac, SLUICE_MAC_BYTES);
  sluice_write_l2_type(frame.data, exit.vlan,
                       ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  sluice_translate(l3, l3 + packet.l3_length, &packet, &exit.to);
  return job.reverse ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded;
}

SLUICE_COLD sluice_verdict SessionPath::TooBig(const SessionBurst& burst, const SessionJob& job, uint32_t mtu) {
  if (!sluice_tells_too_big(job.packet) ||
      !sluice_limiter_take(&too_big_, burst.now, SLUICE_TOO_BIG_INTERVAL, SLUICE_TOO_BIG_BURST)) {
    return SLUICE_VERDICT_too_big;
  }
  return ReplyInPlace(burst.tables, burst.ingress, *job.packet, SLUICE_VERDICT_replied_too_big, mtu, job.frame);
}

// All that a packet may need that does not just pass.
SLUICE_APART SessionPath::Outcome SessionPath::Settle(const SessionBurst& burst, SessionJob& job) {
  Found found;
  Outcome outcome;
  outcome.verdict = Resolve(burst, job, &found);
  outcome.listener = job.listener;
  outcome.reverse = job.reverse;
  outcome.opened = found.opened;
  if (found.record == nullptr || outcome.verdict != SLUICE_CONTINUE) return outcome;
  outcome.listener = found.record->listener;
  outcome.slot = found.record->backend;
  outcome.verdict = Emit(burst, job, ExitOf(burst, job.reverse, *found.record));
  return outcome;
}

}  // namespace sluice
