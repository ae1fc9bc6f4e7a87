// Frames that tell a link where a virtual address is: gratuitous ARP (RFC 5227 section 3) and unsolicited neighbour
// advertisements (RFC 4861 section 7.2.6).
//
// Thread-safety: a pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"

namespace sluice {

// The frame that announces `address` at `mac` on an untagged link.
std::vector<uint8_t> AnnouncementFrame(const Address& address, const Mac& mac);

}  // namespace sluice
