// What session_test.cc needs beside its fixture: the kernel's side of the records, and packets that are nearly right.
//
// Thread-safety: none.
#pragma once

#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/packet/bytes.h"
#include "tests/packet/session_site.h"

namespace sluice::session_test {

using Bytes = std::string;

inline constexpr uint32_t kPartitions = 2;
// The kernel runs no frame without a whole Ethernet header.
inline constexpr size_t kLeastFrame = 14;

// Records of one kind, of all partitions behind each other in a map.
template <typename Record>
struct Mapped {
  Record* records = nullptr;
  uint32_t of_each = 0;

  void Open(const bpf_map* map, uint32_t count) {
    of_each = count;
    const size_t bytes = bpf_map__max_entries(map) * sizeof(Record);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno);
    ASSERT_LE(count * kPartitions, bpf_map__max_entries(map));
    records = static_cast<Record*>(memory);
  }
  void Copy(uint32_t partition, const Record* from) {
    std::memcpy(records + partition * of_each, from, of_each * sizeof(Record));
  }
  bool Equal(uint32_t partition, const Record* other) const {
    return std::memcmp(records + partition * of_each, other, of_each * sizeof(Record)) == 0;
  }
};

inline Bytes WithoutPadding(const Bytes& frame) {
  const size_t ip = packet_test::IpOffset(frame);
  const bool ipv6 = packet_test::ByteAt(frame, ip) >> 4 == 6;
  return frame.substr(0, ip + (ipv6 ? 40 + packet_test::WordAt(frame, ip + 4) : packet_test::WordAt(frame, ip + 2)));
}

inline Bytes Mutate(std::mt19937& random, const std::vector<Bytes>& samples) {
  Bytes frame = samples[random() % samples.size()];
  const auto at = [&] { return random() % std::min<size_t>(frame.size(), 130); };
  for (uint32_t changes = random() % 3; changes > 0; changes--) {
    switch (random() % 6) {
      case 0:
        frame[at()] ^= static_cast<char>(1 << random() % 8);
        break;
      case 1:
        frame[at()] = static_cast<char>(random());
        break;
      case 2:
        frame[at()] = static_cast<char>(std::array{0, 1, 6, 17, 43, 44, 58, 60, 255}[random() % 9]);
        break;
      case 3:
        frame.resize(std::max<size_t>(kLeastFrame, frame.size() - random() % std::min<size_t>(frame.size(), 60)));
        break;
      case 4:
        frame += Bytes(random() % 60, static_cast<char>(random()));
        break;
      default:
        // A splice: the head of this one, the tail of another.
        const Bytes& other = samples[random() % samples.size()];
        const size_t cut = at();
        if (cut < other.size()) frame = frame.substr(0, std::max(cut, kLeastFrame)) + other.substr(cut);
    }
  }
  return frame;
}

}  // namespace sluice::session_test
