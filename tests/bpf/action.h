// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the composed programs of tests do with a verdict.
#pragma once

#include "bpf/frame.h"
#include "sluice/verdict.h"

static __always_inline int action_of(uint32_t verdict) {
  switch (sluice_verdict_kind(verdict)) {
    case SLUICE_KIND_TRANSMIT:
      return XDP_TX;
    case SLUICE_KIND_PASS:
      return XDP_PASS;
    default:
      return XDP_DROP;
  }
}
