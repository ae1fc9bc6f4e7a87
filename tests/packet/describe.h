// The way back from bytes to the notation, for people who read why a case failed.
#pragma once

#include <string>
#include <string_view>

namespace sluice::packet_test {

// The frame in the notation; with all of its bytes in hex behind it when the notation, encoded, is not the same frame
// (a checksum or a length lies, or there is a header that this does not know).
std::string DescribePacket(std::string_view frame);

}  // namespace sluice::packet_test
