// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What BPF_PROG_TEST_RUN repeats: the packet is put back as its sender sent it, of one flow after the other or of any
// of them, and a body has it: the engine's own program, the reference, the least that forwards, or none, which is what
// all of this costs by itself.

#include "bpf/frame.h"
#include "xdp_answer.h"

#define PACKET_WORDS 10

// Bytes 0 to 7, and then words of eight bytes from byte 6 on: no field of Ethernet, IP and the ports lies in two of
// them. A load from two stores that are on their way would wait for both.
uint64_t wrapper_first = 0;
uint64_t wrapper_packet[PACKET_WORDS - 1] = {};
// Of the packet as it is before any body has it.
#define PACKET_BYTES (6 + 8 * (PACKET_WORDS - 1))

uint32_t wrapper_ipv6 = 0;
// Flows are numbers below this, at random; or, when it is 0, one after the other from `wrapper_next` on.
uint32_t wrapper_flows = 0;
uint32_t wrapper_next = 0;
uint64_t wrapper_random = 0;
// Or, when it is not 0, the first ones of `wrapper_answers`, in their order and then from the beginning again.
uint32_t wrapper_answering = 0;
// The body gives the packet another length.
uint32_t wrapper_grows = 0;

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 4);
  __type(key, uint32_t);
  __type(value, uint32_t);
} wrapper_bodies SEC(".maps");

// Room is the loader's.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct wrapper_answer);
} wrapper_answers SEC(".maps");

static __always_inline uint32_t next_flow(void) {
  if (wrapper_flows == 0) return wrapper_next++;
  uint64_t random = wrapper_random;
  random ^= random << 13;
  random ^= random >> 7;
  random ^= random << 17;
  wrapper_random = random;
  return (uint32_t)((random >> 32) * wrapper_flows >> 32);
}

// Whose the packet is: the words between its Ethernet header and what the transport has behind its ports.
static __always_inline void write_client(uint64_t* words) {
  // 2^15 ports on each of as many clients as it takes.
  const uint32_t flow = next_flow();
  const uint64_t client = 0x0b000000u + (flow >> 15);
  const uint64_t port = 0x4000u + (flow & 0x7fff);
  if (wrapper_ipv6) {
    // Bytes 30 to 37: the rest of the source address. 54: ports.
    words[3] = __builtin_bswap64(client);
    words[6] |= __builtin_bswap16(port);
  } else {
    // Bytes 26 to 29: the source address. 34: ports.
    words[2] |= (uint64_t)__builtin_bswap32(client) << 32;
    words[3] |= (uint64_t)__builtin_bswap16(port) << 32;
  }
}

static __always_inline bool write_server(uint64_t* words) {
  const uint32_t at = wrapper_next;
  wrapper_next = at + 1 >= wrapper_answering ? 0 : at + 1;
  const struct wrapper_answer* answer = bpf_map_lookup_elem(&wrapper_answers, &at);
  if (!answer) return false;
  if (wrapper_ipv6) {
    // And bytes 46 to 53: the rest of the destination address.
    words[3] = answer->source;
    words[5] = answer->destination;
    words[6] |= answer->ports;
  } else {
    words[2] |= answer->source & 0xffffffff00000000;
    words[3] = answer->destination >> 32 | (uint64_t)answer->ports << 32;
  }
  return true;
}

static __always_inline bool restore(struct xdp_md* context) {
  // A body that leaves the head where it is pays for this as well, so that it costs nothing beside another one.
  if (wrapper_grows && bpf_xdp_adjust_head(context, (int)packet_length(context) - PACKET_BYTES) != 0) return false;
  uint8_t* data = (uint8_t*)packet_data(context);
  if (data + PACKET_BYTES > packet_end(context)) return false;
  uint64_t words[PACKET_WORDS - 1];
  for (int i = 0; i < PACKET_WORDS - 1; i++) words[i] = wrapper_packet[i];
  if (wrapper_answering == 0) {
    write_client(words);
  } else if (!write_server(words)) {
    return false;
  }
  *(uint64_t*)data = wrapper_first;
  for (int i = 0; i < PACKET_WORDS - 1; i++) *(uint64_t*)(data + 6 + 8 * i) = words[i];
  return true;
}

#define WRAPPER(name, body)                               \
  SEC("xdp") int name(struct xdp_md* context) {           \
    if (!restore(context)) return XDP_ABORTED;            \
    bpf_tail_call_static(context, &wrapper_bodies, body); \
    return XDP_ABORTED;                                   \
  }

WRAPPER(wrapper_of_nothing, 0)
WRAPPER(wrapper_of_path, 1)
WRAPPER(wrapper_of_reference, 2)
WRAPPER(wrapper_of_floor, 3)

SEC("xdp")
int wrapper_nothing(struct xdp_md* context) {
  (void)context;
  return XDP_TX;
}

// Swaps the MAC addresses.
SEC("xdp")
int wrapper_floor(struct xdp_md* context) {
  uint8_t* data = (uint8_t*)packet_data(context);
  if (data + 12 > packet_end(context)) return XDP_ABORTED;
  for (int i = 0; i < 3; i++) {
    uint16_t* word = (uint16_t*)data + i;
    const uint16_t before = word[0];
    word[0] = word[3];
    word[3] = before;
  }
  return XDP_TX;
}

char wrapper_license[] SEC("license") = "GPL";
