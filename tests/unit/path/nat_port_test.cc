// Source ports of translated clients: none of the kernel's, and each of them one worker's.
#include "sluice/nat_port.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace sluice::path_test {
namespace {

std::vector<uint16_t> All(const sluice_nat_ports& ports) {
  std::vector<uint16_t> all;
  for (uint32_t i = 0; i < ports.count; i++) all.push_back(sluice_nat_port(&ports, i));
  return all;
}

TEST(NatPortTest, AllThatTheKernelLeavesAndNoOther) {
  const std::vector<std::pair<uint32_t, uint32_t>> ranges = {
      {32768, 60999}, {1024, 65535}, {1, 65535}, {1024, 1024}, {65535, 65535}, {500, 600},
      {0, 0},         {1025, 65534}, {1, 1023},  {1, 1024},    {10000, 10000}, {40000, 65535}};
  for (const auto& [first, last] : ranges) {
    const sluice_nat_ports ports = sluice_nat_ports_around(first, last);
    std::vector<uint16_t> expected;
    for (uint32_t port = 1024; port <= 65535; port++) {
      if (port < first || port > last) expected.push_back(static_cast<uint16_t>(port));
    }
    EXPECT_EQ(All(ports), expected) << first << "-" << last;
  }
}

TEST(NatPortTest, PartsAreTheSamePortsInTheSameOrder) {
  for (const auto& [first, last] : {std::pair<uint32_t, uint32_t>{32768, 60999}, {1024, 60000}, {40000, 65535}}) {
    const sluice_nat_ports ports = sluice_nat_ports_around(first, last);
    const std::vector<uint16_t> all = All(ports);
    for (const uint32_t at : {uint32_t{1}, ports.count / 8u, uint32_t{ports.first_count}, ports.count - 1u}) {
      if (at == 0 || at >= ports.count) continue;
      std::vector<uint16_t> together = All(sluice_nat_ports_part(&ports, 0, at));
      ASSERT_EQ(together.size(), at);
      for (const uint16_t port : All(sluice_nat_ports_part(&ports, at, ports.count - at))) together.push_back(port);
      ASSERT_EQ(together, all) << first << " to " << last << ", at " << at;
    }
  }
}

TEST(NatPortTest, EveryPortHasOneOwner) {
  for (uint32_t owners = 1; owners <= 64; owners++) {
    for (uint32_t port = 0; port < 65536; port++) {
      ASSERT_LT(sluice_nat_owner(static_cast<uint16_t>(port), owners), owners);
    }
  }
}

// All together, and any stretch of neighbours: an owner's search meets one of its own soon.
TEST(NatPortTest, DealtOutEvenly) {
  const sluice_nat_ports ports = sluice_nat_ports_around(32768, 60999);
  const std::vector<uint16_t> all = All(ports);
  for (uint32_t owners = 1; owners <= 16; owners++) {
    for (const size_t stretch : {all.size(), size_t{1024}, size_t{16} * owners}) {
      for (size_t begin = 0; begin + stretch <= ports.first_count || begin == 0; begin += stretch) {
        std::vector<uint32_t> count(owners);
        for (size_t i = begin; i < begin + stretch; i++) count[sluice_nat_owner(all[i], owners)]++;
        const auto [least, most] = std::minmax_element(count.begin(), count.end());
        const double fair = static_cast<double>(stretch) / owners;
        ASSERT_GE(*least, std::floor(fair * 0.97) - 4) << owners << " owners, " << stretch << " ports";
        ASSERT_LE(*most, std::ceil(fair * 1.03) + 4) << owners << " owners, " << stretch << " ports";
      }
    }
  }
}

}  // namespace
}  // namespace sluice::path_test
