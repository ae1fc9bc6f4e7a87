// Whose a source port is: by RSS against the vectors that Microsoft publishes with it ("Verifying the RSS hash
// calculation", Windows driver documentation), and against a hash taken bit by bit.
#include "engine/nat_owners.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/sim/rss.h"
#include "tests/unit/engine/hand_tables.h"

namespace sluice {
namespace {

const sluice_nat_ports kPorts = sluice_nat_ports_around(32768, 60999);

NatOwners::Rss RssUnder(const RssKey& key, size_t hashes, uint32_t workers, uint32_t kinds = NatOwners::kAllKinds) {
  NatOwners::Rss rss;
  rss.hash = [key](const NatOwners::Input& input) { return ToeplitzHash(input, key); };
  for (size_t i = 0; i < hashes; i++) rss.worker_of_hash.push_back(static_cast<uint16_t>(i % workers));
  rss.with_ports = kinds;
  return rss;
}

sluice_flow Answer(const char* source, uint16_t source_port, const char* destination, uint16_t destination_port,
                   uint32_t protocol = SLUICE_IP_TCP) {
  sluice_flow flow{};
  flow.source = PathAddress(source);
  flow.destination = PathAddress(destination);
  flow.source_port = SLUICE_16(source_port);
  flow.destination_port = SLUICE_16(destination_port);
  flow.protocol = protocol;
  return flow;
}

// The hash that a device has of the packet, taken whole.
uint32_t HashOf(const sluice_flow& flow, const RssKey& key) {
  const size_t skipped = sluice_address_is_ipv4(&flow.source) ? 12 : 0;
  std::vector<uint8_t> input;
  for (const sluice_address* address : {&flow.source, &flow.destination}) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(address);
    input.insert(input.end(), bytes + skipped, bytes + sizeof(*address));
  }
  const auto* ports = reinterpret_cast<const uint8_t*>(&flow.ports);
  input.insert(input.end(), ports, ports + sizeof(flow.ports));
  return ToeplitzHash(input, key);
}

struct Vector {
  const char* source;
  uint16_t source_port;
  const char* destination;
  uint16_t destination_port;
  uint32_t hash;
};
// All of the suite's "with TCP".
constexpr Vector kVectors[] = {
    {"66.9.149.187", 2794, "161.142.100.80", 1766, 0x51ccc178},
    {"199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626b0ea},
    {"24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b394a},
    {"38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7327f},
    {"153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e828a2},
    {"3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207d3d},
    {"3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0xdde51bbf},
    {"3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x02d1feef},
};

// A table with one entry of a worker's own for each value of the lower bits tells all of them.
TEST(NatOwnersTest, HashesAsTheVerificationSuiteDoes) {
  constexpr uint32_t kMany = 256;
  const NatOwners owners(kMany, RssUnder(kVerificationKey, kMany, kMany), kPorts);
  ASSERT_EQ(owners.by_rss(), NatOwners::kAllKinds);
  for (const Vector& vector : kVectors) {
    for (const uint32_t protocol : {SLUICE_IP_TCP, SLUICE_IP_UDP}) {
      const sluice_flow answer =
          Answer(vector.source, vector.source_port, vector.destination, vector.destination_port, protocol);
      EXPECT_EQ(HashOf(answer, kVerificationKey), vector.hash) << vector.source;
      EXPECT_EQ(owners.Of(answer), vector.hash % kMany) << vector.source;
    }
  }
}

TEST(NatOwnersTest, EveryPortIsTheWorkersThatItsAnswersComeTo) {
  std::mt19937 random(1);
  RssKey key;
  for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
  for (const size_t hashes : {64, 128, 512, 2048}) {
    for (const uint32_t workers : {2u, 3u, 8u, 16u}) {
      const NatOwners owners(workers, RssUnder(key, hashes, workers), kPorts);
      ASSERT_EQ(owners.by_rss(), NatOwners::kAllKinds);
      for (sluice_flow answer :
           {Answer("10.0.3.3", 80, "198.51.100.64", 0), Answer("2001:db8::3", 443, "2001:db8::64", 0)}) {
        answer.source.words[3] ^= random();
        const sluice_nat_rss rss = owners.rss();
        const sluice_port_owners toward = sluice_port_owners_toward(&rss, &answer);
        for (uint32_t port = 1; port < 65536; port += 7) {
          answer.destination_port = SLUICE_16(port);
          ASSERT_EQ(sluice_port_owner(&toward, workers, static_cast<uint16_t>(port)),
                    HashOf(answer, key) % hashes % workers)
              << port;
        }
      }
    }
  }
}

TEST(NatOwnersTest, ProtocolsThatAreHashedWithoutPortsAreDealtOut) {
  const NatOwners owners(4, RssUnder(kVerificationKey, 128, 4, NatOwners::Kind(false, false)), kPorts);
  EXPECT_EQ(owners.by_rss(), NatOwners::Kind(false, false));
  std::set<bool> by_rss;
  for (uint16_t port = 1024; port < 2048; port++) {
    for (const sluice_flow& answer :
         {Answer("10.0.3.3", 80, "198.51.100.64", port, SLUICE_IP_UDP), Answer("2001:db8::3", 80, "2001:db8::4", port),
          Answer("10.0.3.3", 80, "198.51.100.64", port, SLUICE_IP_ICMP)}) {
      ASSERT_EQ(owners.Of(answer), sluice_nat_owner(port, 4));
    }
    by_rss.insert(owners.Of(Answer("10.0.3.3", 80, "198.51.100.64", port)) != sluice_nat_owner(port, 4));
  }
  EXPECT_TRUE(by_rss.contains(true));
}

// Such a worker could not open a session, whoever its clients are.
TEST(NatOwnersTest, RssThatLeavesAWorkerWithoutPortsIsNotUsed) {
  NatOwners::Rss one = RssUnder(kVerificationKey, 128, 4);
  for (uint16_t& worker : one.worker_of_hash) worker = worker == 3 ? 0 : worker;
  EXPECT_EQ(NatOwners(4, one, kPorts).by_rss(), 0u);
  // One entry of 128, where 32 would be even.
  one.worker_of_hash[5] = 3;
  EXPECT_EQ(NatOwners(4, one, kPorts).by_rss(), 0u);
  // A key under which ports change nothing in the lower bits.
  RssKey flat{};
  flat[0] = 0x80;
  EXPECT_EQ(NatOwners(4, RssUnder(flat, 128, 4), kPorts).by_rss(), 0u);
}

TEST(NatOwnersTest, TablesOfOtherSizesAreNotUsed) {
  EXPECT_EQ(NatOwners(4, RssUnder(kVerificationKey, 100, 4), kPorts).by_rss(), 0u);
  EXPECT_EQ(NatOwners(4, RssUnder(kVerificationKey, 0, 4), kPorts).by_rss(), 0u);
  EXPECT_EQ(NatOwners(4, RssUnder(kVerificationKey, 8192, 4), kPorts).by_rss(), 0u);
  // A worker that isn't there.
  EXPECT_EQ(NatOwners(4, RssUnder(kVerificationKey, 128, 5), kPorts).by_rss(), 0u);
}

// Both ways of a flow then have one hash, and ports still spread.
TEST(NatOwnersTest, ASymmetricKeyWillDo) {
  RssKey key;
  for (size_t i = 0; i < key.size(); i++) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  const NatOwners owners(4, RssUnder(key, 128, 4), kPorts);
  EXPECT_EQ(owners.by_rss(), NatOwners::kAllKinds);
  EXPECT_EQ(HashOf(Answer("10.0.3.3", 80, "198.51.100.64", 5000), key),
            HashOf(Answer("198.51.100.64", 5000, "10.0.3.3", 80), key));
}

TEST(NatOwnersTest, NamesWhatItIsInForceFor) {
  EXPECT_EQ(KindsText(NatOwners::kAllKinds), "TCP and UDP over IPv4, TCP and UDP over IPv6");
  EXPECT_EQ(KindsText(NatOwners::Kind(true, false)), "TCP over IPv6");
  EXPECT_EQ(KindsText(NatOwners::Kind(false, true)), "UDP over IPv4");
}

}  // namespace
}  // namespace sluice
