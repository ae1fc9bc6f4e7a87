// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of the engine in the kernel with its flows in the kernel's own LRU hash, by their addresses, ports and
// protocol, as XDP balancers have them: what the connection table and NAT sessions are measured against. Everything
// else is the same.

#include "bpf/connect.h"
#include "bpf/session_resolve.h"

struct reference_flow {
  uint32_t slot;
  uint32_t tick;
};

// Room is the loader's.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct sluice_flow);
  __type(value, struct reference_flow);
} reference_flows SEC(".maps");

// As engine_open, a call of its own.
STAGE int reference_open(struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_selector selector = {job->own, job->now};
  job->slot = sluice_select(&job->tables, &selector, job->listener, &job->packet, job->hash);
  const int selected = sluice_selected(job->slot);
  if (selected != SLUICE_CONTINUE) return selected;
  job->begins = BEGINS_IF_CARRIED;
  const struct reference_flow made = {job->slot, sluice_tick(job->now)};
  bpf_map_update_elem(&reference_flows, &job->packet.flow, &made, BPF_ANY);
  return SLUICE_CONTINUE;
}

// As engine_follow.
static __always_inline const struct sluice_backend* reference_follow(const struct engine_job* job, uint64_t hash,
                                                                     uint32_t* slot) {
  (void)hash;
  const struct reference_flow* flow = bpf_map_lookup_elem(&reference_flows, &job->packet.flow);
  if (!flow || flow->tick != sluice_tick(job->now) ||
      (job->packet.flags & (SLUICE_PACKET_SYN | SLUICE_PACKET_CLOSE | SLUICE_PACKET_FIRST_FRAGMENT))) {
    return NULL;
  }
  *slot = flow->slot;
  return SLUICE_AT(&job->tables, sluice_backend, backends, *slot);
}

// As engine_connect.
static __always_inline int reference_connect(struct engine_job* job) {
  const uint32_t tick = sluice_tick(job->now);
  struct reference_flow* flow = bpf_map_lookup_elem(&reference_flows, &job->packet.flow);
  struct sluice_terms terms;
  if (flow && sluice_terms_find(&job->tables, job->listener, &terms) && sluice_age(tick, flow->tick) <= terms.idle) {
    const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, flow->slot);
    if (backend && sluice_backend_is_of(backend, job->pool)) {
      if (flow->tick != tick) flow->tick = tick;
      job->slot = flow->slot;
      return SLUICE_CONTINUE;
    }
  }
  return reference_open(job);
}

// A translation, by the flow that its client sends and by the one that its server sends: an entry for each side, which
// is that side's alone to write.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct sluice_flow);
  __type(value, struct sluice_session);
} reference_sessions SEC(".maps");

// Ports that a new flow tries, from a random one on.
#define REFERENCE_PORTS 32

// A source port of ours for the session that is to be, on an address of ours.
static __always_inline void propose_source(const struct engine_job* job, struct session_job* session,
                                           const struct sluice_settings* settings, uint32_t random) {
  struct sluice_session* wanted = &session->session;
  const uint32_t hash = (uint32_t)job->hash;
  const bool ipv6 = wanted->flags & SLUICE_SESSION_SERVER_IPV6;
  wanted->nat_address = (uint16_t)(ipv6 ? settings->nat_ipv4 + sluice_scale(hash, settings->nat_ipv6)
                                        : sluice_scale(hash, settings->nat_ipv4));
  const struct sluice_nat_ports* ports = &session->own.ports;
  wanted->source_port = SLUICE_16(sluice_nat_port(ports, sluice_scale(random, ports->count)));
}

// The entry of the answers, which has to be nobody else's. SLUICE_CONTINUE, or why there is none.
STAGE uint32_t reference_enter(struct engine_job* job, struct session_job* session) {
  if (!job || !session) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, session->session.backend);
  if (!settings || !backend) return SLUICE_VERDICT_no_table;
  const bool keeps_source = backend->forwarding == SLUICE_NAT;
  uint32_t random = (uint32_t)(job->hash >> 32);
  for (uint32_t i = 0; i < REFERENCE_PORTS; i++) {
    if (!keeps_source || i > 0) propose_source(job, session, settings, random);
    struct sluice_flow* answer = &session->own.scratch.answer;
    if (!sluice_session_answer_flow(&job->tables, &session->session, answer)) return SLUICE_VERDICT_no_table;
    sluice_session_add_sums(&session->own, &session->session, &job->packet.flow);
    if (bpf_map_update_elem(&reference_sessions, answer, &session->session, BPF_NOEXIST) == 0) {
      bpf_map_update_elem(&reference_sessions, &job->packet.flow, &session->session, BPF_ANY);
      return SLUICE_CONTINUE;
    }
    random += 0x9e3779b9;
  }
  return SLUICE_VERDICT_no_nat_port;
}

// As engine_meet: an entry is one side's, by whose flow it was found.
static __always_inline struct sluice_session* reference_meet(const struct engine_job* job, uint64_t hash,
                                                             uint32_t* kind) {
  (void)hash;
  struct sluice_session* session = bpf_map_lookup_elem(&reference_sessions, &job->packet.flow);
  if (session) *kind = session->ports == job->packet.flow.ports ? SLUICE_ENTRY_FORWARD : SLUICE_ENTRY_REVERSE;
  return session;
}

// As find_session.
static __always_inline uint32_t reference_find_session(struct xdp_md* context, struct engine_scratch* scratch) {
  struct engine_job* job = &scratch->job;
  struct session_job* session = &scratch->session;
  struct sluice_session* live = bpf_map_lookup_elem(&reference_sessions, &job->packet.flow);
  if (live) {
    sluice_load_words(&session->session, live, sizeof(*live));
    if (session_use(job, session) == SESSION_GOES_ON) {
      const uint32_t verdict = note_packet(context, job, session, live);
      return verdict == SLUICE_CONTINUE ? FOUND : verdict;
    }
  }
  if (job->reverse) return session_stranger(job);
  uint32_t verdict = session_begin(context, job, session);
  if (verdict == SLUICE_CONTINUE) verdict = reference_enter(job, session);
  if (verdict != SLUICE_CONTINUE) return verdict;
  job->begins = BEGINS_SESSION;
  return FOUND;
}

// The steps that are other ones.
#define engine_follow reference_follow
#define engine_connect reference_connect
#define engine_meet reference_meet
#define find_session reference_find_session
#include "bpf/engine.h"

SEC("xdp")
int reference(struct xdp_md* context) {
  struct engine_scratch* scratch = engine_enter(context);
  if (!scratch) return XDP_PASS;
  switch (sluice_verdict_kind(engine_process(context, scratch))) {
    case SLUICE_KIND_TRANSMIT:
      return XDP_TX;
    case SLUICE_KIND_PASS:
      return XDP_PASS;
    default:
      return XDP_DROP;
  }
}

char reference_license[] SEC("license") = "GPL";
