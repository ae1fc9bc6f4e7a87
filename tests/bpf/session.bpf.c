// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of translated flows for one packet in the kernel, composed like src/engine/session_path.cc composes it for a
// burst: the test beside it shows that the verifier takes the headers that translate, and that both compositions do the
// same to every packet of a session.
//
// Sessions have an owner, a worker of the daemon, which alone opens and ends them. Here they are found, noted and
// translated; a packet that opens a session, or whose own session is over, is left as it came for the owner to settle
// (FOR_ITS_OWNER).
//
// Each stage is a global function, as in path.bpf.c. What they know of the packet lies in a map: together they have 512
// bytes of stack.

#include "session_emit.h"
#include "session_find.h"
#include "session_maps.h"

// Step 4: the packet's session, in the job, and what the packet changes in it.
static __always_inline uint32_t resolve(struct xdp_md* context, struct session_job* job) {
  if (job->packet.kind == SLUICE_PACKET_LATER_FRAGMENT) {
    const uint32_t verdict = (uint32_t)session_find_fragment(job);
    return verdict == SLUICE_VERDICT_forwarded ? (uint32_t)session_find_exit(job) : verdict;
  }
  const bool ours = job->packet.kind == SLUICE_PACKET_ECHO ? job->listener != SLUICE_NO_LISTENER : is_echo(job);
  const bool flow = job->packet.kind == SLUICE_PACKET_FLOW || ours;
  if (!flow && job->packet.kind != SLUICE_PACKET_ICMP_ERROR) return answer(job);
  if (session_unfinished) session_finish_checksum(context, job);
  uint32_t verdict = (uint32_t)session_find(job);
  if (verdict != SLUICE_VERDICT_forwarded) return verdict;
  if (flow) {
    verdict = (uint32_t)session_note(context, job);
    if (verdict != SLUICE_CONTINUE) return verdict;
    if (job->packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) session_remember_fragment(job);
  }
  return (uint32_t)session_find_exit(job);
}

SEC("xdp")
int session(struct xdp_md* context) {
  const uint32_t zero = 0;
  struct session_job* job = bpf_map_lookup_elem(&session_job_map, &zero);
  if (!job) return XDP_ABORTED;
  uint32_t verdict = (uint32_t)session_look(context, job);
  if (verdict == SLUICE_CONTINUE) verdict = resolve(context, job);
  if (verdict == SLUICE_CONTINUE) verdict = (uint32_t)session_emit(context, job);
  const bool replies = verdict >= SLUICE_VERDICT_replied_arp && verdict <= SLUICE_VERDICT_replied_too_big;
  if (replies) verdict = (uint32_t)session_reply(context, job, verdict);
  session_verdict = verdict;
  return verdict == FOR_ITS_OWNER ? XDP_PASS : action_of(verdict);
}

// In place of the frame, which has room for it: the RST of the session `reset_session` to its client or its server.
uint32_t reset_session = 0;
uint32_t reset_server = 0;
uint32_t reset_length = 0;

SEC("xdp")
int reset(struct xdp_md* context) {
  const struct sluice_session* session = record(reset_session);
  if (!session) return XDP_ABORTED;
  const struct sluice_backend* backend = SLUICE_AT(&kTables, sluice_backend, backends, session->backend);
  const struct sluice_port* port = SLUICE_AT(&kTables, sluice_port, ports, session->client_egress);
  const struct sluice_session_terms* terms =
      SLUICE_AT(&kTables, sluice_session_terms, session_terms, session->listener);
  const struct sluice_address* source = sluice_session_source(&kTables, session);
  if (!backend || !port || !terms || !source) return XDP_ABORTED;
  if (!sluice_reset_possible(reset_server ? session->reverse : session->forward)) return XDP_DROP;
  const uint32_t of_client = (uint32_t)(session->forward >> SLUICE_WORD_NUMBER_SHIFT);
  const uint32_t of_server = (uint32_t)(session->reverse >> SLUICE_WORD_NUMBER_SHIFT);
  uint8_t* head = (uint8_t*)packet_data(context);
  if (head + SLUICE_RESET_BYTES > packet_end(context)) return XDP_ABORTED;
  if (reset_server) {
    const struct sluice_reset to_server = {backend->destination_mac,
                                           backend->source_mac,
                                           source,
                                           &backend->destination,
                                           sluice_ports(session->source_port, session->server_port),
                                           of_server,
                                           of_client,
                                           backend->vlan};
    reset_length = sluice_write_reset(head, &to_server);
  } else {
    const struct sluice_reset to_client = {session->client_mac,
                                           port->mac,
                                           &terms->address,
                                           &session->client,
                                           session->ports >> 16 | session->ports << 16,
                                           of_client,
                                           of_server,
                                           session->client_vlan};
    reset_length = sluice_write_reset(head, &to_client);
  }
  return XDP_TX;
}

// The i-th port around those of the kernel, and whose of the partitions it is.
uint32_t ports_kernel_first = 0;
uint32_t ports_kernel_last = 0;
uint32_t ports_i = 0;
uint32_t ports_count = 0;
uint32_t ports_port = 0;
uint32_t ports_owner = 0;

SEC("xdp")
int ports(struct xdp_md* context) {
  const struct sluice_nat_ports around = sluice_nat_ports_around(ports_kernel_first, ports_kernel_last);
  (void)context;
  ports_count = around.count;
  ports_port = sluice_nat_port(&around, ports_i);
  ports_owner = sluice_nat_owner((uint16_t)ports_port, session_partitions);
  return XDP_DROP;
}

char session_license[] SEC("license") = "GPL";
