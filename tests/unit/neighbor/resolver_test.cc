// The resolver against a kernel that the test writes, on a clock of the test's own.
#include "neighbor/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/neighbour.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using State = Resolution::State;

constexpr Mac kPort = {2, 0, 0, 0, 0, 1};
constexpr Mac kHost = {2, 0, 0, 0, 0, 2};
constexpr Mac kOther = {2, 0, 0, 0, 0, 3};

Address A(const std::string& text) {
  return ParseAddress(text).value();
}

Link Eth(int ifindex, uint16_t vlan = 0, int parent = 0) {
  return {.ifindex = ifindex,
          .name = absl::StrCat("eth", ifindex),
          .mac = kPort,
          .mtu = 1500,
          .enabled = true,
          .carrier = true,
          .ethernet = true,
          .vlan = vlan,
          .parent = parent};
}

class FakeKernel : public Kernel {
 public:
  absl::StatusOr<std::vector<Link>> Links() override {
    ++link_dumps;
    return links;
  }
  Route FindRoute(const Address& destination) override {
    ++lookups;
    const auto it = routes.find(destination);
    return it != routes.end() ? it->second : fallback;
  }
  std::optional<NeighborEntry> FindNeighbor(const NeighborKey& key) override {
    const auto it = entries.find(key);
    return it != entries.end() ? std::optional(it->second) : std::nullopt;
  }
  absl::Status Use(const NeighborKey& key) override {
    used.push_back(key);
    return use_status;
  }
  absl::Status Probe(const NeighborKey& key) override {
    probed.push_back(key);
    return absl::OkStatus();
  }

  std::vector<Link> links;
  std::map<Address, Route> routes;
  Route fallback{.kind = Route::Kind::kUnicast, .ifindex = 1};
  std::map<NeighborKey, NeighborEntry> entries;
  absl::Status use_status;
  int lookups = 0;
  int link_dumps = 0;
  std::vector<NeighborKey> used;
  std::vector<NeighborKey> probed;
};

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() { kernel_.links = {Eth(1)}; }

  // Runs everything that becomes due within `span`; returns how many Runs that took.
  int Advance(absl::Duration span) {
    const absl::Time end = now_ + span;
    int runs = 0;
    while (resolver_.NextDue() <= end) {
      now_ = std::max(now_, resolver_.NextDue());
      resolver_.Run(now_);
      EXPECT_LT(++runs, 100000) << "does not come to rest";
      if (runs >= 100000) break;
    }
    now_ = end;
    return runs;
  }
  void Answer(const std::string& address, const Mac& mac, int ifindex = 1) {
    resolver_.OnNeighbor({{ifindex, A(address)}, NUD_REACHABLE, mac}, now_);
  }
  Resolution Find(const std::string& address) { return resolver_.Find(A(address)); }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  FakeKernel kernel_;
  Resolver resolver_{&kernel_};
};

TEST_F(ResolverTest, ResolvesAndReportsEachChangeOnce) {
  resolver_.Watch({A("10.0.0.1")});
  EXPECT_THAT(Find("10.0.0.1").reason, HasSubstr("being looked up"));
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Find("10.0.0.1").reason, "waiting for 10.0.0.1 to answer ARP on eth1");
  EXPECT_THAT(kernel_.used, ElementsAre(NeighborKey{1, A("10.0.0.1")}));
  EXPECT_THAT(resolver_.TakeChanges(), ElementsAre(A("10.0.0.1")));
  Answer("10.0.0.1", kHost);
  const Resolution expected{State::kResolved, "", {1, 0, kPort, kHost, 1500}, "eth1"};
  EXPECT_EQ(Find("10.0.0.1"), expected);
  EXPECT_THAT(resolver_.TakeChanges(), ElementsAre(A("10.0.0.1")));
  Answer("10.0.0.1", kHost);
  EXPECT_THAT(resolver_.TakeChanges(), IsEmpty());
  Answer("10.0.0.1", kOther);
  EXPECT_EQ(Find("10.0.0.1").next_hop.destination, kOther);
  EXPECT_THAT(resolver_.TakeChanges(), ElementsAre(A("10.0.0.1")));
}

TEST_F(ResolverTest, OneGatewayIsAskedOnceForAllBehindIt) {
  kernel_.fallback.gateway = A("10.0.0.254");
  kernel_.fallback.mtu = 1400;
  std::vector<Address> addresses;
  for (int i = 0; i < 1000; ++i) addresses.push_back(A(absl::StrCat("192.0.", i / 250, ".", i % 250)));
  resolver_.Watch(addresses);
  Advance(absl::Seconds(1));
  EXPECT_THAT(kernel_.used, ElementsAre(NeighborKey{1, A("10.0.0.254")}));
  resolver_.TakeChanges();
  Answer("10.0.0.254", kHost);
  EXPECT_EQ(resolver_.TakeChanges().size(), addresses.size());
  EXPECT_EQ(Find("192.0.2.7").next_hop.mtu, 1400);
  // When the last user goes, so does the interest in the gateway.
  resolver_.Watch({});
  kernel_.used.clear();
  Advance(absl::Minutes(10));
  resolver_.OnNeighborGone({1, A("10.0.0.254")}, now_);
  Advance(absl::Minutes(10));
  EXPECT_THAT(kernel_.used, IsEmpty());
}

TEST_F(ResolverTest, AVlanDeviceIsItsParentAndATag) {
  kernel_.links = {Eth(1), Eth(2, 10, 1)};
  kernel_.links[1].mtu = 1496;
  kernel_.fallback.ifindex = 2;
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Milliseconds(1));
  Answer("10.0.0.1", kHost, 2);
  const Resolution expected{State::kResolved, "", {1, 10, kPort, kHost, 1496}, "eth1"};
  EXPECT_EQ(Find("10.0.0.1"), expected);
  // The port below matters too.
  Link parent = kernel_.links[0];
  parent.carrier = false;
  resolver_.OnLink(parent, now_);
  EXPECT_EQ(Find("10.0.0.1").reason, "interface eth1 has no carrier");
  resolver_.OnLinkGone(1, now_);
  EXPECT_THAT(Find("10.0.0.1").reason, HasSubstr("which is gone"));
}

TEST_F(ResolverTest, WhatTheFrameCannotCarryIsSaid) {
  kernel_.links = {Eth(1), Eth(2, 10, 1), Eth(3, 11, 2), Eth(4), Eth(5)};
  kernel_.links[3].unusable = "VLAN device eth4 uses 802.1ad tags; only 802.1Q is supported";
  kernel_.links[4].ethernet = false;
  for (const int ifindex : {3, 4, 5}) {
    kernel_.routes[A(absl::StrCat("10.0.0.", ifindex))] = {.kind = Route::Kind::kUnicast, .ifindex = ifindex};
  }
  resolver_.Watch({A("10.0.0.3"), A("10.0.0.4"), A("10.0.0.5")});
  Advance(absl::Seconds(1));
  EXPECT_EQ(Find("10.0.0.3").reason, "eth3 is a VLAN inside a VLAN; at most one tag is supported");
  EXPECT_EQ(Find("10.0.0.4").reason, kernel_.links[3].unusable);
  EXPECT_EQ(Find("10.0.0.5").reason, "the route to 10.0.0.5 leads through eth5, which is not an Ethernet interface");
  for (const char* address : {"10.0.0.3", "10.0.0.4", "10.0.0.5"}) EXPECT_EQ(Find(address).state, State::kFailed);
}

TEST_F(ResolverTest, OnlyAddressesInAChangedPrefixAreLookedUpAgain) {
  resolver_.Watch({A("10.0.0.1"), A("10.0.1.1"), A("10.0.1.255"), A("10.0.2.0"), A("2001:db8::1"), A("2001:db8:1::1")});
  Advance(absl::Seconds(1));
  const auto lookups_after = [&](const char* prefix) {
    kernel_.lookups = 0;
    resolver_.OnRouteChange(ParsePrefix(prefix).value(), now_);
    Advance(absl::Seconds(1));
    return kernel_.lookups;
  };
  EXPECT_EQ(lookups_after("10.0.1.0/24"), 2);
  EXPECT_EQ(lookups_after("10.0.0.0/23"), 3);
  EXPECT_EQ(lookups_after("10.0.2.0/32"), 1);
  EXPECT_EQ(lookups_after("0.0.0.0/0"), 4);
  EXPECT_EQ(lookups_after("::/0"), 6) << "IPv4 lies within ::/0 in 16 bytes; looking it up too does no harm";
  EXPECT_EQ(lookups_after("2001:db8::/48"), 1);
  EXPECT_EQ(lookups_after("192.0.2.0/24"), 0);
}

TEST_F(ResolverTest, AStormOfRouteChangesCostsABoundedNumberOfLookups) {
  std::vector<Address> addresses;
  for (int i = 0; i < 10000; ++i) addresses.push_back(A(absl::StrCat("10.0.", i / 250, ".", i % 250)));
  kernel_.fallback.gateway = A("10.255.0.1");
  resolver_.Watch(addresses);
  Advance(absl::Seconds(2));
  EXPECT_EQ(kernel_.lookups, 10000 * 1);
  kernel_.lookups = 0;
  for (int i = 0; i < 1000; ++i) {
    resolver_.OnRouteChange(ParsePrefix("10.0.0.0/8").value(), now_);
    resolver_.OnRoutesChange(now_);
    Advance(absl::Milliseconds(1));
  }
  EXPECT_LE(kernel_.lookups, Resolver::kLookupsPerSlice * 101);
  EXPECT_GE(kernel_.lookups, 10000) << "it makes progress all the same";
}

TEST_F(ResolverTest, SolicitationsArePaced) {
  std::vector<Address> addresses;
  for (int i = 0; i < 1000; ++i) addresses.push_back(A(absl::StrCat("10.0.", i / 250, ".", i % 250)));
  resolver_.Watch(addresses);
  Advance(absl::Milliseconds(100));
  EXPECT_LE(kernel_.used.size(), Resolver::kProbesPerSlice * 11u);
  Advance(absl::Milliseconds(400));
  EXPECT_EQ(kernel_.used.size(), 1000u);
}

TEST_F(ResolverTest, SilentHostsCostLittle) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Milliseconds(1));
  for (int second = 0; second < 600; second += 3) {
    resolver_.OnNeighbor({{1, A("10.0.0.1")}, NUD_FAILED, std::nullopt}, now_);
    EXPECT_EQ(Find("10.0.0.1").reason, "10.0.0.1 does not answer ARP on eth1");
    Advance(absl::Seconds(3));
  }
  EXPECT_LE(kernel_.used.size(), 80u);
  EXPECT_GE(kernel_.used.size(), 40u);
}

TEST_F(ResolverTest, NothingIsAskedOnALinkThatIsDownAndAllWhenItIsUp) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Milliseconds(1));
  Answer("10.0.0.1", kHost);
  Link down = Eth(1);
  down.enabled = down.carrier = false;
  resolver_.OnLink(down, now_);
  EXPECT_EQ(Find("10.0.0.1").reason, "interface eth1 is down");
  kernel_.fallback = {.kind = Route::Kind::kNone};
  kernel_.used.clear();
  resolver_.OnNeighborGone({1, A("10.0.0.1")}, now_);
  Advance(absl::Minutes(2));
  EXPECT_THAT(kernel_.used, IsEmpty());
  EXPECT_EQ(Find("10.0.0.1").reason, "no route to 10.0.0.1: interface eth1, where it led, is down");
  kernel_.fallback = {.kind = Route::Kind::kUnicast, .ifindex = 1};
  resolver_.OnLink(Eth(1), now_);
  Advance(absl::Milliseconds(100));
  EXPECT_EQ(kernel_.used.size(), 1u);
  EXPECT_EQ(Find("10.0.0.1").state, State::kResolving);
}

TEST_F(ResolverTest, CarrierThatComesBackStartsAfresh) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Milliseconds(1));
  Answer("10.0.0.1", kHost);
  Link down = Eth(1);
  down.carrier = false;
  resolver_.OnLink(down, now_);
  EXPECT_EQ(Find("10.0.0.1").reason, "interface eth1 has no carrier");
  resolver_.OnLink(Eth(1), now_);
  EXPECT_EQ(Find("10.0.0.1").state, State::kResolving) << "another host may be behind it";
}

TEST_F(ResolverTest, AFullNeighborTableIsExplained) {
  kernel_.use_status = absl::ResourceExhaustedError("its neighbour table is full");
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Find("10.0.0.1").reason, "the kernel does not resolve 10.0.0.1 on eth1: its neighbour table is full");
  EXPECT_EQ(Find("10.0.0.1").state, State::kFailed);
}

TEST_F(ResolverTest, AnOverrunAsksForEverythingButNotTooOften) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Seconds(2));
  Answer("10.0.0.1", kHost);
  kernel_.link_dumps = 0;
  kernel_.entries[{1, A("10.0.0.1")}] = {{1, A("10.0.0.1")}, NUD_REACHABLE, kOther};
  kernel_.links[0].mtu = 1300;
  kernel_.fallback.mtu = 1200;
  resolver_.OnOverrun(now_);
  Advance(absl::Milliseconds(100));
  const Resolution expected{State::kResolved, "", {1, 0, kPort, kOther, 1200}, "eth1"};
  EXPECT_EQ(Find("10.0.0.1"), expected);
  EXPECT_EQ(kernel_.link_dumps, 1);
  for (int i = 0; i < 50; ++i) {
    resolver_.OnOverrun(now_);
    Advance(absl::Milliseconds(100));
  }
  EXPECT_LE(kernel_.link_dumps, 7);
  kernel_.links.clear();
  resolver_.OnOverrun(now_);
  Advance(absl::Seconds(2));
  EXPECT_THAT(Find("10.0.0.1").reason, HasSubstr("is gone"));
}

TEST_F(ResolverTest, SilentRouteChangesAreFoundByAndBy) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Seconds(1));
  Answer("10.0.0.1", kHost);
  kernel_.fallback.mtu = 1280;
  Advance(Resolver::kRouteRefresh + absl::Seconds(1));
  Answer("10.0.0.1", kHost);
  EXPECT_EQ(Find("10.0.0.1").next_hop.mtu, 1280);
}

TEST_F(ResolverTest, ComesToRest) {
  resolver_.Watch({A("10.0.0.1")});
  Advance(absl::Seconds(1));
  kernel_.entries[{1, A("10.0.0.1")}] = {{1, A("10.0.0.1")}, NUD_REACHABLE, kHost};
  Answer("10.0.0.1", kHost);
  EXPECT_LE(Advance(absl::Minutes(10)), 40);
}

}  // namespace
}  // namespace sluice
