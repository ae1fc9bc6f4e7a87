// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The common packet of a session, in fewer steps (sluice/session_follow.h): of one that is this queue's own, in a frame
// that keeps its Ethernet header's length. As soon as it turns out to be something else it goes on as any packet
// (engine.h), and nothing has been changed until then but a checksum that was left to a device.
#pragma once

#include "count.h"
#include "session_open.h"
#include "sluice/session_follow.h"

// What is left to do once it is known whose the packet is: what its side's word becomes, and the packet.
struct session_change {
  uint64_t* side;
  uint64_t peer;
  struct sluice_endpoints to;
  uint16_t address_delta;
  // Both MAC addresses.
  uint64_t macs;
  uint32_t more_macs;
};

// The side's word and the packet, which stays where it is. False when the packet says more than what it acknowledges,
// or the side is not open; then nothing has been changed but a checksum that was left to a device. The comparisons are
// for the verifier: all of it has been parsed.
static __always_inline bool change_common(struct xdp_md* context, struct engine_job* job,
                                          const struct session_change* change) {
  if (SLUICE_UNLIKELY(job->unfinished)) {
    engine_finish_checksum(context, job);
    job->unfinished = 0;
  }
  const uint64_t word = SLUICE_LOAD(change->side);
  const uint32_t tick = sluice_tick(job->now);
  const bool tcp = job->packet.flow.protocol == SLUICE_IP_TCP;
  const bool ipv6 = job->packet.flags & SLUICE_PACKET_IPV6;
  uint8_t* head = (uint8_t*)packet_data(context);
  const uint8_t* end = packet_end(context);
  uint8_t* l3 = head + SLUICE_ETHERNET_BYTES;
  uint8_t* l4 = l3 + SLUICE_IPV4_BYTES;
  if (ipv6) l4 = l3 + SLUICE_IPV6_BYTES;
  SLUICE_KEEP(l4);
  if (l3 + SLUICE_IPV4_BYTES > end || (ipv6 && l3 + SLUICE_IPV6_BYTES > end)) return false;
  if (SLUICE_LIKELY(tcp)) {
    if (l4 + SLUICE_TCP_BYTES > end) return false;
    if (!sluice_word_only_acknowledges(word, change->peer, l4, sluice_word_noted(tick))) return false;
    SLUICE_STORE(change->side, sluice_word_acknowledgment(word, l4, 0, tick));
    sluice_translate_transport_by(l4, SLUICE_IP_TCP, change->to.ports, change->to.delta);
  } else {
    if (l4 + SLUICE_UDP_BYTES > end || word != sluice_word_datagram(tick)) return false;
    sluice_translate_transport_by(l4, SLUICE_IP_UDP, change->to.ports, change->to.delta);
  }
  if (ipv6) {
    sluice_translate_ipv6(l3, &change->to, 1);
  } else {
    sluice_translate_ipv4_by(l3, change->to.source->words[3], change->to.destination->words[3], change->address_delta);
  }
  sluice_store64(head, change->macs);
  sluice_store32(head + 8, change->more_macs);
  return true;
}

// To the server: SLUICE_VERDICT_forwarded. SLUICE_CONTINUE when it takes more.
static __always_inline uint32_t session_forward(struct xdp_md* context, struct engine_job* job,
                                                struct sluice_session* session, uint32_t listener, uint32_t slot) {
  const struct sluice_session_terms* terms = SLUICE_AT(&job->tables, sluice_session_terms, session_terms, listener);
  if (!terms || terms->established == 0) return SLUICE_CONTINUE;
  if (!sluice_session_is_from_client(session, &job->packet.flow, &terms->address)) return SLUICE_CONTINUE;
  const uint64_t serves = sluice_plainly_serves(terms->pool);
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, slot);
  if (!backend || (sluice_load64(&backend->pool) & SLUICE_PLAIN_MASK) != serves) return SLUICE_CONTINUE;
  if (job->packet.l3_length > backend->mtu || job->ingress != session->client_egress) return SLUICE_CONTINUE;
  const struct sluice_address* source = sluice_session_source(&job->tables, session);
  const uint8_t* head = packet_data(context);
  if (!source || head + SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES > packet_end(context)) return SLUICE_CONTINUE;
  if (sluice_way_back(head, &job->packet) != SLUICE_LOAD(sluice_session_way_back(session))) return SLUICE_CONTINUE;
  const uint8_t* macs = (const uint8_t*)backend;
  const struct session_change change = {
      &session->forward,
      SLUICE_LOAD(&session->reverse),
      {source, &backend->destination, sluice_load32(&session->source_port), session->delta, false},
      session->address_delta,
      sluice_load64(macs),
      sluice_load32(macs + 8)};
  job->egress = backend->port;
  return change_common(context, job, &change) ? SLUICE_VERDICT_forwarded : SLUICE_CONTINUE;
}

// Back to the client: SLUICE_VERDICT_returned.
static __always_inline uint32_t session_return(struct xdp_md* context, struct engine_job* job,
                                               struct sluice_session* session, uint32_t listener, uint32_t slot) {
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, slot);
  const struct sluice_address* source = sluice_session_source(&job->tables, session);
  if (!backend || !source) return SLUICE_CONTINUE;
  if (!sluice_session_is_from_server(session, &job->packet.flow, &backend->destination, source)) return SLUICE_CONTINUE;
  if (!(backend->flags & SLUICE_BACKEND_LIVE)) return SLUICE_CONTINUE;
  const struct sluice_session_terms* terms = SLUICE_AT(&job->tables, sluice_session_terms, session_terms, listener);
  if (!terms || terms->established == 0) return SLUICE_CONTINUE;
  const uint32_t egress = session->client_egress;
  const struct sluice_port* port = SLUICE_AT(&job->tables, sluice_port, ports, egress);
  if (!port || job->packet.l3_length > port->mtu) return SLUICE_CONTINUE;
  const uint64_t client = SLUICE_LOAD(sluice_session_way_back(session));
  const uint64_t own = sluice_load64(port);
  // With a VLAN tag.
  if (client >> 48) return SLUICE_CONTINUE;
  const struct session_change change = {&session->reverse,
                                        SLUICE_LOAD(&session->forward),
                                        {&terms->address, &session->client, session->ports >> 16 | session->ports << 16,
                                         (uint16_t)~session->delta, false},
                                        (uint16_t)~session->address_delta,
                                        client | own << 48,
                                        (uint32_t)(own >> 16)};
  job->egress = egress;
  return change_common(context, job, &change) ? SLUICE_VERDICT_returned : SLUICE_CONTINUE;
}

// A common packet (parse.h) that may be of a session: its verdict, which is counted, or COMMON_PARSED.
static __always_inline uint32_t common_translate(struct xdp_md* context, struct engine_job* job,
                                                 const struct sluice_settings* settings, uint64_t length) {
  if (sluice_session_records == 0 || !sluice_packet_is_plain(&job->packet)) return COMMON_PARSED;
  const struct sluice_expired* over = bpf_map_lookup_elem(&sluice_expired_map, &job->session_own);
  // Those are ended by packets that go the long way.
  if (!over || sluice_session_any_expired(over)) return COMMON_PARSED;
  uint32_t kind;
  struct sluice_session* session = engine_meet(job, sluice_hash_flow(settings, &job->packet.flow), &kind);
  if (!session || !sluice_session_is_plain(&job->packet, session, 0)) return COMMON_PARSED;
  const uint32_t listener = session->listener;
  const uint32_t slot = session->backend;
  if (kind == SLUICE_ENTRY_FORWARD) {
    const uint32_t verdict = session_forward(context, job, session, listener, slot);
    if (verdict == SLUICE_CONTINUE) return COMMON_PARSED;
    count_common(job, verdict, SLUICE_VERDICT_forwarded, length, 2 * job->own, listener, slot);
    return verdict;
  }
  const uint32_t verdict = session_return(context, job, session, listener, slot);
  if (verdict == SLUICE_CONTINUE) return COMMON_PARSED;
  count_common(job, verdict, SLUICE_VERDICT_returned, length, 2 * job->own + 1, listener, slot);
  return verdict;
}
