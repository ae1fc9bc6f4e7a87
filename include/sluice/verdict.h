/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What becomes of a packet. Every packet ends in exactly one verdict, and every verdict has a counter of its own. This
 * one list gives the enum, the text for people and the metric's name; `kind` is TRANSMIT, PASS (to the kernel) or DROP.
 */
#ifndef SLUICE_VERDICT_H_
#define SLUICE_VERDICT_H_

#include "sluice/types.h"

/* clang-format off */
#define SLUICE_VERDICTS(X) \
  X(forwarded,                TRANSMIT, "forwarded to a backend") \
  X(returned,                 TRANSMIT, "answer of a backend, translated back to its client") \
  X(replied_arp,              TRANSMIT, "ARP request for a virtual address answered") \
  X(replied_neighbor,         TRANSMIT, "neighbour solicitation for a virtual address answered") \
  X(replied_echo,             TRANSMIT, "ICMP echo to a virtual address answered") \
  X(replied_too_big,          TRANSMIT, "packet exceeds the MTU toward its backend; the client was told") \
  X(replied_source_denied,    TRANSMIT, "new flow from a source that the listener denies; the client was told") \
  X(replied_source_over_rate, TRANSMIT, "new flow from a source that has opened too many this second; the client was told") \
  X(replied_listener_full,    TRANSMIT, "new flow of a listener that has its max_connections; the client was told") \
  X(pass_not_ip,              PASS, "neither IP nor ARP") \
  X(pass_vlan_depth,          PASS, "more VLAN tags than are parsed") \
  X(pass_not_virtual,         PASS, "not for a virtual address") \
  X(truncated_ethernet,       DROP, "shorter than its Ethernet header") \
  X(truncated_ip,             DROP, "shorter than its IP header, or than its length field says") \
  X(malformed_ip,             DROP, "IP version, header length or total length is wrong") \
  X(truncated_extension,      DROP, "shorter than its IPv6 extension headers") \
  X(extension_depth,          DROP, "more IPv6 extension headers than are parsed") \
  X(tiny_fragment,            DROP, "first fragment without a whole transport header, or a fragment inside one") \
  X(truncated_transport,      DROP, "shorter than its transport header") \
  X(malformed_tcp,            DROP, "TCP header length or flags are impossible") \
  X(malformed_udp,            DROP, "UDP length is impossible") \
  X(zero_port,                DROP, "source or destination port is zero") \
  X(truncated_quote,          DROP, "ICMP error that quotes too little of a packet") \
  X(unusable_quote,           DROP, "ICMP error whose quoted packet is not a flow of this virtual address") \
  X(unsupported_icmp,         DROP, "ICMP type that a virtual address has no use for") \
  X(unsupported_protocol,     DROP, "protocol without a listener") \
  X(bad_source,               DROP, "source address that no client can have") \
  X(source_denied,            DROP, "new flow from a source that the listener denies") \
  X(source_over_rate,         DROP, "new flow from a source that has opened too many this second") \
  X(listener_full,            DROP, "new flow of a listener that has its max_connections") \
  X(address_conflict,         DROP, "another host claims a virtual address") \
  X(no_listener,              DROP, "virtual address, but no listener on that protocol and port") \
  X(unknown_fragment,         DROP, "later fragment whose first has not been seen") \
  X(no_backend,               DROP, "the pool has no backend that can take flows") \
  X(backends_full,            DROP, "each backend of the pool has its max_connections") \
  X(no_next_hop,              DROP, "the backend has no next hop") \
  X(ttl_expired,              DROP, "TTL or hop limit used up here") \
  X(too_big,                  DROP, "packet exceeds the MTU toward its backend; telling the client was rate-limited or impossible") \
  X(no_session,               DROP, "no session, and the packet cannot open one") \
  X(sessions_full,            DROP, "the session table has room for no other") \
  X(no_nat_address,           DROP, "the client's address has to be translated, and there is no NAT address of the backend's family") \
  X(no_nat_port,              DROP, "no free port of the NAT addresses toward this backend") \
  X(reset_out_of_window,      DROP, "TCP RST that its receiver would not believe") \
  X(untranslatable,           DROP, "packet that has no counterpart in the other IP version") \
  X(no_checksum,              DROP, "UDP without a checksum, toward IPv6") \
  X(client_address_misplaced, DROP, "a client's bytes where its address has to be, or a fragment that would have to carry it") \
  X(worker_gone,              DROP, "a flow that only a worker can forward, while the kernel stands in for it") \
  X(no_headroom,              DROP, "no room in front of the packet for its new headers") \
  X(echo_off,                 DROP, "ICMP echo, and the listener does not answer it") \
  X(no_table,                 DROP, "a table could not be read")
/* clang-format on */

enum sluice_verdict {
#define SLUICE_VERDICT_ENUM(name, kind, text) SLUICE_VERDICT_##name,
  SLUICE_VERDICTS(SLUICE_VERDICT_ENUM)
#undef SLUICE_VERDICT_ENUM
      SLUICE_VERDICT_COUNT,
  /* Not a verdict yet: the next stage decides. */
  SLUICE_CONTINUE = SLUICE_VERDICT_COUNT,
};

enum sluice_verdict_kind { SLUICE_KIND_TRANSMIT, SLUICE_KIND_PASS, SLUICE_KIND_DROP };

/* The list is in the order of the kinds, so the kind is two comparisons. */
SLUICE_INLINE enum sluice_verdict_kind sluice_verdict_kind(uint32_t verdict) {
  return verdict < SLUICE_VERDICT_pass_not_ip          ? SLUICE_KIND_TRANSMIT
         : verdict < SLUICE_VERDICT_truncated_ethernet ? SLUICE_KIND_PASS
                                                       : SLUICE_KIND_DROP;
}

#ifndef __bpf__
/* The metric's name, as "no_listener". `verdict` is below SLUICE_VERDICT_COUNT. */
SLUICE_INLINE const char* sluice_verdict_name(uint32_t verdict) {
  static const char* const kNames[] = {
#  define SLUICE_VERDICT_NAME(name, kind, text) #  name,
      SLUICE_VERDICTS(SLUICE_VERDICT_NAME)
#  undef SLUICE_VERDICT_NAME
  };
  return kNames[verdict];
}

/* For people. `verdict` is below SLUICE_VERDICT_COUNT. */
SLUICE_INLINE const char* sluice_verdict_text(uint32_t verdict) {
  static const char* const kTexts[] = {
#  define SLUICE_VERDICT_TEXT(name, kind, text) text,
      SLUICE_VERDICTS(SLUICE_VERDICT_TEXT)
#  undef SLUICE_VERDICT_TEXT
  };
  return kTexts[verdict];
}
#endif

#endif /* SLUICE_VERDICT_H_ */
