#include "tables/sequence.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace sluice {

std::vector<uint32_t> SequenceTurns(std::span<const uint32_t> weights, uint32_t most) {
  const uint32_t common = std::accumulate(weights.begin(), weights.end(), uint32_t{0}, std::gcd<uint32_t, uint32_t>);
  const uint64_t sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  std::vector<uint32_t> turns;
  turns.reserve(weights.size());
  for (const uint32_t weight : weights) {
    const bool exact = sum / common <= most;
    const uint64_t share = exact ? weight / common : weight * (most - weights.size()) / sum;
    turns.push_back(static_cast<uint32_t>(std::max<uint64_t>(share, 1)));
  }
  return turns;
}

// Those of one number of turns share the time from 0 to 1 evenly, turn by turn; and so do the classes, each by itself.
std::vector<uint32_t> BuildSequence(std::span<const uint32_t> turns) {
  std::map<uint32_t, std::vector<uint32_t>> classes;
  for (uint32_t i = 0; i < turns.size(); i++) classes[turns[i]].push_back(i);
  std::vector<std::pair<uint64_t, uint32_t>> by_time;
  for (const auto& [count, members] : classes) {
    const uint64_t all = uint64_t{count} * members.size();
    for (uint64_t turn = 0; turn < all; turn++) {
      // Less than 2^26 turns, so 32 bits of a time are left for what is between two of them.
      by_time.emplace_back(((2 * turn + 1) << 32) / (2 * all), members[turn % members.size()]);
    }
  }
  std::stable_sort(by_time.begin(), by_time.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<uint32_t> sequence;
  sequence.reserve(by_time.size());
  for (const auto& [time, member] : by_time) sequence.push_back(member);
  return sequence;
}

}  // namespace sluice
