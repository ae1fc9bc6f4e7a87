#include "engine/reply_frame.h"

#include "sluice/reply.h"

namespace sluice {

sluice_verdict ReplyInPlace(const sluice_tables& tables, uint16_t ingress, const sluice_packet& packet,
                            sluice_verdict reply, uint32_t mtu, Frame* frame) {
  frame->egress = ingress;
  if (sluice_reply_is_reset(&packet, reply)) {
    sluice_write_refusal(frame->data, frame->data + frame->length, &packet, &tables.ports[ingress]);
    frame->length = sluice_refusal_length(&packet);
    return reply;
  }
  const int32_t growth = sluice_reply_growth(&packet, reply);
  const uint32_t length = sluice_reply_length(frame->length, &packet, reply);
  if (growth > frame->headroom || length > growth + frame->length + frame->tailroom) return SLUICE_VERDICT_no_headroom;
  frame->data -= growth;
  frame->length = length;
  sluice_reply_write(frame->data, frame->data + length, &packet, reply, &tables.ports[ingress], mtu);
  return reply;
}

sluice_verdict RefuseInPlace(const sluice_tables& tables, uint16_t ingress, const sluice_packet& packet,
                             sluice_verdict reply, uint64_t now, sluice_limiter* errors, Frame* frame) {
  if (sluice_reply_is_error(&packet, reply) && !sluice_error_take(errors, now)) return sluice_reply_withheld(reply);
  return ReplyInPlace(tables, ingress, packet, reply, 0, frame);
}

}  // namespace sluice
