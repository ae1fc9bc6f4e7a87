// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The frame of an XDP program, and what all programs composed of stages share.
//
// A stage is a global function: the verifier looks at it once, whatever state its callers are in, so that the cost of
// the stages adds up instead of multiplying. It is a call all the same, of 7 ns on some machines: what most packets go
// through is none (docs/decisions/verifier.md).
#pragma once

// clang-format off: the helpers use its types.
#include <linux/bpf.h>
// clang-format on
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stdint.h>

#include "sluice/tables.h"

#define STAGE __attribute__((noinline))

static __always_inline const uint8_t* packet_data(const struct xdp_md* context) {
  return (const uint8_t*)(long)context->data;
}
static __always_inline const uint8_t* packet_end(const struct xdp_md* context) {
  return (const uint8_t*)(long)context->data_end;
}

static __always_inline uint64_t packet_length(const struct xdp_md* context) {
  uint64_t length = packet_end(context) - packet_data(context);
  // Keeps the subtraction of two pointers in 64 bits, the only kind that the verifier allows.
  __asm__ volatile("" : "+r"(length));
  return length;
}

// Moves the head forward by `growth` and gives the frame its new length.
static __always_inline bool resize(struct xdp_md* context, int32_t growth, uint32_t length) {
  const uint32_t before = (uint32_t)packet_length(context);
  const int32_t tail = (int32_t)(length - before) - growth;
  // What is cut off goes before anything comes in front.
  if (tail < 0 && bpf_xdp_adjust_tail(context, tail) != 0) return false;
  if (growth != 0 && bpf_xdp_adjust_head(context, -growth) != 0) return false;
  return tail <= 0 || bpf_xdp_adjust_tail(context, tail) == 0;
}
