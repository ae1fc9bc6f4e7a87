#include "sluice/hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <unordered_set>
#include <vector>

#include "sluice/connection.h"
#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

using packet_test::PathAddress;

sluice_settings Settings(uint32_t seed) {
  sluice_settings settings{};
  std::mt19937 random(seed);
  for (uint32_t& word : settings.hash_key) word = random();
  return settings;
}

sluice_flow Flow(std::string_view source, uint16_t source_port, std::string_view destination, uint16_t destination_port,
                 uint32_t protocol) {
  sluice_flow flow{};
  flow.source = PathAddress(source);
  flow.destination = PathAddress(destination);
  flow.source_port = SLUICE_16(source_port);
  flow.destination_port = SLUICE_16(destination_port);
  flow.protocol = protocol;
  return flow;
}

// Chi-squared of counts that should be even, in standard deviations from what chance gives.
double Deviation(const std::vector<uint32_t>& counts) {
  double total = 0;
  for (const uint32_t count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  double chi = 0;
  for (const uint32_t count : counts) chi += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1);
  return (chi - freedom) / std::sqrt(2 * freedom);
}

// Nodes of a fleet that run different versions, and connection tables kept over an upgrade, depend on these. When they
// change on purpose, SLUICE_LAYOUT_VERSION goes up.
TEST(HashTest, GoldenValues) {
  sluice_settings settings{};
  for (uint32_t i = 0; i < std::size(settings.hash_key); i++) settings.hash_key[i] = 0x01234567u * (i + 1);
  const sluice_flow v4 = Flow("192.0.2.7", 40000, "203.0.113.10", 80, 6);
  const sluice_flow v6 = Flow("2001:db8:f::7", 40000, "2001:db8::10", 443, 17);
  EXPECT_EQ(sluice_hash_flow(&settings, &v4), 0x14fdfd5fb13c16d7ull);
  EXPECT_EQ(sluice_hash_flow(&settings, &v6), 0xb281c2b9298afdaeull);
  EXPECT_EQ(sluice_primary_bucket(0x0123456789abcdefull, 1000), 4u);
  EXPECT_EQ(sluice_secondary_bucket(0x0123456789abcdefull, 1000), 49u);
  EXPECT_EQ(sluice_select_hash(0x0123456789abcdefull), 0xb918a412u);
}

TEST(HashTest, EveryFieldAndTheKeyMatter) {
  const sluice_settings settings = Settings(1);
  const sluice_flow flow = Flow("192.0.2.7", 40000, "203.0.113.10", 80, 6);
  std::unordered_set<uint64_t> hashes = {sluice_hash_flow(&settings, &flow)};
  for (uint32_t bit = 0; bit < 8 * sizeof(flow); bit++) {
    sluice_flow other = flow;
    reinterpret_cast<uint8_t*>(&other)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_TRUE(hashes.insert(sluice_hash_flow(&settings, &other)).second) << "bit " << bit;
  }
  // (A bit of the key may do what a bit of the flow does: they are added.)
  for (uint32_t bit = 0; bit < 8 * sizeof(settings.hash_key); bit++) {
    sluice_settings other = settings;
    other.hash_key[bit / 32] ^= 1u << bit % 32;
    EXPECT_NE(sluice_hash_flow(&other, &flow), sluice_hash_flow(&settings, &flow)) << "bit of the key " << bit;
  }
  // Both directions of a flow are different flows.
  const sluice_flow back = Flow("203.0.113.10", 80, "192.0.2.7", 40000, 6);
  EXPECT_TRUE(hashes.insert(sluice_hash_flow(&settings, &back)).second);
}

// A bit of the flow turns about half of the hash's bits, over many keys and flows.
TEST(HashTest, Avalanche) {
  std::vector<uint32_t> turned(8 * sizeof(sluice_flow));
  constexpr uint32_t kRounds = 500;
  for (uint32_t round = 0; round < kRounds; round++) {
    const sluice_settings settings = Settings(round);
    sluice_flow flow = Flow("192.0.2.7", static_cast<uint16_t>(round), "203.0.113.10", 80, 6);
    const uint64_t hash = sluice_hash_flow(&settings, &flow);
    for (uint32_t bit = 0; bit < turned.size(); bit++) {
      sluice_flow other = flow;
      reinterpret_cast<uint8_t*>(&other)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      turned[bit] += std::popcount(hash ^ sluice_hash_flow(&settings, &other));
    }
  }
  for (uint32_t bit = 0; bit < turned.size(); bit++) {
    EXPECT_NEAR(turned[bit] / static_cast<double>(kRounds), 32, 1.5) << "bit " << bit;
  }
}

// Clients that differ in few bits only, as real ones do: a /16 of addresses, or the ports of one address.
struct Clients {
  const char* name;
  bool ipv6;
  bool by_port;
};

std::vector<uint64_t> HashesOf(const Clients& clients, const sluice_settings& settings, uint32_t count) {
  sluice_flow flow = clients.ipv6 ? Flow("2001:db8:f::", 40000, "2001:db8::10", 80, 6)
                                  : Flow("10.1.0.0", 40000, "203.0.113.10", 80, 6);
  std::vector<uint64_t> hashes;
  for (uint32_t i = 0; i < count; i++) {
    if (clients.by_port) flow.source_port = SLUICE_16(i & 0xffff);
    flow.source.words[3] = clients.by_port ? SLUICE_32(0x0a010000 | i >> 16) : SLUICE_32(0x0a010000 + i);
    hashes.push_back(sluice_hash_flow(&settings, &flow));
  }
  return hashes;
}

class DistributionTest : public testing::TestWithParam<Clients> {};

TEST_P(DistributionTest, EveryUseIsEven) {
  constexpr uint32_t kFlows = 1 << 18;
  constexpr uint32_t kBins = 1021;
  for (uint32_t seed = 1; seed <= 5; seed++) {
    const std::vector<uint64_t> hashes = HashesOf(GetParam(), Settings(seed), kFlows);
    std::vector<uint32_t> primary(kBins), secondary(kBins), select(kBins), tag(kBins), port(kBins);
    std::vector<uint32_t> secondary_of_one(kBins), select_of_one(kBins);
    for (const uint64_t hash : hashes) {
      primary[sluice_primary_bucket(hash, kBins)]++;
      secondary[sluice_secondary_bucket(hash, kBins)]++;
      select[sluice_scale(sluice_select_hash(hash), kBins)]++;
      tag[sluice_tag(hash) % kBins]++;
      port[(hash >> 20 & 0x3fff) % kBins]++;
      // Flows of one part of the table spread over all of the other uses.
      if (sluice_primary_bucket(hash, 8) == 3) {
        secondary_of_one[sluice_secondary_bucket(hash, kBins)]++;
        select_of_one[sluice_scale(sluice_select_hash(hash), kBins)]++;
      }
    }
    for (const auto* counts : {&primary, &secondary, &select, &tag, &port, &secondary_of_one, &select_of_one}) {
      EXPECT_LT(Deviation(*counts), 6) << GetParam().name << " seed " << seed;
    }
  }
}

TEST_P(DistributionTest, NoTwoFlowsShareAHash) {
  const std::vector<uint64_t> hashes = HashesOf(GetParam(), Settings(9), 1 << 20);
  EXPECT_EQ(std::unordered_set<uint64_t>(hashes.begin(), hashes.end()).size(), hashes.size());
}

INSTANTIATE_TEST_SUITE_P(Clients, DistributionTest,
                         testing::Values(Clients{"ipv4_addresses", false, false}, Clients{"ipv4_ports", false, true},
                                         Clients{"ipv6_addresses", true, false}, Clients{"ipv6_ports", true, true}),
                         [](const auto& parameter) { return parameter.param.name; });

// A key that an operator gives may have words of all zeros or ones; NH alone would forgive that.
TEST(HashTest, SingularKeysStillSpread) {
  for (const uint32_t word : {0u, 0xffffffffu}) {
    sluice_settings settings{};
    for (uint32_t& key : settings.hash_key) key = word;
    const std::vector<uint64_t> hashes = HashesOf({"", false, true}, settings, 1 << 16);
    EXPECT_GT(std::unordered_set<uint64_t>(hashes.begin(), hashes.end()).size(), hashes.size() * 9 / 10);
  }
}

TEST(HashTest, ScaleStaysBelowItsSize) {
  for (const uint32_t size : {1u, 2u, 3u, 65537u, 0xffffffffu}) {
    EXPECT_EQ(sluice_scale(0, size), 0u);
    EXPECT_EQ(sluice_scale(0xffffffffu, size), size - 1);
  }
}

TEST(FragmentFlowTest, Ipv4ByProtocolAndIdentification) {
  sluice_packet first{};
  first.flow = Flow("192.0.2.7", 40000, "203.0.113.10", 53, 17);
  first.fragment_id = 7;
  sluice_packet later = first;
  later.flow.ports = 0;
  const sluice_settings settings = Settings(1);
  const auto hash = [&](const sluice_packet& packet) {
    const sluice_flow flow = sluice_fragment_flow(&packet);
    return sluice_hash_flow(&settings, &flow);
  };
  EXPECT_EQ(hash(first), hash(later));
  EXPECT_NE(hash(first), sluice_hash_flow(&settings, &first.flow));
  later.flow.protocol = 6;
  EXPECT_NE(hash(first), hash(later));
  later.flow.protocol = 17;
  later.fragment_id = 8;
  EXPECT_NE(hash(first), hash(later));
}

// The later fragment sees the header that follows the fragment header, the first one sees UDP behind it.
TEST(FragmentFlowTest, Ipv6ByIdentificationAlone) {
  sluice_packet first{};
  first.flow = Flow("2001:db8:f::7", 40000, "2001:db8::10", 53, 17);
  first.fragment_id = 7;
  first.flags = SLUICE_PACKET_IPV6;
  sluice_packet later = first;
  later.flow.ports = 0;
  later.flow.protocol = 60;
  const sluice_flow one = sluice_fragment_flow(&first);
  const sluice_flow two = sluice_fragment_flow(&later);
  EXPECT_EQ(memcmp(&one, &two, sizeof(one)), 0);
}

}  // namespace
}  // namespace sluice::path_test
