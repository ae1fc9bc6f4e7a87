// Access lists as the path reads them, against an oracle that looks through the lists.
#include "tables/access_index.h"

#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sluice/access.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

// The longest prefix that holds the source decides.
class Oracle {
 public:
  explicit Oracle(const v1::Access& access) : otherwise_(access.allow().empty()) {
    for (const std::string& text : access.allow()) entries_.push_back({ParsePrefixOrAddress(text).value(), true});
    for (const std::string& text : access.deny()) entries_.push_back({ParsePrefixOrAddress(text).value(), false});
  }
  bool Admits(const Address& source) const {
    int longest = -1;
    bool admitted = otherwise_;
    for (const auto& [prefix, allowed] : entries_) {
      const bool same_family = prefix.address.IsIpv4() == source.IsIpv4();
      if (!same_family || source < FirstAddress(prefix) || LastAddress(prefix) < source) continue;
      if (prefix.length < longest) continue;
      longest = prefix.length;
      admitted = allowed;
    }
    return admitted;
  }

 private:
  bool otherwise_;
  std::vector<std::pair<Prefix, bool>> entries_;
};

bool TreeAdmits(const AccessTree& tree, const Address& source) {
  const auto lowest = static_cast<uint16_t>(tree.admits_lowest ? SLUICE_ACCESS_LOWEST : 0);
  const sluice_access access = {0, tree.levels, lowest, 0, 0};
  sluice_tables tables{};
  tables.access = &access;
  tables.access_nodes = tree.nodes.data();
  sluice_address address;
  std::memcpy(&address, source.bytes.data(), sizeof(address));
  return sluice_access_admits(&tables, 0, &address) == 1;
}

v1::Access Lists(const std::vector<std::string>& allow, const std::vector<std::string>& deny) {
  v1::Access access;
  access.mutable_allow()->Assign(allow.begin(), allow.end());
  access.mutable_deny()->Assign(deny.begin(), deny.end());
  return access;
}

// The address itself, and its neighbours at both ends of each prefix.
void ExpectAsTheOracle(const v1::Access& access, bool ipv4, const std::vector<Address>& others = {}) {
  const absl::StatusOr<AccessTree> tree = BuildAccessTree(access, ipv4);
  ASSERT_TRUE(tree.ok()) << tree.status();
  const Oracle oracle(access);
  std::vector<Address> sources = others;
  for (const auto* list : {&access.allow(), &access.deny()}) {
    for (const std::string& text : *list) {
      const Prefix prefix = ParsePrefixOrAddress(text).value();
      for (Address end : {FirstAddress(prefix), LastAddress(prefix)}) {
        sources.push_back(end);
        end.bytes[15]++;
        sources.push_back(end);
        end.bytes[15] = static_cast<uint8_t>(end.bytes[15] - 2);
        sources.push_back(end);
      }
    }
  }
  for (const Address& source : sources) {
    if (source.IsIpv4() != ipv4) continue;
    ASSERT_EQ(TreeAdmits(*tree, source), oracle.Admits(source)) << FormatAddress(source) << "\n"
                                                                << access.ShortDebugString().substr(0, 2000);
  }
}

std::string RandomPrefix(std::mt19937& random, bool ipv4, int least) {
  Prefix prefix;
  prefix.address = TestInput::At(ipv4 ? "10.0.0.0" : "2001:db8::");
  const int bits = ipv4 ? 32 : 128;
  // Few bits vary, so that prefixes meet.
  const size_t varying = ipv4 ? 13 : 4;
  for (size_t i = varying; i < 16; i++) {
    prefix.address.bytes[i] = static_cast<uint8_t>(random() % 3 == 0 ? 0xff : random() % 4);
  }
  prefix.length = least + static_cast<int>(random() % static_cast<uint32_t>(bits - least + 1));
  return absl::StrCat(FormatAddress(FirstAddress(prefix)), "/", prefix.length);
}

TEST(AccessTreeTest, WhatNobodySaysAnythingAbout) {
  EXPECT_TRUE(TreeAdmits(*BuildAccessTree(Lists({}, {"10.0.0.0/8"}), true), TestInput::At("11.0.0.0")));
  EXPECT_FALSE(TreeAdmits(*BuildAccessTree(Lists({"10.0.0.0/8"}, {}), true), TestInput::At("11.0.0.0")));
  EXPECT_FALSE(TreeAdmits(*BuildAccessTree(Lists({"10.0.0.0/8"}, {"12.0.0.0/8"}), true), TestInput::At("11.0.0.0")));
  EXPECT_EQ(BuildAccessTree(Lists({}, {}), true)->levels, 0);
}

TEST(AccessTreeTest, TheLongestPrefixDecides) {
  const v1::Access access = Lists({"0.0.0.0/0", "10.1.2.0/24", "10.1.2.3"}, {"10.0.0.0/8", "10.1.2.0/25"});
  const absl::StatusOr<AccessTree> tree = BuildAccessTree(access, true);
  ASSERT_TRUE(tree.ok());
  for (const char* source : {"9.255.255.255", "11.0.0.0", "10.1.2.128", "10.1.2.3", "0.0.0.0", "255.255.255.255"}) {
    EXPECT_TRUE(TreeAdmits(*tree, TestInput::At(source))) << source;
  }
  for (const char* source : {"10.0.0.0", "10.255.255.255", "10.1.1.255", "10.1.2.2", "10.1.2.4"}) {
    EXPECT_FALSE(TreeAdmits(*tree, TestInput::At(source))) << source;
  }
  ExpectAsTheOracle(access, true);
}

TEST(AccessTreeTest, TheOtherFamilySaysNothing) {
  const v1::Access access = Lists({"::/0", "10.0.0.0/8"}, {"0.0.0.0/0", "2001:db8::/32"});
  EXPECT_FALSE(TreeAdmits(*BuildAccessTree(access, true), TestInput::At("192.0.2.7")));
  EXPECT_TRUE(TreeAdmits(*BuildAccessTree(access, true), TestInput::At("10.0.0.1")));
  EXPECT_TRUE(TreeAdmits(*BuildAccessTree(access, false), TestInput::At("2001:db9::1")));
  EXPECT_FALSE(TreeAdmits(*BuildAccessTree(access, false), TestInput::At("2001:db8::1")));
}

TEST(AccessTreeTest, TheEndsOfAllAddresses) {
  ExpectAsTheOracle(Lists({"::/0"}, {"ffff::/16"}), false, {TestInput::At("::"), TestInput::At("ffff:ffff::")});
  ExpectAsTheOracle(Lists({}, {"::/0"}), false, {TestInput::At("::")});
  ExpectAsTheOracle(Lists({"::/1", "8000::/1"}, {}), false);
  const std::string highest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  ExpectAsTheOracle(Lists({highest}, {}), false);
  ExpectAsTheOracle(Lists({"255.255.255.255", "0.0.0.0"}, {}), true);
}

TEST(AccessTreeTest, NeighboursThatSayTheSameAreOneStretch) {
  EXPECT_EQ(BuildAccessTree(Lists({}, {"10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"}), true)->nodes.size(), 1u);
  EXPECT_EQ(BuildAccessTree(Lists({"10.0.0.0/8"}, {}), true)->nodes.size(), 1u);
}

TEST(AccessTreeTest, RandomLists) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; round++) {
    const bool ipv4 = round % 2 == 0;
    v1::Access access;
    const uint32_t count = random() % (round % 20 == 0 ? 700 : 40);
    for (uint32_t i = 0; i < count; i++) {
      const bool of_ipv4 = ipv4 != (random() % 8 == 0);
      const std::string prefix = RandomPrefix(random, of_ipv4, random() % 3 == 0 ? 0 : of_ipv4 ? 24 : 120);
      // One prefix stands in one list.
      const bool allowed = std::hash<std::string>()(prefix) % 2 == 0;
      (allowed ? access.add_allow() : access.add_deny())->assign(prefix);
    }
    SCOPED_TRACE(round);
    ExpectAsTheOracle(access, ipv4);
    if (HasFatalFailure()) return;
  }
}

// As many ends as fill the last level of each depth, and one more.
TEST(AccessTreeTest, EveryDepth) {
  size_t leaves = 1;
  for (uint16_t levels = 1; levels <= 5; levels++, leaves *= SLUICE_ACCESS_CHILDREN) {
    for (const size_t ends : {leaves * SLUICE_ACCESS_ENDS, leaves * SLUICE_ACCESS_ENDS + 2}) {
      v1::Access access;
      // Each has two ends.
      for (size_t i = 0; i < ends / 2; i++)
        access.add_deny(absl::StrCat("10.", i >> 15, ".", i >> 7 & 255, ".", i << 1 & 255));
      const absl::StatusOr<AccessTree> tree = BuildAccessTree(access, true);
      ASSERT_TRUE(tree.ok());
      EXPECT_EQ(tree->levels, ends == leaves * SLUICE_ACCESS_ENDS ? levels : levels + 1);
      const Oracle oracle(access);
      for (uint32_t i = 0; i < ends + 3; i++) {
        Address source = TestInput::At("10.0.0.0");
        source.bytes[13] = static_cast<uint8_t>(i >> 16);
        source.bytes[14] = static_cast<uint8_t>(i >> 8);
        source.bytes[15] = static_cast<uint8_t>(i);
        ASSERT_EQ(TreeAdmits(*tree, source), i % 2 == 1 || i >= ends) << i;
      }
    }
  }
}

TEST(AccessTreeTest, AnEntryThatIsNoPrefix) {
  EXPECT_FALSE(BuildAccessTree(Lists({"10.0.0.0/33"}, {}), true).ok());
  EXPECT_FALSE(BuildAccessTree(Lists({}, {"web"}), true).ok());
}

constexpr char kSite[] = R"(
engine: {interfaces: [{name: eth0}]}
listeners:
  - {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web, access: {deny: [192.0.2.0/24]}}
  - {name: tls, address: 203.0.113.10, ports: [443], protocol: tcp, pool: web, access: {deny: [192.0.2.0/24], on_refused: reset}}
  - {name: web6, address: "2001:db8::10", ports: [80], protocol: tcp, pool: six, access: {deny: ["2001:db8:7::/48"]}}
  - {name: open, address: 203.0.113.11, ports: [80], protocol: tcp, pool: web}
pools:
  - {name: web, backends: [{name: a, address: 10.0.0.1}]}
  - {name: six, backends: [{name: a, address: "2001:db8:1::1"}]}
)";

class AccessIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    input_.Load(kSite);
    input_.ResolveAll();
  }
  int Admits(const Tables& tables, const std::string& listener, const std::string& source) {
    sluice_packet packet{};
    std::memcpy(&packet.flow.source, TestInput::At(source).bytes.data(), 16);
    const sluice_selector selector{};
    return sluice_admit(&tables.view(), &selector, ListenerOf(tables, listener), &packet);
  }
  TestInput input_;
  Builder builder_;
};

TEST_F(AccessIndexTest, EachListenerHasItsOwn) {
  const std::shared_ptr<const Tables> tables = input_.Build(builder_);
  ASSERT_NE(tables, nullptr);
  EXPECT_EQ(Admits(*tables, "web", "192.0.2.7"), SLUICE_VERDICT_source_denied);
  EXPECT_EQ(Admits(*tables, "web", "192.0.3.7"), SLUICE_CONTINUE);
  EXPECT_EQ(Admits(*tables, "tls", "192.0.2.7"), SLUICE_VERDICT_replied_source_denied);
  EXPECT_EQ(Admits(*tables, "web6", "2001:db8:7::1"), SLUICE_VERDICT_source_denied);
  EXPECT_EQ(Admits(*tables, "web6", "2001:db8:8::1"), SLUICE_CONTINUE);
  EXPECT_EQ(Admits(*tables, "open", "192.0.2.7"), SLUICE_CONTINUE);
  EXPECT_EQ(tables->view().listeners[ListenerOf(*tables, "open")].flags & SLUICE_LISTENER_ACCESS, 0);
}

TEST_F(AccessIndexTest, TheSameListsAreThereOnce) {
  const std::shared_ptr<const Tables> tables = input_.Build(builder_);
  ASSERT_NE(tables, nullptr);
  EXPECT_EQ(tables->access_node_count(), 2u);
}

TEST_F(AccessIndexTest, WhatASourceMayOpen) {
  EXPECT_FALSE(input_.Build(builder_)->limits_sources());
  input_.config.mutable_listeners(3)->mutable_access()->mutable_new_connections_per_source()->set_per_second(200);
  const std::shared_ptr<const Tables> tables = input_.Build(builder_);
  ASSERT_NE(tables, nullptr);
  EXPECT_TRUE(tables->limits_sources());
  // A window is 1.074 s.
  const sluice_access& access = tables->view().access[ListenerOf(*tables, "open")];
  EXPECT_EQ(access.most_flows, 215u);
  EXPECT_EQ(access.levels, 0);
  EXPECT_EQ(access.flags, SLUICE_ACCESS_LOWEST);
  EXPECT_NE(tables->view().listeners[ListenerOf(*tables, "open")].flags & SLUICE_LISTENER_ACCESS, 0);
  EXPECT_EQ(FlowsInWindow(0), 0u);
  EXPECT_EQ(FlowsInWindow(1), 1u);
  EXPECT_EQ(FlowsInWindow(1000000), 1073742u);
}

TEST_F(AccessIndexTest, ALimitOfFlowsAlone) {
  input_.config.mutable_listeners(3)->set_max_connections(200);
  const std::shared_ptr<const Tables> tables = input_.Build(builder_);
  ASSERT_NE(tables, nullptr);
  const uint32_t open = ListenerOf(*tables, "open");
  EXPECT_EQ(tables->view().access[open].flags, SLUICE_ACCESS_LOWEST | SLUICE_ACCESS_LIMITED);
  EXPECT_NE(tables->view().listeners[open].flags & SLUICE_LISTENER_ACCESS, 0);
  EXPECT_EQ(tables->view().access[ListenerOf(*tables, "tls")].flags & SLUICE_ACCESS_LIMITED, 0);
}

TEST_F(AccessIndexTest, ListsComeAndGoWithGenerations) {
  const std::shared_ptr<const Tables> before = input_.Build(builder_);
  input_.config.mutable_listeners(0)->mutable_access()->set_deny(0, "198.51.100.0/24");
  input_.config.mutable_listeners(1)->clear_access();
  const std::shared_ptr<const Tables> after = input_.Build(builder_);
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(Admits(*before, "web", "192.0.2.7"), SLUICE_VERDICT_source_denied);
  EXPECT_EQ(Admits(*after, "web", "192.0.2.7"), SLUICE_CONTINUE);
  EXPECT_EQ(Admits(*after, "web", "198.51.100.7"), SLUICE_VERDICT_source_denied);
  EXPECT_EQ(Admits(*after, "tls", "192.0.2.7"), SLUICE_CONTINUE);
}

TEST_F(AccessIndexTest, WhatHasNotChangedIsNotBuiltAgain) {
  const absl::StatusOr<DesiredState> state = ReadDesiredState(input_.input());
  ASSERT_TRUE(state.ok());
  const std::vector<uint32_t> indices = {0, 1, 2, 3};
  const absl::StatusOr<AccessIndex> first = BuildAccessIndex(*state, indices, 4, {}, HugePages::kOff);
  ASSERT_TRUE(first.ok());
  const absl::StatusOr<AccessIndex> second = BuildAccessIndex(*state, indices, 4, first->trees, HugePages::kOff);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->trees.size(), 2u);
  EXPECT_EQ(first->trees, second->trees);
}

}  // namespace
}  // namespace sluice
