// Packets of the session fuzzer's clients, from a few bytes of its input.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "tests/packet/session_site.h"

namespace sluice::fuzz {

// To one of the virtual addresses by one of eight clients, `what` is TCP (a SYN, or what `how` says) or UDP.
// `port`: the client's, else one of four.
std::string ClientPacket(uint8_t who, uint8_t how, uint8_t what, uint16_t port = 0);

// A UDP datagram in two pieces.
std::array<std::string, 2> ClientPieces(uint8_t who, uint8_t how);

// Whether AnswerTo takes it: TCP or UDP without options or extension headers, not a later fragment.
bool CanAnswer(const std::string& frame);

// TCP flags and numbers, of few kinds.
packet_test::AnswerNumbers NumbersOf(uint8_t how);

}  // namespace sluice::fuzz
