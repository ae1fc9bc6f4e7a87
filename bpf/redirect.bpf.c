// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The program that feeds the AF_XDP ports of the dpdk engine: packets for a virtual address go to the worker of their
// RX queue, everything else stays with the kernel.
//
// A packet is for its IP destination, whatever its protocol and however broken the rest of it is (the worker counts
// that under its reason); an ARP request (RFC 826) and a neighbour solicitation (RFC 4861 section 4.3) are for the
// address that they ask for. That is all there is to know here, so it does without sluice_parse: it takes the verifier
// 3,000 steps instead of 600,000, and a packet that is the kernel's costs a look-up and little more. A queue without a
// socket drops: the kernel never holds a virtual address and would answer in its own name.

// clang-format off: the helpers use its types.
#include <linux/bpf.h>
// clang-format on
#include <bpf/bpf_helpers.h>

#include "sluice/types.h"

// By RX queue; sized to the interface by the loader.
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

// The value says nothing; sized by the loader.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct sluice_address);
  __type(value, __u8);
} vips SEC(".maps");

SLUICE_INLINE bool is_virtual(struct sluice_address address) {
  return bpf_map_lookup_elem(&vips, &address) != NULL;
}

SLUICE_INLINE bool is_arp_for_us(const uint8_t* arp, const uint8_t* end) {
  if (arp + SLUICE_ARP_BYTES > end || sluice_load16(arp + 6) != SLUICE_16(1)) return false;
  return is_virtual(sluice_ipv4(sluice_load32(arp + 24)));
}

SLUICE_INLINE bool is_ipv4_for_us(const uint8_t* l3, const uint8_t* end) {
  return l3 + SLUICE_IPV4_BYTES <= end && is_virtual(sluice_ipv4(sluice_load32(l3 + 16)));
}

// A solicitation goes to a multicast group; its target is 8 bytes behind the ICMPv6 type 135.
SLUICE_INLINE bool is_ipv6_for_us(const uint8_t* l3, const uint8_t* end) {
  if (l3 + SLUICE_IPV6_BYTES > end) return false;
  const uint8_t* l4 = l3 + SLUICE_IPV6_BYTES;
  struct sluice_address address;
  if (l3[24] == 0xff && l3[6] == SLUICE_IP_ICMPV6 && l4 + 24 <= end && l4[0] == 135) {
    __builtin_memcpy(&address, l4 + 8, sizeof(address));
  } else {
    __builtin_memcpy(&address, l3 + 24, sizeof(address));
  }
  return is_virtual(address);
}

SLUICE_INLINE bool is_ours(const uint8_t* data, const uint8_t* end) {
  if (data + SLUICE_ETHERNET_BYTES > end) return false;
  uint16_t type = sluice_load16(data + 12);
  const uint8_t* l3 = data + SLUICE_ETHERNET_BYTES;
#pragma unroll
  for (uint32_t tags = 0; tags < SLUICE_VLAN_TAGS; tags++) {
    if (type != SLUICE_16(SLUICE_ETHERTYPE_VLAN) && type != SLUICE_16(SLUICE_ETHERTYPE_QINQ)) break;
    if (l3 + SLUICE_VLAN_BYTES > end) return false;
    type = sluice_load16(l3 + 2);
    l3 += SLUICE_VLAN_BYTES;
  }
  if (type == SLUICE_16(SLUICE_ETHERTYPE_IPV4)) return is_ipv4_for_us(l3, end);
  if (type == SLUICE_16(SLUICE_ETHERTYPE_IPV6)) return is_ipv6_for_us(l3, end);
  return type == SLUICE_16(SLUICE_ETHERTYPE_ARP) && is_arp_for_us(l3, end);
}

// The name tells our program from a foreign one at start (15 characters are what the kernel keeps).
SEC("xdp")
int sluice_redirect(struct xdp_md* context) {
  if (!is_ours((const uint8_t*)(long)context->data, (const uint8_t*)(long)context->data_end)) return XDP_PASS;
  return bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_DROP);
}

char redirect_license[] SEC("license") = "GPL";
