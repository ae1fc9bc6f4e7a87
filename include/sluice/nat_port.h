/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Source ports of translated clients. Who owns a session can be told from its port alone, so that an answer finds its
 * session wherever it arrives: ports are dealt out to the owners by a fixed rule. Each owner tries its ports in an
 * order that begins at a keyed place for each server and goes on from where it was (RFC 6056 section 3.3.4), so ports
 * can't be guessed, and one that was given back is the last to be tried again. */
#ifndef SLUICE_NAT_PORT_H_
#define SLUICE_NAT_PORT_H_

#include "sluice/hash.h"
#include "sluice/types.h"

/* The ports that may be taken: two ranges around those that the kernel takes for its own connections. Host order. */
struct sluice_nat_ports {
  uint16_t first;
  uint16_t second;
  /* How many there are in the range that begins at `first`, and in both. */
  uint16_t first_count;
  uint16_t count;
};
#define SLUICE_NAT_FIRST_PORT 1024u

/* Leaves out [kernel_first, kernel_last]. */
SLUICE_INLINE struct sluice_nat_ports sluice_nat_ports_around(uint32_t kernel_first, uint32_t kernel_last) {
  const uint32_t first = SLUICE_NAT_FIRST_PORT;
  const uint32_t below = kernel_first > first ? kernel_first - first : 0;
  const uint32_t second = kernel_last + 1 > first ? kernel_last + 1 : first;
  const uint32_t above = second < 65536 ? 65536 - second : 0;
  const struct sluice_nat_ports ports = {(uint16_t)first, (uint16_t)second, (uint16_t)below, (uint16_t)(below + above)};
  return ports;
}

/* The i-th of them, i below `count`. */
SLUICE_INLINE uint16_t sluice_nat_port(const struct sluice_nat_ports* ports, uint32_t i) {
  return (uint16_t)(i < ports->first_count ? ports->first + i : ports->second + (i - ports->first_count));
}

/* Which of `owners` has the port: the multiplication spreads neighbours, so that a range is dealt out evenly. */
SLUICE_INLINE uint32_t sluice_nat_owner(uint16_t port, uint32_t owners) {
  return (uint32_t)((uint16_t)(port * 0x9e37u)) * owners >> 16;
}

#endif /* SLUICE_NAT_PORT_H_ */
