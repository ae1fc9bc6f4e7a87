// What the packet fuzzers share: tables with something of everything, and a mutator that knows what packets look like.
// Seeds are the sample packets of the path's unit tests, so there are no files of bytes to keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "tests/packet/hand_tables.h"
#include "tests/unit/path/sample_packets.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace sluice::fuzz {

inline void Require(bool holds) {
  if (!holds) __builtin_trap();
}

constexpr uint32_t kBackends = 6;
constexpr uint32_t kPorts = 2;

// Virtual addresses are those of the sample packets.
inline packet_test::HandTables& SmallTables() {
  static packet_test::HandTables* const tables = [] {
    auto* made = new packet_test::HandTables(128);
    made->AddBackend({.address = "10.0.1.11", .mtu = 1500, .pool = 0});
    made->AddBackend({.forwarding = SLUICE_IPIP, .address = "10.0.1.12", .mtu = 100, .pool = 0});
    made->AddBackend({.forwarding = SLUICE_GUE, .address = "10.0.1.13", .vlan = 7, .mtu = 1500, .port = 1, .pool = 0});
    made->AddBackend({.forwarding = SLUICE_GUE, .address = "2001:db8:1::14", .source = "2001:db8:1::2", .pool = 0});
    made->AddBackend({.forwarding = SLUICE_IPIP,
                      .address = "2001:db8:1::15",
                      .source = "2001:db8:1::2",
                      .vlan = 9,
                      .mtu = 1280,
                      .pool = 0});
    made->AddBackend({.address = "10.0.1.16", .pool = 0});
    made->backend(5).flags = SLUICE_BACKEND_LIVE;  // no next hop
    made->AddPool({0, 1, 2, 3, 4, 5});
    made->AddPool({});
    made->AddPort({{2, 0, 0, 0, 0, 1}, 1500});
    made->AddPort({{2, 0, 0, 0, 0, 2}, 9000});
    for (const char* address : {"203.0.113.10", "2001:db8::10"}) {
      made->AddVirtual(address);
      made->AddListener(address, SLUICE_IP_TCP, 80, 0, 5);
      made->AddListener(address, SLUICE_IP_UDP, 53, 0, 100);
      made->AddListener(address, SLUICE_IP_TCP, 81, 1);
      made->AddRanges(address, SLUICE_IP_UDP, {{1, 50}, {1000, 40000}}, 0);
    }
    return made;
  }();
  return *tables;
}

// Once in a while one of the samples, put at `at` in place of what is there; the new size.
inline size_t PutSample(uint8_t* data, size_t at, size_t max_size, std::minstd_rand& random) {
  const std::string& sample = path_test::SamplePackets()[random() % path_test::SamplePackets().size()];
  if (at + sample.size() > max_size) return at;
  std::memcpy(data + at, sample.data(), sample.size());
  return at + sample.size();
}

}  // namespace sluice::fuzz
