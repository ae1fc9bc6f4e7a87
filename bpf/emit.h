// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Step 5 of a packet's journey in the kernel: the packet as it leaves, to its backend or as an answer of our own.
#pragma once

#include "connect.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"

// Whether another ICMP error may be sent.
static __always_inline bool take_error(const struct engine_job* job, bool translated) {
  struct sluice_counters* counters = counters_of(job);
  return counters && sluice_error_take(translated ? &counters->translated_errors : &counters->errors, job->now);
}

// Whether the client of a packet that is too big is told.
static __always_inline int too_big(struct engine_job* job, const struct sluice_backend* backend) {
  if (!sluice_tells_too_big(&job->packet) || !take_error(job, false)) return SLUICE_VERDICT_too_big;
  job->mtu = backend->mtu - backend->outer_length;
  return SLUICE_VERDICT_replied_too_big;
}

// A common packet (sluice_parse_common) to a backend that wants a plain tunnel; to one that wants other MAC addresses
// (rewrite.h). SLUICE_CONTINUE when it takes more than that, and nothing has been changed.
static __always_inline uint32_t forward_ipip(struct xdp_md* context, struct engine_job* job,
                                             const struct sluice_backend* backend, uint64_t hash, uint64_t length,
                                             bool outer_ipv6) {
  const uint32_t outer = outer_ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES;
  if (!sluice_only_ipip_comes(length, &job->packet, backend, outer)) return SLUICE_CONTINUE;
  if (bpf_xdp_adjust_head(context, -(int)outer) != 0) return SLUICE_CONTINUE;
  uint8_t* head = (uint8_t*)packet_data(context);
  // Never: what has been parsed is there.
  if (head + SLUICE_ETHERNET_BYTES + outer + SLUICE_IPV4_BYTES > packet_end(context))
    return SLUICE_VERDICT_truncated_ip;
  sluice_write_ipip(head, &job->packet, backend, hash, outer_ipv6);
  job->egress = backend->port;
  return SLUICE_VERDICT_forwarded;
}
static __always_inline uint32_t forward_dsr(struct xdp_md* context, struct engine_job* job,
                                            const struct sluice_backend* backend) {
  uint8_t* head = (uint8_t*)packet_data(context);
  if (job->packet.l3_length > backend->mtu || head + SLUICE_ETHERNET_BYTES > packet_end(context))
    return SLUICE_CONTINUE;
  sluice_write_macs(head, backend);
  job->egress = backend->port;
  return SLUICE_VERDICT_forwarded;
}

// To the backend. A replied_too_big is still to be written.
static __always_inline int engine_forward(struct xdp_md* context, struct engine_job* job,
                                          const struct sluice_backend* backend) {
  if (!(backend->flags & SLUICE_BACKEND_NEXT_HOP)) return SLUICE_VERDICT_no_next_hop;
  if (sluice_exceeds_mtu(&job->packet, backend)) return too_big(job, backend);
  const uint8_t* l3 = packet_data(context) + SLUICE_BOUND(job->packet.l3_offset, 0x1f);
  if (l3 + SLUICE_IPV4_BYTES > packet_end(context)) return SLUICE_VERDICT_truncated_ip;
  if (sluice_ttl_expires(l3, &job->packet, backend)) return SLUICE_VERDICT_ttl_expired;
  const uint32_t length = packet_length(context);
  if (!resize(context, sluice_rewrite_growth(&job->packet, backend),
              sluice_rewrite_length(length, &job->packet, backend))) {
    return SLUICE_VERDICT_no_headroom;
  }
  if (!sluice_rewrite((uint8_t*)packet_data(context), packet_end(context), &job->packet, backend, job->hash)) {
    return SLUICE_VERDICT_truncated_ip;
  }
  job->egress = backend->port;
  return SLUICE_VERDICT_forwarded;
}

// A RST in place of the packet that would have opened a flow.
STAGE int engine_reset(struct xdp_md* context, struct engine_job* job, uint32_t reply) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_port* port = SLUICE_AT(&job->tables, sluice_port, ports, job->ingress);
  if (!port) return SLUICE_VERDICT_no_table;
  if (!sluice_write_refusal((uint8_t*)packet_data(context), packet_end(context), &job->packet, port)) {
    return SLUICE_VERDICT_truncated_ip;
  }
  if (!resize(context, 0, sluice_refusal_length(&job->packet))) return SLUICE_VERDICT_no_headroom;
  job->egress = job->ingress;
  return (int)reply;
}

// An answer of our own, sent back where the packet came from.
STAGE int engine_reply(struct xdp_md* context, struct engine_job* job, uint32_t reply) {
  if (!job) return SLUICE_VERDICT_no_table;
  if (sluice_reply_is_reset(&job->packet, reply)) return engine_reset(context, job, reply);
  if (sluice_reply_refuses(reply) && !take_error(job, has_sessions(job))) return sluice_reply_withheld(reply);
  const struct sluice_port* port = SLUICE_AT(&job->tables, sluice_port, ports, job->ingress);
  if (!port) return SLUICE_VERDICT_no_table;
  const uint32_t length = packet_length(context);
  if (!resize(context, sluice_reply_growth(&job->packet, reply), sluice_reply_length(length, &job->packet, reply))) {
    return SLUICE_VERDICT_no_headroom;
  }
  if (!sluice_reply_write((uint8_t*)packet_data(context), packet_end(context), &job->packet, reply, port, job->mtu)) {
    return SLUICE_VERDICT_truncated_ip;
  }
  job->egress = job->ingress;
  return reply;
}
