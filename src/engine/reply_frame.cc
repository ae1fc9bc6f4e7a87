#include "engine/reply_frame.h"

#include "sluice/reply.h"

namespace sluice {

sluice_verdict ReplyInPlace(const sluice_tables& tables, uint16_t ingress, const sluice_packet& packet,
                            sluice_verdict reply, uint32_t mtu, Frame* frame) {
  const int32_t growth = sluice_reply_growth(&packet, reply);
  const uint32_t length = sluice_reply_length(frame->length, &packet, reply);
  if (growth > frame->headroom || length > growth + frame->length + frame->tailroom) return SLUICE_VERDICT_no_headroom;
  frame->data -= growth;
  frame->length = length;
  frame->egress = ingress;
  sluice_reply_write(frame->data, frame->data + length, &packet, reply, &tables.ports[ingress], mtu);
  return reply;
}

}  // namespace sluice
