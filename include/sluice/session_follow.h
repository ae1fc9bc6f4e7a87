/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The common packet of a session, in fewer steps: in the midst of a flow that both ends have opened and none has ended,
 * within one IP version, of a session that was noted in this tick, so that it is not over by time. What fails any of
 * this may be just as good, and goes on with the whole of session.h. Composed by the engines, which know where the
 * sessions are. */
#ifndef SLUICE_SESSION_FOLLOW_H_
#define SLUICE_SESSION_FOLLOW_H_

#include "sluice/rewrite.h"
#include "sluice/session.h"

/* Of a backend's record from `pool` on: whether it takes the listener's flows, and whether its frames have no VLAN tag
 * and a next hop. */
#define SLUICE_SERVES_MASK ((uint64_t)SLUICE_BACKEND_LIVE << 56 | UINT32_MAX)
#define SLUICE_PLAIN_MASK (SLUICE_SERVES_MASK | (uint64_t)SLUICE_BACKEND_NEXT_HOP << 56 | (uint64_t)UINT16_MAX << 32)
/* What of it is so, of a backend of the pool. */
SLUICE_INLINE uint64_t sluice_plainly_serves(uint32_t pool) {
  return pool | (uint64_t)(SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP) << 56;
}

/* Whether the packet is of the common case: a flow's that is neither SYN, FIN, RST nor a fragment; kind (0 is a flow)
 * and flags in one comparison. And whether the session is, for a packet that is: of the same protocol, with both sides
 * of the packet's IP version, not replaced or ended, and otherwise `flags`. */
SLUICE_INLINE bool sluice_packet_is_plain(const struct sluice_packet* packet) {
  return SLUICE_LIKELY((sluice_load32(&packet->kind) & (0xffff ^ SLUICE_PACKET_IPV6 << 8)) == 0);
}
SLUICE_INLINE bool sluice_session_is_plain(const struct sluice_packet* packet, const struct sluice_session* session,
                                           uint32_t flags) {
  const uint32_t both = packet->flags * (SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_SERVER_IPV6) << 8;
  return SLUICE_LIKELY(sluice_load16(&session->protocol) == (packet->flow.protocol | both | flags << 8));
}
SLUICE_STATIC_ASSERT(offsetof(struct sluice_session, flags) == offsetof(struct sluice_session, protocol) + 1,
                     "compared as one word");

/* Whether the flow, whose protocol is the session's, is its client's, as that sends it to the listener's address; and
 * whether it is its server's, whose answers go to `source`. */
SLUICE_INLINE bool sluice_session_is_from_client(const struct sluice_session* session, const struct sluice_flow* flow,
                                                 const struct sluice_address* listener) {
  return SLUICE_LIKELY(session->ports == flow->ports) &&
         SLUICE_LIKELY(sluice_addresses_equal(&session->client, &flow->source, listener, &flow->destination));
}
SLUICE_INLINE bool sluice_session_is_from_server(const struct sluice_session* session, const struct sluice_flow* flow,
                                                 const struct sluice_address* server,
                                                 const struct sluice_address* source) {
  const uint32_t ports = flow->ports >> 16 | flow->ports << 16;
  return SLUICE_LIKELY(sluice_load32(&session->source_port) == ports) &&
         SLUICE_LIKELY(sluice_addresses_equal(server, &flow->source, source, &flow->destination));
}
SLUICE_STATIC_ASSERT(offsetof(struct sluice_session, server_port) == offsetof(struct sluice_session, source_port) + 2,
                     "read as one word");

/* Of a side's word: what says that it is open and has nothing else to say. */
#define SLUICE_WORD_OPEN (SLUICE_WORD_ACK | SLUICE_WORD_FIN | SLUICE_WORD_RESET)
/* Of a TCP header's flags: those by which states change. */
#define SLUICE_TCP_STATES (SLUICE_TCP_SYN | SLUICE_TCP_FIN | SLUICE_TCP_RST | SLUICE_TCP_ACK)

/* What a side's word says when all that there is to note of a segment is what it acknowledges; the same of a protocol
 * without acknowledgments is sluice_word_datagram, and then there is nothing to note. */
SLUICE_INLINE uint64_t sluice_word_noted(uint32_t tick) {
  return SLUICE_WORD_ACK | tick;
}
/* Whether that is so: the side's word has been noted in this tick, and the other side has agreed to the flow and not
 * reset it, so that there is no better session elsewhere. `l4` is a TCP header, `noted` sluice_word_noted. */
SLUICE_INLINE bool sluice_word_only_acknowledges(uint64_t word, uint64_t peer, const uint8_t* l4, uint64_t noted) {
  return SLUICE_LIKELY((word & (SLUICE_WORD_OPEN | SLUICE_WORD_TICK)) == noted) &&
         SLUICE_LIKELY((peer & (SLUICE_WORD_ACK | SLUICE_WORD_RESET)) == SLUICE_WORD_ACK) &&
         SLUICE_LIKELY((l4[13] & SLUICE_TCP_STATES) == SLUICE_TCP_ACK);
}

#endif /* SLUICE_SESSION_FOLLOW_H_ */
