#include "engine/dpdk/afxdp_port.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "gmock/gmock.h"
#include "sluice/types.h"
#include "unit/engine/afxdp_testbed.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kVip[] = "203.0.113.10";
constexpr char kVip6[] = "2001:db8::10";

class AfxdpPortTest : public AfxdpTestbed {};

void SwapMacs(rte_mbuf* packet) {
  auto* bytes = rte_pktmbuf_mtod(packet, uint8_t*);
  std::swap_ranges(bytes, bytes + 6, bytes + 6);
}

bool SentBy(const Frame& frame, const Mac& mac) {
  return std::equal(mac.begin(), mac.end(), frame.begin() + 6);
}

TEST_F(AfxdpPortTest, VirtualAddressReachesTheWorkerAndGoesBack) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0");
  for (int vlans = 0; vlans <= 2; ++vlans) {
    const Frame sent = UdpFrame(kVip, 1000, 18, vlans);
    ASSERT_TRUE(wire.Send(sent));
    rte_mbuf* packet = ReceiveOne(port.get());
    ASSERT_NE(packet, nullptr) << vlans << " VLAN tags";
    EXPECT_EQ(BytesOf(packet), sent);
    EXPECT_GE(rte_pktmbuf_headroom(packet), 128);
    SwapMacs(packet);
    const Frame changed = BytesOf(packet);
    ASSERT_EQ(port->Transmit(0, &packet, 1), 1);
    // A raw socket gets the first VLAN tag beside the frame, not in it.
    EXPECT_FALSE(
        wire.Receive([&](const Frame& frame) { return SentBy(frame, kPortMac) && (vlans > 0 || frame == changed); })
            .empty());
  }
  port.reset();
  ExpectAllBack(*pool);
}

TEST_F(AfxdpPortTest, ArpAndSolicitationsForVirtualAddressesReachTheWorker) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip), Ip(kVip6)}).ok());
  Wire wire("peer0");
  for (const Frame& sent : {ArpRequest(kVip), NeighborSolicitation(kVip6)}) {
    ASSERT_TRUE(wire.Send(sent));
    rte_mbuf* packet = ReceiveOne(port.get());
    ASSERT_NE(packet, nullptr);
    EXPECT_EQ(BytesOf(packet), sent);
    rte_pktmbuf_free(packet);
  }
}

TEST_F(AfxdpPortTest, WhateverIsForAVirtualAddressReachesTheWorker) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Frame later_fragment = Ethernet(kPortMac, 0x0800);
  AppendIpv4(&later_fragment, kVip, 17, 64, /*fragment=*/100);
  later_fragment.resize(later_fragment.size() + 64);
  Frame other_protocol = Ethernet(kPortMac, 0x0800);
  AppendIpv4(&other_protocol, kVip, 47, 64);
  other_protocol.resize(other_protocol.size() + 64);
  Frame unreadable = Ethernet(kPortMac, 0x0800);
  AppendIpv4(&unreadable, kVip, 17, 1000);
  Wire wire("peer0");
  for (const Frame& sent : {later_fragment, other_protocol, unreadable}) {
    ASSERT_TRUE(wire.Send(sent));
    rte_mbuf* packet = ReceiveOne(port.get());
    ASSERT_NE(packet, nullptr);
    EXPECT_EQ(BytesOf(packet), sent);
    rte_pktmbuf_free(packet);
  }
}

TEST_F(AfxdpPortTest, OtherAddressesStayWithTheKernel) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0");
  ASSERT_TRUE(wire.Send(ArpRequest("10.0.0.1")));
  EXPECT_FALSE(
      wire.Receive([](const Frame& f) { return f.size() >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 2; }).empty())
      << "no ARP reply of the node";

  Frame ping = Ethernet(kPortMac, 0x0800);
  AppendIpv4(&ping, "10.0.0.1", 1, 8);
  Append(&ping, {8, 0, 0xf7, 0xfd, 0, 1, 0, 1});
  ASSERT_TRUE(wire.Send(ping));
  EXPECT_FALSE(
      wire.Receive([](const Frame& f) { return f.size() >= 42 && f[12] == 8 && f[23] == 1 && f[34] == 0; }).empty())
      << "no echo reply of the node";

  rte_mbuf* packet = nullptr;
  EXPECT_EQ(port->Receive(0, &packet, 1), 0);
}

// Whose pings are translated: its replies, but not its requests, and none to the node itself.
TEST_F(AfxdpPortTest, EchoRepliesOfAServerReachTheWorker) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetServices({Service{Ip("10.0.0.2"), SLUICE_IP_ICMP, 0}}).ok());
  ASSERT_TRUE(port->SetLocalAddresses({Ip("10.0.0.1")}).ok());
  Wire wire("peer0");
  const auto echo = [](int type, const char* to) {
    Frame frame = Ethernet(kPortMac, 0x0800);
    AppendIpv4(&frame, to, 1, 8);
    Append(&frame, {type, 0, 0, 0, 0, 7, 0, 1});
    return frame;
  };
  const Frame answer = echo(0, "192.0.2.7");
  for (const Frame& other : {echo(8, "192.0.2.7"), echo(0, "10.0.0.1"), UdpFrame("192.0.2.7"), answer}) {
    ASSERT_TRUE(wire.Send(other));
  }
  // In order, so the others have passed it by.
  rte_mbuf* packet = ReceiveOne(port.get());
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(BytesOf(packet), answer);
  rte_pktmbuf_free(packet);
}

TEST_F(AfxdpPortTest, SetOfVirtualAddressesIsReplaced) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  Wire wire("peer0");
  // Of the two that are sent, the worker gets exactly what is in the set.
  const auto expect_only = [&](std::string_view ours, std::string_view not_ours) {
    ASSERT_TRUE(wire.Send(UdpFrame(not_ours)));
    ASSERT_TRUE(wire.Send(UdpFrame(ours)));
    rte_mbuf* packet = ReceiveOne(port.get());
    ASSERT_NE(packet, nullptr);
    EXPECT_EQ(BytesOf(packet), UdpFrame(ours));
    rte_pktmbuf_free(packet);
  };
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip), Ip("203.0.113.11")}).ok());
  expect_only(kVip, "203.0.113.12");
  ASSERT_TRUE(port->SetVirtualAddresses({Ip("203.0.113.11"), Ip("203.0.113.12")}).ok());
  expect_only("203.0.113.12", kVip);

  std::vector<Address> many(RedirectProgram::kMaxAddresses + 1);
  for (size_t i = 0; i < many.size(); ++i) {
    many[i] = Ip("2001:db8::");
    many[i].bytes[13] = static_cast<uint8_t>(i >> 16);
    many[i].bytes[14] = static_cast<uint8_t>(i >> 8);
    many[i].bytes[15] = static_cast<uint8_t>(i);
  }
  EXPECT_THAT(WordsOf(port->SetVirtualAddresses(many)), AllOf(HasSubstr("lb0"), HasSubstr("65536 at most")));
  expect_only("203.0.113.11", kVip);
  many.pop_back();
  EXPECT_TRUE(port->SetVirtualAddresses(many).ok());
}

TEST_F(AfxdpPortTest, InfoFollowsTheInterface) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  PortInfo info = port->info();
  EXPECT_EQ(info.name, "lb0");
  EXPECT_EQ(info.mac, kPortMac);
  EXPECT_EQ(info.mtu, 1500);
  EXPECT_EQ(info.queues, 1);
  EXPECT_EQ(info.kernel_ifindex, static_cast<int>(if_nametoindex("lb0")));
  EXPECT_TRUE(info.link_up);
  EXPECT_EQ(info.mode, "af_xdp copy");

  Shell("ip link set peer0 down && ip link set lb0 mtu 1400 address 02:00:00:00:00:09");
  EXPECT_TRUE(Eventually([&] { return !port->info().link_up; }));
  EXPECT_EQ(port->info().mtu, 1400);
  EXPECT_EQ(FormatMac(port->info().mac), "02:00:00:00:00:09");
}

TEST_F(AfxdpPortTest, WaitHandleIsReadableWhenPacketsAreThere) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  pollfd waiting{.fd = port->WaitHandle(0), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
  Wire wire("peer0");
  ASSERT_TRUE(wire.Send(UdpFrame(kVip)));
  EXPECT_EQ(poll(&waiting, 1, 5000), 1);
  rte_mbuf* packet = ReceiveOne(port.get());
  ASSERT_NE(packet, nullptr);
  rte_pktmbuf_free(packet);
}

TEST_F(AfxdpPortTest, CloseTakesTheProgramAway) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  EXPECT_NE(AttachedProgram("lb0"), 0u);
  port.reset();
  EXPECT_EQ(AttachedProgram("lb0"), 0u);
  ExpectAllBack(*pool);
}

// What a crash leaves: a program whose sockets died with their process. Its virtual addresses stay until the new
// instance says others.
TEST_F(AfxdpPortTest, StartsAgainAfterBeingKilled) {
  AddPair(0);
  for (int round = 0; round < 10; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto pool = MakePool();
      auto port = MakePort("lb0", pool.get());
      const bool ok = port != nullptr && port->SetVirtualAddresses({Ip(kVip)}).ok();
      if (write(ready[1], ok ? "1" : "0", 1) == 1) pause();
      _exit(1);
    }
    char ok = 0;
    ASSERT_EQ(read(ready[0], &ok, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    ASSERT_EQ(ok, '1');
    ASSERT_NE(AttachedProgram("lb0"), 0u);
  }
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_NE(port, nullptr);
  Wire wire("peer0");
  ASSERT_TRUE(wire.Send(UdpFrame(kVip)));
  rte_mbuf* packet = ReceiveOne(port.get());
  ASSERT_NE(packet, nullptr);
  rte_pktmbuf_free(packet);
}

TEST_F(AfxdpPortTest, LargePacketsTakeLargeChunks) {
  AddPair(0);
  Shell("ip link set lb0 mtu 3000 && ip link set peer0 mtu 3000");
  auto small = MakePool();
  auto port = AfxdpPort::Open({.interface = "lb0", .ring_size = 128});
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_EQ((*port)->chunk_size(), 4096u);
  UmemPool* pools[] = {small.get()};
  EXPECT_THAT(WordsOf((*port)->Start(pools)), HasSubstr("its MTU needs 4096"));
  auto large = MakePool(512, 4096);
  pools[0] = large.get();
  ASSERT_TRUE((*port)->Start(pools).ok());
  ASSERT_TRUE((*port)->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0");
  const Frame sent = UdpFrame(kVip, 1000, 2972);
  ASSERT_TRUE(wire.Send(sent));
  rte_mbuf* packet = ReceiveOne(port->get());
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(BytesOf(packet), sent);
  rte_pktmbuf_free(packet);
  port->reset();
  ExpectAllBack(*large);
}

// From peer0 with many source ports: the kernel spreads them over peer0's TX queues, and a veth hands each to the RX
// queue of the same number.
void ExpectEveryQueueServed(Port* port, uint16_t queues) {
  Wire wire("peer0", /*receive=*/false);
  constexpr size_t kFlows = 64;
  for (uint16_t flow = 0; flow < kFlows; ++flow)
    ASSERT_TRUE(wire.Send(UdpFrame(kVip, static_cast<uint16_t>(2000 + flow))));
  std::set<int> source_ports;
  std::vector<size_t> by_queue(queues);
  EXPECT_TRUE(Eventually([&] {
    for (uint16_t queue = 0; queue < queues; ++queue) {
      rte_mbuf* packet = nullptr;
      if (port->Receive(queue, &packet, 1) == 0) continue;
      const Frame frame = BytesOf(packet);
      source_ports.insert(frame[34] << 8 | frame[35]);
      ++by_queue[queue];
      rte_pktmbuf_free(packet);
    }
    return source_ports.size() == kFlows;
  })) << source_ports.size();
  for (const size_t count : by_queue) EXPECT_GT(count, 0u);
}

TEST_F(AfxdpPortTest, TwoQueuesForTwoWorkers) {
  AddPair(0, 2);
  auto first = MakePool();
  auto second = MakePool();
  auto port = AfxdpPort::Open({.interface = "lb0", .workers = 2, .ring_size = 128});
  ASSERT_TRUE(port.ok()) << port.status();
  ASSERT_EQ((*port)->queues(), 2);
  UmemPool* pools[] = {first.get(), second.get()};
  ASSERT_TRUE((*port)->Start(pools).ok());
  ASSERT_TRUE((*port)->SetVirtualAddresses({Ip(kVip)}).ok());
  ExpectEveryQueueServed(port->get(), 2);
  port->reset();
  ExpectAllBack(*first);
  ExpectAllBack(*second);
}

// The peer sends from two queues, so lb0 can't have fewer; one worker then serves both.
TEST_F(AfxdpPortTest, MoreQueuesThanWorkers) {
  AddPair(0, 2);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get(), /*workers=*/1);
  ASSERT_EQ(port->queues(), 2);
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  ExpectEveryQueueServed(port.get(), 2);
  port.reset();
  ExpectAllBack(*pool);
}

TEST_F(AfxdpPortTest, AsManyQueuesAsWorkersAreMadeOfMore) {
  AddPair(0, 2);
  Shell("ethtool -L peer0 tx 1");
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get(), /*workers=*/1);
  EXPECT_EQ(port->queues(), 1);
}

TEST_F(AfxdpPortTest, ForwardsBetweenPortsWithoutACopy) {
  AddPair(0);
  AddPair(1);
  auto pool = MakePool();
  auto in = MakePort("lb0", pool.get());
  auto out = MakePort("lb1", pool.get());
  ASSERT_TRUE(in->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire from("peer0");
  Wire to("peer1");
  const auto* area = static_cast<const char*>(pool->area());
  // More than there are chunks, so that each has to come back from the other port.
  for (uint16_t i = 0; i < 3 * 1024; ++i) {
    const Frame sent = UdpFrame(kVip, i);
    ASSERT_TRUE(from.Send(sent));
    rte_mbuf* packet = ReceiveOne(in.get());
    ASSERT_NE(packet, nullptr) << i;
    const auto* data = rte_pktmbuf_mtod(packet, const char*);
    ASSERT_TRUE(data >= area && data < area + pool->size());
    ASSERT_EQ(out->Transmit(0, &packet, 1), 1);
    ASSERT_EQ(to.Receive([&](const Frame& frame) { return frame == sent; }), sent) << i;
  }
  // One socket goes, the other works on.
  in.reset();
  out.reset();
  ExpectAllBack(*pool);
}

TEST_F(AfxdpPortTest, CopiesWhatIsNotOfItsPool) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  rte_mempool* foreign = rte_pktmbuf_pool_create("foreign", 63, 0, 0, 4096, SOCKET_ID_ANY);
  ASSERT_NE(foreign, nullptr);
  const absl::Cleanup freer = [foreign] { rte_mempool_free(foreign); };
  Wire wire("peer0");

  // Two segments become one.
  const Frame sent = UdpFrame(kVip);
  rte_mbuf* head = rte_pktmbuf_alloc(foreign);
  rte_mbuf* tail = rte_pktmbuf_alloc(foreign);
  std::memcpy(rte_pktmbuf_append(head, 20), sent.data(), 20);
  std::memcpy(rte_pktmbuf_append(tail, static_cast<uint16_t>(sent.size() - 20)), sent.data() + 20, sent.size() - 20);
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  ASSERT_EQ(port->Transmit(0, &head, 1), 1);
  EXPECT_EQ(wire.Receive([&](const Frame& frame) { return frame == sent; }), sent);

  rte_mbuf* large = rte_pktmbuf_alloc(foreign);
  rte_pktmbuf_append(large, 3000);
  ASSERT_EQ(port->Transmit(0, &large, 1), 1);
  rte_mbuf* empty = rte_pktmbuf_alloc(pool->mempool());
  ASSERT_EQ(port->Transmit(0, &empty, 1), 1);
  EXPECT_EQ(port->ReadCounters().transmit_dropped, 2u);
  EXPECT_EQ(rte_mempool_avail_count(foreign), 63u);
  port.reset();
  ExpectAllBack(*pool);
}

TEST_F(AfxdpPortTest, CountsWhatNoWorkerTook) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0", /*receive=*/false);
  constexpr uint64_t kSent = 300;
  for (uint64_t i = 0; i < kSent; ++i) ASSERT_TRUE(wire.Send(UdpFrame(kVip)));
  uint64_t received = 0;
  EXPECT_TRUE(Eventually([&] {
    // The ring's worth first, then what is left is counted.
    if (port->ReadCounters().receive_dropped == 0) return false;
    rte_mbuf* packet = nullptr;
    if (port->Receive(0, &packet, 1) == 1) {
      ++received;
      rte_pktmbuf_free(packet);
    }
    return received + port->ReadCounters().receive_dropped == kSent;
  })) << received
      << " + " << port->ReadCounters().receive_dropped;
}

TEST_F(AfxdpPortTest, OutlivesLinkAndInterface) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Shell("ip link set lb0 down && ip link set lb0 up");
  ASSERT_TRUE(Eventually([&] { return port->info().link_up; }));
  Wire wire("peer0");
  rte_mbuf* packet = nullptr;
  // The peer may be down for a moment longer, and drops what it is given then.
  ASSERT_TRUE(Eventually([&] {
    wire.Send(UdpFrame(kVip));
    return port->Receive(0, &packet, 1) == 1;
  }));

  Shell("ip link del lb0");
  EXPECT_FALSE(port->info().link_up);
  if (port->Transmit(0, &packet, 1) == 0) rte_pktmbuf_free(packet);
  EXPECT_EQ(port->Receive(0, &packet, 1), 0);
  port.reset();
  ExpectAllBack(*pool);
}

TEST_F(AfxdpPortTest, ManyPacketsAndNoneLeaks) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0", /*receive=*/false);
  const Frame frame = UdpFrame(kVip);
  constexpr uint64_t kPackets = 200'000;
  constexpr uint16_t kBurst = 32;
  uint64_t received = 0;
  uint64_t refused = 0;
  for (uint64_t sent = 0; sent < kPackets; sent += kBurst) {
    for (int i = 0; i < kBurst; ++i) ASSERT_TRUE(wire.Send(frame));
    // Now and then the worker is late, and rings run full.
    if (sent % 1024 == 0) continue;
    std::array<rte_mbuf*, kBurst> packets;
    while (const uint16_t count = port->Receive(0, packets.data(), kBurst)) {
      received += count;
      for (uint16_t i = 0; i < count; ++i) SwapMacs(packets[i]);
      const uint16_t taken = port->Transmit(0, packets.data(), count);
      refused += count - taken;
      rte_pktmbuf_free_bulk(packets.data() + taken, count - taken);
    }
  }
  const PortCounters counters = port->ReadCounters();
  EXPECT_GE(received + counters.receive_dropped, kPackets * 9 / 10);
  RecordProperty("received", static_cast<int>(received));
  RecordProperty("refused", static_cast<int>(refused));
  port.reset();
  ExpectAllBack(*pool);
}

// A bridge has no XDP of its own: the kernel's generic path serves it, and the port says so.
TEST_F(AfxdpPortTest, GenericPathAsALastResort) {
  AddPair(0);
  Shell("ip link add br0 type bridge && ip link set lb0 master br0 && ip link set br0 up");
  auto pool = MakePool();
  auto port = MakePort("br0", pool.get());
  ASSERT_NE(port, nullptr);
  EXPECT_THAT(port->info().mode, HasSubstr("af_xdp copy, generic"));
  ASSERT_TRUE(port->SetVirtualAddresses({Ip(kVip)}).ok());
  Wire wire("peer0");
  ASSERT_TRUE(wire.Send(UdpFrame(kVip)));
  rte_mbuf* packet = ReceiveOne(port.get());
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(BytesOf(packet), UdpFrame(kVip));
  SwapMacs(packet);
  const Frame back = BytesOf(packet);
  ASSERT_EQ(port->Transmit(0, &packet, 1), 1);
  EXPECT_EQ(wire.Receive([&](const Frame& frame) { return frame == back; }), back);
  port.reset();
  EXPECT_EQ(AttachedProgram("br0"), 0u);
  ExpectAllBack(*pool);
}

}  // namespace
}  // namespace sluice
