// What becomes of a session's packets when its server is told the client's address (sluice/client_address.h). Sessions
// of other pools never come here.
//
// That the server has the header is noted by whoever gets its packets, before the acknowledgment that says so: who
// reads them the other way round finds either both or a number that is still the first one.
#include <cstring>

#include "engine/session_job.h"
#include "engine/session_path.h"
#include "engine/words.h"
#include "sluice/client_address.h"
#include "sluice/reply.h"
#include "sluice/translate46.h"

namespace sluice {
namespace {

sluice_proxied ProxiedOf(const sluice_session& live) {
  const uint64_t reverse = __atomic_load_n(&live.reverse, __ATOMIC_ACQUIRE);
  return sluice_proxied_of(__atomic_load_n(&live.flags, __ATOMIC_RELAXED), reverse);
}

// Seen by whoever sees what is stored in the reverse word after it. Raise: whether it was not set.
bool Raise(uint8_t* flags, uint8_t flag) {
  const uint8_t before = __atomic_fetch_or(flags, flag, __ATOMIC_RELAXED);
  sluice_release_fence();
  return (before & flag) == 0;
}
void Drop(uint8_t* flags, uint8_t flag) {
  __atomic_fetch_and(flags, static_cast<uint8_t>(~flag), __ATOMIC_RELAXED);
  sluice_release_fence();
}

// Of the packet as it lies in the frame.
uint8_t* Ip(const Job& job) {
  return job.frame->data + job.packet.l3_offset;
}
uint8_t* Tcp(const Job& job) {
  return job.frame->data + job.packet.l4_offset;
}
const uint8_t* End(const Job& job) {
  return Ip(job) + job.packet.l3_length;
}

uint32_t Payload(const Job& job) {
  return static_cast<uint32_t>(End(job) - Tcp(job)) - sluice_tcp_length(Tcp(job));
}

// The frame then ends with the packet.
void CutPayload(const Job& job, sluice_packet* packet) {
  if (Payload(job) == 0) return;
  sluice_tcp_cut_payload(Ip(job), End(job), packet);
  job.frame->length = packet->l3_offset + packet->l3_length;
}

// The server's SYN says how long the client's segments may be, and it may send so much at once.
void LowerSyn(const Job& job, const sluice_session& session, const sluice_backend& backend) {
  const uint32_t bytes = sluice_client_address_bytes(session.flags);
  const uint32_t headers =
      SLUICE_TCP_BYTES + (session.flags & SLUICE_SESSION_SERVER_IPV6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
  sluice_clamp_mss(Tcp(job), End(job), backend.mtu, headers);
  sluice_lower_mss(Tcp(job), End(job), bytes);
  // Windows of SYNs are not scaled (RFC 7323 section 2.2).
  if (session.flags & SLUICE_SESSION_PROXY) sluice_lower_window(Tcp(job), bytes, 0);
}

// Whether the server has what completes the handshake: it takes nothing and says nothing before.
bool ShowsOption(const Job& job, const sluice_session& session, const sluice_segment& segment) {
  const auto acknowledged = static_cast<uint32_t>(session.reverse >> SLUICE_WORD_NUMBER_SHIFT);
  if (!(session.reverse & SLUICE_WORD_SYN) || (segment.flags & SLUICE_TCP_RST)) return false;
  if ((segment.flags & SLUICE_TCP_FIN) || Payload(job) > 0) return true;
  return (segment.flags & SLUICE_TCP_ACK) && static_cast<int32_t>(segment.acknowledgment - acknowledged) > 0;
}

}  // namespace

// A SYN in the midst of a session begins another connection if the server has forgotten this one: it has had no option.
// (A header is known by the numbers of the server's SYN.)
void SessionPath::TellAgain(const SessionBurst& burst, const Found& found) {
  const sluice_backend& backend = burst.tables.backends[found.record->backend];
  if (!(backend.flags & SLUICE_BACKEND_TOA) || (found.record->flags & SLUICE_SESSION_TELLS)) return;
  Raise(&found.live->flags, SLUICE_SESSION_TOA);
  copy_.flags |= SLUICE_SESSION_TOA;
}

// A segment of the server, which `segment` was read from: both become what the client would have sent it for. What says
// nothing about the client's bytes is not to be noted.
void SessionPath::HearServer(const SessionBurst& burst, const Job& job, const Found& found, sluice_segment* segment) {
  const sluice_session& session = *found.record;
  uint8_t* flags = &found.live->flags;
  if (segment->flags & SLUICE_TCP_SYN) {
    LowerSyn(job, session, burst.tables.backends[session.backend]);
    segment->window = sluice_segment_read(Tcp(job)).window;
    // A server that had the header has forgotten the connection: this is another one, without.
    if ((session.flags & SLUICE_SESSION_TOLD) && (segment->flags & SLUICE_TCP_ACK)) Drop(flags, SLUICE_SESSION_TOLD);
    return;
  }
  if (session.flags & SLUICE_SESSION_TOA) {
    // From here on it is a session like any other.
    if (ShowsOption(job, session, *segment)) Drop(flags, SLUICE_SESSION_TOA);
    return;
  }
  if (!(segment->flags & SLUICE_TCP_ACK)) return;
  sluice_proxied proxied = ProxiedOf(*found.live);
  const uint32_t shift = sluice_window_shift(session.scales, true);
  const auto window = static_cast<uint32_t>(session.reverse >> SLUICE_WORD_WINDOW_SHIFT & 0xffff) << shift;
  const uint32_t acknowledgment = segment->acknowledgment;
  if (!proxied.told && sluice_proxied_is_told(&proxied, acknowledgment, window)) {
    if (Raise(flags, SLUICE_SESSION_TOLD)) Add(own_.counters().proxy_acknowledged, 1);
    proxied.told = true;
  }
  segment->acknowledgment = sluice_proxied_back(&proxied, acknowledgment);
  sluice_tcp_set_acknowledgment(Tcp(job), segment->acknowledgment);
  sluice_proxied_back_sack(Tcp(job), End(job), &proxied);
  if (proxied.told || !proxied.begun) return;
  if (segment->acknowledgment != proxied.first) {
    // Of another connection: the number that was noted stays the first one.
    segment->flags &= static_cast<uint8_t>(~SLUICE_TCP_ACK);
    return;
  }
  sluice_lower_window(Tcp(job), proxied.first + proxied.bytes - acknowledgment, shift);
  segment->window = sluice_segment_read(Tcp(job)).window;
}

// Before a packet of such a session is translated: `packet` is job.packet, and is changed with the frame.
// SLUICE_CONTINUE, or what has become of it.
sluice_verdict SessionPath::Tell(const SessionBurst& burst, const Job& job, const Found& found, const Exit& exit,
                                 sluice_packet* packet) {
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR) TellQuote(job, found);
  if (packet->kind != SLUICE_PACKET_FLOW) return SLUICE_CONTINUE;
  if (exit.mtu == 0) return SLUICE_VERDICT_no_next_hop;
  const bool proxy = found.record->flags & SLUICE_SESSION_PROXY;
  if (job.reverse) return proxy ? CheckAnswer(burst, job, found, exit) : SLUICE_CONTINUE;
  if (proxy) return TellByHeader(burst, job, found, exit, packet);
  return TellByOption(burst, job, found, exit, packet);
}

sluice_verdict SessionPath::TellByHeader(const SessionBurst& burst, const Job& job, const Found& found,
                                         const Exit& exit, sluice_packet* packet) {
  const sluice_session& session = *found.record;
  const sluice_proxied proxied = ProxiedOf(*found.live);
  const sluice_segment segment = sluice_segment_read(Tcp(job));
  const bool acknowledged = session.forward & SLUICE_WORD_ACK;
  switch (sluice_proxied_fate(&proxied, &segment, Payload(job), packet->flags & SLUICE_PACKET_FIRST_FRAGMENT,
                              acknowledged)) {
    case SLUICE_PROXIED_REFUSED:
      return SLUICE_VERDICT_client_address_misplaced;
    case SLUICE_PROXIED_SHIFTS: {
      // Its sender gets it back as it was when it is too big.
      const sluice_verdict fits = MakeGap(burst, job, exit, 0, 0);
      if (fits == SLUICE_CONTINUE) sluice_tcp_set_sequence(Tcp(job), segment.sequence + proxied.bytes);
      return fits;
    }
    case SLUICE_PROXIED_KEEPS:
      if (!(segment.flags & SLUICE_TCP_SYN)) return SLUICE_CONTINUE;
      sluice_proxied_blank_syn(Tcp(job), End(job));
      CutPayload(job, packet);
      return SLUICE_CONTINUE;
    case SLUICE_PROXIED_GROWS:
      break;
  }
  const uint32_t offset = packet->l4_offset + sluice_tcp_length(Tcp(job));
  const sluice_verdict verdict = MakeGap(burst, job, exit, offset, proxied.bytes);
  if (verdict != SLUICE_CONTINUE) return verdict;
  sluice_proxy_insert(Ip(job), packet, &session, &burst.tables.session_terms[session.listener].address);
  return SLUICE_CONTINUE;
}

// The server looks for the option in what completes the handshake, so that a client's own must not be there.
sluice_verdict SessionPath::TellByOption(const SessionBurst& burst, const Job& job, const Found& found,
                                         const Exit& exit, sluice_packet* packet) {
  const sluice_session& session = *found.record;
  sluice_tcp_blank_options(Tcp(job), End(job), SLUICE_OPTION_TOA);
  const uint8_t flags = Tcp(job)[13];
  // With data in the SYN there would be nothing to complete.
  if (flags & SLUICE_TCP_SYN) sluice_tcp_blank_options(Tcp(job), End(job), SLUICE_OPTION_FAST_OPEN);
  if (flags & (SLUICE_TCP_SYN | SLUICE_TCP_RST)) return SLUICE_CONTINUE;
  const uint32_t bytes = sluice_client_address_bytes(session.flags);
  if ((packet->flags & SLUICE_PACKET_FIRST_FRAGMENT) || !sluice_toa_fits(Tcp(job), bytes)) {
    Add(own_.counters().toa_left_out, 1);
    return SLUICE_CONTINUE;
  }
  const sluice_verdict verdict = MakeGap(burst, job, exit, packet->l4_offset + SLUICE_TCP_BYTES, bytes);
  if (verdict == SLUICE_CONTINUE) sluice_toa_insert(Ip(job), packet, &session);
  return verdict;
}

// An ICMP error quotes what its sender got: the one whose packet that was knows it by its own numbers. `job.reverse`:
// it was the client's.
void SessionPath::TellQuote(const Job& job, const Found& found) {
  const sluice_session& session = *found.record;
  const bool ipv6 = job.packet.flags & SLUICE_PACKET_IPV6;
  uint8_t* icmp = Tcp(job);
  uint8_t* l4 = icmp + SLUICE_ICMP_BYTES + job.packet.quote_l4;
  const sluice_proxied proxied = ProxiedOf(*found.live);
  // The parser has seen eight bytes of it.
  const uint32_t sequence = SLUICE_32(sluice_load32(l4 + 4));
  if (!job.reverse) {
    if (!proxied.told || l4 + 12 > End(job)) return;
    const uint32_t acknowledgment = SLUICE_32(sluice_load32(l4 + 8)) + proxied.bytes;
    return sluice_quote_store32(icmp, l4, End(job), l4 + 8, SLUICE_32(acknowledgment));
  }
  const bool grown = session.flags & SLUICE_SESSION_TOA ? true : !proxied.told && sequence == proxied.first;
  if (grown) sluice_quote_lower_mtu(icmp, ipv6, sluice_client_address_bytes(session.flags));
  if (!(session.flags & SLUICE_SESSION_PROXY)) return;
  sluice_quote_store32(icmp, l4, End(job), l4 + 4, SLUICE_32(sluice_proxied_back(&proxied, sequence)));
}

// All numbers of the client's bytes in a segment of a server that has the header, as the client counts.
void SessionPath::ShiftBack(const Job& job, uint32_t bytes) {
  const sluice_proxied told = {.first = 0, .bytes = bytes, .begun = true, .told = true};
  sluice_tcp_set_acknowledgment(Tcp(job), sluice_segment_read(Tcp(job)).acknowledgment - bytes);
  sluice_proxied_back_sack(Tcp(job), End(job), &told);
}

// How long a packet that is to grow by `bytes` may be before it does, to go by `exit`: *mtu, 0 when it may go as it is.
// SLUICE_CONTINUE, or why it can't be translated.
sluice_verdict SessionPath::Measure(const Job& job, const Exit& exit, uint32_t bytes, uint32_t* mtu) {
  const sluice_packet& packet = job.packet;
  const bool ipv6 = packet.flags & SLUICE_PACKET_IPV6;
  uint32_t length = packet.l3_length;
  *mtu = exit.mtu;
  if (sluice_address_is_ipv4(exit.to.destination) == ipv6) {
    sluice_crossing crossing{};
    const sluice_verdict verdict = sluice_crossing_read(Ip(job), End(job), &packet, exit.mtu, &crossing);
    if (verdict != SLUICE_CONTINUE) return verdict;
    length = crossing.length;
    *mtu = sluice_crossing_mtu(&crossing, ipv6, exit.mtu);
  }
  *mtu = length + bytes > exit.mtu ? *mtu - bytes : 0;
  return SLUICE_CONTINUE;
}

// A server whose packet is too big gets it back with its own numbers.
sluice_verdict SessionPath::CheckAnswer(const SessionBurst& burst, const Job& job, const Found& found,
                                        const Exit& exit) {
  uint32_t mtu = 0;
  const sluice_verdict verdict = Measure(job, exit, 0, &mtu);
  if (verdict != SLUICE_CONTINUE || mtu == 0) return verdict;
  const sluice_proxied proxied = ProxiedOf(*found.live);
  if (proxied.told && !(Tcp(job)[13] & SLUICE_TCP_SYN)) ShiftBack(job, 0u - proxied.bytes);
  return TooBig(burst, job, mtu);
}

// Moves the head of the frame, `offset` bytes, forward by `bytes`, if the packet may grow by them.
sluice_verdict SessionPath::MakeGap(const SessionBurst& burst, const Job& job, const Exit& exit, uint32_t offset,
                                    uint32_t bytes) {
  Frame& frame = *job.frame;
  uint32_t mtu = 0;
  const sluice_verdict verdict = Measure(job, exit, bytes, &mtu);
  if (verdict != SLUICE_CONTINUE) return verdict;
  if (mtu != 0) return TooBig(burst, job, mtu);
  if (bytes > frame.headroom) return SLUICE_VERDICT_no_headroom;
  if (bytes == 0) return SLUICE_CONTINUE;
  std::memmove(frame.data - bytes, frame.data, offset);
  frame.data -= bytes;
  frame.length += bytes;
  frame.headroom = static_cast<uint16_t>(frame.headroom - bytes);
  return SLUICE_CONTINUE;
}

}  // namespace sluice
