// How a session's packet leaves when it is not only changed where it lies: with an Ethernet header of another length,
// as one of the other IP version, after its server has been told the client's address; or with an answer to its sender.
#include <algorithm>

#include "engine/reply_frame.h"
#include "engine/session_job.h"
#include "engine/session_path.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/translate46.h"

namespace sluice {

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

sluice_verdict SessionPath::EmitApart(const SessionBurst& burst, const Job& job, const sluice_session& session) {
  return Emit(burst, job, ExitOf(burst, job.reverse, session));
}

// An exit without a next hop has no MTU.
SLUICE_HOT sluice_verdict SessionPath::Emit(const SessionBurst& burst, const Job& job, const Exit& exit) {
  const sluice_packet& packet = job.packet;
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
SLUICE_APART sluice_verdict SessionPath::EmitAcross(const SessionBurst& burst, const Job& job, const Exit& exit) {
  const sluice_packet& packet = job.packet;
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

SLUICE_COLD sluice_verdict SessionPath::TooBig(const SessionBurst& burst, const Job& job, uint32_t mtu) {
  if (!sluice_tells_too_big(&job.packet) || !sluice_error_take(&errors_, burst.now)) return SLUICE_VERDICT_too_big;
  return ReplyInPlace(burst.tables, burst.ingress, job.packet, SLUICE_VERDICT_replied_too_big, mtu, job.frame);
}

// All that a packet may need that does not just pass.
SLUICE_APART SessionPath::Outcome SessionPath::Settle(const SessionBurst& burst, Job& job) {
  Found found;
  Outcome outcome;
  outcome.verdict = Resolve(burst, job, &found);
  outcome.listener = job.listener;
  outcome.opened = found.opened;
  if (SLUICE_UNLIKELY(sluice_reply_refuses(outcome.verdict))) {
    outcome.verdict =
        RefuseInPlace(burst.tables, burst.ingress, job.packet, outcome.verdict, burst.now, &errors_, job.frame);
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
SLUICE_APART sluice_verdict SessionPath::EmitTelling(const SessionBurst& burst, const Job& job, const Found& found) {
  const Exit exit = ExitOf(burst, job.reverse, *found.record);
  Job telling = job;
  const sluice_verdict verdict = Tell(burst, telling, found, exit, &telling.packet);
  return verdict == SLUICE_CONTINUE ? Emit(burst, telling, exit) : verdict;
}

}  // namespace sluice
