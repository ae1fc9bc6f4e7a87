// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Takes IPIP and GUE tunnels off packets, for backends whose kernel has no tunnel device.
//
// Runs as XDP on the backend's interface. What carries a tunnel header for one of the addresses in decap_addresses
// loses it, and the kernel, which holds the virtual address on its loopback, gets the inner packet:
//
//   Ethernet [VLAN] IPv4|IPv6 [UDP GUE] IPv4|IPv6 ...   ->   Ethernet [VLAN] IPv4|IPv6 ...
//
// IP in IP: RFC 2003, RFC 2473, RFC 4213. GUE: draft-ietf-intarea-gue-09, variants 0 and 1. ECN: RFC 6040 section 4.2;
// DSCP and TTL of the inner packet stay (RFC 2983 section 3.1 "pipe", RFC 2003 section 3.1).
//
// The outer checksums are not verified: the addresses and lengths that matter are compared and bounded here, the
// inner packet has checksums of its own that the kernel verifies, and RFC 6935 allows UDP without one. Fragments of
// outer packets are left to the kernel, which has no use for them: a path to a backend must have room for the outer
// header.
//
// Every byte is read through bpf_xdp_load_bytes: it knows frames of several buffers, and a few nanoseconds are nothing
// beside the kernel's own path that the packet goes next.
#include "decap.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

// Set by the loader before the load. Host order.
const volatile __u16 decap_gue_port = DECAP_GUE_PORT;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, DECAP_MAX_ADDRESSES);
  __type(key, struct decap_address);
  __type(value, __u8);
} decap_addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, DECAP_RESULT_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} decap_counters SEC(".maps");

struct vlan_header {
  __be16 tci;
  __be16 ethertype;
};

// Fits the four bytes that every GUE header starts with; draft-ietf-intarea-gue-09 section 3.1.
struct gue_header {
  __u8 variant_control_length;
  __u8 protocol;
  __be16 flags;
};

#define GUE_CONTROL 0x20
#define GUE_LENGTH_MASK 0x1f

#define IPV4_MORE_FRAGMENTS_OR_OFFSET 0x3fff
#define IPV6_EXTENSION_HEADERS_MAX 4
#define ECN_MASK 3
#define ECN_ECT1 1
#define ECN_CE 3

// What is known of the packet so far. Offsets count from the start of the frame.
struct packet {
  struct ethhdr ethernet;
  struct vlan_header vlan;
  __u32 link_length;
  // The next byte to read, and the first one behind what the IP and UDP headers so far claim to hold.
  __u32 offset;
  __u32 end;
  // The destination of the outer header.
  struct decap_address destination;
  // What stands at `offset`: an IP protocol number.
  __u8 protocol;
  __u8 ecn;
};

// A step either settles the result or lets the next one go on.
#define NEXT (-1)

#define READ(ctx, offset, into) (bpf_xdp_load_bytes(ctx, offset, into, sizeof(*(into))) == 0)

static __always_inline int read_link(struct xdp_md* ctx, struct packet* packet) {
  if (!READ(ctx, 0, &packet->ethernet)) return DECAP_not_tunnel;
  packet->link_length = sizeof(packet->ethernet);
  if (packet->ethernet.h_proto == bpf_htons(ETH_P_8021Q) || packet->ethernet.h_proto == bpf_htons(ETH_P_8021AD)) {
    if (!READ(ctx, packet->link_length, &packet->vlan)) return DECAP_not_tunnel;
    packet->link_length += sizeof(packet->vlan);
  }
  packet->offset = packet->link_length;
  return NEXT;
}

static __always_inline int may_be_tunnel(__u8 protocol) {
  return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_UDP;
}

static __always_inline int read_outer_ipv4(struct xdp_md* ctx, struct packet* packet) {
  struct iphdr ip;
  if (!READ(ctx, packet->offset, &ip)) return DECAP_not_tunnel;
  if (ip.version != 4 || ip.ihl < 5 || !may_be_tunnel(ip.protocol)) return DECAP_not_tunnel;
  if (ip.frag_off & bpf_htons(IPV4_MORE_FRAGMENTS_OR_OFFSET)) return DECAP_fragment;
  packet->end = packet->offset + bpf_ntohs(ip.tot_len);
  packet->offset += ip.ihl * 4;
  packet->protocol = ip.protocol;
  packet->ecn = ip.tos & ECN_MASK;
  packet->destination.bytes[10] = packet->destination.bytes[11] = 0xff;
  __builtin_memcpy(&packet->destination.bytes[12], &ip.daddr, sizeof(ip.daddr));
  return NEXT;
}

// Hop-by-hop and destination options are stepped over: Linux tunnels put the encapsulation limit of RFC 2473
// section 4.1.1 there.
static __always_inline int read_outer_ipv6(struct xdp_md* ctx, struct packet* packet) {
  struct ipv6hdr ip;
  if (!READ(ctx, packet->offset, &ip) || ip.version != 6) return DECAP_not_tunnel;
  packet->offset += sizeof(ip);
  packet->end = packet->offset + bpf_ntohs(ip.payload_len);
  packet->protocol = ip.nexthdr;
  packet->ecn = (ip.flow_lbl[0] >> 4) & ECN_MASK;
  __builtin_memcpy(&packet->destination, &ip.daddr, sizeof(ip.daddr));
  for (int i = 0; i < IPV6_EXTENSION_HEADERS_MAX; i++) {
    struct ipv6_opt_hdr option;
    if (packet->protocol != IPPROTO_HOPOPTS && packet->protocol != IPPROTO_DSTOPTS) break;
    if (!READ(ctx, packet->offset, &option)) return DECAP_not_tunnel;
    packet->protocol = option.nexthdr;
    packet->offset += (option.hdrlen + 1) * 8;
  }
  if (packet->protocol == IPPROTO_FRAGMENT) return DECAP_fragment;
  return may_be_tunnel(packet->protocol) ? NEXT : DECAP_not_tunnel;
}

static __always_inline int read_outer(struct xdp_md* ctx, struct packet* packet) {
  __be16 ethertype = packet->ethernet.h_proto;
  if (packet->link_length != sizeof(packet->ethernet)) ethertype = packet->vlan.ethertype;
  if (ethertype == bpf_htons(ETH_P_IP)) return read_outer_ipv4(ctx, packet);
  if (ethertype == bpf_htons(ETH_P_IPV6)) return read_outer_ipv6(ctx, packet);
  return DECAP_not_tunnel;
}

// Only here is it certain that the packet is meant for us: what is wrong from here on is dropped.
static __always_inline int read_tunnel(struct xdp_md* ctx, struct packet* packet) {
  struct udphdr udp = {};
  if (packet->protocol == IPPROTO_UDP) {
    if (!READ(ctx, packet->offset, &udp)) return DECAP_not_tunnel;
    if (udp.dest != bpf_htons(decap_gue_port)) return DECAP_not_tunnel;
  }
  if (!bpf_map_lookup_elem(&decap_addresses, &packet->destination)) return DECAP_other_address;
  if (packet->end > bpf_xdp_get_buff_len(ctx)) return DECAP_malformed;
  if (packet->protocol != IPPROTO_UDP) return NEXT;

  __u32 end = packet->offset + bpf_ntohs(udp.len);
  if (end > packet->end) return DECAP_malformed;
  packet->end = end;
  packet->offset += sizeof(udp);
  return NEXT;
}

// Variant 0 names the inner protocol; variant 1 (section 4) has no header: its bits are those of an IP version.
// Unknown flags must not be ignored (section 5.4), and this decapsulator knows none; so what stands between the four
// bytes and the inner packet is private data, which may be skipped.
static __always_inline int read_gue(struct xdp_md* ctx, struct packet* packet) {
  struct gue_header gue;
  if (packet->offset + sizeof(gue) > packet->end || !READ(ctx, packet->offset, &gue)) return DECAP_malformed;
  __u8 head = gue.variant_control_length;
  if (head >> 6 == 0) {
    if ((head & GUE_CONTROL) || gue.flags) return DECAP_unsupported;
    packet->protocol = gue.protocol;
    packet->offset += sizeof(gue) + (head & GUE_LENGTH_MASK) * 4;
  } else if (head >> 4 == 4) {
    packet->protocol = IPPROTO_IPIP;
  } else if (head >> 4 == 6) {
    packet->protocol = IPPROTO_IPV6;
  } else {
    return DECAP_unsupported;
  }
  return packet->protocol == IPPROTO_IPIP || packet->protocol == IPPROTO_IPV6 ? NEXT : DECAP_unsupported;
}

// The inner ECN field after decapsulation, or NEXT where RFC 6040 figure 4 says drop.
static __always_inline int combine_ecn(__u8 inner, __u8 outer) {
  if (inner == 0) return outer == ECN_CE ? NEXT : 0;
  if (outer == ECN_CE) return ECN_CE;
  if (outer == ECN_ECT1 && inner != ECN_CE) return ECN_ECT1;
  return inner;
}

static __always_inline int finish_inner_ipv4(struct xdp_md* ctx, struct packet* packet) {
  struct iphdr ip;
  if (!READ(ctx, packet->offset, &ip)) return DECAP_malformed;
  __u32 length = bpf_ntohs(ip.tot_len);
  if (ip.version != 4 || ip.ihl < 5 || length < ip.ihl * 4u || packet->offset + length > packet->end)
    return DECAP_malformed;
  int ecn = combine_ecn(ip.tos & ECN_MASK, packet->ecn);
  if (ecn < 0) return DECAP_ecn;
  if (ecn == (ip.tos & ECN_MASK)) return NEXT;
  // RFC 1624 equation 3 over the first word; only its low byte, the type of service, differs.
  __u32 sum = (__u16)~bpf_ntohs(ip.check) + (__u16)~ip.tos;
  ip.tos = (ip.tos & ~ECN_MASK) | ecn;
  sum += ip.tos;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  ip.check = bpf_htons((__u16)~sum);
  return bpf_xdp_store_bytes(ctx, packet->offset, &ip, sizeof(ip)) ? DECAP_malformed : NEXT;
}

static __always_inline int finish_inner_ipv6(struct xdp_md* ctx, struct packet* packet) {
  struct ipv6hdr ip;
  if (!READ(ctx, packet->offset, &ip)) return DECAP_malformed;
  if (ip.version != 6 || packet->offset + sizeof(ip) + bpf_ntohs(ip.payload_len) > packet->end) return DECAP_malformed;
  __u8 inner_ecn = (ip.flow_lbl[0] >> 4) & ECN_MASK;
  int ecn = combine_ecn(inner_ecn, packet->ecn);
  if (ecn < 0) return DECAP_ecn;
  if (ecn == inner_ecn) return NEXT;
  ip.flow_lbl[0] = (ip.flow_lbl[0] & ~(ECN_MASK << 4)) | (ecn << 4);
  return bpf_xdp_store_bytes(ctx, packet->offset, &ip, sizeof(ip)) ? DECAP_malformed : NEXT;
}

// Moves the start of the frame so that the link header stands before the inner packet, under its ethertype.
static __always_inline int strip(struct xdp_md* ctx, struct packet* packet) {
  __be16 ethertype = bpf_htons(packet->protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6);
  int tagged = packet->link_length != sizeof(packet->ethernet);
  if (tagged) {
    packet->vlan.ethertype = ethertype;
  } else {
    packet->ethernet.h_proto = ethertype;
  }
  // Fails when the first buffer of the frame ends before the inner packet begins; no driver is known to do that.
  if (bpf_xdp_adjust_head(ctx, packet->offset - packet->link_length)) return DECAP_malformed;
  if (bpf_xdp_store_bytes(ctx, 0, &packet->ethernet, sizeof(packet->ethernet))) return DECAP_malformed;
  if (tagged && bpf_xdp_store_bytes(ctx, sizeof(packet->ethernet), &packet->vlan, sizeof(packet->vlan)))
    return DECAP_malformed;
  return DECAP_decapsulated;
}

static __always_inline int decapsulate(struct xdp_md* ctx) {
  struct packet packet = {};
  int result = read_link(ctx, &packet);
  if (result == NEXT) result = read_outer(ctx, &packet);
  if (result == NEXT) result = read_tunnel(ctx, &packet);
  if (result == NEXT && packet.protocol == IPPROTO_UDP) result = read_gue(ctx, &packet);
  if (result != NEXT) return result;
  result = packet.protocol == IPPROTO_IPIP ? finish_inner_ipv4(ctx, &packet) : finish_inner_ipv6(ctx, &packet);
  return result == NEXT ? strip(ctx, &packet) : result;
}

// xdp.frags: also on interfaces with jumbo frames, which native XDP would refuse otherwise.
SEC("xdp.frags")
int decap(struct xdp_md* ctx) {
  __u32 result = decapsulate(ctx);
  __u64* counter = bpf_map_lookup_elem(&decap_counters, &result);
  if (counter) *counter += 1;
  switch (result) {
#define DECAP_VERDICT(name, dropped) \
  case DECAP_##name:                 \
    return (dropped) ? XDP_DROP : XDP_PASS;
    DECAP_RESULTS(DECAP_VERDICT)
#undef DECAP_VERDICT
  }
  return XDP_ABORTED;
}

char decap_license[] SEC("license") = "GPL";
