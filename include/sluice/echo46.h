/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * ICMP echo between IP versions (RFC 7915 section 4.2, 5.2): other types, and a checksum with or without a pseudo
 * header. The IP header around it: translate46.h. */
#ifndef SLUICE_ECHO46_H_
#define SLUICE_ECHO46_H_

#include "sluice/reply.h"
#include "sluice/translate.h"

/* Type, identifier and checksum of an echo; `ipv6`: as it is written. ICMPv6 has a pseudo header, of `length` bytes
 * from `source` to `destination` in whichever of the two packets is IPv6. */
SLUICE_RARE void sluice_echo46(uint8_t* l4, bool ipv6, uint32_t length, const struct sluice_address* source,
                               const struct sluice_address* destination, const struct sluice_endpoints* to) {
  const uint8_t type = l4[0];
  const uint16_t before = sluice_load16(l4);
  l4[0] = ipv6 ? (type == 8 ? 128 : 129) : (type == 128 ? 8 : 0);
  const uint16_t pseudo = sluice_checksum_fold(sluice_pseudo_sum(source, destination, SLUICE_IP_ICMPV6, length));
  const uint32_t gained = sluice_load16(l4) + (uint32_t)(uint16_t)~before + (ipv6 ? pseudo : (uint16_t)~pseudo);
  sluice_store16(l4 + 2, sluice_checksum_add(sluice_load16(l4 + 2), sluice_checksum_fold(gained)));
  sluice_translate_echo(l4, to);
}

/* A protocol that is the other version's by another number. */
SLUICE_INLINE uint8_t sluice_protocol46(uint8_t protocol, bool ipv6) {
  if (protocol == (ipv6 ? SLUICE_IP_ICMP : SLUICE_IP_ICMPV6)) return ipv6 ? SLUICE_IP_ICMPV6 : SLUICE_IP_ICMP;
  return protocol;
}

#endif /* SLUICE_ECHO46_H_ */
