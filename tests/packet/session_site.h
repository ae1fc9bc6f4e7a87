// Tables whose listeners translate, in every way there is, and the other ends' packets made out of what has been
// forwarded: for tests that run sessions without an engine.
//
//   203.0.113.10, 2001:db8::10   nat       10.0.1.1-2 port 8080; 2001:db8:6::1-2
//   203.0.113.20, 2001:db8::20   full_nat  10.0.3.1-2 on VLAN 7, port 1; 2001:db8:7::1-2, MTU 1280
//   203.0.113.30, 2001:db8::30   full_nat  the same servers, of the other IP version
//
// TCP port 80, UDP port 53, TCP and UDP ports 1000 to 1003.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <string>

#include "tests/packet/hand_tables.h"

namespace sluice::packet_test {

inline constexpr const char* kSessionVirtuals[] = {"203.0.113.10", "203.0.113.20", "203.0.113.30",
                                                   "2001:db8::10", "2001:db8::20", "2001:db8::30"};
inline constexpr uint32_t kSessionBackends = 8;
inline constexpr uint32_t kSessionPorts = 2;
// Ticks.
inline constexpr sluice_session_terms kSessionTimeouts = {
    .address = {}, .handshake = 10, .established = 60, .half_closed = 30, .closed = 15, .flags = 0, .reserved = {}};

void FillSessionTables(HandTables& tables);

// The answer to a frame: everyone changes places, also in its sums, which stay right. TCP gets these flags and numbers
// and another checksum. Of whole packets and first fragments without options and extension headers.
struct AnswerNumbers {
  uint8_t flags = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
};
std::string AnswerTo(std::string frame, const AnswerNumbers& numbers);

// What a router tells the sender of `frame`, from an address of its own: type and code, and `quoted` bytes of it.
std::string ErrorAbout(const std::string& frame, uint8_t type, uint8_t code, uint32_t rest, size_t quoted);

// Where the IP header begins; 0 when the frame has none.
size_t IpOffset(const std::string& frame);

}  // namespace sluice::packet_test
