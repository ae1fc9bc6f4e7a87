#include "engine/session_path.h"

#include "engine/session_job.h"
#include "engine/traffic.h"
#include "engine/words.h"
#include "sluice/client_address.h"
#include "sluice/follow.h"
#include "sluice/listener.h"
#include "sluice/rewrite.h"
#include "sluice/session_follow.h"
#include "sluice/session_owner.h"

namespace sluice {

// Packets of one burst mostly have one listener: those are added up first, and what is the listener's is read once. So
// is what is the burst's: for all that the compiler knows, each frame that is written may change it.
struct SessionPath::Sums {
  WorkerCounters* counters;
  const sluice_tables* tables;
  const sluice_port* ports;
  // By slot: backends, and what is counted of each.
  const sluice_backend* records;
  sluice_traffic* forwarded_to;
  sluice_traffic* returned_from;
  // What a side's word says when all that there is to note is what the packet acknowledges.
  uint64_t noted;
  uint32_t ingress;
  uint32_t listener = SLUICE_NO_LISTENER;
  // What its backends have in common, as Differs takes it.
  uint64_t backends = 0;
  sluice_address address{};
  Volume forwarded{};
  Volume returned{};
  uint32_t returned_packets = 0;
  uint32_t not_forwarded = 0;
};

namespace {

constexpr uint32_t kTold = SLUICE_SESSION_PROXY | SLUICE_SESSION_TOLD;

// `like`: a backend that has in common with most others what is in neither.
uint64_t BackendsOf(uint32_t pool, const sluice_backend* like) {
  return (sluice_load64(&like->pool) & ~SLUICE_PLAIN_MASK) | sluice_plainly_serves(pool);
}

SLUICE_HOT bool Differs(const sluice_backend* backend, uint64_t backends, uint64_t in) {
  const uint64_t says = sluice_load64(&backend->pool);
  return SLUICE_UNLIKELY(says != backends) && ((says ^ backends) & in) != 0;
}

SLUICE_HOT bool IsPlain(const Job& job, uint32_t flags) {
  return sluice_packet_is_plain(&job.packet) && sluice_session_is_plain(&job.packet, job.session, flags);
}

}  // namespace

SessionPath::SessionPath(WorkerSessions sessions)
    : partitions_(std::move(sessions.partitions)),
      self_(sessions.self),
      owners_(sessions.owners != nullptr ? std::move(sessions.owners)
                                         : std::make_shared<NatOwners>(static_cast<uint32_t>(partitions_.size()))),
      partition_(partitions_[self_]),
      own_(partition_, self_, owners_, sessions.ports) {}

SessionPath::Rest SessionPath::Process(const SessionBurst& burst, Job* jobs, uint32_t count, Candidates candidates,
                                       WorkerCounters* counters) {
  const Met first = MeetAll(jobs, count);
  Rest rest;
  const Jobs missed = candidates.flows & ~first.found();
  if (missed != 0) rest.left = FetchAgain(burst, jobs, missed);
  Sums sums{counters,
            &burst.tables,
            burst.tables.ports,
            burst.tables.backends,
            counters->backend(0, false),
            counters->backend(0, true),
            sluice_word_noted(burst.tick),
            burst.ingress};
  // Nothing but loads, so that the records come together; and their backends behind them.
  for (uint32_t i = 0; i < count; i++) __builtin_prefetch(&sums.records[jobs[i].session->backend]);
  // Those of the second buckets come while the others are worked off.
  Met second;
  for (Jobs left = missed & ~rest.left; left != 0; left &= left - 1) {
    const auto i = FirstOf(left);
    second.Note(i, Meet(jobs[i]));
  }
  Jobs unsettled = (missed & ~rest.left & ~second.found()) | candidates.fragments;
  for (const Met& met : {first, second}) {
    // Each direction by itself: which of them a packet goes can't be predicted.
    for (Jobs left = met.forward; left != 0; left &= left - 1) {
      const auto i = FirstOf(left);
      if (SLUICE_UNLIKELY(!Forward(burst, jobs[i], sums))) unsettled |= left & (0 - left);
    }
    for (Jobs left = met.reverse; left != 0; left &= left - 1) {
      const auto i = FirstOf(left);
      if (SLUICE_UNLIKELY(!Return(burst, jobs[i], sums))) unsettled |= left & (0 - left);
    }
  }
  Flush(sums);
  Add(counters->verdicts[SLUICE_VERDICT_returned], sums.returned_packets);
  rest.not_forwarded = sums.not_forwarded + sums.returned_packets;
  // In order, so that the second packet of a new flow finds what the first one made.
  for (; unsettled != 0; unsettled &= unsettled - 1) {
    const auto i = FirstOf(unsettled);
    const sluice_verdict verdict = SettleAndCount(burst, jobs[i], counters);
    rest.not_forwarded += verdict != SLUICE_VERDICT_forwarded && verdict != SLUICE_CONTINUE;
    rest.left |= Jobs{verdict == SLUICE_CONTINUE} << i;
  }
  return rest;
}

// One at a time. SLUICE_CONTINUE: it is nobody's here.
SLUICE_APART sluice_verdict SessionPath::SettleAndCount(const SessionBurst& burst, Job& job, WorkerCounters* counters) {
  if (!FindListener(burst, job)) return SLUICE_CONTINUE;
  const Volume volume{1, job.packet.l3_length};
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
  sums.backends = BackendsOf(sluice_backend_serves(&burst.tables, backend, pool) ? backend->pool : pool, backend);
  sums.address = burst.tables.session_terms[listener].address;
}

SLUICE_APART void SessionPath::Flush(Sums& sums) {
  if (sums.listener == SLUICE_NO_LISTENER) return;
  if (sums.forwarded[0] != 0) Add(*sums.counters->listener(sums.listener, false), sums.forwarded);
  if (sums.returned[0] != 0) Add(*sums.counters->listener(sums.listener, true), sums.returned);
  sums.forwarded = sums.returned = Volume{};
}

// The kind of the flow's entry, 0 for none; the record that it names is on its way from here on.
SLUICE_HOT uint32_t SessionPath::Meet(Job& job) const {
  const uint32_t match = sluice_bucket_match(job.bucket, sluice_tag(job.hash));
  // The last entry stands in for one that isn't there.
  const auto at = static_cast<uint32_t>(__builtin_ctz(match | 1u << (SLUICE_BUCKET_ENTRIES - 1)));
  const uint64_t entry = SLUICE_LOAD_ENTRY(&job.bucket->entries[at]);
  job.session = &partition_.sessions[static_cast<uint32_t>(entry)];
  FetchFar(job.session);
  // Without a branch: whether a flow is in its first bucket can't be predicted.
  return sluice_entry_state(entry) & (0u - (match != 0));
}

SLUICE_HOT SessionPath::Met SessionPath::MeetAll(Job* jobs, uint32_t count) const {
  Met met;
  for (uint32_t i = 0; i < count; i++) met.Note(i, Meet(jobs[i]));
  return met;
}

// Those that have no entry in their first bucket look for it in their second one next, if it may be there; the jobs of
// listeners that do not translate.
Jobs SessionPath::FetchAgain(const SessionBurst& burst, Job* jobs, Jobs missed) const {
  const bool all = burst.tables.settings->sessions == SLUICE_SESSIONS_ALL;
  Jobs left_out = 0;
  for (Jobs left = missed; left != 0; left &= left - 1) {
    const auto i = FirstOf(left);
    Job& job = jobs[i];
    left_out |= Jobs{!all && !FindListener(burst, job)} << i;
    if (!sluice_sessions_were_crowded(job.bucket)) continue;
    job.bucket = &partition_.buckets[sluice_secondary_bucket(job.hash, partition_.bucket_count)];
    FetchFar(job.bucket);
  }
  return left_out;
}

// Whose the packet is. False when its listener does not translate.
SLUICE_HOT bool SessionPath::FindListener(const SessionBurst& burst, Job& job) {
  job.listener = SLUICE_NO_LISTENER;
  job.reverse = job.packet.kind == SLUICE_PACKET_ECHO_REPLY;
  if (SLUICE_UNLIKELY(job.reverse || job.packet.kind == SLUICE_PACKET_LATER_FRAGMENT)) return true;
  job.listener = sluice_listener_of(&burst.tables, burst.tables.settings, &job.packet.flow);
  job.reverse = job.listener == SLUICE_NO_LISTENER;
  return job.reverse || (burst.tables.listeners[job.listener].flags & SLUICE_LISTENER_SESSIONS);
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

// The common case (session_follow.h): a packet in the midst of a session of ours that keeps its Ethernet header's
// length, whose server is not told of its client or counts a header in front of the client's bytes. False when there is
// more to be done for it. Whose it is says the session, exactly; and it is compared whether the backend is still there
// for it, and whether the packets still come the same way.
SLUICE_HOT bool SessionPath::Forward(const SessionBurst& burst, Job& job, Sums& sums) {
  if (SLUICE_UNLIKELY(!IsPlain(job, 0))) return ForwardTold(burst, job, sums);
  return ForwardAs(burst, job, false, sums);
}

SLUICE_APART bool SessionPath::ForwardTold(const SessionBurst& burst, Job& job, Sums& sums) {
  return IsPlain(job, kTold) && ForwardAs(burst, job, true, sums);
}

SLUICE_HOT bool SessionPath::ForwardAs(const SessionBurst& burst, Job& job, bool told, Sums& sums) {
  const sluice_packet& packet = job.packet;
  Frame& frame = *job.frame;
  uint8_t* data = frame.data;
  sluice_session* session = job.session;
  if (SLUICE_UNLIKELY(session->listener != sums.listener)) Begin(burst, *session, sums);
  const uint32_t slot = session->backend;
  const sluice_backend* backend = &sums.records[slot];
  if (SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES) ||
      SLUICE_UNLIKELY(Differs(backend, sums.backends, SLUICE_PLAIN_MASK)) ||
      SLUICE_UNLIKELY(packet.l3_length > backend->mtu) ||
      SLUICE_UNLIKELY(LastHop(data + SLUICE_ETHERNET_BYTES, packet))) {
    return ForwardApart(burst, job, told, sums);
  }
  if (SLUICE_UNLIKELY(!TakeForward(burst, packet, data, session, told, sums))) return false;
  const Volume volume{1, packet.l3_length};
  sums.forwarded += volume;
  sluice_write_macs(data, backend);
  frame.egress = backend->port;
  frame.verdict = SLUICE_VERDICT_forwarded;
  TranslateInPlace(data, packet, sluice_session_source(sums.tables, session), &backend->destination,
                   sluice_load32(&session->source_port), session->address_delta, session->delta);
  Add(sums.forwarded_to[slot], volume);
  return true;
}

// Whether it is a packet of the session's client; it is noted then.
SLUICE_HOT bool SessionPath::TakeForward(const SessionBurst& burst, const sluice_packet& packet, uint8_t* data,
                                         sluice_session* session, bool told, const Sums& sums) {
  if (!sluice_session_is_from_client(session, &packet.flow, &sums.address) ||
      SLUICE_UNLIKELY(sluice_way_back(data, &packet) != *sluice_session_way_back(session)) ||
      SLUICE_UNLIKELY(session->client_egress != sums.ingress) ||
      SLUICE_UNLIKELY(!NoteQuickly(burst, packet, data, {false, 0}, session, sums.noted))) {
    return false;
  }
  if (told) {
    uint8_t* l4 = data + packet.l4_offset;
    sluice_tcp_set_sequence(l4, sluice_segment_read(l4).sequence + sluice_client_address_bytes(session->flags));
  }
  return true;
}

SLUICE_APART bool SessionPath::ForwardApart(const SessionBurst& burst, Job& job, bool told, Sums& sums) {
  const sluice_backend* backend = &sums.records[job.session->backend];
  const Volume volume{1, job.packet.l3_length};
  // One that is told goes back to its sender as it was when it is too big.
  if (Differs(backend, sums.backends, SLUICE_SERVES_MASK) || (told && job.packet.l3_length > backend->mtu) ||
      !TakeForward(burst, job.packet, job.frame->data, job.session, told, sums)) {
    return false;
  }
  sums.forwarded += volume;
  EmitAndCount(burst, job, false, volume, sums);
  return true;
}

SLUICE_HOT bool SessionPath::Return(const SessionBurst& burst, Job& job, Sums& sums) {
  if (SLUICE_UNLIKELY(!IsPlain(job, 0))) return ReturnTold(burst, job, sums);
  return ReturnAs(burst, job, false, sums);
}

SLUICE_APART bool SessionPath::ReturnTold(const SessionBurst& burst, Job& job, Sums& sums) {
  return IsPlain(job, kTold) && ReturnAs(burst, job, true, sums);
}

SLUICE_HOT bool SessionPath::ReturnAs(const SessionBurst& burst, Job& job, bool told, Sums& sums) {
  const sluice_packet& packet = job.packet;
  Frame& frame = *job.frame;
  uint8_t* data = frame.data;
  sluice_session* session = job.session;
  if (SLUICE_UNLIKELY(session->listener != sums.listener)) Begin(burst, *session, sums);
  const sluice_port* port = &sums.ports[session->client_egress];
  if (SLUICE_UNLIKELY(packet.l3_offset != SLUICE_ETHERNET_BYTES) || SLUICE_UNLIKELY(session->client_vlan != 0) ||
      SLUICE_UNLIKELY(packet.l3_length > port->mtu) || SLUICE_UNLIKELY(LastHop(data + SLUICE_ETHERNET_BYTES, packet))) {
    return ReturnApart(burst, job, told, sums);
  }
  if (SLUICE_UNLIKELY(!TakeReturn(burst, job, data, session, told, sums))) return false;
  const Volume volume{1, packet.l3_length};
  sums.returned += volume;
  sums.returned_packets++;
  __builtin_memcpy(data, session->client_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(data + SLUICE_MAC_BYTES, port->mac, SLUICE_MAC_BYTES);
  frame.egress = session->client_egress;
  frame.verdict = SLUICE_VERDICT_returned;
  TranslateInPlace(data, packet, &sums.address, &session->client, session->ports >> 16 | session->ports << 16,
                   static_cast<uint16_t>(~session->address_delta), static_cast<uint16_t>(~session->delta));
  Add(sums.returned_from[session->backend], volume);
  return true;
}

// Whether it is a packet of the session's server; it is noted then.
SLUICE_HOT bool SessionPath::TakeReturn(const SessionBurst& burst, const Job& job, const uint8_t* data,
                                        sluice_session* session, bool told, const Sums& sums) {
  const sluice_backend* backend = &sums.records[session->backend];
  return sluice_session_is_from_server(session, &job.packet.flow, &backend->destination,
                                       sluice_session_source(sums.tables, session)) &&
         SLUICE_LIKELY(backend->flags & SLUICE_BACKEND_LIVE) &&
         SLUICE_LIKELY(NoteAnswer(burst, job, data, session, told, sums.noted));
}

SLUICE_APART bool SessionPath::ReturnApart(const SessionBurst& burst, Job& job, bool told, Sums& sums) {
  const Volume volume{1, job.packet.l3_length};
  const bool too_big = job.packet.l3_length > burst.tables.ports[job.session->client_egress].mtu;
  if ((told && too_big) || !TakeReturn(burst, job, job.frame->data, job.session, told, sums)) return false;
  sums.returned += volume;
  EmitAndCount(burst, job, true, volume, sums);
  return true;
}

// NoteQuickly of an answer. Acknowledgments are noted as the client counts, and numbers it as the client does from here
// on; one that is to be settled after all is as it was.
SLUICE_HOT bool SessionPath::NoteAnswer(const SessionBurst& burst, const Job& job, const uint8_t* data,
                                        sluice_session* session, bool told, uint64_t noted) {
  const uint32_t ahead = told ? sluice_client_address_bytes(session->flags) : 0;
  if (SLUICE_UNLIKELY(!NoteQuickly(burst, job.packet, data, {true, ahead}, session, noted))) return false;
  if (told) ShiftBack(job, ahead);
  return true;
}

// A packet that needs no more than that, but another Ethernet header, or an answer.
SLUICE_APART void SessionPath::EmitAndCount(const SessionBurst& burst, Job& job, bool reverse, Volume volume,
                                            Sums& sums) {
  job.reverse = reverse;
  const sluice_verdict verdict = EmitApart(burst, job, *job.session);
  job.frame->verdict = static_cast<uint8_t>(verdict);
  if (verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned) {
    Add(*sums.counters->backend(job.session->backend, job.reverse), volume);
    sums.returned_packets += verdict == SLUICE_VERDICT_returned;
    return;
  }
  Add(sums.counters->verdicts[verdict], 1);
  sums.not_forwarded++;
}

// Writes down that the packet has passed. False when it changes the session's state, or the session is over. What is
// noted quickly is an acknowledgment, of a side that has been noted in this tick.
SLUICE_HOT bool SessionPath::NoteQuickly(const SessionBurst& burst, const sluice_packet& packet, const uint8_t* data,
                                         Side side, sluice_session* session, uint64_t noted) {
  uint64_t* at = WordOf(session, side.reverse);
  const uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
  if (SLUICE_UNLIKELY(packet.flow.protocol != SLUICE_IP_TCP)) {
    return SLUICE_LIKELY(word == sluice_word_datagram(burst.tick)) || Note(burst, packet, data, side, session);
  }
  const uint8_t* l4 = data + packet.l4_offset;
  const uint64_t peer = __atomic_load_n(WordOf(session, !side.reverse), __ATOMIC_RELAXED);
  if (!sluice_word_only_acknowledges(word, peer, l4, noted)) {
    return Note(burst, packet, data, side, session);
  }
  NoteWord(at, word, sluice_word_acknowledgment(word, l4, side.ahead, word & SLUICE_WORD_TICK));
  return true;
}

// The same of any side. By either side's RST there may be a newer session elsewhere. Once a tick it is asked whether
// the flow's port is still its listener's.
SLUICE_APART bool SessionPath::Note(const SessionBurst& burst, const sluice_packet& packet, const uint8_t* data,
                                    Side side, sluice_session* session) {
  uint64_t* at = WordOf(session, side.reverse);
  const uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
  uint64_t after = sluice_word_datagram(burst.tick);
  if (packet.flow.protocol == SLUICE_IP_TCP) {
    const uint8_t* l4 = data + packet.l4_offset;
    const uint64_t peer = __atomic_load_n(WordOf(session, !side.reverse), __ATOMIC_RELAXED) & SLUICE_WORD_RESET;
    if ((l4[13] & SLUICE_TCP_STATES) != SLUICE_TCP_ACK || ((word | peer) & SLUICE_WORD_OPEN) != SLUICE_WORD_ACK)
      return false;
    after = sluice_word_acknowledgment(word, l4, side.ahead, burst.tick);
  }
  const bool again = (word & SLUICE_WORD_TICK) == burst.tick;
  if (!again && !GoesOn(burst, packet.flow, side.reverse, *session)) return false;
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

}  // namespace sluice
