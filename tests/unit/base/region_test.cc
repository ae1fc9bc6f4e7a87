// Memory for tables: zeroed, aligned, owned by one, in huge pages or not, and what is said when there are none.
#include "base/region.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr size_t kHugePage = size_t{2} << 20;

size_t FreeHugePages() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  size_t pages = 0;
  file >> pages;
  return pages;
}

TEST(Region, IsZeroedAlignedAndWritable) {
  for (const HugePages pages : {HugePages::kOff, HugePages::kPreferred}) {
    for (const size_t bytes : {size_t{1}, size_t{64}, size_t{4097}, kHugePage, kHugePage + 1}) {
      const absl::StatusOr<Region> region = Region::Create(bytes, pages);
      ASSERT_TRUE(region.ok()) << region.status();
      EXPECT_EQ(region->size(), bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(region->data()) % 64, 0u);
      EXPECT_TRUE(std::all_of(region->data(), region->data() + bytes, [](uint8_t byte) { return byte == 0; }));
      std::fill_n(region->data(), bytes, uint8_t{0xa5});
      EXPECT_EQ(region->As<uint8_t>()[bytes - 1], 0xa5);
    }
  }
}

TEST(Region, EmptyOneIsThere) {
  const absl::StatusOr<Region> region = Region::Create(0, HugePages::kPreferred);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(region->size(), 0u);
  EXPECT_NE(region->data(), nullptr);
  EXPECT_FALSE(region->huge());
}

TEST(Region, OffAndSmallOnesLeaveHugePagesAlone) {
  EXPECT_FALSE(Region::Create(4 * kHugePage, HugePages::kOff)->huge());
  EXPECT_FALSE(Region::Create(4096, HugePages::kPreferred)->huge());
}

TEST(Region, RequiredHugePagesThatAreNotThere) {
  // 1 PiB: more than any machine has reserved, and the mapping itself fails at once.
  const absl::StatusOr<Region> region = Region::Create(size_t{1} << 50, HugePages::kRequired);
  ASSERT_EQ(region.status().code(), absl::StatusCode::kResourceExhausted);
  const std::string message(region.status().message());
  EXPECT_THAT(message, HasSubstr("sysctl -w vm.nr_hugepages=536870912"));
  EXPECT_THAT(message, HasSubstr("set engine.huge_pages to preferred"));
}

TEST(Region, MoreThanThereCanBe) {
  const absl::StatusOr<Region> region = Region::Create(size_t{1} << 62, HugePages::kPreferred);
  ASSERT_EQ(region.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(region.status().message()), HasSubstr("no memory for 4611686018427387904 bytes"));
}

TEST(Region, TakesHugePagesWhereThereAreSome) {
  if (FreeHugePages() < 2) GTEST_SKIP() << "no free huge pages; reserve some: sysctl -w vm.nr_hugepages=64";
  for (const HugePages pages : {HugePages::kPreferred, HugePages::kRequired}) {
    const absl::StatusOr<Region> region = Region::Create(kHugePage + 1, pages);
    // Another process may have been faster.
    if (!region.ok() || !region->huge()) GTEST_SKIP() << "the free huge pages are gone";
    EXPECT_EQ(reinterpret_cast<uintptr_t>(region->data()) % kHugePage, 0u);
    EXPECT_EQ(region->data()[kHugePage], 0);
  }
}

TEST(Region, MovesAndLeavesNothingBehind) {
  static_assert(!std::is_copy_constructible_v<Region> && !std::is_copy_assignable_v<Region>);
  Region a = Region::Create(100, HugePages::kOff).value();
  a.data()[99] = 7;
  const uint8_t* const at = a.data();

  Region b = std::move(a);
  EXPECT_EQ(b.data(), at);
  EXPECT_EQ(b.size(), 100u);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): what is left is the subject.
  EXPECT_EQ(a.size(), 0u);

  Region c = Region::Create(200, HugePages::kOff).value();
  c = std::move(b);
  EXPECT_EQ(c.data(), at);
  EXPECT_EQ(c.data()[99], 7);
  Region& same = c;
  c = std::move(same);
  EXPECT_EQ(c.data(), at) << "a move onto itself changes nothing";
  c = Region();
  EXPECT_EQ(c.data(), nullptr);
}

}  // namespace
}  // namespace sluice
