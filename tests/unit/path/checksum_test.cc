#include "sluice/checksum.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "tests/packet/bytes.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

std::string RandomBytes(std::mt19937& random, size_t length) {
  std::string bytes(length, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(ChecksumTest, BytesOfEveryLengthLikeTheNaiveSum) {
  std::mt19937 random(1);
  ExactBytes exact;
  for (uint32_t length = 0; length < 1300; length++) {
    const std::string bytes = RandomBytes(random, length);
    const uint8_t* at = exact.Place(bytes);
    ASSERT_EQ(sluice_checksum_fold(sluice_checksum_bytes(at, exact.end(), length, 1288)),
              SLUICE_16(packet_test::Fold(packet_test::Sum(bytes.substr(0, 1288)))))
        << length;
  }
}

TEST(ChecksumTest, PayloadOfEveryLengthLikeTheNaiveSum) {
  std::mt19937 random(3);
  ExactBytes exact;
  for (uint32_t length = 0; length < 1300; length++) {
    const std::string bytes = RandomBytes(random, length);
    const uint8_t* at = exact.Place(bytes);
    ASSERT_EQ(sluice_checksum_fold(sluice_checksum_payload(at, exact.end(), length, 1300)),
              SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))))
        << length;
  }
}

TEST(ChecksumTest, PayloadStopsAtTheEndWhateverTheLength) {
  ExactBytes exact;
  for (uint32_t there = 0; there < 200; there++) {
    const std::string bytes(there, '\x11');
    const uint8_t* at = exact.Place(bytes);
    EXPECT_EQ(sluice_checksum_fold(sluice_checksum_payload(at, exact.end(), 5000, 5000)),
              SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))));
  }
}

TEST(ChecksumTest, BytesStopAtTheEndWhateverTheLength) {
  ExactBytes exact;
  for (uint32_t there = 0; there < 20; there++) {
    const std::string bytes(there, '\x11');
    const uint8_t* at = exact.Place(bytes);
    EXPECT_EQ(sluice_checksum_fold(sluice_checksum_bytes(at, exact.end(), 5000, 5000)),
              SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))));
  }
}

TEST(ChecksumTest, LargestSumsFold) {
  const std::string bytes(1288, '\xff');
  const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
  EXPECT_EQ(sluice_checksum_fold(sluice_checksum_bytes(at, at + bytes.size(), 1288, 1288)), 0xffff);
  EXPECT_EQ(sluice_checksum_fold(0xffffffffu), 0xffff);
  EXPECT_EQ(sluice_checksum_fold(0x1ffffu), 1);
}

TEST(ChecksumTest, AddressesLikeTheirBytes) {
  std::mt19937 random(2);
  for (int i = 0; i < 1000; i++) {
    // The largest words first: their sums carry.
    const std::string bytes = i == 0 ? std::string(32, '\xff') : RandomBytes(random, 32);
    sluice_address addresses[2];
    std::memcpy(addresses, bytes.data(), 32);
    ASSERT_EQ(sluice_checksum_addresses(&addresses[0], &addresses[1]),
              SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))));
  }
}

TEST(ChecksumTest, ZeroIsAMultipleOfAllOnes) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 100'000; i++) {
    // Half of them multiples, of all sizes.
    const uint64_t any = random() >> (i % 64);
    const uint64_t sum = i % 2 == 0 ? any : any - any % 0xffff;
    ASSERT_EQ(sluice_checksum_is_zero(sum), sum % 0xffff == 0) << sum;
  }
}

// Incremental updates never drift from the checksum computed anew, also through all-zero and all-one words, where
// equation 2 of RFC 1624 errs.
TEST(ChecksumTest, ManyUpdatesLikeOneComputation) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; round++) {
    std::string bytes = RandomBytes(random, 20);
    bytes.replace(10, 2, std::string(2, '\0'));
    auto checksum = static_cast<uint16_t>(~SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))));
    for (int change = 0; change < 20; change++) {
      size_t at = random() % 10 * 2;
      if (at == 10) at = 12;
      const uint16_t before = sluice_load16(&bytes[at]);
      const uint16_t values[] = {0, 0xffff, static_cast<uint16_t>(random()), static_cast<uint16_t>(~before)};
      sluice_store16(&bytes[at], values[random() % 4]);
      checksum = sluice_checksum_update(checksum, before, sluice_load16(&bytes[at]));
      const auto anew = static_cast<uint16_t>(~SLUICE_16(packet_test::Fold(packet_test::Sum(bytes))));
      ASSERT_EQ(checksum, anew);
    }
  }
}

}  // namespace
}  // namespace sluice::path_test
