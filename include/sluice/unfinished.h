/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Transport checksums that a sender's kernel has left to its device: the field holds the sum of the pseudo header, and
 * nobody has finished it when that device is a virtual one (veth, virtio, tap) and hands the packet over in memory. A
 * checksum that is updated by what a translation changes must be a finished one.
 *
 * Nothing in the frame says so but the field itself. One valid checksum in 65,536 looks like an unfinished one, so a
 * packet that does is summed whole: if the checksum is right as it is, it stays. */
#ifndef SLUICE_UNFINISHED_H_
#define SLUICE_UNFINISHED_H_

#include "sluice/checksum.h"
#include "sluice/parse.h"
#include "sluice/translate.h"

/* The longest transport packet that is summed. In the kernel a packet lies in one page, and the verifier counts. */
#ifdef __bpf__
#  define SLUICE_SUMMED_MOST(length) 4096u
#else
#  define SLUICE_SUMMED_MOST(length) (length)
#endif

/* Where the transport checksum of a packet's flow is: `at`, in the transport packet of `length` bytes at `l4`. */
struct sluice_summed {
  uint8_t* l4;
  uint8_t* at;
  uint32_t length;
};

/* As sluice_finish_checksum, of a packet that looks as if it had to be. */
SLUICE_RARE bool sluice_finish_summed(struct sluice_summed it, const uint8_t* end, const struct sluice_flow* flow) {
  const uint16_t pseudo =
      sluice_checksum_fold(sluice_pseudo_sum(&flow->source, &flow->destination, flow->protocol, it.length));
  /* 0 and 0xffff are one number to a sum, but 0 in a UDP packet is no checksum. */
  if (sluice_load16(it.at) != pseudo) return false;
  const uint16_t sum =
      sluice_checksum_fold(sluice_checksum_payload(it.l4, end, it.length, SLUICE_SUMMED_MOST(it.length)));
  if (sluice_checksum_fold((uint32_t)sum + pseudo) == 0xffff) return false;
  /* The field's own part of the sum is the pseudo header's. */
  const uint16_t checksum = (uint16_t)~sum;
  sluice_store16(it.at, checksum == 0 && flow->protocol == SLUICE_IP_UDP ? 0xffff : checksum);
  return true;
}

/* Finishes the checksum of a whole TCP or UDP packet in the frame [data, end) if it is an unfinished one. Returns
 * whether it was. */
SLUICE_INLINE bool sluice_finish_checksum(uint8_t* data, const uint8_t* end, const struct sluice_packet* packet) {
  if (packet->kind != SLUICE_PACKET_FLOW || (packet->flags & SLUICE_PACKET_FIRST_FRAGMENT)) return false;
  const struct sluice_flow* flow = &packet->flow;
  const uint32_t length = packet->l3_length - (uint32_t)(packet->l4_offset - packet->l3_offset);
  uint8_t* l4 = data + SLUICE_BOUND(packet->l4_offset, 0xfff);
  uint8_t* at = l4 + SLUICE_FORGET(sluice_checksum_offset(flow->protocol), 0x1f, length);
  /* Only the verifier believes that possible. */
  if (at + 2 > end || length > SLUICE_SUMMED_MOST(length)) return false;
  const uint64_t addresses = sluice_checksum_wide(&flow->source, &flow->destination);
  const uint32_t rest = (uint32_t)SLUICE_16(flow->protocol) + SLUICE_16(length) + (uint16_t)~sluice_load16(at);
  if (SLUICE_LIKELY(!sluice_checksum_is_zero(addresses + rest))) return false;
  const struct sluice_summed it = {l4, at, length};
  return sluice_finish_summed(it, end, flow);
}

#endif /* SLUICE_UNFINISHED_H_ */
