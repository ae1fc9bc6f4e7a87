// Golden packets: case files, readable as a table of packet in -> verdict -> packet out. See tests/packets/README.md
// for the form of a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "config/sluice.pb.h"
#include "tables/builder.h"

namespace sluice::packet_test {

// A packet, as bytes, and what is to become of it.
struct PacketStep {
  // Where it stands, as file:line, and what it is about.
  std::string place;
  std::string in;
  uint16_t from = 0;
  std::string verdict;
  // Empty unless something leaves.
  std::string out;
  uint16_t by = 0;
  // How often, one after the other.
  uint32_t times = 1;
};
struct WaitStep {
  std::chrono::milliseconds time;
};
// What the controller would publish: from here on this is the configuration, these are the next hops, and those the
// backends that are down.
struct PublishStep {
  std::string place;
  v1::Config config;
  absl::flat_hash_map<Address, BackendNextHop> next_hops;
  BackendNames unhealthy;
};
using Step = std::variant<PublishStep, PacketStep, WaitStep>;

struct GoldenCase {
  // "dsr_l2.a_new_flow".
  std::string file;
  std::string name;
  std::vector<Step> steps;

  // Only where the clock can be moved.
  bool NeedsClock() const;
};

// All cases of one file, or what is wrong with it and where.
absl::StatusOr<std::vector<GoldenCase>> LoadGoldenCases(const std::string& path);

}  // namespace sluice::packet_test
