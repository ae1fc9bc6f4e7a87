// Messages as the kernel sends them, built by hand: what this machine's kernel may be unable to send.
#include "neighbor/rtnetlink_parse.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cerrno>
#include <memory>

namespace sluice {
namespace {

using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;
constexpr Mac kMac = {2, 0, 0, 0, 0, 1};

template <typename Header>
Message NewMessage(int type, Header header) {
  Message message(nlmsg_alloc_simple(type, 0), nlmsg_free);
  nlmsg_append(message.get(), &header, sizeof(header), NLMSG_ALIGNTO);
  return message;
}

Message VlanLink(uint16_t protocol) {
  Message message =
      NewMessage(RTM_NEWLINK, ifinfomsg{.ifi_type = ARPHRD_ETHER, .ifi_index = 7, .ifi_flags = IFF_UP | IFF_LOWER_UP});
  nla_put_string(message.get(), IFLA_IFNAME, "eth0.10");
  nla_put(message.get(), IFLA_ADDRESS, kMac.size(), kMac.data());
  nla_put_u32(message.get(), IFLA_MTU, 1496);
  nla_put_u32(message.get(), IFLA_LINK, 3);
  nlattr* info = nla_nest_start(message.get(), IFLA_LINKINFO);
  nla_put_string(message.get(), IFLA_INFO_KIND, "vlan");
  nlattr* data = nla_nest_start(message.get(), IFLA_INFO_DATA);
  nla_put_u16(message.get(), IFLA_VLAN_ID, 10);
  // Big-endian, as the kernel sends it (vlan_fill_info).
  nla_put_u16(message.get(), IFLA_VLAN_PROTOCOL, htons(protocol));
  nla_nest_end(message.get(), data);
  nla_nest_end(message.get(), info);
  return message;
}

Address A(const char* text) {
  return ParseAddress(text).value();
}

TEST(ParseLinkTest, ReadsAVlanDevice) {
  const std::optional<Link> link = ParseLink(nlmsg_hdr(VlanLink(ETH_P_8021Q).get()));
  ASSERT_TRUE(link.has_value());
  const Link expected{.ifindex = 7,
                      .name = "eth0.10",
                      .mac = kMac,
                      .mtu = 1496,
                      .enabled = true,
                      .carrier = true,
                      .ethernet = true,
                      .vlan = 10,
                      .parent = 3};
  EXPECT_EQ(*link, expected);
}

TEST(ParseLinkTest, SaysWhichVlansAreNotSupported) {
  const std::optional<Link> provider = ParseLink(nlmsg_hdr(VlanLink(ETH_P_8021AD).get()));
  ASSERT_TRUE(provider.has_value());
  EXPECT_THAT(provider->unusable, ::testing::HasSubstr("802.1ad"));
  const Message elsewhere = VlanLink(ETH_P_8021Q);
  nla_put_s32(elsewhere.get(), IFLA_LINK_NETNSID, 0);
  EXPECT_THAT(ParseLink(nlmsg_hdr(elsewhere.get()))->unusable, ::testing::HasSubstr("another network namespace"));
}

TEST(ParseLinkTest, ABridgePortThatLeavesIsNotALinkThatGoes) {
  const Message message = NewMessage(RTM_DELLINK, ifinfomsg{.ifi_family = AF_BRIDGE, .ifi_index = 7});
  EXPECT_EQ(ParseLink(nlmsg_hdr(message.get())), std::nullopt);
}

TEST(ParseNeighborTest, LeavesOutProxiesAndBridges) {
  for (const ndmsg& header : {ndmsg{.ndm_family = AF_INET, .ndm_flags = NTF_PROXY}, ndmsg{.ndm_family = AF_BRIDGE}}) {
    const Message message = NewMessage(RTM_NEWNEIGH, header);
    nla_put(message.get(), NDA_DST, 4, A("10.0.0.1").bytes.data() + 12);
    EXPECT_FALSE(ParseNeighbor(nlmsg_hdr(message.get())).has_value());
  }
  const Message message =
      NewMessage(RTM_NEWNEIGH, ndmsg{.ndm_family = AF_INET, .ndm_ifindex = 3, .ndm_state = NUD_REACHABLE});
  nla_put(message.get(), NDA_DST, 4, A("10.0.0.1").bytes.data() + 12);
  nla_put(message.get(), NDA_LLADDR, kMac.size(), kMac.data());
  const std::optional<NeighborEntry> entry = ParseNeighbor(nlmsg_hdr(message.get()));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->key, (NeighborKey{3, A("10.0.0.1")}));
  EXPECT_EQ(entry->state, NUD_REACHABLE);
  EXPECT_EQ(entry->mac, kMac);
}

TEST(ParseRoutePrefixTest, ADefaultRouteIsAllOfItsFamily) {
  const Message four = NewMessage(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET});
  EXPECT_EQ(ParseRoutePrefix(nlmsg_hdr(four.get()))->address, A("0.0.0.0"));
  EXPECT_EQ(ParseRoutePrefix(nlmsg_hdr(four.get()))->length, 0);
  const Message six = NewMessage(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET6});
  EXPECT_EQ(ParseRoutePrefix(nlmsg_hdr(six.get()))->address, A("::"));
}

TEST(ParseRoutePrefixTest, MalformedIsNothing) {
  const Message wrong = NewMessage(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET, .rtm_dst_len = 24});
  nla_put(wrong.get(), RTA_DST, 3, kMac.data());
  EXPECT_FALSE(ParseRoutePrefix(nlmsg_hdr(wrong.get())).has_value());
  const Message brief(nlmsg_alloc_simple(RTM_NEWROUTE, 0), nlmsg_free);
  EXPECT_FALSE(ParseRoutePrefix(nlmsg_hdr(brief.get())).has_value());
  EXPECT_FALSE(ParseLink(nlmsg_hdr(brief.get())).has_value());
  EXPECT_FALSE(ParseNeighbor(nlmsg_hdr(brief.get())).has_value());
}

}  // namespace
}  // namespace sluice
