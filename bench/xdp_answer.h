/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the wrapper knows of a server's packet to a translated client (xdp_wrapper.bpf.c). C11 and C++20. */
#ifndef BENCH_XDP_ANSWER_H_
#define BENCH_XDP_ANSWER_H_

#include "sluice/types.h"

struct wrapper_answer {
  /* The last eight bytes of the addresses; all of an IPv4 one is in the last four. */
  uint64_t source;
  uint64_t destination;
  /* As they lie in the packet. */
  uint32_t ports;
  uint32_t reserved;
};

#endif /* BENCH_XDP_ANSWER_H_ */
