// What session_test.cc needs beside its fixture: the kernel's side of the records.
//
// Thread-safety: none.
#pragma once

#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <string>

#include "tests/packet/bytes.h"
#include "tests/packet/session_site.h"

namespace sluice::session_test {

using Bytes = std::string;

inline constexpr uint32_t kPartitions = 2;

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

}  // namespace sluice::session_test
