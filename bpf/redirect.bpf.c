// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The program that feeds the AF_XDP ports of the dpdk engine: packets for a virtual address go to the worker of their
// RX queue, everything else stays with the kernel.
//
// "For a virtual address" is: any IPv4 or IPv6 packet with that destination, whatever its protocol and however broken
// the rest of it is (the worker counts it under a drop reason), an ARP request for it (RFC 826), and a neighbour
// solicitation for it (RFC 4861 section 4.3), below up to two VLAN tags.
// A queue without a socket drops: the kernel never holds a virtual address and would answer in its own name.

// clang-format off: the helpers use its types.
#include <linux/bpf.h>
// clang-format on
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

struct address {
  __u8 bytes[16];
};

struct vlan_tag {
  __be16 tci;
  __be16 ethertype;
};

// RFC 826 for Ethernet and IPv4; operation 1 is a request.
struct arp {
  __be16 hardware, protocol;
  __u8 hardware_length, protocol_length;
  __be16 operation;
  __u8 sender_mac[6], sender_address[4], target_mac[6], target_address[4];
} __attribute__((packed));

// RFC 4861 section 4.3.
struct neighbor_solicitation {
  __u8 type, code;
  __be16 checksum;
  __be32 reserved;
  struct address target;
};

// By RX queue; sized to the interface by the loader.
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

// 16 bytes, IPv4 mapped. The value says nothing.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct address);
  __type(value, __u8);
} vips SEC(".maps");

static __always_inline bool is_virtual(const struct address* address) {
  return bpf_map_lookup_elem(&vips, address) != 0;
}

static __always_inline bool is_virtual_ipv4(const void* bytes) {
  struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};
  __builtin_memcpy(&address.bytes[12], bytes, 4);
  return is_virtual(&address);
}

static __always_inline bool arp_is_ours(void* data, void* end) {
  struct arp* arp = data;
  if ((void*)(arp + 1) > end) return false;
  if (arp->protocol != bpf_htons(ETH_P_IP) || arp->operation != bpf_htons(1)) return false;
  return is_virtual_ipv4(arp->target_address);
}

static __always_inline bool ipv4_is_ours(void* data, void* end) {
  struct iphdr* ip = data;
  return (void*)(ip + 1) <= end && is_virtual_ipv4(&ip->daddr);
}

static __always_inline bool ipv6_is_ours(void* data, void* end) {
  struct ipv6hdr* ip = data;
  if ((void*)(ip + 1) > end) return false;
  struct address address;
  __builtin_memcpy(&address, &ip->daddr, sizeof(address));
  if (is_virtual(&address)) return true;

  // A solicitation goes to the solicited-node group of the address, so it is known by its target.
  struct neighbor_solicitation* solicitation = (void*)(ip + 1);
  if (ip->nexthdr != IPPROTO_ICMPV6 || address.bytes[0] != 0xff || (void*)(solicitation + 1) > end) return false;
  __builtin_memcpy(&address, &solicitation->target, sizeof(address));
  return solicitation->type == 135 && is_virtual(&address);
}

static __always_inline bool is_ours(void* data, void* end) {
  struct ethhdr* ethernet = data;
  if ((void*)(ethernet + 1) > end) return false;
  __be16 ethertype = ethernet->h_proto;
  void* next = ethernet + 1;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD)) break;
    struct vlan_tag* tag = next;
    if ((void*)(tag + 1) > end) return false;
    ethertype = tag->ethertype;
    next = tag + 1;
  }
  if (ethertype == bpf_htons(ETH_P_IP)) return ipv4_is_ours(next, end);
  if (ethertype == bpf_htons(ETH_P_IPV6)) return ipv6_is_ours(next, end);
  return ethertype == bpf_htons(ETH_P_ARP) && arp_is_ours(next, end);
}

// The name tells our program from a foreign one at start (15 characters are what the kernel keeps).
SEC("xdp")
int sluice_redirect(struct xdp_md* context) {
  if (!is_ours((void*)(long)context->data, (void*)(long)context->data_end)) return XDP_PASS;
  return bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_DROP);
}

char redirect_license[] SEC("license") = "GPL";
