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

/* `count` of them from the i-th on. */
SLUICE_INLINE struct sluice_nat_ports sluice_nat_ports_part(const struct sluice_nat_ports* ports, uint32_t i,
                                                            uint32_t count) {
  const uint32_t below = i < ports->first_count ? ports->first_count - i : 0;
  const struct sluice_nat_ports part = {sluice_nat_port(ports, i), below ? ports->second : sluice_nat_port(ports, i),
                                        (uint16_t)(below < count ? below : count), (uint16_t)count};
  return part;
}

/* Which of `owners` has the port: the multiplication spreads neighbours, so that a range is dealt out evenly. */
SLUICE_INLINE uint32_t sluice_nat_owner(uint16_t port, uint32_t owners) {
  return (uint32_t)((uint16_t)(port * 0x9e37u)) * owners >> 16;
}

#ifndef __bpf__
/* Source ports that go by RSS (engine/nat_owners.h), of the packets in `kinds`. */
#  define SLUICE_NAT_KIND(ipv6, udp) (1u << (2 * (ipv6) + (udp)))
struct sluice_nat_rss {
  /* A byte's part of the hash, by its place in what is hashed. */
  const uint32_t (*parts)[256];
  const uint16_t* owner_of_hash;
  uint32_t hash_mask;
  uint32_t kinds;
};

/* The same toward one server: the parts of a port's two bytes, and that of all in front of them. No `high`: its ports
 * are dealt out. */
struct sluice_port_owners {
  const uint32_t* high;
  const uint32_t* low;
  const uint16_t* owner_of_hash;
  uint32_t hash_mask;
  uint32_t hash;
};

/* `answer` as the server sends it; its destination port does not matter. */
SLUICE_INLINE struct sluice_port_owners sluice_port_owners_toward(const struct sluice_nat_rss* rss,
                                                                  const struct sluice_flow* answer) {
  struct sluice_port_owners toward = {.owner_of_hash = rss->owner_of_hash, .hash_mask = rss->hash_mask};
  const bool ipv6 = !sluice_address_is_ipv4(&answer->source);
  const bool udp = answer->protocol == SLUICE_IP_UDP;
  if ((answer->protocol != SLUICE_IP_TCP && !udp) || !(rss->kinds & SLUICE_NAT_KIND(ipv6, udp))) return toward;
  const uint32_t skipped = ipv6 ? 0 : sizeof(struct sluice_address) - sizeof(uint32_t);
  const uint8_t* source = (const uint8_t*)&answer->source;
  const uint8_t* destination = (const uint8_t*)&answer->destination;
  const uint8_t* port = (const uint8_t*)&answer->source_port;
  uint32_t at = 0;
  for (uint32_t i = skipped; i < sizeof(struct sluice_address); i++) toward.hash ^= rss->parts[at++][source[i]];
  for (uint32_t i = skipped; i < sizeof(struct sluice_address); i++) toward.hash ^= rss->parts[at++][destination[i]];
  for (uint32_t i = 0; i < sizeof(answer->source_port); i++) toward.hash ^= rss->parts[at++][port[i]];
  toward.high = rss->parts[at];
  toward.low = rss->parts[at + 1];
  return toward;
}

/* Host order. */
SLUICE_INLINE uint32_t sluice_port_owner(const struct sluice_port_owners* toward, uint32_t owners, uint16_t port) {
  if (!toward->high) return sluice_nat_owner(port, owners);
  return toward->owner_of_hash[(toward->hash ^ toward->high[port >> 8] ^ toward->low[port & 0xff]) & toward->hash_mask];
}
#endif

#endif /* SLUICE_NAT_PORT_H_ */
