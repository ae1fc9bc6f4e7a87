// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What decap.bpf.c and its loader share: the results that it counts and the address that it compares.
//
// C11 and C++20. The order of the results is the order of the slots in the counter map.
#pragma once

#include <linux/types.h>

// X(name, dropped): a packet has exactly one result; what is not dropped goes to the kernel.
#define DECAP_RESULTS(X)                                                                   \
  X(decapsulated, 0)  /* the kernel got the inner packet */                                \
  X(not_tunnel, 0)    /* untouched: neither IPIP nor GUE, or too short to tell */          \
  X(other_address, 0) /* untouched: a tunnel packet, but not for one of our addresses */   \
  X(fragment, 0)      /* untouched: a piece of what may be a tunnel packet */              \
  X(malformed, 1)     /* a length or version of the tunnel or the inner packet lies */     \
  X(unsupported, 1)   /* GUE control message, flag, variant or inner protocol not known */ \
  X(ecn, 1)           /* congestion on the way of a flow that can't hear of it (RFC 6040) */

enum decap_result {
#define DECAP_RESULT(name, dropped) DECAP_##name,
  DECAP_RESULTS(DECAP_RESULT)
#undef DECAP_RESULT
      DECAP_RESULT_COUNT,
};

// IPv4 mapped into ::ffff:0:0/96 (RFC 4291 section 2.5.5.2), network order.
struct decap_address {
  __u8 bytes[16];
};

#define DECAP_MAX_ADDRESSES 256
// IANA's port of GUE; draft-ietf-intarea-gue-09 section 7.
#define DECAP_GUE_PORT 6080
