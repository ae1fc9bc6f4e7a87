// Packets that are nearly right.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

// The kernel runs no frame without a whole Ethernet header.
inline constexpr size_t kLeastFrame = 14;

// A sample with up to three changes, or none.
template <typename Random>
std::string Mutate(Random& random, const std::vector<std::string>& samples) {
  std::string frame = samples[random() % samples.size()];
  const auto at = [&] { return random() % std::min<size_t>(frame.size(), 130); };
  for (uint32_t changes = random() % 4; changes > 0; changes--) {
    switch (random() % 6) {
      case 0:
        frame[at()] ^= static_cast<char>(1 << random() % 8);
        break;
      case 1:
        frame[at()] = static_cast<char>(random());
        break;
      case 2:
        frame[at()] = static_cast<char>(std::array{0, 1, 6, 17, 43, 44, 51, 58, 60, 255}[random() % 10]);
        break;
      case 3:
        frame.resize(std::max<size_t>(kLeastFrame, frame.size() - random() % std::min<size_t>(frame.size(), 60)));
        break;
      case 4:
        frame += std::string(random() % 60, static_cast<char>(random()));
        break;
      default:
        // A splice: the head of this one, the tail of another.
        const std::string& other = samples[random() % samples.size()];
        const size_t cut = at();
        if (cut < other.size()) frame = frame.substr(0, std::max(cut, kLeastFrame)) + other.substr(cut);
    }
  }
  return frame;
}

}  // namespace sluice
