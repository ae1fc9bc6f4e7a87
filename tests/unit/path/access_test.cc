#include "sluice/access.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

constexpr sluice_number kHighest = {~uint64_t{0}, ~uint64_t{0}};

sluice_address AddressOf(uint64_t high, uint64_t low) {
  const uint64_t words[] = {SLUICE_64(high), SLUICE_64(low)};
  sluice_address address;
  std::memcpy(&address, words, sizeof(address));
  return address;
}

TEST(NumberTest, IsTheAddressInHostOrder) {
  const sluice_address ipv6 = packet_test::PathAddress("2001:db8::a:0:0:17");
  EXPECT_EQ(sluice_number_of(&ipv6).high, 0x20010db800000000u);
  EXPECT_EQ(sluice_number_of(&ipv6).low, 0x000a000000000017u);
  const sluice_address ipv4 = packet_test::PathAddress("192.0.2.7");
  EXPECT_EQ(sluice_number_of(&ipv4).high, 0u);
  EXPECT_EQ(sluice_number_of(&ipv4).low, 0xffffc0000207u);
}

TEST(NumberTest, Below) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> halves = {0, 1, 2, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffffe, ~uint64_t{0}};
  for (int i = 0; i < 20; i++) halves.push_back(random());
  for (const uint64_t a : halves) {
    for (const uint64_t b : halves) {
      for (const uint64_t c : halves) {
        for (const uint64_t d : halves) {
          const sluice_number left = {a, b};
          const sluice_number right = {c, d};
          const bool below = a != c ? a < c : b < d;
          ASSERT_EQ(sluice_number_below(&left, &right), below ? 1u : 0u) << a << " " << b << " " << c << " " << d;
        }
      }
    }
  }
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() : listener_(tables_.AddListener("203.0.113.10", SLUICE_IP_TCP, 80, tables_.AddPool({}))) {
    tables_.AddListener("203.0.113.10", SLUICE_IP_UDP, 80, 0);
  }
  bool Admits(uint64_t high, uint64_t low) {
    const sluice_address source = AddressOf(high, low);
    return sluice_access_admits(&tables_.view(), listener_, &source) == 1;
  }
  static sluice_packet From(uint64_t high, uint64_t low, uint32_t protocol = SLUICE_IP_TCP) {
    sluice_packet packet{};
    packet.flow.source = AddressOf(high, low);
    packet.flow.protocol = protocol;
    return packet;
  }
  const char* Verdict(const sluice_packet& packet) {
    const sluice_selector selector{0, now_, nullptr, nullptr, nullptr, &sources_, 1, loads_.data(), traffic_.data()};
    const int verdict = sluice_admit(&tables_.view(), &selector, listener_, &packet);
    return verdict == SLUICE_CONTINUE ? "continue" : sluice_verdict_name(static_cast<uint32_t>(verdict));
  }

  packet_test::HandTables tables_;
  uint32_t listener_;
  std::vector<sluice_source_line> lines_ = std::vector<sluice_source_line>(SLUICE_SOURCE_LINES);
  sluice_source_line* sources_ = lines_.data();
  std::array<sluice_listener_load, 2> loads_{};
  std::array<sluice_traffic, 2> traffic_{};
  uint64_t now_ = uint64_t{5000} << SLUICE_WINDOW_SHIFT;
};

TEST_F(AccessTest, OneNode) {
  tables_.Admit(listener_, {0, 1, SLUICE_ACCESS_LOWEST, 0, 0}, {{{{0, 5}, {0, 9}, {7, 0}, kHighest}}});
  EXPECT_TRUE(Admits(0, 0));
  EXPECT_TRUE(Admits(0, 5));
  EXPECT_FALSE(Admits(0, 6));
  EXPECT_FALSE(Admits(0, 9));
  EXPECT_TRUE(Admits(0, 10));
  EXPECT_TRUE(Admits(7, 0));
  EXPECT_FALSE(Admits(7, 1));
  EXPECT_FALSE(Admits(~uint64_t{0}, ~uint64_t{0}));
  tables_.Admit(listener_, {0, 1, 0, 0, 0}, {{{{0, 5}, {0, 9}, {7, 0}, kHighest}}});
  EXPECT_FALSE(Admits(0, 0));
  EXPECT_TRUE(Admits(0, 6));
  EXPECT_TRUE(Admits(~uint64_t{0}, ~uint64_t{0}));
}

TEST_F(AccessTest, NoNodeAtAll) {
  tables_.Admit(listener_, {0, 0, SLUICE_ACCESS_LOWEST, 0, 0}, {});
  EXPECT_TRUE(Admits(1, 2));
  tables_.Admit(listener_, {0, 0, 0, 0, 0}, {});
  EXPECT_FALSE(Admits(1, 2));
}

// 10, 20, ... 80 in two of the five children: 40 is the last end of the first one.
TEST_F(AccessTest, TwoLevels) {
  std::vector<sluice_access_node> nodes(3);
  nodes[0] = {{{0, 40}, kHighest, kHighest, kHighest}};
  nodes[1] = {{{0, 10}, {0, 20}, {0, 30}, {0, 40}}};
  nodes[2] = {{{0, 50}, {0, 60}, {0, 70}, {0, 80}}};
  // Behind another listener's.
  tables_.Admit(listener_ + 1, {0, 1, 0, 0, 0}, {nodes[1]});
  tables_.Admit(listener_, {0, 2, 0, {}}, nodes);
  for (uint64_t source = 0; source < 100; source++) {
    EXPECT_EQ(Admits(0, source), (source > 0 ? (source - 1) / 10 : 0) % 2 == 1 && source <= 80) << source;
  }
}

TEST_F(AccessTest, AListenerWithoutListsAdmitsAll) {
  EXPECT_STREQ(Verdict(From(0, 0)), "continue");
}

TEST_F(AccessTest, WhoIsRefused) {
  tables_.Admit(listener_, {0, 1, SLUICE_ACCESS_LOWEST, 0, 0}, {{{{0, 5}, kHighest, kHighest, kHighest}}});
  EXPECT_STREQ(Verdict(From(0, 5)), "continue");
  EXPECT_STREQ(Verdict(From(0, 6)), "source_denied");
}

TEST_F(AccessTest, WhoIsTold) {
  const uint16_t flags = SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_TELLS;
  tables_.Admit(listener_, {0, 1, flags, 0, 0}, {{{{0, 5}, kHighest, kHighest, kHighest}}});
  sluice_packet packet = From(0, 6);
  EXPECT_STREQ(Verdict(packet), "replied_source_denied");
  packet.flags = SLUICE_PACKET_SYN | SLUICE_PACKET_FIRST_FRAGMENT;
  EXPECT_STREQ(Verdict(packet), "replied_source_denied");
  packet.flags = SLUICE_PACKET_CLOSE;
  EXPECT_STREQ(Verdict(packet), "source_denied");
  packet = From(0, 6, SLUICE_IP_UDP);
  EXPECT_STREQ(Verdict(packet), "replied_source_denied");
  for (const uint8_t kind : {SLUICE_PACKET_ICMP_ERROR, SLUICE_PACKET_ECHO}) {
    packet.kind = kind;
    EXPECT_STREQ(Verdict(packet), "source_denied");
  }
}

TEST_F(AccessTest, OnlyWhatOpensAFlowCounts) {
  tables_.Admit(listener_, {0, 0, SLUICE_ACCESS_LOWEST, 2, 0}, {});
  sluice_packet syn = From(0, 6);
  syn.flags = SLUICE_PACKET_SYN;
  EXPECT_STREQ(Verdict(syn), "continue");
  for (int i = 0; i < 5; i++) EXPECT_STREQ(Verdict(From(0, 6)), "continue");
  EXPECT_STREQ(Verdict(syn), "continue");
  EXPECT_STREQ(Verdict(syn), "source_over_rate");
  EXPECT_STREQ(Verdict(From(0, 6)), "continue") << "in the midst of what has begun elsewhere";
  EXPECT_STREQ(Verdict(From(0, 6, SLUICE_IP_UDP)), "source_over_rate");
  now_ += uint64_t{2} << SLUICE_WINDOW_SHIFT;
  EXPECT_STREQ(Verdict(syn), "continue");
}

TEST_F(AccessTest, WhoIsDeniedDoesNotCount) {
  const uint16_t flags = SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_TELLS;
  tables_.Admit(listener_, {0, 1, flags, 1, 0}, {{{{0, 5}, kHighest, kHighest, kHighest}}});
  for (int i = 0; i < 3; i++) EXPECT_STREQ(Verdict(From(1, 6, SLUICE_IP_UDP)), "replied_source_denied");
  EXPECT_STREQ(Verdict(From(0, 4, SLUICE_IP_UDP)), "continue");
  EXPECT_STREQ(Verdict(From(0, 4, SLUICE_IP_UDP)), "replied_source_over_rate");
}

// What a worker has been told and what it counts itself come to the limit, whatever either is.
TEST_F(AccessTest, AFullListener) {
  tables_.Admit(listener_, {0, 0, SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED, 0, 0}, {});
  sluice_packet syn = From(0, 6);
  syn.flags = SLUICE_PACKET_SYN;
  EXPECT_STREQ(Verdict(syn), "continue") << "not told of a limit yet";
  constexpr int64_t kLimits[] = {1, 2, 1000, INT32_MAX, UINT32_MAX};
  constexpr int64_t kOthers[] = {INT32_MIN, -1001, -1, 0, 1, 999, 1000, INT32_MAX};
  constexpr uint64_t kCounts[] = {0, 1, 999, 1000, uint64_t{1} << 40};
  int full = 0;
  for (const int64_t limit : kLimits) {
    for (const int64_t others : kOthers) {
      loads_[listener_].told = sluice_listener_told(static_cast<int32_t>(others), static_cast<uint32_t>(limit));
      for (const uint64_t begun : kCounts) {
        for (const uint64_t ended : kCounts) {
          traffic_[listener_].new_flows = begun;
          traffic_[listener_].ended = ended;
          const bool has_room = static_cast<int64_t>(begun) - static_cast<int64_t>(ended) + others < limit;
          full += has_room ? 0 : 1;
          ASSERT_STREQ(Verdict(syn), has_room ? "continue" : "listener_full")
              << limit << " " << others << " " << begun << " " << ended;
        }
      }
    }
  }
  EXPECT_GT(full, 100);
}

TEST_F(AccessTest, AFullListenerRefusesWhatOpensAFlow) {
  loads_[listener_].told = sluice_listener_told(5, 5);
  tables_.Admit(listener_, {0, 1, SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED, 1, 0},
                {{{{0, 5}, kHighest, kHighest, kHighest}}});
  sluice_packet syn = From(0, 4);
  syn.flags = SLUICE_PACKET_SYN;
  EXPECT_STREQ(Verdict(syn), "listener_full");
  EXPECT_STREQ(Verdict(From(0, 4, SLUICE_IP_UDP)), "listener_full");
  EXPECT_STREQ(Verdict(From(0, 4)), "continue") << "in the midst of what has begun elsewhere";
  sluice_packet echo = From(0, 4, SLUICE_IP_ICMP);
  echo.kind = SLUICE_PACKET_ECHO;
  EXPECT_STREQ(Verdict(echo), "continue");
  EXPECT_STREQ(Verdict(From(0, 6, SLUICE_IP_UDP)), "source_denied") << "whoever is full";
  // Who is refused has opened nothing, and so is within the rate.
  loads_[listener_].told = sluice_listener_told(4, 5);
  EXPECT_STREQ(Verdict(syn), "continue");
  EXPECT_STREQ(Verdict(syn), "source_over_rate");
  const uint16_t flags = SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED | SLUICE_ACCESS_TELLS;
  tables_.Admit(listener_, {0, 0, flags, 0, 0}, {});
  loads_[listener_].told = sluice_listener_told(5, 5);
  EXPECT_STREQ(Verdict(syn), "replied_listener_full");
  // Without the flag nobody looks.
  tables_.Admit(listener_, {0, 0, SLUICE_ACCESS_LOWEST, 0, 0}, {});
  EXPECT_STREQ(Verdict(syn), "continue");
}

}  // namespace
}  // namespace sluice::path_test
