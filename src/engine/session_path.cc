#include "engine/session_path.h"

#include <algorithm>

#include "engine/reply_frame.h"
#include "engine/session_job.h"
#include "engine/traffic.h"
#include "engine/words.h"
#include "sluice/client_address.h"
#include "sluice/follow.h"
#include "sluice/listener.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/translate46.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {

// Packets of one burst mostly have one listener: those are added up first, and what is the listener's is read once.
struct SessionPath::Sums {
  WorkerCounters* counters;
  const sluice_backend* records;
  uint32_t listener = SLUICE_NO_LISTENER;
  // What its backends have in common, as kServes and kPlain take it.
  uint64_t backends = 0;
  sluice_address address{};
  Volume forwarded{};
  Volume returned{};
  uint32_t returned_packets = 0;
  uint32_t not_forwarded = 0;
};

namespace {

// Of a backend's record from `pool` on: whether it takes the listener's flows, and whether its frames have no VLAN tag
// and a next hop.
constexpr uint64_t kServes = uint64_t{SLUICE_BACKEND_LIVE} << 56 | 0xffffffff;
constexpr uint64_t kPlain = kServes | uint64_t{SLUICE_BACKEND_NEXT_HOP} << 56 | uint64_t{0xffff} << 32;

// Of a side's word: what says that it is open and has nothing else to say.
constexpr uint64_t kOpen = SLUICE_WORD_ACK | SLUICE_WORD_FIN | SLUICE_WORD_RESET;

constexpr uint32_t kTold = SLUICE_SESSION_PROXY | SLUICE_SESSION_TOLD;

uint64_t BackendsOf(uint32_t pool) {
  return pool | uint64_t{SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP} << 56;
}

}  // namespace

SessionPath::SessionPath(WorkerSessions sessions)
    : partitions_(std::move(sessions.partitions)),
      self_(sessions.self),
      owners_(sessions.owners != nullptr ? std::move(sessions.owners)
                                         : std::make_shared<NatOwners>(static_cast<uint32_t>(partitions_.size()))),
      partition_(partitions_[self_]),
      own_(partition_, self_, owners_, sessions.ports) {}

SessionPath::Rest SessionPath::Process(const SessionBurst& burst, SessionJob* jobs, uint32_t count,
                                       Candidates candidates, WorkerCounters* counters) {
  const Met first = MeetAll(jobs, count);
  Rest rest;
  const uint32_t missed = candidates.flows & ~first.found();
  if (missed != 0) rest.left = FetchAgain(burst, jobs, missed);
  Sums sums{counters, burst.tables.backends};
  // Nothing but loads, so that the records come together; and their backends behind them.
  for (uint32_t i = 0; i < count; i++) __builtin_prefetch(&sums.records[jobs[i].session->backend]);
  // Those of the second buckets come while the others are worked off.
  Met second;
  for (uint32_t left = missed & ~rest.left; left != 0; left &= left - 1) {
    const auto i = static_cast<uint32_t>(__builtin_ctz(left));
    second.Note(i, Meet(jobs[i]));
  }
  uint32_t unsettled = (missed & ~rest.left & ~second.found()) | candidates.fragments;
  for (const Met& met : {first, second}) {
    // Each direction by itself: which of them a packet goes can't be predicted.
    for (uint32_t left = met.forward; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(__builtin_ctz(left));
      const sluice_verdict verdict = Forward(burst, jobs[i], sums);
      jobs[i].frame->verdict = static_cast<uint8_t>(verdict);
      if (SLUICE_UNLIKELY(verdict == SLUICE_CONTINUE)) unsettled |= 1u << i;
    }
    for (uint32_t left = met.reverse; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(__builtin_ctz(left));
      const sluice_verdict verdict = Return(burst, jobs[i], sums);
      jobs[i].frame->verdict = static_cast<uint8_t>(verdict);
      if (SLUICE_UNLIKELY(verdict == SLUICE_CONTINUE)) unsettled |= 1u << i;
    }
  }
  Flush(sums);
  Add(counters->verdicts[SLUICE_VERDICT_returned], sums.returned_packets);
  rest.not_forwarded = sums.not_forwarded + sums.returned_packets;
  // In order, so that the second packet of a new flow finds what the first one made.
  for (; unsettled != 0; unsettled &= unsettled - 1) {
    const auto i = static_cast<uint32_t>(__builtin_ctz(unsettled));
    const sluice_verdict verdict = SettleAndCount(burst, jobs[i], counters);
    rest.not_forwarded += verdict != SLUICE_VERDICT_forwarded && verdict != SLUICE_CONTINUE;
    rest.left |= uint32_t{verdict == SLUICE_CONTINUE} << i;
  }
  return rest;
}

// One at a time. SLUICE_CONTINUE: it is nobody's here.
SLUICE_APART sluice_verdict SessionPath::SettleAndCount(const SessionBurst& burst, SessionJob& job,
                                                        WorkerCounters* counters) {
  if (!FindListener(burst, job)) return SLUICE_CONTINUE;
  const Volume volume{1, job.packet->l3_length};
  const Outcome outcome = Settle(burst, job);
  job.frame->verdict = static_cast<uint8_t>(outcome.verdict);
  if (outcome.verdict == SLUICE_CONTINUE) return SLUICE_CONTINUE;
  if (outcome.verdict != SLUICE_VERDICT_forwarded) Add(counters->verdicts[outcome.verdict], 1);
  if (outcome.listener != SLUICE_NO_LISTENER) {
    Add(*counters->listener(outcome.listener, job.reverse), volume, outcome.opened);
  }
  if (outcome.verdict == SLUICE_VERDICT_forwarded || outcome.verdict == SLUICE_VERDICT_returned) {
    Add(*counters->backend(outcome.slot, job.reverse), volume, outcome.opened);
  }
  return outcome.verdict;
}

// Sums are of one listener and, where its flows are split among pools, of the pool that this session is with.
SLUICE_APART void SessionPath::Begin(const SessionBurst& burst, const sluice_session& session, Sums& sums) {
  Flush(sums);
  const uint32_t listener = session.listener;
  sums.listener = listener;
  const sluice_backend* backend = &sums.records[session.backend];
  const uint32_t pool = burst.tables.listeners[listener].pool;
  sums.backends = BackendsOf(sluice_backend_serves(&burst.tables, backend, pool) ? backend->pool : pool);
  sums.address = burst.tables.session_terms[listener].address;
}

SLUICE_APART void SessionPath::Flush(Sums& sums) {
  if (sums.listener == SLUICE_NO_LISTENER) return;
  if (sums.forwarded[0] != 0) Add(*sums.counters->listener(sums.listener, false), sums.forwarded);
  if (sums.returned[0] != 0) Add(*sums.counters->listener(sums.listener, true), sums.returned);
  sums.forwarded = sums.returned = Volume{};
}

// The kind of the flow's entry, 0 for none; the record that it names is on its way from here on.
SLUICE_HOT uint32_t SessionPath::Meet(SessionJob& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  // The last entry stands in for one that isn't there.
  const auto at = static_cast<uint32_t>(__builtin_ctz(match | 1u << (SLUICE_BUCKET_ENTRIES - 1)));
  const uint64_t entry = SLUICE_LOAD_ENTRY(&job.bucket->entries[at]);
  job.session = &partition_.sessions[static_cast<uint32_t>(entry)];
  __builtin_prefetch(job.session, 1);
  // Without a branch: whether a flow is in its first bucket can't be predicted.
  return sluice_entry_state(entry) & (0u - (match != 0));
}

SLUICE_HOT SessionPath::Met SessionPath::MeetAll(SessionJob* jobs, uint32_t count) const {
  Met met;
  for (uint32_t i = 0; i < count; i++) met.Note(i, Meet(jobs[i]));
  return met;
}

// The second buckets of those that have no entry in their first, unless they are of a listener that does not translate;
// the jobs of those.
uint32_t SessionPath::FetchAgain(const SessionBurst& burst, SessionJob* jobs, uint32_t missed) const {
  uint32_t left_out = 0;
  for (uint32_t left = missed; left != 0; left &= left - 1) {
    const auto i = static_cast<uint32_t>(__builtin_ctz(left));
    SessionJob& job = jobs[i];
    left_out |= uint32_t{!FindListener(burst, job)} << i;
    job.bucket = &partition_.buckets[sluice_secondary_bucket(job.hash, partition_.bucket_count)];
    __builtin_prefetch(job.bucket);
  }
  return left_out;
}

// Whose the packet is. False when its listener does not translate.
SLUICE_HOT bool SessionPath::FindListener(const SessionBurst& burst, SessionJob& job) {
  job.listener = SLUICE_NO_LISTENER;
  job.reverse = job.packet->kind == SLUICE_PACKET_ECHO_REPLY;
  if (SLUICE_UNLIKELY(job.reverse || job.packet->kind == SLUICE_PACKET_LATER_FRAGMENT)) return true;
  job.listener = sluice_listener_of(&burst.tables, burst.tables.settings, &job.packet->flow);
  job.reverse = job.listener == SLUICE_NO_LISTENER;
  return job.reverse || (burst.tables.listeners[job.listener].flags & SLUICE_LISTENER_SESSIONS);
}

// Whether both are of the common case: a flow's packet that is neither SYN, FIN, RST nor a fragment; a session with
// both sides of the packet's IP version, that has not been replaced. `told`: and whose server counts a header in front
// of the client's bytes (client_address.h); else, whose server is not told of its client.
SLUICE_HOT bool SessionPath::IsPlain(const sluice_packet& packet, const sluice_session& session, bool told) {
  // Kind (0 is a flow) and flags in one comparison, protocol and flags in another.
  const uint32_t both = packet.flags * (SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_SERVER_IPV6) << 8;
  return SLUICE_LIKELY((sluice_load32(&packet.kind) & (0xffff ^ SLUICE_PACKET_IPV6 << 8)) == 0) &&
         SLUICE_LIKELY(sluice_load16(&session.protocol) == (packet.flow.protocol | both | (told ? kTold << 8 : 0)));
}

// Whether the packet may not go on: its TTL or hop limit is used up.
SLUICE_HOT bool SessionPath::LastHop(const uint8_t* l3, const sluice_packet& packet) {
  return l3[packet.flags & SLUICE_PACKET_IPV6 ? 7 : 8] <= 1;
}

// New addresses, ports and one hop less in a packet that keeps its place and its IP version. Without a VLAN tag.
SLUICE_HOT void SessionPath::TranslateInPlace(uint8_t* data, const sluice_packet& packet, const sluice_address* source,
                                              const sluice_address* destination, uint32_t ports, uint16_t address_delta,
                                              uint16_t delta) {
  uint8_t* l3 = data + SLUICE_ETHERNET_BYTES;
  uint8_t* l4 = data + packet.l4_offset;
  const uint32_t protocol = packet.flow.protocol;
  if (packet.flags & SLUICE_PACKET_IPV6) {
    const sluice_endpoints to = {source, destination, ports, delta, false};
    sluice_translate_ipv6(l3, &to, 1);
  } else {
    sluice_translate_ipv4_by(l3, source->words[3], destination->words[3], address_delta);
  }
  sluice_translate_transport_by(l4, protocol, ports, delta);
}

// The common case: a packet in the midst of a session of ours, within one IP version. SLUICE_CONTINUE when there is
// more to be done for it. Whose it is says the session, exactly; and it is compared whether the backend is still there
// for it, and whether the packets still come the same way.
SLUICE_HOT sluice_verdict SessionPath::Forward(const SessionBurst& burst, SessionJob& job, Sums& sums) {
  if (SLUICE_UNLIKELY(!IsPlain(*job.packet, *job.session, false))) return ForwardTold(burst, job, sums);
  return ForwardAs(burst, job, false, sums);
}

SLUICE_APART sluice_verdict SessionPath::ForwardTold(const SessionBurst& burst, SessionJob& job, Sums& sums) {
  return IsPlain(*job.packet, *job.session, true) ? ForwardAs(burst, job, true, sums) : SLUICE_CONTINUE;
}

SLUICE_HOT sluice_verdict SessionPath::ForwardAs(const SessionBurst& burst, SessionJob& job, bool told, Sums& sums) {
  const sluice_packet& packet = *job.packet;
  Frame& frame = *job.frame;
  uint8_t* data = frame.data;
  sluice_session* session = job.session;
  if (SLUICE_UNLIKELY(session->listener != sums.listener)) Begin(burst, *session, sums);
  const sluice_backend* backend = &sums.records[session->backend];
  const uint64_t differs = sluice_load64(&backend->pool) ^ sums.backends;
  if (SLUICE_UNLIKELY(session->ports != packet.flow.ports) ||
      SLUICE_UNLIKELY(
          !sluice_addresses_equal(&session->client, &packet.flow.source, &sums.address, &packet.flow.destination)) ||
      SLUICE_UNLIKELY(differs & kServes) ||
      SLUICE_UNLIKELY(sluice_way_back(data, &packet) != *sluice_session_way_back(session)) ||
      SLUICE_UNLIKELY(session->client_egress != burst.ingress) ||
      // Its sender gets it back as it was.
      (told && packet.l3_length > backend->mtu) || SLUICE_UNLIKELY(!NoteQuickly(burst, data, packet, false, session))) {
    return SLUICE_CONTINUE;
  }
  if (told) {
    uint8_t* l4 = data + packet.l4_offset;
    sluice_tcp_set_sequence(l4, sluice_segment_read(l4).sequence + sluice_client_address_bytes(session->flags));
  }
  const Volume volume{1, packet.l3_length};
  sums.forwarded += volume;
  if (SLUICE_UNLIKELY(differs & kPlain) || SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES) ||
      SLUICE_UNLIKELY(packet.l3_length > backend->mtu) ||
      SLUICE_UNLIKELY(LastHop(data + SLUICE_ETHERNET_BYTES, packet))) {
    return EmitAndCount(burst, job, false, volume, sums);
  }
  const uint32_t slot = session->backend;
  sluice_write_macs(data, backend);
  frame.egress = backend->port;
  TranslateInPlace(data, packet, sluice_session_source(&burst.tables, session), &backend->destination,
                   sluice_load32(&session->source_port), session->address_delta, session->delta);
  Add(*sums.counters->backend(slot, false), volume);
  return SLUICE_VERDICT_forwarded;
}

SLUICE_HOT sluice_verdict SessionPath::Return(const SessionBurst& burst, SessionJob& job, Sums& sums) {
  if (SLUICE_UNLIKELY(!IsPlain(*job.packet, *job.session, false))) return ReturnTold(burst, job, sums);
  return ReturnAs(burst, job, false, sums);
}

SLUICE_APART sluice_verdict SessionPath::ReturnTold(const SessionBurst& burst, SessionJob& job, Sums& sums) {
  return IsPlain(*job.packet, *job.session, true) ? ReturnAs(burst, job, true, sums) : SLUICE_CONTINUE;
}

SLUICE_HOT sluice_verdict SessionPath::ReturnAs(const SessionBurst& burst, SessionJob& job, bool told, Sums& sums) {
  const sluice_packet& packet = *job.packet;
  Frame& frame = *job.frame;
  uint8_t* data = frame.data;
  sluice_session* session = job.session;
  if (SLUICE_UNLIKELY(session->listener != sums.listener)) Begin(burst, *session, sums);
  const sluice_backend* backend = &sums.records[session->backend];
  const uint32_t ports = packet.flow.ports >> 16 | packet.flow.ports << 16;
  if (SLUICE_UNLIKELY(sluice_load32(&session->source_port) != ports) ||
      SLUICE_UNLIKELY(!sluice_addresses_equal(&backend->destination, &packet.flow.source,
                                              sluice_session_source(&burst.tables, session),
                                              &packet.flow.destination)) ||
      SLUICE_UNLIKELY(!(backend->flags & SLUICE_BACKEND_LIVE)) ||
      (told && packet.l3_length > burst.tables.ports[session->client_egress].mtu) ||
      SLUICE_UNLIKELY(!NoteAnswer(burst, job, told, session))) {
    return SLUICE_CONTINUE;
  }
  const Volume volume{1, packet.l3_length};
  sums.returned += volume;
  const sluice_port* port = &burst.tables.ports[session->client_egress];
  if (SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES) || SLUICE_UNLIKELY(session->client_vlan != 0) ||
      SLUICE_UNLIKELY(packet.l3_length > port->mtu) || SLUICE_UNLIKELY(LastHop(data + SLUICE_ETHERNET_BYTES, packet))) {
    return EmitAndCount(burst, job, true, volume, sums);
  }
  const uint32_t slot = session->backend;
  __builtin_memcpy(data, session->client_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(data + SLUICE_MAC_BYTES, port->mac, SLUICE_MAC_BYTES);
  frame.egress = session->client_egress;
  TranslateInPlace(data, packet, &sums.address, &session->client, session->ports >> 16 | session->ports << 16,
                   static_cast<uint16_t>(~session->address_delta), static_cast<uint16_t>(~session->delta));
  Add(*sums.counters->backend(slot, true), volume);
  sums.returned_packets++;
  return SLUICE_VERDICT_returned;
}

// NoteQuickly of an answer. Acknowledgments are noted as the client counts; one that is to be settled after all is as
// it was.
SLUICE_HOT bool SessionPath::NoteAnswer(const SessionBurst& burst, const SessionJob& job, bool told,
                                        sluice_session* session) {
  if (!told) return NoteQuickly(burst, job.frame->data, *job.packet, true, session);
  const uint32_t bytes = sluice_client_address_bytes(session->flags);
  ShiftBack(job, bytes);
  if (SLUICE_LIKELY(NoteQuickly(burst, job.frame->data, *job.packet, true, session))) return true;
  ShiftBack(job, 0u - bytes);
  return false;
}

// A packet that needs no more than that, but another Ethernet header, or an answer.
SLUICE_APART sluice_verdict SessionPath::EmitAndCount(const SessionBurst& burst, SessionJob& job, bool reverse,
                                                      Volume volume, Sums& sums) {
  job.reverse = reverse;
  const sluice_verdict verdict = Emit(burst, job, ExitOf(burst, job.reverse, *job.session));
  if (verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned) {
    Add(*sums.counters->backend(job.session->backend, job.reverse), volume);
  }
  sums.returned_packets += verdict == SLUICE_VERDICT_returned;
  if (verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned) return verdict;
  Add(sums.counters->verdicts[verdict], 1);
  sums.not_forwarded++;
  return verdict;
}

// Writes down that the packet has passed. False when it changes the session's state, or the session is over: by either
// side's RST there may be a newer one elsewhere. Once a tick it is asked whether the flow's port is still its
// listener's.
SLUICE_HOT bool SessionPath::NoteQuickly(const SessionBurst& burst, const uint8_t* data, const sluice_packet& packet,
                                         bool reverse, sluice_session* session) {
  uint64_t* at = WordOf(session, reverse);
  const uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
  uint64_t after = sluice_word_datagram(burst.tick);
  if (SLUICE_LIKELY(packet.flow.protocol == SLUICE_IP_TCP)) {
    const uint8_t* l4 = data + packet.l4_offset;
    const uint8_t flags = l4[13] & (SLUICE_TCP_SYN | SLUICE_TCP_FIN | SLUICE_TCP_RST | SLUICE_TCP_ACK);
    const uint64_t peer = __atomic_load_n(WordOf(session, !reverse), __ATOMIC_RELAXED) & SLUICE_WORD_RESET;
    if (SLUICE_UNLIKELY(flags != SLUICE_TCP_ACK)) return false;
    if (SLUICE_UNLIKELY(((word | peer) & kOpen) != SLUICE_WORD_ACK)) return false;
    after = sluice_word_acknowledgment(word, l4, burst.tick);
  }
  if (SLUICE_UNLIKELY((word & SLUICE_WORD_TICK) != burst.tick) && !GoesOn(burst, packet.flow, reverse, *session))
    return false;
  NoteWord(at, word, after);
  return true;
}

SLUICE_APART bool SessionPath::GoesOn(const SessionBurst& burst, const sluice_flow& flow, bool reverse,
                                      const sluice_session& session) {
  const uint64_t words[] = {__atomic_load_n(&session.forward, __ATOMIC_RELAXED),
                            __atomic_load_n(&session.reverse, __ATOMIC_RELAXED)};
  if (!reverse && sluice_listener_of(&burst.tables, burst.tables.settings, &flow) != session.listener) {
    return false;
  }
  return !sluice_session_expired(session.protocol, words[0], words[1], &burst.tables.session_terms[session.listener],
                                 burst.tick);
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
  if (SLUICE_UNLIKELY(LastHop(frame.data + packet.l3_offset, packet))) return SLUICE_VERDICT_ttl_expired;
  if (SLUICE_UNLIKELY(sluice_address_is_ipv4(exit.to.destination) == ipv6)) return EmitAcross(burst, job, exit);
  if (SLUICE_UNLIKELY(packet.l3_length > exit.mtu)) return TooBig(burst, job, exit.mtu);
  const int32_t growth =
      SLUICE_ETHERNET_BYTES + (exit.vlan != 0 ? SLUICE_VLAN_BYTES : 0) - static_cast<int32_t>(packet.l3_offset);
  if (SLUICE_UNLIKELY(growth > frame.headroom)) return SLUICE_VERDICT_no_headroom;
  // Padding behind an error is cut off: in the kernel what it quotes would be thought to go on there.
  if (SLUICE_UNLIKELY(packet.kind == SLUICE_PACKET_ICMP_ERROR)) frame.length = packet.l3_offset + packet.l3_length;
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
  if (!sluice_tells_too_big(job.packet) || !sluice_error_take(&errors_, burst.now)) return SLUICE_VERDICT_too_big;
  return ReplyInPlace(burst.tables, burst.ingress, *job.packet, SLUICE_VERDICT_replied_too_big, mtu, job.frame);
}

// All that a packet may need that does not just pass.
SLUICE_APART SessionPath::Outcome SessionPath::Settle(const SessionBurst& burst, SessionJob& job) {
  Found found;
  Outcome outcome;
  outcome.verdict = Resolve(burst, job, &found);
  outcome.listener = job.listener;
  outcome.opened = found.opened;
  if (SLUICE_UNLIKELY(sluice_reply_refuses(outcome.verdict))) {
    outcome.verdict =
        RefuseInPlace(burst.tables, burst.ingress, *job.packet, outcome.verdict, burst.now, &errors_, job.frame);
  }
  if (found.record == nullptr || outcome.verdict != SLUICE_CONTINUE) return outcome;
  outcome.listener = found.record->listener;
  outcome.slot = found.record->backend;
  if (SLUICE_UNLIKELY(found.record->flags & SLUICE_SESSION_TELLS)) {
    outcome.verdict = EmitTelling(burst, job, found);
  } else {
    outcome.verdict = Emit(burst, job, ExitOf(burst, job.reverse, *found.record));
  }
  return outcome;
}

// A packet of a session whose server is told the client's address: it may have to grow first.
SLUICE_APART sluice_verdict SessionPath::EmitTelling(const SessionBurst& burst, const SessionJob& job,
                                                     const Found& found) {
  const Exit exit = ExitOf(burst, job.reverse, *found.record);
  sluice_packet packet = *job.packet;
  SessionJob telling = job;
  telling.packet = &packet;
  const sluice_verdict verdict = Tell(burst, telling, found, exit, &packet);
  return verdict == SLUICE_CONTINUE ? Emit(burst, telling, exit) : verdict;
}

}  // namespace sluice
