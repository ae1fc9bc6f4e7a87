/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Ethernet and IP headers of packets that the path makes out of others: from whom those were for, back to whom they
 * came from. VLAN tags stay as they came. */
#ifndef SLUICE_REPLY_HEADERS_H_
#define SLUICE_REPLY_HEADERS_H_

#include "sluice/checksum.h"
#include "sluice/parse.h"
#include "sluice/tables.h"

#define SLUICE_REPLY_TTL 64

SLUICE_INLINE void sluice_return_macs(uint8_t* ethernet, const struct sluice_port* port) {
  __builtin_memcpy(ethernet, ethernet + SLUICE_MAC_BYTES, SLUICE_MAC_BYTES);
  __builtin_memcpy(ethernet + SLUICE_MAC_BYTES, port->mac, SLUICE_MAC_BYTES);
}

SLUICE_INLINE void sluice_write_ipv6(uint8_t* at, uint32_t payload, uint32_t next_header, uint32_t hop_limit,
                                     const struct sluice_address* source, const struct sluice_address* destination) {
  sluice_store32(at, SLUICE_32(0x60000000u));
  sluice_store16(at + 4, SLUICE_16(payload));
  at[6] = (uint8_t)next_header;
  at[7] = (uint8_t)hop_limit;
  sluice_write_address(at + 8, source);
  sluice_write_address(at + 24, destination);
}

/* From whom `packet` is for, to its sender. */
SLUICE_INLINE void sluice_write_ipv4(uint8_t* at, uint32_t payload, uint32_t protocol,
                                     const struct sluice_packet* packet) {
  sluice_store32(at, SLUICE_32(0x45000000u | (SLUICE_IPV4_BYTES + payload)));
  sluice_store32(at + 4, SLUICE_32(0x4000));
  sluice_store32(at + 8, SLUICE_32((uint32_t)SLUICE_REPLY_TTL << 24 | protocol << 16));
  sluice_store32(at + 12, packet->flow.destination.words[3]);
  sluice_store32(at + 16, packet->flow.source.words[3]);
  const uint32_t sum = sluice_checksum_word(sluice_load32(at)) + sluice_checksum_word(sluice_load32(at + 4)) +
                       sluice_checksum_word(sluice_load32(at + 8)) + sluice_checksum_word(sluice_load32(at + 12)) +
                       sluice_checksum_word(sluice_load32(at + 16));
  sluice_store16(at + 10, (uint16_t)~sluice_checksum_fold(sum));
}

#endif /* SLUICE_REPLY_HEADERS_H_ */
