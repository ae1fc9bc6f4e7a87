// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Step 5 of a translated packet's journey in the kernel: the packet as it goes on.
#pragma once

#include "session_job.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"
#include "sluice/translate.h"

// As they will be read: a load that is wider than the stores before it waits until those have left the store buffer.
static __always_inline void store_macs(struct session_exit* exit, uint64_t macs, uint32_t more) {
  sluice_store64(exit->destination_mac, macs);
  sluice_store32(exit->destination_mac + 8, more);
}

// Where the packet goes.
static __always_inline uint32_t session_find_exit(struct engine_job* job, struct session_job* sessions) {
  job->listener = sessions->session.listener;
  job->slot = sessions->session.backend;
  const struct sluice_session* session = &sessions->session;
  struct session_exit* exit = &sessions->exit;
  if (job->reverse) {
    const struct sluice_port* port = SLUICE_AT(&job->tables, sluice_port, ports, session->client_egress);
    const struct sluice_session_terms* terms =
        SLUICE_AT(&job->tables, sluice_session_terms, session_terms, session->listener);
    if (!port || !terms) return SLUICE_VERDICT_no_table;
    sluice_write_address(&exit->source, &terms->address);
    sluice_write_address(&exit->destination, &session->client);
    exit->ports = session->ports >> 16 | session->ports << 16;
    exit->delta = (uint16_t)~session->delta;
    exit->keeps_source = 0;
    const uint64_t client = sluice_load64(session->client_mac);
    const uint64_t own = sluice_load64(port);
    store_macs(exit, (client & 0xffffffffffff) | own << 48, (uint32_t)(own >> 16));
    exit->vlan = session->client_vlan;
    job->egress = session->client_egress;
    exit->mtu = port->mtu;
    return SLUICE_CONTINUE;
  }
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, session->backend);
  const struct sluice_address* source = sluice_session_source(&job->tables, session);
  if (!backend || !source) return SLUICE_VERDICT_no_table;
  sluice_write_address(&exit->source, source);
  sluice_write_address(&exit->destination, &backend->destination);
  exit->ports = sluice_ports(session->source_port, session->server_port);
  exit->delta = session->delta;
  exit->keeps_source = session->nat_address == SLUICE_NO_NAT_ADDRESS;
  store_macs(exit, sluice_load64(backend), sluice_load32((const uint8_t*)backend + 8));
  exit->vlan = backend->vlan;
  job->egress = backend->port;
  exit->mtu = backend->flags & SLUICE_BACKEND_NEXT_HOP ? backend->mtu : 0;
  return exit->mtu == 0 ? SLUICE_VERDICT_no_next_hop : SLUICE_CONTINUE;
}

static __always_inline struct sluice_endpoints endpoints(const struct session_exit* exit) {
  const struct sluice_endpoints to = {&exit->source, &exit->destination, exit->ports, exit->delta,
                                      exit->keeps_source != 0};
  return to;
}

// Whether the sender of a packet that is too big is told.
STAGE uint32_t session_too_big(struct engine_job* job, uint32_t mtu) {
  if (!job) return SLUICE_VERDICT_no_table;
  if (!sluice_tells_too_big(&job->packet) || !take_error(job, true)) return SLUICE_VERDICT_too_big;
  job->mtu = mtu;
  return SLUICE_VERDICT_replied_too_big;
}

static __always_inline int32_t l2_length(const struct session_exit* exit) {
  return SLUICE_ETHERNET_BYTES + (exit->vlan ? SLUICE_VLAN_BYTES : 0);
}

static __always_inline bool write_l2(uint8_t* head, const uint8_t* end, const struct session_exit* exit, bool ipv6) {
  if (head + SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES > end) return false;
  // Both, as they lie.
  sluice_store64(head, sluice_load64(exit->destination_mac));
  sluice_store32(head + 8, sluice_load32(exit->destination_mac + 8));
  sluice_write_l2_type(head, exit->vlan, ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  return true;
}

// Where the IP header is, behind the new Ethernet header.
static __always_inline uint8_t* new_l3(const struct xdp_md* context, const struct session_job* session) {
  return (uint8_t*)packet_data(context) + SLUICE_BOUND(l2_length(&session->exit), 0x1f);
}

// Within one IP version, behind the new Ethernet header.
STAGE int session_translate_error(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return 0;
  const struct sluice_endpoints to = endpoints(&session->exit);
  return sluice_translate_icmp_error(new_l3(context, session), packet_end(context), &job->packet, &to);
}
static __always_inline int session_translate(struct xdp_md* context, struct engine_job* job,
                                             struct session_job* session) {
  uint8_t* head = (uint8_t*)packet_data(context);
  const bool ipv6 = job->packet.flags & SLUICE_PACKET_IPV6;
  if (!write_l2(head, packet_end(context), &session->exit, ipv6)) return 0;
  if (job->packet.kind == SLUICE_PACKET_ICMP_ERROR) return session_translate_error(context, job, session);
  const struct sluice_endpoints to = endpoints(&session->exit);
  return sluice_translate_flow(new_l3(context, session), packet_end(context), &job->packet, &to);
}

// Cuts the padding off: the frame's end is the only one that the verifier believes in, and what is translated must not
// read on behind the packet.
static __always_inline bool cut_padding(struct xdp_md* context, const struct engine_job* job) {
  return resize(context, 0, job->packet.l3_offset + job->packet.l3_length);
}

static __always_inline uint32_t emit_within(struct xdp_md* context, struct engine_job* job,
                                            struct session_job* session) {
  if (job->packet.l3_length > session->exit.mtu) return session_too_big(job, session->exit.mtu);
  if (job->packet.kind == SLUICE_PACKET_ICMP_ERROR && !cut_padding(context, job)) return SLUICE_VERDICT_truncated_ip;
  const int32_t growth = l2_length(&session->exit) - (int32_t)job->packet.l3_offset;
  if (!resize(context, growth, packet_length(context) + (uint32_t)growth)) return SLUICE_VERDICT_no_headroom;
  return session_translate(context, job, session) ? SLUICE_CONTINUE : SLUICE_VERDICT_truncated_ip;
}

STAGE uint32_t session_read_across(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return SLUICE_VERDICT_no_table;
  const struct sluice_port* port = SLUICE_AT(&job->tables, sluice_port, ports, job->ingress);
  if (!port) return SLUICE_VERDICT_no_table;
  const bool ipv6 = job->packet.flags & SLUICE_PACKET_IPV6;
  const int32_t difference = SLUICE_IPV6_BYTES - SLUICE_IPV4_BYTES;
  const int32_t near = port->mtu + (ipv6 ? -difference : difference);
  const int32_t mtu = near < session->exit.mtu ? near : session->exit.mtu;
  const uint8_t* l3 = packet_data(context) + SLUICE_BOUND(job->packet.l3_offset, 0x1f);
  return sluice_crossing_read_headers(l3, packet_end(context), &job->packet, (uint32_t)mtu, &session->crossing);
}

STAGE int session_read_error(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return 0;
  const uint8_t* l3 = packet_data(context) + SLUICE_BOUND(job->packet.l3_offset, 0x1f);
  session->crossing.gone = sluice_error_gone(l3, packet_end(context), &job->packet, &session->crossing);
  return 1;
}

STAGE int session_write_across(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return 0;
  uint8_t* head = (uint8_t*)packet_data(context);
  const uint8_t* end = packet_end(context);
  if (!write_l2(head, end, &session->exit, !(job->packet.flags & SLUICE_PACKET_IPV6))) return 0;
  const struct sluice_endpoints to = endpoints(&session->exit);
  return sluice_crossing_write_headers(new_l3(context, session), end, &job->packet, &session->crossing, &to);
}

STAGE int session_write_error(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return 0;
  const struct sluice_endpoints to = endpoints(&session->exit);
  const uint8_t* end = packet_end(context);
  return sluice_crossing_write_error(new_l3(context, session), end, &job->packet, &session->crossing, &to);
}

STAGE int session_clamp(struct xdp_md* context, const struct engine_job* job, const struct session_job* session) {
  if (!job || !session) return 0;
  sluice_crossing_clamp(new_l3(context, session), packet_end(context), &job->packet, &session->crossing,
                        session->exit.mtu);
  return 1;
}

// As a packet of the other IP version.
static __always_inline uint32_t emit_across(struct xdp_md* context, struct engine_job* job,
                                            struct session_job* session) {
  if (!cut_padding(context, job)) return SLUICE_VERDICT_truncated_ip;
  const uint32_t verdict = session_read_across(context, job, session);
  if (verdict != SLUICE_CONTINUE) return verdict;
  if (job->packet.kind == SLUICE_PACKET_ICMP_ERROR) session_read_error(context, job, session);
  const bool ipv6 = job->packet.flags & SLUICE_PACKET_IPV6;
  const uint32_t mtu = session->exit.mtu;
  if (session->crossing.length > mtu) return session_too_big(job, sluice_crossing_mtu(&session->crossing, ipv6, mtu));
  const int32_t l2 = l2_length(&session->exit);
  const int32_t growth = l2 + session->crossing.after - job->packet.l3_offset - session->crossing.before;
  if (!resize(context, growth, (uint32_t)l2 + session->crossing.length)) return SLUICE_VERDICT_no_headroom;
  if (!session_write_across(context, job, session)) return SLUICE_VERDICT_truncated_ip;
  const bool error = job->packet.kind == SLUICE_PACKET_ICMP_ERROR;
  if (error && !session_write_error(context, job, session)) return SLUICE_VERDICT_truncated_ip;
  if (sluice_crossing_may_clamp(&job->packet)) session_clamp(context, job, session);
  return SLUICE_CONTINUE;
}

// Step 5: to the server or back to the client. A replied_too_big is still to be written.
static __always_inline uint32_t session_emit(struct xdp_md* context, struct engine_job* job,
                                             struct session_job* session) {
  const bool ipv6 = job->packet.flags & SLUICE_PACKET_IPV6;
  const uint8_t* l3 = packet_data(context) + SLUICE_BOUND(job->packet.l3_offset, 0x1f);
  if (l3 + SLUICE_IPV4_BYTES > packet_end(context)) return SLUICE_VERDICT_truncated_ip;
  if (l3[ipv6 ? 7 : 8] <= 1) return SLUICE_VERDICT_ttl_expired;
  const uint32_t verdict = sluice_address_is_ipv4(&session->exit.destination) == ipv6
                               ? emit_across(context, job, session)
                               : emit_within(context, job, session);
  if (verdict != SLUICE_CONTINUE) return verdict;
  return job->reverse ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded;
}
