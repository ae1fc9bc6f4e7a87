// The order in which the backends of a pool take their turns: what round_robin goes through, and what the algorithms
// that go by load look at a part of.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

// How often each of the backends comes in a sequence of at most `most` places: as its weight, divided by what all
// weights have in common, where that fits; else in proportion, rounded down, and once at least. Required: no weight is
// 0, and there are no more weights than places.
std::vector<uint32_t> SequenceTurns(std::span<const uint32_t> weights, uint32_t most);

// Indices into `turns`, each as often as it says, as evenly as can be: backends with as many turns as each other take
// them in their order, one after the other.
std::vector<uint32_t> BuildSequence(std::span<const uint32_t> turns);

}  // namespace sluice
