/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * NAT sessions: what identifies one from either side, what its packets make of it, and when it is over. Where sessions
 * and their buckets lie is the engine's business.
 *
 * A bucket's entry is tag 30 | kind 2 | session index 32, the tag of the flow's hash as that side sends it. The entry
 * finds, the record decides: addresses, ports and protocol are compared exactly.
 *
 * Each side of a session has a word of its own, so that whoever gets its packets is the only writer:
 * acknowledgment 32 | window 16 | flags 4 | last seen 12. Before the first ACK of a side, the upper half is the
 * sequence number behind its SYN. Bytes of the client are counted as the client does (client_address.h). TCP states
 * follow from both words (RFC 9293 section 3.3.2, as seen from between). */
#ifndef SLUICE_SESSION_H_
#define SLUICE_SESSION_H_

#include "sluice/connection.h"
#include "sluice/hash.h"
#include "sluice/tables.h"
#include "sluice/time.h"
#include "sluice/words.h"

enum sluice_session_entry_kind { SLUICE_ENTRY_FORWARD = 1, SLUICE_ENTRY_REVERSE = 2 };

SLUICE_INLINE uint64_t sluice_session_entry(uint64_t hash, enum sluice_session_entry_kind kind, uint32_t session) {
  return (uint64_t)sluice_tag(hash) << SLUICE_ENTRY_TAG_SHIFT | (uint64_t)kind << SLUICE_ENTRY_STATE_SHIFT | session;
}

#define SLUICE_WORD_TICK ((uint64_t)SLUICE_TICK_MASK)
/* The side has sent its SYN; any packet, where there are no SYNs. */
#define SLUICE_WORD_SYN ((uint64_t)1 << 12)
/* It has acknowledged something: acknowledgment and window stand. */
#define SLUICE_WORD_ACK ((uint64_t)1 << 13)
#define SLUICE_WORD_FIN ((uint64_t)1 << 14)
#define SLUICE_WORD_RESET ((uint64_t)1 << 15)
#define SLUICE_WORD_FLAGS ((uint64_t)0xf000)
#define SLUICE_WORD_WINDOW_SHIFT 16
#define SLUICE_WORD_NUMBER_SHIFT 32
/* In place of a window, which a side has with its first ACK: its SYN has come again, in a later tick. */
#define SLUICE_WORD_AGAIN ((uint64_t)1 << SLUICE_WORD_WINDOW_SHIFT)

enum sluice_session_state {
  SLUICE_SESSION_HANDSHAKE,
  SLUICE_SESSION_ESTABLISHED,
  SLUICE_SESSION_HALF_CLOSED,
  SLUICE_SESSION_CLOSED,
};

/* Whether the session is `flow`'s, as its client sends it to `listener`. */
SLUICE_INLINE bool sluice_session_is_forward(const struct sluice_session* session, const struct sluice_flow* flow,
                                             uint32_t listener) {
  return session->ports == flow->ports && session->listener == listener && session->protocol == flow->protocol &&
         !(session->flags & SLUICE_SESSION_REPLACED) && sluice_address_equal(&session->client, &flow->source);
}

/* Whether both are of one flow as its client sends it; one of them may have been replaced. `to_a` and `to_b` are their
 * listeners' addresses: the flow may have become another listener's. */
SLUICE_INLINE bool sluice_session_same_client(const struct sluice_session* a, const struct sluice_address* to_a,
                                              const struct sluice_session* b, const struct sluice_address* to_b) {
  return a->ports == b->ports && a->protocol == b->protocol && sluice_address_equal(&a->client, &b->client) &&
         sluice_address_equal(to_a, to_b);
}

/* Whom the server answers. Null when a table could not be read. */
SLUICE_INLINE const struct sluice_address* sluice_session_source(const struct sluice_tables* tables,
                                                                 const struct sluice_session* session) {
  if (session->nat_address == SLUICE_NO_NAT_ADDRESS) return &session->client;
  const struct sluice_nat_address* nat = SLUICE_AT(tables, sluice_nat_address, nat_addresses, session->nat_address);
  return SLUICE_MISSING(nat) ? NULL : &nat->address;
}

/* Whether the session is `flow`'s, as its server sends it. `backend` and `source` are the session's. */
SLUICE_INLINE bool sluice_session_is_reverse(const struct sluice_session* session, const struct sluice_flow* flow,
                                             const struct sluice_backend* backend,
                                             const struct sluice_address* source) {
  return flow->source_port == session->server_port && flow->destination_port == session->source_port &&
         session->protocol == flow->protocol && sluice_address_equal(&backend->destination, &flow->source) &&
         sluice_address_equal(source, &flow->destination);
}

/* The flows of a session as either side sends them: what its entries are hashed by. */
SLUICE_INLINE struct sluice_flow sluice_session_forward_flow(const struct sluice_session* session,
                                                             const struct sluice_address* listener) {
  struct sluice_flow flow;
  sluice_write_address(&flow.source, &session->client);
  sluice_write_address(&flow.destination, listener);
  flow.ports = session->ports;
  flow.protocol = session->protocol;
  return flow;
}
SLUICE_INLINE struct sluice_flow sluice_session_reverse_flow(const struct sluice_session* session,
                                                             const struct sluice_address* server,
                                                             const struct sluice_address* source) {
  struct sluice_flow flow;
  sluice_write_address(&flow.source, server);
  sluice_write_address(&flow.destination, source);
  flow.ports = SLUICE_PORTS_OF(session->server_port, session->source_port);
  flow.protocol = session->protocol;
  return flow;
}

SLUICE_INLINE enum sluice_session_state sluice_session_state(uint32_t protocol, uint64_t forward, uint64_t reverse) {
  if (protocol != SLUICE_IP_TCP) return SLUICE_SESSION_ESTABLISHED;
  const uint64_t either = forward | reverse;
  const uint64_t both = forward & reverse;
  if ((either & SLUICE_WORD_RESET) || (both & SLUICE_WORD_FIN)) return SLUICE_SESSION_CLOSED;
  if (either & SLUICE_WORD_FIN) return SLUICE_SESSION_HALF_CLOSED;
  return both & SLUICE_WORD_ACK ? SLUICE_SESSION_ESTABLISHED : SLUICE_SESSION_HANDSHAKE;
}

/* Of several sessions of one flow, that of the highest rank is the one to go by: one that both ends have agreed on and
 * not yet closed, then one that is being opened, then one that is closed. */
enum sluice_session_rank { SLUICE_RANK_NONE, SLUICE_RANK_CLOSED, SLUICE_RANK_HANDSHAKE, SLUICE_RANK_SETTLED };
SLUICE_INLINE enum sluice_session_rank sluice_session_rank(uint32_t protocol, uint64_t forward, uint64_t reverse) {
  const enum sluice_session_state state = sluice_session_state(protocol, forward, reverse);
  if (state == SLUICE_SESSION_CLOSED) return SLUICE_RANK_CLOSED;
  return state == SLUICE_SESSION_HANDSHAKE ? SLUICE_RANK_HANDSHAKE : SLUICE_RANK_SETTLED;
}

/* Whether the client's next SYN opens another session of the flow, with another port of ours: this one is closed, or
 * its server, which is down, has not said anything.
 *
 * Not when all that the client has done is to reset what its server never agreed to: the server still had a connection
 * of before under these ports, said so, and the reset has ended that (RFC 9293 section 3.5.1). The way is free now; the
 * next port may be just as taken. */
SLUICE_INLINE bool sluice_session_is_replaced(const struct sluice_session* session,
                                              const struct sluice_backend* backend) {
  if (session->flags & SLUICE_SESSION_ENDED) return true;
  const uint64_t forward = session->forward;
  const uint64_t reverse = session->reverse;
  if (!(reverse & SLUICE_WORD_FLAGS) && (backend->flags & SLUICE_BACKEND_UNHEALTHY)) return true;
  if (sluice_session_state(session->protocol, forward, reverse) != SLUICE_SESSION_CLOSED) return false;
  return !(forward & SLUICE_WORD_RESET) || (reverse & (SLUICE_WORD_SYN | SLUICE_WORD_RESET));
}

/* Ticks since either side was seen. */
SLUICE_INLINE uint32_t sluice_session_age(uint64_t forward, uint64_t reverse, uint32_t tick) {
  const uint32_t age = sluice_age(tick, (uint32_t)forward & SLUICE_TICK_MASK);
  const uint32_t other = sluice_age(tick, (uint32_t)reverse & SLUICE_TICK_MASK);
  return (reverse & SLUICE_WORD_FLAGS) && other < age ? other : age;
}

SLUICE_INLINE uint32_t sluice_session_timeout(const struct sluice_session_terms* terms,
                                              enum sluice_session_state state) {
  if (state == SLUICE_SESSION_ESTABLISHED) return terms->established;
  if (state == SLUICE_SESSION_HANDSHAKE) return terms->handshake;
  return state == SLUICE_SESSION_HALF_CLOSED ? terms->half_closed : terms->closed;
}

/* A listener that is gone has no timeouts: its sessions are over. */
SLUICE_INLINE bool sluice_session_expired(uint32_t protocol, uint64_t forward, uint64_t reverse,
                                          const struct sluice_session_terms* terms, uint32_t tick) {
  const uint32_t timeout = sluice_session_timeout(terms, sluice_session_state(protocol, forward, reverse));
  return timeout == 0 || sluice_session_age(forward, reverse, tick) > timeout;
}

/* What a TCP header says, host order. */
struct sluice_segment {
  uint32_t sequence;
  uint32_t acknowledgment;
  uint16_t window;
  uint8_t flags;
};

SLUICE_INLINE struct sluice_segment sluice_segment_read(const uint8_t* l4) {
  const struct sluice_segment segment = {SLUICE_32(sluice_load32(l4 + 4)), SLUICE_32(sluice_load32(l4 + 8)),
                                         SLUICE_16(sluice_load16(l4 + 14)), l4[13]};
  return segment;
}

/* Nibbles of `scales`; this value: the side's SYN had no window scale option (RFC 7323 section 2.2). */
#define SLUICE_NO_SCALE 15u
/* By how much the windows are shifted that a side announces: only when both sides have said theirs. */
SLUICE_INLINE uint32_t sluice_window_shift(uint8_t scales, bool server) {
  const uint32_t client = scales & 0xf;
  const uint32_t other = scales >> 4;
  if (client == SLUICE_NO_SCALE || other == SLUICE_NO_SCALE) return 0;
  return server ? other : client;
}

/* Whether the receiver of a FIN or RST would believe it (RFC 9293 section 3.10.7, RFC 5961 section 3): `own` and `peer`
 * are the words of its sender and of its receiver, `shift` the receiver's window scale. A FIN may come again with data
 * in front that was acknowledged. */
SLUICE_INLINE bool sluice_segment_in_window(const struct sluice_segment* segment, uint64_t own, uint64_t peer,
                                            uint32_t shift) {
  const uint32_t expected = (uint32_t)(peer >> SLUICE_WORD_NUMBER_SHIFT);
  if (peer & SLUICE_WORD_ACK) {
    const uint32_t window = (uint32_t)(peer >> SLUICE_WORD_WINDOW_SHIFT & 0xffff) << shift;
    const bool again = !(segment->flags & SLUICE_TCP_RST) && expected - segment->sequence < 0x10000;
    return segment->sequence - expected <= window || again;
  }
  /* The receiver has sent a SYN and no more: who refuses it acknowledges it. */
  if (peer & SLUICE_WORD_SYN) return (segment->flags & SLUICE_TCP_ACK) && segment->acknowledgment == expected;
  /* The sender gives up its own SYN. */
  return segment->sequence == (uint32_t)(own >> SLUICE_WORD_NUMBER_SHIFT);
}

/* A side's word after one of its segments; `believed` is sluice_segment_in_window, which only FIN and RST need. */
SLUICE_INLINE uint64_t sluice_word_segment(uint64_t word, const struct sluice_segment* segment, bool believed,
                                           uint32_t tick) {
  if (segment->flags & SLUICE_TCP_RST) return believed ? (word & ~SLUICE_WORD_TICK) | SLUICE_WORD_RESET | tick : word;
  /* A client that has reset may begin anew. */
  const uint8_t opens = segment->flags & (SLUICE_TCP_SYN | SLUICE_TCP_ACK);
  const bool anew = (word & SLUICE_WORD_RESET) && opens == SLUICE_TCP_SYN;
  uint64_t flags = anew ? 0 : word & SLUICE_WORD_FLAGS;
  if (segment->flags & SLUICE_TCP_SYN) flags |= SLUICE_WORD_SYN;
  if ((segment->flags & SLUICE_TCP_FIN) && believed) flags |= SLUICE_WORD_FIN;
  if (segment->flags & SLUICE_TCP_ACK) {
    flags |= SLUICE_WORD_ACK;
    return (uint64_t)segment->acknowledgment << SLUICE_WORD_NUMBER_SHIFT |
           (uint64_t)segment->window << SLUICE_WORD_WINDOW_SHIFT | flags | tick;
  }
  if ((segment->flags & SLUICE_TCP_SYN) && !(flags & SLUICE_WORD_ACK)) {
    const bool again = !anew && (word & SLUICE_WORD_SYN) && (word & SLUICE_WORD_TICK) != tick;
    const uint64_t mark = anew ? 0 : word & SLUICE_WORD_AGAIN;
    return (uint64_t)(segment->sequence + 1) << SLUICE_WORD_NUMBER_SHIFT | (again ? SLUICE_WORD_AGAIN : mark) | flags |
           tick;
  }
  return (word & ~(SLUICE_WORD_TICK | SLUICE_WORD_FLAGS)) | flags | tick;
}

/* What the segment that has made `after` of `before` does to the number of ends of its side: 1 when it is the one by
 * which it ends, -1 when it begins anew. */
SLUICE_INLINE int sluice_word_ends(uint64_t before, uint64_t after) {
  const uint64_t ends = SLUICE_WORD_FIN | SLUICE_WORD_RESET;
  return ((after & ends) != 0) - ((before & ends) != 0);
}

SLUICE_INLINE bool sluice_word_sent_again(uint64_t word) {
  return (word & (SLUICE_WORD_SYN | SLUICE_WORD_ACK | SLUICE_WORD_AGAIN)) == (SLUICE_WORD_SYN | SLUICE_WORD_AGAIN);
}

/* What a segment of TCP, which has made `after` of its side's word `before`, says of the server: it has agreed to the
 * flow, or the flow fails, as it is refused, or its client had to send its SYN again with no word from the server.
 * `peer` is the other side's word. A flow that has failed stays failed when it is answered after all: it counts once.
 *
 * That a SYN has to come in another tick (2.1 s; TCP's second one comes after 1 s, the third after 3) keeps pairs of
 * SYNs that arrive faster than any answer from making a server look bad. */
enum sluice_opening { SLUICE_OPENING_NO_NEWS, SLUICE_OPENING_ANSWERED, SLUICE_OPENING_FAILED };
SLUICE_INLINE enum sluice_opening sluice_session_opening(bool reverse, uint64_t before, uint64_t after, uint64_t peer) {
  if (!reverse) {
    const bool fails = sluice_word_sent_again(after) && !sluice_word_sent_again(before) && !(peer & SLUICE_WORD_FLAGS);
    return fails ? SLUICE_OPENING_FAILED : SLUICE_OPENING_NO_NEWS;
  }
  if ((before & (SLUICE_WORD_SYN | SLUICE_WORD_RESET)) || sluice_word_sent_again(peer)) return SLUICE_OPENING_NO_NEWS;
  if (after & SLUICE_WORD_SYN) return SLUICE_OPENING_ANSWERED;
  const bool refused = (after & SLUICE_WORD_RESET) && !(before & SLUICE_WORD_FLAGS);
  return refused ? SLUICE_OPENING_FAILED : SLUICE_OPENING_NO_NEWS;
}

/* The same after a segment that does nothing but acknowledge, `ahead` bytes more than is to be noted, where the side
 * has done so before. */
SLUICE_INLINE uint64_t sluice_word_acknowledgment(uint64_t word, const uint8_t* l4, uint32_t ahead, uint64_t tick) {
  /* From the acknowledgment's first byte to the window's last. */
  const uint64_t segment = SLUICE_64(sluice_load64(l4 + 8));
  const uint64_t number = (segment & ~(uint64_t)UINT32_MAX) - ((uint64_t)ahead << SLUICE_WORD_NUMBER_SHIFT);
  return number | (uint32_t)(segment << SLUICE_WORD_WINDOW_SHIFT) | (word & SLUICE_WORD_FLAGS) | tick;
}

/* A side's word after a packet without sequence numbers. */
SLUICE_INLINE uint64_t sluice_word_datagram(uint32_t tick) {
  return SLUICE_WORD_SYN | tick;
}

/* Source MAC and VLAN tag of a frame, as a session keeps them; the frame has 16 bytes. Of two tags no session keeps
 * any.
 */
SLUICE_INLINE uint64_t sluice_way_back(const uint8_t* frame, const struct sluice_packet* packet) {
  const uint64_t mac = sluice_load64(frame + SLUICE_MAC_BYTES) & 0xffffffffffff;
  if (SLUICE_LIKELY(packet->l3_offset == SLUICE_ETHERNET_BYTES)) return mac;
  if (SLUICE_UNLIKELY(packet->l3_offset > SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES)) return ~(uint64_t)0;
  return mac | (uint64_t)(SLUICE_16(sluice_load16(frame + SLUICE_ETHERNET_BYTES)) & 0xfff) << 48;
}
SLUICE_INLINE sluice_word* sluice_session_way_back(struct sluice_session* session) {
  return (sluice_word*)session->client_mac;
}

/* Bytes of a TCP header with its options. */
SLUICE_INLINE uint32_t sluice_tcp_length(const uint8_t* l4) {
  return (uint32_t)(l4[12] >> 4) * 4;
}

#define SLUICE_TCP_OPTION_BYTES 40
#define SLUICE_OPTION_NOP 1

/* The first byte of the next option of `kind`, from `at` bytes behind the start of the TCP header, or null. It is
 * whole, and `l4` to `end` holds the header. */
SLUICE_INLINE uint8_t* sluice_tcp_option_from(uint8_t* l4, const uint8_t* end, uint32_t at, uint8_t kind) {
  const uint32_t header = sluice_tcp_length(l4);
  for (uint32_t i = 0; i < SLUICE_TCP_OPTION_BYTES && at + 1 < header; i++) {
    uint8_t* option = l4 + SLUICE_BOUND(at, 0x3f);
    if (option + 2 > end || option[0] == 0) return NULL;
    const bool nop = option[0] == SLUICE_OPTION_NOP;
    if (!nop && (option[1] < 2 || at + option[1] > header || option + option[1] > end)) return NULL;
    if (!nop && option[0] == kind) return option;
    at = (uint32_t)SLUICE_FORGET(at + (nop ? 1 : option[1]), 0x1ff, option[0]);
  }
  return NULL;
}

/* The value of the first TCP option of `kind`, when it has `length` bytes with its own header, or null. */
SLUICE_INLINE uint8_t* sluice_tcp_option(uint8_t* l4, const uint8_t* end, uint8_t kind, uint8_t length) {
  uint8_t* option = sluice_tcp_option_from(l4, end, SLUICE_TCP_BYTES, kind);
  return option && option[1] == length && option + length <= end ? option + 2 : NULL;
}

/* The window scale that a SYN offers, or SLUICE_NO_SCALE. RFC 7323 section 2.3: 14 at most. */
SLUICE_INLINE uint32_t sluice_syn_scale(uint8_t* l4, const uint8_t* end) {
  const uint8_t* value = sluice_tcp_option(l4, end, 3, 3);
  if (!value) return SLUICE_NO_SCALE;
  return *value > 14 ? 14 : *value;
}

#endif /* SLUICE_SESSION_H_ */
