// A frame of a burst, for the fuzzers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "engine/burst.h"

namespace sluice::fuzz {

// A frame in a buffer of exactly its size, for the sanitizer.
struct Buffer {
  Buffer(std::string bytes, uint16_t in_front, bool behind)
      : original(std::move(bytes)),
        headroom(in_front),
        tailroom(behind ? SLUICE_TAILROOM : 0),
        memory(new uint8_t[headroom + original.size() + tailroom]()) {
    std::copy(original.begin(), original.end(), memory.get() + headroom);
  }
  Frame MakeFrame() const {
    Frame frame;
    frame.data = memory.get() + headroom;
    frame.length = static_cast<uint32_t>(original.size());
    frame.headroom = headroom;
    frame.tailroom = tailroom;
    return frame;
  }
  bool Contains(const Frame& frame) const {
    return frame.data >= memory.get() &&
           frame.data + frame.length <= memory.get() + headroom + original.size() + tailroom;
  }

  std::string original;
  uint16_t headroom;
  uint16_t tailroom;
  std::unique_ptr<uint8_t[]> memory;
};

}  // namespace sluice::fuzz
