/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The client's address for a server that sees another one, TCP alone, one way or the other:
 *
 * - PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, section 2.2): a header in front of the client's first
 *   byte. It is put into the client's own packets, never into one of ours: those whose sequence number is the first one
 *   behind the SYN, the handshake's ACK first of all, until the server has acknowledged the header. So it comes again
 *   whenever the client has reason to send again, and it is there before the server has to say anything. The server
 *   counts the header, the client doesn't: for the life of the flow, numbers of the client's bytes are that much larger
 *   toward the server (sequence), and smaller toward the client (acknowledgment, selective ones as well, RFC 2018).
 * - A TCP option (DPVS calls it TOA; kind 254 of RFC 4727) in the client's packets until the server shows that it has
 *   one of them: the option counts for nobody, so no number changes.
 *
 * Nothing that a client sends is taken for either: data in front of the header's place or in a SYN does not pass, nor
 * does an option of that kind. Data in a SYN comes again behind the header; options that would let the server answer
 * it, or count bytes by themselves, become no-operations: TCP Fast Open (RFC 7413), Multipath TCP (RFC 8684).
 *
 * Segments are what a client or a server sends, not translated yet. Those who call have seen to it that headers lie
 * whole in the frame. Checksums are updated by what changes. */
#ifndef SLUICE_CLIENT_ADDRESS_H_
#define SLUICE_CLIENT_ADDRESS_H_

#include "sluice/session.h"
#include "sluice/translate.h"

#define SLUICE_TCP_PSH 0x08
#define SLUICE_TCP_URG 0x20
#define SLUICE_OPTION_SACK 5
#define SLUICE_OPTION_MULTIPATH 30
#define SLUICE_OPTION_FAST_OPEN 34
#define SLUICE_OPTION_TOA 254

#define SLUICE_PROXY_IPV4_BYTES 28
#define SLUICE_PROXY_IPV6_BYTES 52
#define SLUICE_TOA_IPV4_BYTES 8
#define SLUICE_TOA_IPV6_BYTES 20

/* What a packet grows by that carries the address of the session's client. */
SLUICE_INLINE uint32_t sluice_client_address_bytes(uint32_t flags) {
  const bool ipv6 = flags & SLUICE_SESSION_CLIENT_IPV6;
  if (flags & SLUICE_SESSION_PROXY) return ipv6 ? SLUICE_PROXY_IPV6_BYTES : SLUICE_PROXY_IPV4_BYTES;
  if (flags & SLUICE_SESSION_TOA) return ipv6 ? SLUICE_TOA_IPV6_BYTES : SLUICE_TOA_IPV4_BYTES;
  return 0;
}

/* How the two sides of a flow with a PROXY header count the client's bytes. Host order. */
struct sluice_proxied {
  /* Number of the client's first byte, and to the server of the header's; stands while `begun` and not `told`. */
  uint32_t first;
  /* The header's. */
  uint32_t bytes;
  /* The server has answered the SYN. */
  bool begun;
  /* It has acknowledged the header. */
  bool told;
};

/* As the session's flags and reverse word say. */
SLUICE_INLINE struct sluice_proxied sluice_proxied_of(uint32_t flags, uint64_t reverse) {
  const struct sluice_proxied proxied = {
      (uint32_t)(reverse >> SLUICE_WORD_NUMBER_SHIFT), sluice_client_address_bytes(flags),
      (reverse & (SLUICE_WORD_SYN | SLUICE_WORD_ACK)) == (SLUICE_WORD_SYN | SLUICE_WORD_ACK),
      (flags & SLUICE_SESSION_TOLD) != 0};
  return proxied;
}

/* How much further the server of a session counts its client's bytes than the client does. */
SLUICE_INLINE uint32_t sluice_proxied_ahead(const struct sluice_session* session) {
  return session->flags & SLUICE_SESSION_TOLD ? sluice_client_address_bytes(session->flags) : 0;
}

/* What becomes of a client's segment. */
enum sluice_proxied_fate {
  SLUICE_PROXIED_KEEPS,
  /* Its sequence number goes up by the header's length. */
  SLUICE_PROXIED_SHIFTS,
  /* The header comes in front of its payload. */
  SLUICE_PROXIED_GROWS,
  /* It would put the client's bytes in the header's place, or it can't grow. */
  SLUICE_PROXIED_REFUSED,
};

/* `payload`: bytes of it. `fragment`: there may be more of it. `acknowledged`: the client has acknowledged something
 * before, so a header is on its way to the server: a RST has to be behind it. */
SLUICE_INLINE enum sluice_proxied_fate sluice_proxied_fate(const struct sluice_proxied* proxied,
                                                           const struct sluice_segment* segment, uint32_t payload,
                                                           bool fragment, bool acknowledged) {
  if (segment->flags & SLUICE_TCP_SYN) return fragment ? SLUICE_PROXIED_REFUSED : SLUICE_PROXIED_KEEPS;
  if (proxied->told) return SLUICE_PROXIED_SHIFTS;
  if (!proxied->begun) return SLUICE_PROXIED_KEEPS;
  const int32_t ahead = (int32_t)(segment->sequence - proxied->first);
  if (ahead > 0) return SLUICE_PROXIED_SHIFTS;
  if (segment->flags & SLUICE_TCP_RST) return ahead == 0 && acknowledged ? SLUICE_PROXIED_SHIFTS : SLUICE_PROXIED_KEEPS;
  if (fragment) return SLUICE_PROXIED_REFUSED;
  if (ahead == 0) return SLUICE_PROXIED_GROWS;
  /* A probe of a connection that is idle from its start repeats what is in front of the first byte (RFC 9293 section
   * 3.8.4). */
  const uint32_t length = payload + (segment->flags & SLUICE_TCP_FIN ? 1 : 0);
  return length <= (uint32_t)-ahead ? SLUICE_PROXIED_KEEPS : SLUICE_PROXIED_REFUSED;
}

/* A number of the client's bytes as the server counts them, as its client does. */
SLUICE_INLINE uint32_t sluice_proxied_back(const struct sluice_proxied* proxied, uint32_t number) {
  if (proxied->told) return number - proxied->bytes;
  const int32_t ahead = (int32_t)(number - proxied->first);
  if (!proxied->begun || ahead <= 0) return number;
  return (uint32_t)ahead < proxied->bytes ? proxied->first : number - proxied->bytes;
}

/* Whether the server's acknowledgment, which a SYN does not come with, says that it has the header. `window`: bytes
 * that it was seen to let the client send; what is far beyond is of another connection, an older one between the same
 * ports.
 */
SLUICE_INLINE bool sluice_proxied_is_told(const struct sluice_proxied* proxied, uint32_t acknowledgment,
                                          uint32_t window) {
  return proxied->begun && acknowledgment - proxied->first - proxied->bytes <= window + 0x10000;
}

SLUICE_INLINE void sluice_tcp_set_sequence(uint8_t* l4, uint32_t sequence) {
  sluice_tcp_store32(l4, l4 + 4, SLUICE_32(sequence));
}
SLUICE_INLINE void sluice_tcp_set_acknowledgment(uint8_t* l4, uint32_t acknowledgment) {
  sluice_tcp_store32(l4, l4 + 8, SLUICE_32(acknowledgment));
}

/* The edges of what the server has beside what it has acknowledged (RFC 2018 section 3), as the client counts. */
SLUICE_INLINE void sluice_proxied_back_sack(uint8_t* l4, const uint8_t* end, const struct sluice_proxied* proxied) {
  if (sluice_tcp_length(l4) == SLUICE_TCP_BYTES) return;
  uint8_t* option = sluice_tcp_option_from(l4, end, SLUICE_TCP_BYTES, SLUICE_OPTION_SACK);
  if (!option) return;
  for (uint32_t at = 2; at < SLUICE_TCP_OPTION_BYTES; at += 4) {
    uint8_t* edge = option + at;
    if (at + 4 > option[1] || edge + 4 > end) return;
    sluice_tcp_store32(l4, edge, SLUICE_32(sluice_proxied_back(proxied, SLUICE_32(sluice_load32(edge)))));
  }
}

/* Takes all options of `kind` out of a TCP header: no-operations are left. */
SLUICE_INLINE void sluice_tcp_blank_options(uint8_t* l4, const uint8_t* end, uint8_t kind) {
  uint32_t at = SLUICE_TCP_BYTES;
  for (uint32_t i = 0; i < SLUICE_TCP_OPTION_BYTES / 2; i++) {
    uint8_t* option = sluice_tcp_option_from(l4, end, at, kind);
    if (!option) return;
    const uint32_t length = option[1];
    at = (uint32_t)(option - l4) + length;
    for (uint32_t j = 0; j < SLUICE_TCP_OPTION_BYTES && j < length; j++) {
      uint8_t* byte = option + j;
      if (byte + 1 > end) return;
      const uint8_t before = *byte;
      *byte = SLUICE_OPTION_NOP;
      sluice_tcp_gain(l4, byte, (uint32_t)(uint16_t)~before + SLUICE_OPTION_NOP);
    }
  }
}

/* What a SYN may not offer to a server that is told by a header: data that it answers at once, in whichever way the
 * option is written (RFC 7413 section 4.1.1, appendix A of its drafts: kind 254), and bytes that are counted twice. */
SLUICE_INLINE void sluice_proxied_blank_syn(uint8_t* l4, const uint8_t* end) {
  sluice_tcp_blank_options(l4, end, SLUICE_OPTION_FAST_OPEN);
  sluice_tcp_blank_options(l4, end, SLUICE_OPTION_MULTIPATH);
  sluice_tcp_blank_options(l4, end, SLUICE_OPTION_TOA);
}

/* Makes the segments of who gets this SYN shorter by `less`: what they grow by on their way. One without an MSS is
 * for segments of 536 bytes, which fit; one of next to nothing is left alone. */
SLUICE_INLINE void sluice_lower_mss(uint8_t* l4, const uint8_t* end, uint32_t less) {
  uint8_t* value = sluice_tcp_option(l4, end, 2, 4);
  if (!value || value + 2 > end) return;
  const uint32_t before = SLUICE_16(sluice_load16(value));
  if (before > 2 * less) sluice_tcp_store16(l4, value, SLUICE_16(before - less));
}

/* Lets the client send `less` bytes less: they are the header's. `shift`: of the window. */
SLUICE_INLINE void sluice_lower_window(uint8_t* l4, uint32_t less, uint32_t shift) {
  const uint32_t units = (less + (1u << shift) - 1) >> shift;
  const uint32_t before = SLUICE_16(sluice_load16(l4 + 14));
  if (before > units) sluice_tcp_store16(l4, l4 + 14, SLUICE_16(before - units));
}

/* Gives the IP packet at `l3` another length; what a pseudo header's sum gains by that. */
SLUICE_INLINE uint32_t sluice_ip_resize(uint8_t* l3, struct sluice_packet* packet, uint32_t length) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  uint8_t* at = l3 + (ipv6 ? 4 : 2);
  const uint16_t before = sluice_load16(at);
  const uint16_t after = SLUICE_16(ipv6 ? length - SLUICE_IPV6_BYTES : length);
  sluice_store16(at, after);
  if (!ipv6) sluice_store16(l3 + 10, sluice_checksum_update(sluice_load16(l3 + 10), before, after));
  packet->l3_length = length;
  return (uint32_t)(uint16_t)~before + after;
}

/* Cuts off the payload of a whole packet: its sender will send it again. `end`: the packet's. */
SLUICE_INLINE void sluice_tcp_cut_payload(uint8_t* l3, const uint8_t* end, struct sluice_packet* packet) {
  const uint32_t offset = (uint32_t)packet->l4_offset - packet->l3_offset;
  uint8_t* l4 = l3 + SLUICE_BOUND(offset, 0x7ff);
  const uint32_t headers = offset + sluice_tcp_length(l4);
  if (packet->l3_length <= headers) return;
  const uint32_t length = packet->l3_length - headers;
  const uint16_t gone = sluice_checksum_fold(sluice_checksum_payload(l3 + headers, end, length, 0x10000));
  sluice_tcp_gain(l4, l4, (uint32_t)(uint16_t)~gone + sluice_ip_resize(l3, packet, headers));
}

/* Section 2.2: signature, version and command, family and transport, length of the addresses; addresses and ports, as
 * the client sends them. Returns the length. */
SLUICE_INLINE uint32_t sluice_proxy_write(uint8_t* at, const struct sluice_session* session,
                                          const struct sluice_address* virtual_address) {
  sluice_store32(at, SLUICE_32(0x0d0a0d0au));
  sluice_store32(at + 4, SLUICE_32(0x000d0a51u));
  sluice_store32(at + 8, SLUICE_32(0x5549540au));
  if (session->flags & SLUICE_SESSION_CLIENT_IPV6) {
    sluice_store32(at + 12, SLUICE_32(0x21210024u));
    __builtin_memcpy(at + 16, &session->client, sizeof(session->client));
    __builtin_memcpy(at + 32, virtual_address, sizeof(*virtual_address));
    sluice_store32(at + 48, session->ports);
    return SLUICE_PROXY_IPV6_BYTES;
  }
  sluice_store32(at + 12, SLUICE_32(0x2111000cu));
  sluice_store32(at + 16, session->client.words[3]);
  sluice_store32(at + 20, virtual_address->words[3]);
  sluice_store32(at + 24, session->ports);
  return SLUICE_PROXY_IPV4_BYTES;
}

/* Writes the header into a whole packet that has a gap for it behind its TCP header, which is not counted yet. */
SLUICE_INLINE void sluice_proxy_insert(uint8_t* l3, struct sluice_packet* packet, const struct sluice_session* session,
                                       const struct sluice_address* virtual_address) {
  uint8_t* l4 = l3 + SLUICE_BOUND((uint32_t)packet->l4_offset - packet->l3_offset, 0x7ff);
  uint8_t* gap = l4 + sluice_tcp_length(l4);
  const uint32_t bytes = sluice_proxy_write(gap, session, virtual_address);
  sluice_tcp_gain(l4, l4,
                  sluice_checksum_fold(sluice_checksum_bytes(gap, gap + bytes, bytes, SLUICE_PROXY_IPV6_BYTES)) +
                      sluice_ip_resize(l3, packet, packet->l3_length + bytes));
  /* It is counted from the sequence number on. */
  if (l4[13] & SLUICE_TCP_URG) sluice_tcp_store16(l4, l4 + 18, SLUICE_16(SLUICE_16(sluice_load16(l4 + 18)) + bytes));
  /* Who waits for the header does not wait for more. */
  sluice_tcp_store16(l4, l4 + 12, (uint16_t)(sluice_load16(l4 + 12) | SLUICE_TCP_PSH << 8));
}

/* Whether the TCP header has room for the option. */
SLUICE_INLINE bool sluice_toa_fits(const uint8_t* l4, uint32_t bytes) {
  return sluice_tcp_length(l4) + bytes <= SLUICE_TCP_BYTES + SLUICE_TCP_OPTION_BYTES;
}

/* Writes the option into a whole packet that has a gap for it in front of its other options, not counted yet. */
SLUICE_INLINE void sluice_toa_insert(uint8_t* l3, struct sluice_packet* packet, const struct sluice_session* session) {
  uint8_t* l4 = l3 + SLUICE_BOUND((uint32_t)packet->l4_offset - packet->l3_offset, 0x7ff);
  uint8_t* gap = l4 + SLUICE_TCP_BYTES;
  const bool ipv6 = session->flags & SLUICE_SESSION_CLIENT_IPV6;
  const uint32_t bytes = ipv6 ? SLUICE_TOA_IPV6_BYTES : SLUICE_TOA_IPV4_BYTES;
  gap[0] = SLUICE_OPTION_TOA;
  gap[1] = (uint8_t)bytes;
  sluice_store16(gap + 2, (uint16_t)session->ports);
  if (ipv6) {
    __builtin_memcpy(gap + 4, &session->client, sizeof(session->client));
  } else {
    sluice_store32(gap + 4, session->client.words[3]);
  }
  sluice_tcp_gain(l4, l4,
                  sluice_checksum_fold(sluice_checksum_bytes(gap, gap + bytes, bytes, SLUICE_TOA_IPV6_BYTES)) +
                      sluice_ip_resize(l3, packet, packet->l3_length + bytes));
  sluice_tcp_store16(l4, l4 + 12, (uint16_t)(sluice_load16(l4 + 12) + (bytes / 4 << 4)));
}

/* A 32-bit number of the segment that an ICMP error quotes; `at` is where it stands there. The quoted checksum follows,
 * if it is quoted, and the error's. `l4`: of the quoted packet; `end`: the error's. */
SLUICE_INLINE void sluice_quote_store32(uint8_t* icmp, uint8_t* l4, const uint8_t* end, uint8_t* at, uint32_t value) {
  const uint16_t gain = sluice_checksum_fold(sluice_checksum_word(~sluice_load32(at)) + sluice_checksum_word(value));
  sluice_store32(at, value);
  /* With its checksum a segment adds up to what it did. */
  if (l4 + 18 <= end) {
    sluice_tcp_gain(l4, l4, gain);
  } else {
    sluice_store16(icmp + 2, sluice_checksum_add(sluice_load16(icmp + 2), gain));
  }
}

/* An ICMP error that says how long packets may be, of one that had grown by `bytes` on its way: its sender's own may
 * have so much less. */
SLUICE_INLINE void sluice_quote_lower_mtu(uint8_t* icmp, bool ipv6, uint32_t bytes) {
  /* In the second word, whole or its lower half (RFC 4443 section 3.2, RFC 1191 section 4). */
  if (ipv6 ? icmp[0] != 2 : icmp[0] != 3 || icmp[1] != 4) return;
  const uint32_t word = SLUICE_32(sluice_load32(icmp + 4));
  const uint32_t mtu = ipv6 ? word : word & 0xffff;
  if (mtu <= 2 * bytes) return;
  const uint32_t after = SLUICE_32(word - bytes);
  const uint16_t gain =
      sluice_checksum_fold(sluice_checksum_word(~sluice_load32(icmp + 4)) + sluice_checksum_word(after));
  sluice_store32(icmp + 4, after);
  sluice_store16(icmp + 2, sluice_checksum_add(sluice_load16(icmp + 2), gain));
}

#endif /* SLUICE_CLIENT_ADDRESS_H_ */
