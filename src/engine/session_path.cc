#include "engine/session_path.h"

#include <algorithm>

#include "engine/reply_frame.h"
#include "engine/session_job.h"
#include "engine/words.h"
#include "sluice/listener.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/translate46.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {

// Packets of one direction mostly have one listener: those are added up first.
struct SessionPath::Tally {
  uint32_t listener = SLUICE_NO_LISTENER;
  uint64_t packets = 0;
  uint64_t bytes = 0;

  SLUICE_HOT void Add(WorkerCounters* counters, bool reverse, uint32_t of, uint32_t length) {
    if (SLUICE_UNLIKELY(of != listener)) {
      Flush(counters, reverse);
      listener = of;
    }
    packets++;
    bytes += length;
  }

  SLUICE_APART void Flush(WorkerCounters* counters, bool reverse) {
    if (listener != SLUICE_NO_LISTENER && packets > 0) {
      AddTraffic(counters->listener(listener, reverse), packets, bytes);
    }
    packets = bytes = 0;
  }

  static SLUICE_HOT void AddTraffic(sluice_traffic* traffic, uint64_t packets, uint64_t bytes) {
    sluice::Add(traffic->packets, packets);
    sluice::Add(traffic->bytes, bytes);
  }
};

SessionPath::SessionPath(std::vector<SessionPartition> partitions, uint32_t self, const sluice_nat_ports& ports)
    : partitions_(std::move(partitions)),
      self_(self),
      partition_(partitions_[self]),
      own_(partition_, self, static_cast<uint32_t>(partitions_.size()), ports) {}

uint32_t SessionPath::Process(const SessionBurst& burst, SessionJob* jobs, uint32_t count, WorkerCounters* counters) {
  std::array<SessionJob*, SLUICE_BURST> missed;
  uint32_t missed_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    missed[missed_count] = &jobs[i];
    missed_count += !Meet(jobs[i]);
  }
  for (uint32_t i = 0; i < missed_count; i++) {
    missed[i]->bucket = &partition_.buckets[sluice_secondary_bucket(missed[i]->hash, partition_.bucket_count)];
    __builtin_prefetch(missed[i]->bucket);
  }
  for (uint32_t i = 0; i < missed_count; i++) Meet(*missed[i]);
  std::array<Tally, 2> tallies;
  uint32_t returned = 0;
  uint32_t others = 0;
  // In order, so that the second packet of a new flow finds what the first one made.
  for (uint32_t i = 0; i < count; i++) {
    const SessionJob& job = jobs[i];
    const uint32_t length = job.packet->l3_length;
    const sluice_verdict verdict = Pass(burst, job);
    if (SLUICE_UNLIKELY(verdict == SLUICE_CONTINUE)) {
      others += SettleAndCount(burst, jobs[i], counters);
      continue;
    }
    job.frame->verdict = static_cast<uint8_t>(verdict);
    tallies[job.reverse].Add(counters, job.reverse, job.session->listener, length);
    if (SLUICE_UNLIKELY(verdict != (job.reverse ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded))) {
      Add(counters->verdicts[verdict], 1);
      others++;
      continue;
    }
    returned += job.reverse;
    Tally::AddTraffic(counters->backend(job.session->backend, job.reverse), 1, length);
  }
  for (const bool reverse : {false, true}) tallies[reverse].Flush(counters, reverse);
  Add(counters->verdicts[SLUICE_VERDICT_returned], returned);
  return returned + others;
}

// One at a time. Whether its verdict is another than `forwarded`; one that is nobody's here has none yet.
SLUICE_APART bool SessionPath::SettleAndCount(const SessionBurst& burst, SessionJob& job, WorkerCounters* counters) {
  const uint32_t length = job.packet->l3_length;
  const Outcome outcome = Settle(burst, job);
  job.frame->verdict = static_cast<uint8_t>(outcome.verdict);
  if (outcome.verdict == SLUICE_CONTINUE) return false;
  if (outcome.verdict != SLUICE_VERDICT_forwarded) Add(counters->verdicts[outcome.verdict], 1);
  if (outcome.listener != SLUICE_NO_LISTENER) {
    sluice_traffic* listener = counters->listener(outcome.listener, job.reverse);
    Tally::AddTraffic(listener, 1, length);
    Add(listener->new_flows, outcome.opened);
  }
  if (outcome.verdict == SLUICE_VERDICT_forwarded || outcome.verdict == SLUICE_VERDICT_returned) {
    sluice_traffic* backend = counters->backend(outcome.slot, job.reverse);
    Tally::AddTraffic(backend, 1, length);
    Add(backend->new_flows, outcome.opened);
  }
  return outcome.verdict != SLUICE_VERDICT_forwarded;
}

// The record is on its way from here on.
SLUICE_HOT bool SessionPath::Meet(SessionJob& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  // The last entry stands in for one that isn't there.
  const uint64_t* at =
      &job.bucket->entries[static_cast<uint32_t>(__builtin_ctz(match | 1u << (SLUICE_BUCKET_ENTRIES - 1)))];
  job.session = &partition_.sessions[static_cast<uint32_t>(__atomic_load_n(at, __ATOMIC_RELAXED))];
  __builtin_prefetch(job.session, 1);
  return match != 0;
}

// The common case: a packet in the midst of a session of ours, within one IP version. SLUICE_CONTINUE when there is
// more to be done for it.
SLUICE_HOT sluice_verdict SessionPath::Pass(const SessionBurst& burst, const SessionJob& job) {
  const sluice_packet& packet = *job.packet;
  sluice_session* session = job.session;
  const uint32_t ipv6 = packet.flags & SLUICE_PACKET_IPV6;
  // Kind (0 is a flow) and flags in one comparison: neither SYN, FIN, RST nor a fragment. So are protocol and flags of
  // the session: both sides of the packet's version, not replaced.
  const uint32_t both = ipv6 * (SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_SERVER_IPV6) << 8;
  if (SLUICE_UNLIKELY((sluice_load32(&packet.kind) & 0xffff) != ipv6 << 8 ||
                      sluice_load16(&session->protocol) != (packet.flow.protocol | both))) {
    return SLUICE_CONTINUE;
  }
  if (SLUICE_UNLIKELY(!Matches(burst, job, *session) || !NoteQuickly(burst, job, session))) return SLUICE_CONTINUE;
  return job.reverse ? Return(burst, job, *session) : Forward(burst, job, *session);
}

// Exactly, and whether the backend is still there for it, and the packets still come the same way.
SLUICE_HOT bool SessionPath::Matches(const SessionBurst& burst, const SessionJob& job,
                                     const sluice_session& session) const {
  const sluice_backend* backend = &burst.tables.backends[session.backend];
  const sluice_flow* flow = &job.packet->flow;
  if (job.reverse) {
    return SLUICE_LIKELY(sluice_load32(&session.source_port) == (flow->ports >> 16 | flow->ports << 16)) &&
           SLUICE_LIKELY(sluice_address_equal(&backend->destination, &flow->source)) &&
           SLUICE_LIKELY(sluice_address_equal(sluice_session_source(&burst.tables, &session), &flow->destination)) &&
           SLUICE_LIKELY(backend->flags & SLUICE_BACKEND_LIVE);
  }
  return SLUICE_LIKELY(session.ports == flow->ports) && SLUICE_LIKELY(session.listener == job.listener) &&
         SLUICE_LIKELY(sluice_address_equal(&session.client, &flow->source)) &&
         SLUICE_LIKELY(sluice_backend_serves(backend, burst.tables.listeners[job.listener].pool)) &&
         SLUICE_LIKELY(WayBack(job) == *WayBackOf(const_cast<sluice_session*>(&session))) &&
         SLUICE_LIKELY(session.client_egress == burst.ingress);
}

// Whether the packet may not go on: its TTL or hop limit is used up.
SLUICE_HOT bool SessionPath::LastHop(const SessionJob& job) {
  return job.frame->data[job.packet->l3_offset + (job.packet->flags & SLUICE_PACKET_IPV6 ? 7 : 8)] <= 1;
}

// New addresses, ports and one hop less in a packet that keeps its place and its IP version.
SLUICE_HOT void SessionPath::TranslateInPlace(const SessionJob& job, const sluice_address* source,
                                              const sluice_address* destination, uint32_t ports, uint16_t address_delta,
                                              uint16_t delta) {
  uint8_t* l3 = job.frame->data + SLUICE_ETHERNET_BYTES;
  uint8_t* l4 = job.frame->data + job.packet->l4_offset;
  const sluice_endpoints to = {source, destination, ports, delta, false};
  if (job.packet->flags & SLUICE_PACKET_IPV6) {
    sluice_translate_ipv6(l3, &to, 1);
  } else {
    sluice_translate_ipv4_by(l3, source->words[3], destination->words[3], address_delta);
  }
  // The parser has seen the whole transport header.
  sluice_translate_transport(l4, l4 + SLUICE_TCP_BYTES, job.packet->flow.protocol, &to);
}

SLUICE_HOT sluice_verdict SessionPath::Forward(const SessionBurst& burst, const SessionJob& job,
                                               const sluice_session& session) {
  const sluice_packet& packet = *job.packet;
  const sluice_backend* backend = &burst.tables.backends[session.backend];
  if (SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES || LastHop(job) || backend->vlan != 0 ||
                      !(backend->flags & SLUICE_BACKEND_NEXT_HOP) || packet.l3_length > backend->mtu)) {
    return Emit(burst, job, ExitOf(burst, false, session));
  }
  sluice_write_macs(job.frame->data, backend);
  job.frame->egress = backend->port;
  TranslateInPlace(job, sluice_session_source(&burst.tables, &session), &backend->destination,
                   sluice_load32(&session.source_port), session.address_delta, session.delta);
  return SLUICE_VERDICT_forwarded;
}

SLUICE_HOT sluice_verdict SessionPath::Return(const SessionBurst& burst, const SessionJob& job,
                                              const sluice_session& session) {
  const sluice_packet& packet = *job.packet;
  const sluice_port* port = &burst.tables.ports[session.client_egress];
  if (SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES || LastHop(job) || session.client_vlan != 0 ||
                      packet.l3_length > port->mtu)) {
    return Emit(burst, job, ExitOf(burst, true, session));
  }
  __builtin_memcpy(job.frame->data, session.client_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(job.frame->data + SLUICE_MAC_BYTES, port->mac, SLUICE_MAC_BYTES);
  job.frame->egress = session.client_egress;
  TranslateInPlace(job, &burst.tables.session_terms[session.listener].address, &session.client,
                   session.ports >> 16 | session.ports << 16, static_cast<uint16_t>(~session.address_delta),
                   static_cast<uint16_t>(~session.delta));
  return SLUICE_VERDICT_returned;
}

// Writes down that the packet has passed. False when it changes the session's state, or the session is over.
SLUICE_HOT bool SessionPath::NoteQuickly(const SessionBurst& burst, const SessionJob& job, sluice_session* session) {
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
  if (SLUICE_UNLIKELY(LastHop(job))) return SLUICE_VERDICT_ttl_expired;
  if (SLUICE_UNLIKELY(sluice_address_is_ipv4(exit.to.destination) == ipv6)) return EmitAcross(burst, job, exit);
  if (SLUICE_UNLIKELY(packet.l3_length > exit.mtu)) return TooBig(burst, job, exit.mtu);
  const int32_t growth =
      SLUICE_ETHERNET_BYTES + (exit.vlan != 0 ? SLUICE_VLAN_BYTES : 0) - static_cast<int32_t>(packet.l3_offset);
  if (SLUICE_UNLIKELY(growth > frame.headroom)) return SLUICE_VERDICT_no_headroom;
  uint8_t* l3 = frame.data + packet.l3_offset;
  frame.data -= growth;
  frame.length += static_cast<uint32_t>(growth);
  Address(exit, ipv6, &frame);
  sluice_translate(l3, l3 + packet.l3_length, &packet, &exit.to);
  return job.reverse ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded;
}

SLUICE_HOT void SessionPath::Address(const Exit& exit, bool ipv6, Frame* frame) {
  frame->egress = exit.port;
  __builtin_memcpy(frame->data, exit.destination_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(frame->data + SLUICE_MAC_BYTES, exit.source_mac, SLUICE_MAC_BYTES);
  sluice_write_l2_type(frame->data, exit.vlan,
                       ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
}

// As a packet of the other IP version. Padding behind it is cut off.
SLUICE_APART sluice_verdict SessionPath::EmitAcross(const SessionBurst& burst, const SessionJob& job,
                                                    const Exit& exit) {
  const sluice_packet& packet = *job.packet;
  Frame& frame = *job.frame;
  const bool ipv6 = packet.flags & SLUICE_PACKET_IPV6;
  const int32_t difference = SLUICE_IPV6_BYTES - SLUICE_IPV4_BYTES;
  const int32_t near = burst.tables.ports[burst.ingress].mtu + (ipv6 ? -difference : difference);
  const uint8_t* before = frame.data + packet.l3_offset;
  sluice_crossing crossing{};
  const sluice_verdict verdict =
      sluice_crossing_read(before, before + packet.l3_length, &packet, std::min<int32_t>(near, exit.mtu), &crossing);
  if (verdict != SLUICE_CONTINUE) return verdict;
  if (crossing.length > exit.mtu) return TooBig(burst, job, sluice_crossing_mtu(&crossing, ipv6, exit.mtu));
  const int32_t l2 = SLUICE_ETHERNET_BYTES + (exit.vlan != 0 ? SLUICE_VLAN_BYTES : 0);
  const int32_t growth = l2 + crossing.after - packet.l3_offset - crossing.before;
  if (growth > frame.headroom) return SLUICE_VERDICT_no_headroom;
  frame.data -= growth;
  frame.length = l2 + crossing.length;
  Address(exit, !ipv6, &frame);
  uint8_t* l3 = frame.data + l2;
  sluice_crossing_write(l3, l3 + crossing.length, &packet, &crossing, &exit.to, exit.mtu);
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
  outcome.opened = found.opened;
  if (found.record == nullptr || outcome.verdict != SLUICE_CONTINUE) return outcome;
  outcome.listener = found.record->listener;
  outcome.slot = found.record->backend;
  outcome.verdict = Emit(burst, job, ExitOf(burst, job.reverse, *found.record));
  return outcome;
}

}  // namespace sluice
