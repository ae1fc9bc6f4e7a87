/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a new flow gets from the owner: a backend, a source port toward it, a session. */
#ifndef SLUICE_SESSION_OPEN_H_
#define SLUICE_SESSION_OPEN_H_

#include "sluice/access.h"
#include "sluice/listener.h"
#include "sluice/select.h"
#include "sluice/session_owner.h"
#include "sluice/translate.h"

/* Whether the session `index` is the one that the answer belongs to. */
SLUICE_INLINE int sluice_session_answers(struct sluice_owned* of, uint32_t index, const struct sluice_flow* flow) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(flow)) return 0;
  const struct sluice_session* session = sluice_owned_session(of, index);
  if (SLUICE_MISSING(session)) return 0;
  const struct sluice_tables* tables = sluice_owned_tables(of);
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, session->backend);
  const struct sluice_address* source = sluice_session_source(tables, session);
  if (SLUICE_MISSING(backend) || SLUICE_MISSING(source)) return 0;
  return sluice_session_is_reverse(session, flow, backend, source);
}

/* The owner's own session with these answers, or -1. */
SLUICE_STAGE int sluice_session_find_reverse(struct sluice_owned* of, const struct sluice_flow* flow, uint64_t hash) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(flow)) return -1;
  for (uint32_t second = 0; second < 2; second++) {
    const struct sluice_bucket* bucket = sluice_owned_bucket(of, sluice_owned_place(of, hash, second));
    if (SLUICE_MISSING(bucket)) return -1;
    for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
      const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
      if (!sluice_entry_matches(entry, hash)) continue;
      if (sluice_session_answers(of, (uint32_t)entry, flow)) return (int)(uint32_t)entry;
    }
    if (!sluice_sessions_were_crowded(bucket)) return -1;
  }
  return -1;
}

/* Whether no session of the owner's has this flow, as its server sends it, in the way of `wanted`. One that is over
 * gives way, and so does one that the same client has replaced, or that was another listener's: without a port of ours
 * there is none to keep, and of another listener it would never be found again. */
SLUICE_INLINE int sluice_session_make_way(struct sluice_owned* of, const struct sluice_session* wanted,
                                          const struct sluice_flow* reverse, uint64_t hash) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted) || SLUICE_MISSING(reverse)) return 0;
  const int index = sluice_session_find_reverse(of, reverse, hash);
  if (index < 0) return 1;
  const struct sluice_session* holder = sluice_owned_session(of, (uint32_t)index);
  if (SLUICE_MISSING(holder)) return 0;
  const struct sluice_tables* tables = sluice_owned_tables(of);
  const uint64_t forward_word = SLUICE_LOAD_ENTRY(&holder->forward);
  const uint64_t reverse_word = SLUICE_LOAD_ENTRY(&holder->reverse);
  if (sluice_session_is_over(tables, holder, forward_word, reverse_word, of->tick))
    return sluice_session_expire(of, (uint32_t)index);
  if (!(holder->flags & SLUICE_SESSION_REPLACED) && holder->listener == wanted->listener) return 0;
  if (!sluice_session_is_of_client(tables, holder, wanted)) return 0;
  return sluice_session_close(of, (uint32_t)index);
}

/* The answers in the scratch become those to this port (host order). False: a table could not be read. */
SLUICE_INLINE bool sluice_session_answer_to(struct sluice_owned* of, uint16_t port) {
  const struct sluice_settings* settings = SLUICE_AT(sluice_owned_tables(of), sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return false;
  struct sluice_flow* answer = &of->scratch.answer;
  answer->ports = SLUICE_PORTS_OF(answer->source_port, SLUICE_16(port));
  of->scratch.answer_hash = sluice_hash_flow(settings, answer);
  return true;
}

/* Whether the port (host order) is free for the answers in the scratch, or is so from here on. */
SLUICE_INLINE int sluice_session_try_port(struct sluice_owned* of, uint16_t port) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_owner_scratch* search = &of->scratch;
  const struct sluice_tables* tables = sluice_owned_tables(of);
  if (!sluice_session_answer_to(of, port)) return 0;
  const int index = sluice_session_find_reverse(of, &search->answer, search->answer_hash);
  if (index < 0) return 1;
  const struct sluice_session* holder = sluice_owned_session(of, (uint32_t)index);
  if (SLUICE_MISSING(holder)) return 0;
  const uint64_t forward_word = SLUICE_LOAD_ENTRY(&holder->forward);
  const uint64_t reverse_word = SLUICE_LOAD_ENTRY(&holder->reverse);
  if (sluice_session_is_over(tables, holder, forward_word, reverse_word, of->tick))
    return sluice_session_expire(of, (uint32_t)index);
  if (sluice_session_state(holder->protocol, forward_word, reverse_word) != SLUICE_SESSION_CLOSED) return 0;
  const uint32_t age = sluice_session_age(forward_word, reverse_word, of->tick);
  if (search->oldest >= 0 && age <= search->oldest_age) return 0;
  search->oldest = index;
  search->oldest_age = age;
  return 0;
}

/* The oldest closed session gives its port up. */
SLUICE_INLINE uint32_t sluice_session_take_early(struct sluice_owned* of, uint32_t index) {
  if (SLUICE_MISSING(of)) return 0;
  const struct sluice_session* session = sluice_owned_session(of, index);
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(session) || SLUICE_MISSING(owner)) return 0;
  const uint16_t port = SLUICE_16(session->source_port);
  sluice_session_close(of, index);
  if (!sluice_session_answer_to(of, port)) return 0;
  SLUICE_COUNT(owner->counters.ports_taken_early);
  return port;
}

/* The port of a search that begins at `start` and has come so far: host order, or 0 when it is not the owner's. */
SLUICE_INLINE uint32_t sluice_session_port_at(struct sluice_owned* of, uint32_t start, uint32_t cursor) {
  const uint32_t count = of->ports.count;
  const uint32_t at = start + cursor;
  const uint16_t port = sluice_nat_port(&of->ports, at >= count ? at - count : at);
  return sluice_owned_port(of, port) ? port : 0;
}

/* The next one of a search by its cursor. */
SLUICE_INLINE uint32_t sluice_session_next_port(struct sluice_owned* of, uint32_t cursor_at, uint32_t start) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(owner)) return 0;
  uint16_t* cursor = &owner->cursors[SLUICE_BOUND(cursor_at, SLUICE_PORT_CURSORS - 1)];
  const uint32_t at = *cursor;
  *cursor = at + 1 >= of->ports.count ? 0 : (uint16_t)(at + 1);
  return sluice_session_port_at(of, start, at);
}

/* Where the next search by this cursor will most likely look first is on its way from here on: in a row of new flows
 * a third of their time would go to waiting for that. Only natively, as BPF can ask for nothing without waiting. */
SLUICE_INLINE void sluice_session_fetch_next(struct sluice_owned* of, uint32_t cursor_at, uint32_t start) {
#ifdef __bpf__
  (void)of;
  (void)cursor_at;
  (void)start;
#else
  uint32_t cursor = sluice_owned_state(of)->cursors[cursor_at];
  uint32_t port = 0;
  /* Of as many ports as there are owners, one is most likely ours. */
  for (uint32_t passed = 0; port == 0 && passed < of->owners; passed++) {
    port = sluice_session_port_at(of, start, cursor);
    cursor = cursor + 1 >= of->ports.count ? 0 : cursor + 1;
  }
  if (port == 0) return;
  struct sluice_flow next = of->scratch.answer;
  next.ports = SLUICE_PORTS_OF(next.source_port, SLUICE_16((uint16_t)port));
  sluice_session_fetch_bucket(of, sluice_hash_flow(sluice_owned_tables(of)->settings, &next));
#endif
}

/* The same when the port is the owner's and free. One stage for both: the search takes many turns. */
SLUICE_STAGE uint32_t sluice_session_try_next(struct sluice_owned* of, uint32_t cursor, uint32_t start) {
  const uint32_t port = sluice_session_next_port(of, cursor, start);
  return port != 0 && sluice_session_try_port(of, (uint16_t)port) ? port : 0;
}

/* A search for a port for scratch.toward begins: where, and what the answers are. In the kernel it is none of the calls
 * that the search goes deep by, which have a short stack. */
SLUICE_STAGE uint64_t sluice_session_aim(struct sluice_owned* of) {
  if (SLUICE_MISSING(of)) return 0;
  const struct sluice_settings* settings = SLUICE_AT(sluice_owned_tables(of), sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return 0;
  struct sluice_owner_scratch* search = &of->scratch;
  search->toward.ports = SLUICE_PORTS_OF(0, search->toward.destination_port);
  sluice_write_address(&search->answer.source, &search->toward.destination);
  sluice_write_address(&search->answer.destination, &search->toward.source);
  search->answer.source_port = search->toward.destination_port;
  search->answer.protocol = search->toward.protocol;
  search->oldest = -1;
  sluice_owned_aim(of, &search->answer);
  return sluice_hash_flow(settings, &search->toward);
}

/* A source port for scratch.toward, which goes from a NAT address (its source) to a server: one of the owner's that no
 * session toward this server has. `early`: else the oldest closed session of those looked at gives its port up before
 * its time. Host order; 0: none. Ports of other owners are passed over without a look; there are as many times more as
 * there are owners. */
SLUICE_STAGE uint32_t sluice_session_take_port(struct sluice_owned* of, uint32_t early) {
  if (SLUICE_MISSING(of)) return 0;
  const uint32_t count = of->ports.count;
  if (count == 0) return 0;
  const struct sluice_owner_scratch* search = &of->scratch;
  const uint64_t place = sluice_session_aim(of);
  const uint32_t cursor = (uint32_t)place & (SLUICE_PORT_CURSORS - 1);
  const uint32_t start = sluice_scale((uint32_t)(place >> 32), count);
  const uint32_t most = SLUICE_PORTS_TRIED * of->owners < count ? SLUICE_PORTS_TRIED * of->owners : count;
  for (uint32_t passed = 0; passed < SLUICE_MOST_PORTS_PASSED && passed < most; passed++) {
    const uint32_t port = sluice_session_try_next(of, cursor, start);
    if (port == 0) continue;
    sluice_session_fetch_next(of, cursor, start);
    return port;
  }
  return early && search->oldest >= 0 ? sluice_session_take_early(of, (uint32_t)search->oldest) : 0;
}

/* An address and a port of ours in the client's place: `wanted` gets them, and the scratch its answers.
 * SLUICE_CONTINUE, or why there are none. `hash` spreads flows over the addresses. */
SLUICE_STAGE int sluice_session_take_source(struct sluice_owned* of, struct sluice_session* wanted, uint64_t hash) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted)) return SLUICE_VERDICT_no_table;
  const struct sluice_tables* tables = sluice_owned_tables(of);
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, wanted->backend);
  if (SLUICE_MISSING(settings) || SLUICE_MISSING(backend)) return SLUICE_VERDICT_no_table;
  const bool ipv4 = sluice_address_is_ipv4(&backend->destination);
  const uint32_t first = ipv4 ? 0 : settings->nat_ipv4;
  const uint32_t count = ipv4 ? settings->nat_ipv4 : settings->nat_ipv6;
  if (count == 0) return SLUICE_VERDICT_no_nat_address;
  struct sluice_flow* toward = &of->scratch.toward;
  sluice_write_address(&toward->destination, &backend->destination);
  toward->destination_port = wanted->server_port;
  toward->protocol = wanted->protocol;
  const uint32_t start = sluice_scale((uint32_t)hash, count);
  /* All of them, and then again for ports that are given up early. */
  for (uint32_t early = 0; early < 2; early++) {
    for (uint32_t i = 0; i < SLUICE_ADDRESSES_TRIED && i < count; i++) {
      const uint32_t address = first + (start + i) % count;
      const struct sluice_nat_address* nat = SLUICE_AT(tables, sluice_nat_address, nat_addresses, address);
      if (SLUICE_MISSING(nat)) return SLUICE_VERDICT_no_table;
      sluice_write_address(&toward->source, &nat->address);
      const uint32_t port = sluice_session_take_port(of, early);
      if (port == 0) continue;
      wanted->nat_address = (uint16_t)address;
      wanted->source_port = SLUICE_16(port);
      return SLUICE_CONTINUE;
    }
  }
  return SLUICE_VERDICT_no_nat_port;
}

/* What a new session of `packet` is to be, with the backend that is selected for it; where it came from and what it
 * says are still to be noted (sluice_session_note_first). SLUICE_CONTINUE, or the verdict for a packet that opens none.
 */
SLUICE_INLINE enum sluice_verdict sluice_session_begin(const struct sluice_tables* tables,
                                                       const struct sluice_selector* selector,
                                                       const struct sluice_packet* packet, uint32_t listener,
                                                       uint64_t hash, struct sluice_session* wanted) {
  const bool tcp = packet->flow.protocol == SLUICE_IP_TCP;
  if (tcp && !(packet->flags & SLUICE_PACKET_SYN)) return SLUICE_VERDICT_no_session;
  if (packet->l3_offset > SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES) return SLUICE_VERDICT_pass_vlan_depth;
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return SLUICE_VERDICT_no_table;
  if (sluice_source_is_bad(tables, &packet->flow.source)) return SLUICE_VERDICT_bad_source;
  const int admitted = sluice_admit(tables, selector, listener, packet);
  if (admitted != SLUICE_CONTINUE) return (enum sluice_verdict)admitted;
  wanted->backend = sluice_select(tables, selector, listener, packet, hash);
  const int selected = sluice_selected(wanted->backend);
  if (selected != SLUICE_CONTINUE) return (enum sluice_verdict)selected;
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, wanted->backend);
  if (SLUICE_MISSING(backend)) return SLUICE_VERDICT_no_table;
  sluice_write_address(&wanted->client, &packet->flow.source);
  wanted->ports = packet->flow.ports;
  wanted->listener = (uint16_t)listener;
  wanted->protocol = (uint8_t)packet->flow.protocol;
  wanted->server_port = sluice_service_port(tables, settings, &packet->flow, backend);
  wanted->nat_address = SLUICE_NO_NAT_ADDRESS;
  wanted->source_port = packet->flow.source_port;
  if (packet->flags & SLUICE_PACKET_IPV6) wanted->flags |= SLUICE_SESSION_CLIENT_IPV6;
  if (backend->flags & SLUICE_BACKEND_OUTER_IPV6) wanted->flags |= SLUICE_SESSION_SERVER_IPV6;
  if (tcp && (backend->flags & SLUICE_BACKEND_PROXY)) wanted->flags |= SLUICE_SESSION_PROXY;
  if (tcp && (backend->flags & SLUICE_BACKEND_TOA)) wanted->flags |= SLUICE_SESSION_TOA;
  return SLUICE_CONTINUE;
}

/* Where the packet came from and what it says. False when `frame` to `end` does not hold the headers that the parser
 * has seen, which the verifier does not know. */
SLUICE_INLINE bool sluice_session_note_first(struct sluice_session* wanted, uint8_t* frame, const uint8_t* end,
                                             const struct sluice_packet* packet, uint32_t ingress, uint32_t tick) {
  if (frame + SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES > end) return false;
  *sluice_session_way_back(wanted) = sluice_way_back(frame, packet);
  wanted->client_egress = (uint8_t)ingress;
  wanted->forward = sluice_word_datagram(tick);
  if (packet->flow.protocol != SLUICE_IP_TCP) return true;
  uint8_t* l4 = frame + SLUICE_BOUND(packet->l4_offset, 0xfff);
  if (l4 + SLUICE_TCP_BYTES > end) return false;
  const struct sluice_segment segment = sluice_segment_read(l4);
  wanted->scales = (uint8_t)(sluice_syn_scale(l4, end) | SLUICE_NO_SCALE << 4);
  wanted->forward = sluice_word_segment(0, &segment, false, tick);
  return true;
}

/* The answers of a session, as its server sends them. False when a table could not be read. */
SLUICE_INLINE bool sluice_session_answer_flow(const struct sluice_tables* tables, const struct sluice_session* session,
                                              struct sluice_flow* reverse) {
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, session->backend);
  const struct sluice_address* source = sluice_session_source(tables, session);
  if (SLUICE_MISSING(backend) || SLUICE_MISSING(source)) return false;
  *reverse = sluice_session_reverse_flow(session, &backend->destination, source);
  return true;
}

/* The answers of `wanted` in the scratch. False when a table could not be read. */
SLUICE_INLINE bool sluice_session_answer(struct sluice_owned* of, const struct sluice_session* wanted) {
  const struct sluice_tables* tables = sluice_owned_tables(of);
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  struct sluice_flow* answer = &of->scratch.answer;
  if (SLUICE_MISSING(settings) || !sluice_session_answer_flow(tables, wanted, answer)) return false;
  of->scratch.answer_hash = sluice_hash_flow(settings, answer);
  return true;
}

/* All that its translation adds to `wanted`, whose client's flow is `forward`; its answers are in the scratch. */
SLUICE_STAGE int sluice_session_add_sums(struct sluice_owned* of, struct sluice_session* wanted,
                                         const struct sluice_flow* forward) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted) || SLUICE_MISSING(forward)) return 0;
  const struct sluice_flow* reverse = &of->scratch.answer;
  /* Source and destination change places in a sum. */
  wanted->delta =
      wanted->protocol == SLUICE_IP_ICMP ? sluice_echo_delta(forward, reverse) : sluice_flow_delta(forward, reverse);
  wanted->address_delta = sluice_address_delta(forward, reverse);
  return 1;
}

/* Opens `wanted` for `forward`, its client's flow of this hash; its answers are in the scratch, as they are when it has
 * been found that it keeps its source, or it has been given one. As sluice_session_open. */
SLUICE_INLINE int sluice_session_enter(struct sluice_owned* of, struct sluice_session* wanted,
                                       const struct sluice_flow* forward, uint64_t hash) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted) || SLUICE_MISSING(forward)) return -1;
  if (!sluice_session_add_sums(of, wanted, forward)) return -1;
  return sluice_session_open(of, wanted, hash, of->scratch.answer_hash);
}

/* Whether the owner itself lets the server see the client: if the answers, which are in the scratch then, come back
 * through here and to this session alone. Other owners are still to be asked. */
SLUICE_STAGE int sluice_session_keeps_source(struct sluice_owned* of, const struct sluice_session* wanted) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted)) return 0;
  const struct sluice_tables* tables = sluice_owned_tables(of);
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, wanted->backend);
  if (SLUICE_MISSING(settings) || SLUICE_MISSING(backend) || backend->forwarding != SLUICE_NAT) return 0;
  struct sluice_owner_scratch* search = &of->scratch;
  search->answer = sluice_session_reverse_flow(wanted, &backend->destination, &wanted->client);
  search->answer_hash = sluice_hash_flow(settings, &search->answer);
  sluice_session_fetch_bucket(of, search->answer_hash);
  /* A client that is a server itself would be answered on their own link, or by itself. */
  const uint32_t server = sluice_index_key(SLUICE_INDEX_SERVER_PROTOCOL, 0);
  if (sluice_index_find(tables, settings, &wanted->client, server) != NULL) return 0;
  return sluice_session_make_way(of, wanted, &search->answer, search->answer_hash);
}

#endif /* SLUICE_SESSION_OPEN_H_ */
