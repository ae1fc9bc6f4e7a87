// Whether the checksums of a frame are right, summed from scratch in the plainest way: what tests believe in instead of
// the path's updates (RFC 1071, 791, 9293, 768, 792, 8200 section 8.1, 4443).
//
// Thread-safety: pure functions.
#pragma once

#include <string>

namespace sluice::packet_test {

enum class Checked {
  // There is none, or it can't be told: a fragment, another protocol, UDP over IPv4 without one.
  kNone,
  kRight,
  kWrong,
};

struct FrameChecksums {
  // Of the IPv4 header.
  Checked ip = Checked::kNone;
  // TCP, UDP, ICMP or ICMPv6.
  Checked transport = Checked::kNone;
  // The same of the packet that an ICMP error quotes, as far as it is there.
  Checked quoted_ip = Checked::kNone;
  Checked quoted_transport = Checked::kNone;
};

// Any bytes.
FrameChecksums ChecksumsOf(const std::string& frame);

}  // namespace sluice::packet_test
