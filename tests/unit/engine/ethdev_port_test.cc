// DPDK devices as ports, over devices that need no hardware: net_ring gives back what it is sent, net_null takes
// everything and has RSS, net_pcap plays files, net_memif is a cable between two of them.
#include "engine/dpdk/ethdev_port.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/nat_owners.h"
#include "ethdev_testbed.h"
#include "unit/neighbor/network_namespace.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class EthdevPortTest : public EthdevTestbed {
 protected:
  std::unique_ptr<EthdevPort> Started(const EthdevPort::Options& options, rte_mempool* pool) {
    auto port = EthdevPort::Open(options);
    EXPECT_TRUE(port.ok()) << port.status();
    if (!port.ok()) return nullptr;
    const std::vector<rte_mempool*> pools((*port)->queues(), pool);
    const absl::Status started = (*port)->Start(pools);
    EXPECT_TRUE(started.ok()) << started;
    return *std::move(port);
  }

  // The words of the refusal; empty when it was not refused.
  static std::string RefusalOf(const EthdevPort::Options& options) {
    const auto port = EthdevPort::Open(options);
    return port.ok() ? "" : WordsOf(port.status());
  }
};

// A file of frames in the format of pcap (https://www.tcpdump.org/manpages/pcap-savefile.5.html), gone with its object.
class PcapFile {
 public:
  PcapFile()
      : path_(::testing::TempDir() + "ethdev_port_test." + std::to_string(getpid()) + "." + std::to_string(n_++)) {}
  explicit PcapFile(const std::vector<Frame>& frames) : PcapFile() {
    std::ofstream file(path_, std::ios::binary);
    Write(file, {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1});
    for (const Frame& frame : frames) {
      const auto size = static_cast<uint32_t>(frame.size());
      Write(file, {0, 0, size, size});
      file.write(reinterpret_cast<const char*>(frame.data()), size);
    }
  }
  ~PcapFile() { std::remove(path_.c_str()); }
  PcapFile(const PcapFile&) = delete;
  PcapFile& operator=(const PcapFile&) = delete;

  const std::string& path() const { return path_; }

  std::vector<Frame> Read() const {
    std::ifstream file(path_, std::ios::binary);
    file.ignore(24);
    std::vector<Frame> frames;
    uint32_t head[4];
    while (file.read(reinterpret_cast<char*>(head), sizeof(head))) {
      frames.emplace_back(head[2]);
      file.read(reinterpret_cast<char*>(frames.back().data()), head[2]);
    }
    return frames;
  }

 private:
  static void Write(std::ofstream& file, std::initializer_list<uint32_t> words) {
    for (const uint32_t word : words) file.write(reinterpret_cast<const char*>(&word), sizeof(word));
  }

  static inline int n_ = 0;
  std::string path_;
};

TEST_F(EthdevPortTest, WhatIsSentArrivesByteForByte) {
  rte_mempool* pool = MakePool();
  const auto port = Started({.device = "net_ring0"}, pool);
  ASSERT_NE(port, nullptr);
  std::vector<rte_mbuf*> sent;
  for (int i = 0; i < 32; i++) sent.push_back(MakePacket(pool, MakeFrame(60 + static_cast<size_t>(i) * 45, i)));
  ASSERT_EQ(port->Transmit(0, sent.data(), 32), 32);
  std::vector<rte_mbuf*> received(64);
  ASSERT_EQ(port->Receive(0, received.data(), 64), 32);
  for (int i = 0; i < 32; i++) {
    EXPECT_EQ(BytesOf(received[static_cast<size_t>(i)]), MakeFrame(60 + static_cast<size_t>(i) * 45, i));
  }
  rte_pktmbuf_free_bulk(received.data(), 32);
  EXPECT_EQ(port->Receive(0, received.data(), 64), 0);
}

TEST_F(EthdevPortTest, SendsPacketsOfOtherPools) {
  rte_mempool* pool = MakePool();
  rte_mempool* other = MakePool(9344);
  const auto port = Started({.device = "net_ring0"}, pool);
  ASSERT_NE(port, nullptr);
  std::vector<rte_mbuf*> packets = {MakePacket(other, MakeFrame(100, 1)), MakePacket(pool, MakeFrame(100, 2))};
  ASSERT_EQ(port->Transmit(0, packets.data(), 2), 2);
  ASSERT_EQ(port->Receive(0, packets.data(), 2), 2);
  EXPECT_EQ(BytesOf(packets[0]), MakeFrame(100, 1));
  rte_pktmbuf_free_bulk(packets.data(), 2);
}

TEST_F(EthdevPortTest, SaysWhatItIs) {
  const auto port = Started({.device = "net_null0,size=64", .workers = 2, .mtu = 1400}, MakePool());
  ASSERT_NE(port, nullptr);
  const PortInfo info = port->info();
  EXPECT_EQ(info.name, "net_null0,size=64");
  EXPECT_EQ(info.mode, "net_null");
  EXPECT_EQ(info.mtu, 1400);
  EXPECT_EQ(info.queues, 2);
  EXPECT_EQ(info.kernel_ifindex, 0);
  EXPECT_TRUE(info.link_up);
  EXPECT_NE(info.mac, Mac{});
  EXPECT_EQ(port->WaitHandle(0), -1);
  EXPECT_TRUE(port->SetVirtualAddresses({}).ok());
}

TEST_F(EthdevPortTest, KernelsLeaveChecksumsUnfinishedAndProgramsDoNot) {
  rte_mempool* pool = MakePool();
  for (const char* device : {"net_ring0", "net_null0"}) {
    const auto port = Started({.device = device}, pool);
    ASSERT_NE(port, nullptr);
    EXPECT_FALSE(port->unfinished_checksums()) << device;
  }
  const PcapFile in({MakeFrame(60)});
  const auto port = Started({.device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null"}, pool);
  ASSERT_NE(port, nullptr);
  EXPECT_TRUE(port->unfinished_checksums());
}

TEST_F(EthdevPortTest, SpreadsByPortsWhereTheDeviceCan) {
  const auto port = Started({.device = "net_null0", .workers = 2}, MakePool());
  ASSERT_NE(port, nullptr);
  uint16_t id = 0;
  ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null0", &id), 0);
  rte_eth_rss_conf rss{};
  ASSERT_EQ(rte_eth_dev_rss_hash_conf_get(id, &rss), 0);
  constexpr uint64_t kPorts = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP |
                              RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
  EXPECT_EQ(rss.rss_hf & kPorts, kPorts);
  EXPECT_THAT(port->notes(), ::testing::Not(Contains(HasSubstr("RSS"))));
}

TEST_F(EthdevPortTest, TellsItsRss) {
  const auto port = Started({.device = "net_null0", .workers = 2}, MakePool());
  ASSERT_NE(port, nullptr);
  uint16_t id = 0;
  ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null0", &id), 0);
  rte_eth_dev_info info{};
  ASSERT_EQ(rte_eth_dev_info_get(id, &info), 0);
  std::vector<rte_eth_rss_reta_entry64> table(info.reta_size / RTE_ETH_RETA_GROUP_SIZE);
  for (rte_eth_rss_reta_entry64& group : table) {
    group.mask = UINT64_MAX;
    for (uint16_t i = 0; i < RTE_ETH_RETA_GROUP_SIZE; i++) group.reta[i] = i % 3 == 0;
  }
  ASSERT_EQ(rte_eth_dev_rss_reta_update(id, table.data(), info.reta_size), 0);
  std::array<uint8_t, 40> key;
  for (size_t i = 0; i < key.size(); i++) key[i] = static_cast<uint8_t>(i + 1);
  ASSERT_TRUE(port->SetRssKey(key).ok());
  const absl::StatusOr<PortRss> rss = port->ReadRss();
  ASSERT_TRUE(rss.ok()) << rss.status();
  EXPECT_EQ(rss->key, key);
  EXPECT_EQ(rss->with_ports, NatOwners::kAllKinds);
  ASSERT_EQ(rss->queue_of_hash.size(), info.reta_size);
  for (size_t i = 0; i < rss->queue_of_hash.size(); i++) {
    EXPECT_EQ(rss->queue_of_hash[i], i % RTE_ETH_RETA_GROUP_SIZE % 3 == 0);
  }
}

TEST_F(EthdevPortTest, SaysWhyItsRssIsNotKnown) {
  const auto one = Started({.device = "net_null0"}, MakePool());
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(WordsOf(one->ReadRss().status()), "it has one queue");
  const auto ring = Started({.device = "net_ring0", .workers = 2}, MakePool());
  ASSERT_NE(ring, nullptr);
  EXPECT_EQ(WordsOf(ring->ReadRss().status()), "net_ring has no RSS");
  EXPECT_EQ(WordsOf(ring->SetRssKey({})), "net_ring has no RSS");
}

TEST_F(EthdevPortTest, NotesThatADeviceHasNoRss) {
  const auto one = EthdevPort::Open({.device = "net_ring0"});
  ASSERT_TRUE(one.ok());
  EXPECT_THAT((*one)->notes(), IsEmpty());
  const auto two = EthdevPort::Open({.device = "net_ring1", .workers = 2});
  ASSERT_TRUE(two.ok());
  EXPECT_THAT((*two)->notes(), Contains(AllOf(HasSubstr("net_ring1"), HasSubstr("no RSS"))));
}

TEST_F(EthdevPortTest, NotesFewerQueuesThanWorkers) {
  const PcapFile in({MakeFrame(60)});
  const std::string device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null,tx_pcap=/dev/null";
  rte_mempool* pool = MakePool();
  const auto port = Started({.device = device, .workers = 2}, pool);
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->queues(), 1);
  EXPECT_THAT(port->notes(), Contains(AllOf(HasSubstr("1 queues"), HasSubstr("2 workers"), HasSubstr("one worker"))));
  // The other worker sends all the same.
  rte_mbuf* packet = MakePacket(pool, MakeFrame(60));
  EXPECT_EQ(port->Transmit(1, &packet, 1), 1);
}

TEST_F(EthdevPortTest, RefusesTooFewQueuesToSendFrom) {
  const PcapFile in({MakeFrame(60)});
  EXPECT_THAT(RefusalOf({.device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null", .workers = 3}),
              AllOf(StartsWith("net_pcap0"), HasSubstr("too few queues"), HasSubstr("has 1 to send from"),
                    HasSubstr("for 3 workers"), HasSubstr("workers: 1")));
}

TEST_F(EthdevPortTest, PlaysAndWritesFiles) {
  const std::vector<Frame> frames = {MakeFrame(60, 1), MakeFrame(1514, 2), MakeFrame(99, 3)};
  const PcapFile in(frames);
  const PcapFile out;
  rte_mempool* pool = MakePool();
  auto port = Started({.device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=" + out.path()}, pool);
  ASSERT_NE(port, nullptr);
  std::vector<rte_mbuf*> packets(8);
  ASSERT_EQ(port->Receive(0, packets.data(), 8), 3);
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(BytesOf(packets[i]), frames[i]);
  ASSERT_EQ(port->Transmit(0, packets.data(), 3), 3);
  port.reset();
  EXPECT_EQ(out.Read(), frames);
}

TEST_F(EthdevPortTest, DropsAndCountsWhatFitsNoPacket) {
  const PcapFile in({MakeFrame(60, 1), MakeFrame(9000, 2), MakeFrame(99, 3)});
  const auto port = Started({.device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null"}, MakePool());
  ASSERT_NE(port, nullptr);
  std::vector<rte_mbuf*> packets(8);
  ASSERT_EQ(port->Receive(0, packets.data(), 8), 2);
  EXPECT_EQ(BytesOf(packets[0]), MakeFrame(60, 1));
  EXPECT_EQ(BytesOf(packets[1]), MakeFrame(99, 3));
  rte_pktmbuf_free_bulk(packets.data(), 2);
  EXPECT_EQ(port->ReadCounters().receive_dropped, 1u);
  EXPECT_EQ(port->ReadCounters().transmit_dropped, 0u);
}

TEST_F(EthdevPortTest, CountsWhatTheDeviceDropsForWantOfPackets) {
  const PcapFile in({MakeFrame(60, 1), MakeFrame(60, 2)});
  rte_mempool* pool = MakePool();
  const auto port = Started({.device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null"}, pool);
  ASSERT_NE(port, nullptr);
  std::vector<rte_mbuf*> all(kMbufs);
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool, all.data(), kMbufs), 0);
  rte_mbuf* packet = nullptr;
  EXPECT_EQ(port->Receive(0, &packet, 1), 0);
  rte_pktmbuf_free_bulk(all.data(), kMbufs);
  EXPECT_EQ(port->ReadCounters().receive_dropped, 1u);
  EXPECT_EQ(port->Receive(0, &packet, 1), 1);
  rte_pktmbuf_free(packet);
}

TEST_F(EthdevPortTest, JumboFramesFitOnePacket) {
  const PcapFile in({MakeFrame(9014, 1)});
  const std::string device = "net_pcap0,rx_pcap=" + in.path() + ",tx_pcap=/dev/null";
  auto opened = EthdevPort::Open({.device = device, .mtu = 9000});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_GE((*opened)->pool_data_room(), RTE_PKTMBUF_HEADROOM + 9000 + 14 + 8);
  const absl::Status small = (*opened)->Start(std::vector<rte_mempool*>{MakePool()});
  EXPECT_TRUE(absl::IsInvalidArgument(small));
  EXPECT_THAT(WordsOf(small), HasSubstr("its MTU needs"));
  ASSERT_TRUE((*opened)->Start(std::vector<rte_mempool*>{MakePool((*opened)->pool_data_room())}).ok());
  EXPECT_EQ((*opened)->info().mtu, 9000);
  rte_mbuf* packet = nullptr;
  ASSERT_EQ((*opened)->Receive(0, &packet, 1), 1);
  EXPECT_EQ(packet->nb_segs, 1);
  EXPECT_EQ(BytesOf(packet), MakeFrame(9014, 1));
  rte_pktmbuf_free(packet);
}

TEST_F(EthdevPortTest, RefusesAnMtuThatTheDeviceHasNot) {
  const std::string memif = "net_memif0,socket-abstract=yes,socket=ethdev_port_test" + std::to_string(getpid());
  EXPECT_THAT(RefusalOf({.device = memif, .mtu = 1501}), AllOf(HasSubstr("MTU of 1501"), HasSubstr("to 1500")));
  EXPECT_EQ(RefusalOf({.device = memif, .mtu = 1500}), "");
  EXPECT_THAT(RefusalOf({.device = "net_null0", .mtu = 65535}), HasSubstr("to 64490"));
  EXPECT_EQ(RefusalOf({.device = "net_null0", .mtu = 64490}), "");
  EXPECT_THAT(RefusalOf({.device = "net_null0", .mtu = 20}), HasSubstr("MTU of 20"));
}

TEST_F(EthdevPortTest, StartsOnceWithAPoolForEachQueue) {
  rte_mempool* pool = MakePool();
  const auto port = EthdevPort::Open({.device = "net_null0", .workers = 2});
  ASSERT_TRUE(port.ok());
  EXPECT_FALSE((*port)->info().link_up);
  EXPECT_FALSE((*port)->Start(std::vector<rte_mempool*>{pool}).ok());
  ASSERT_TRUE((*port)->Start(std::vector<rte_mempool*>{pool, pool}).ok());
  EXPECT_FALSE((*port)->Start(std::vector<rte_mempool*>{pool, pool}).ok());
}

TEST_F(EthdevPortTest, LinkFollowsTheOtherSide) {
  const std::string cable = ",socket-abstract=yes,socket=ethdev_port_test" + std::to_string(getpid());
  rte_mempool* pool = MakePool();
  const auto server = Started({.device = "net_memif0,role=server" + cable}, pool);
  ASSERT_NE(server, nullptr);
  EXPECT_FALSE(server->info().link_up);
  auto client = Started({.device = "net_memif1,role=client" + cable}, pool);
  ASSERT_NE(client, nullptr);
  ASSERT_TRUE(Eventually([&] { return server->info().link_up && client->info().link_up; }));
  rte_mbuf* packet = MakePacket(pool, MakeFrame(77, 5));
  ASSERT_EQ(client->Transmit(0, &packet, 1), 1);
  ASSERT_TRUE(Eventually([&] { return server->Receive(0, &packet, 1) == 1; }));
  EXPECT_EQ(BytesOf(packet), MakeFrame(77, 5));
  rte_pktmbuf_free(packet);
  client.reset();
  EXPECT_TRUE(Eventually([&] { return !server->info().link_up; }));
}

//   lb0 (the port, over a packet socket) <-- veth --> peer0
TEST_F(EthdevPortTest, SetsTheMtuOfTheKernelInterfaceBelow) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root (network namespaces)";
  const testing::NetworkNamespace place;
  const testing::NetworkNamespace::Entered here = place.Enter();
  place.Ip("link add lb0 type veth peer name peer0\nlink set lb0 address 02:00:00:00:00:01 up\nlink set peer0 up");
  const auto port = Started({.device = "net_af_packet0,iface=lb0", .mtu = 1400}, MakePool());
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->info().mtu, 1400);
  EXPECT_EQ(port->info().mac, (Mac{2, 0, 0, 0, 0, 1}));
  EXPECT_TRUE(port->info().link_up);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::string("lb0").copy(request.ifr_name, IFNAMSIZ - 1);
  EXPECT_EQ(ioctl(fd, SIOCGIFMTU, &request), 0);
  EXPECT_EQ(request.ifr_mtu, 1400);
  close(fd);
}

//   tap7 of the kernel <-- net_tap --> the port
TEST_F(EthdevPortTest, HearsMulticastOverATap) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root (network namespaces)";
  const testing::NetworkNamespace place;
  const testing::NetworkNamespace::Entered here = place.Enter();
  rte_mempool* pool = MakePool();
  const auto port = Started({.device = "net_tap0,iface=tap7", .workers = 2, .mtu = 1300}, pool);
  ASSERT_NE(port, nullptr);
  EXPECT_THAT(port->notes(), IsEmpty());
  EXPECT_EQ(port->info().mtu, 1300);
  EXPECT_TRUE(port->info().link_up);
  // A solicitation of the kernel's, to a solicited-node group.
  place.Ip("address add 2001:db8::1/64 dev tap7 nodad");
  const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 peer{.sin6_family = AF_INET6, .sin6_port = htons(9)};
  inet_pton(AF_INET6, "2001:db8::2", &peer.sin6_addr);
  EXPECT_EQ(sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 1);
  close(fd);
  bool heard = false;
  EXPECT_TRUE(Eventually([&] {
    for (uint16_t queue = 0; queue < port->queues(); queue++) {
      rte_mbuf* packet = nullptr;
      if (port->Receive(queue, &packet, 1) == 0) continue;
      const Frame frame = BytesOf(packet);
      heard |= frame.size() > 54 && frame[0] == 0x33 && frame[54] == 135;
      rte_pktmbuf_free(packet);
    }
    return heard;
  }));
}

TEST_F(EthdevPortTest, TheDeviceGoesWithThePort) {
  for (int i = 0; i < 20; i++) {
    for (const char* device : {"net_ring0", "net_null0"}) {
      ASSERT_NE(Started({.device = device}, MakePool()), nullptr) << device;
      uint16_t id = 0;
      EXPECT_NE(rte_eth_dev_get_port_by_name(device, &id), 0) << device;
      TearDown();
    }
  }
}

TEST_F(EthdevPortTest, RefusesNonsense) {
  EXPECT_THAT(RefusalOf({}), HasSubstr("either a PCI address or a device string"));
  EXPECT_THAT(RefusalOf({.pci = "0000:00:00.0", .device = "net_null0"}), HasSubstr("either"));
  EXPECT_THAT(RefusalOf({.device = "net_null0", .workers = 0}), HasSubstr("no worker"));
  for (const char* text : {"eth0", "crypto_null0", "0000:3b:00.0", ",", "net", " net_null0", "NET_NULL0"}) {
    EXPECT_THAT(RefusalOf({.device = text}), AllOf(HasSubstr(text), HasSubstr("starts with a network driver"))) << text;
  }
  for (const char* text : {"net_", "net_nonsense0", "net_,", "net_nonsense0,a=b"}) {
    EXPECT_THAT(RefusalOf({.device = text}), AllOf(HasSubstr(text), HasSubstr("no driver"), HasSubstr("net_memif0")))
        << text;
  }
  for (const char* text : {"net_memif0,role=king", "net_pcap0,rx_pcap=/nonexistent", "net_null0,nonsense=1",
                           "net_null0,size", "net_null0,,,=", "net_af_packet0"}) {
    EXPECT_THAT(RefusalOf({.device = text}), AllOf(HasSubstr(text), HasSubstr("refuses"))) << text;
  }
  const auto taken = EthdevPort::Open({.device = "net_null0"});
  ASSERT_TRUE(taken.ok());
  EXPECT_THAT(RefusalOf({.device = "net_null0,size=64"}), HasSubstr("there is a net_null0 already"));
}

TEST_F(EthdevPortTest, TakesADeviceThatThisProcessHasMadeOnce) {
  rte_ring* in = rte_ring_create("in", 64, SOCKET_ID_ANY, 0);
  rte_ring* out = rte_ring_create("out", 64, SOCKET_ID_ANY, 0);
  ASSERT_GE(rte_eth_from_rings("made", &in, 1, &out, 1, 0), 0);
  EXPECT_THAT(RefusalOf({.device = "net_ring_made,nodeaction=x:0:CREATE"}), HasSubstr("already"));
  rte_mempool* pool = MakePool();
  const auto port = Started({.device = "net_ring_made"}, pool);
  ASSERT_NE(port, nullptr);
  EXPECT_THAT(RefusalOf({.device = "net_ring_made"}), HasSubstr("there is a net_ring_made already"));
  rte_mbuf* packet = MakePacket(pool, MakeFrame(60));
  ASSERT_EQ(rte_ring_enqueue(in, packet), 0);
  rte_mbuf* received = nullptr;
  ASSERT_EQ(port->Receive(0, &received, 1), 1);
  ASSERT_EQ(port->Transmit(0, &received, 1), 1);
  void* sent = nullptr;
  ASSERT_EQ(rte_ring_dequeue(out, &sent), 0);
  EXPECT_EQ(sent, packet);
  rte_pktmbuf_free(packet);
}

TEST_F(EthdevPortTest, RefusesPciDevicesInWords) {
  EXPECT_THAT(RefusalOf({.pci = "banana"}), HasSubstr("not a PCI address"));
  EXPECT_THAT(RefusalOf({.pci = "0000:ff:1f.7"}),
              AllOf(HasSubstr("no PCI device 0000:ff:1f.7"), HasSubstr("--status")));
  EXPECT_THAT(RefusalOf({.pci = "ff:1f.7"}), HasSubstr("0000:ff:1f.7"));
}

TEST_F(EthdevPortTest, SaysWhoHasAPciDeviceAndHowToBindIt) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (const auto& device : fs::directory_iterator("/sys/bus/pci/devices", error)) {
    const fs::path driver = fs::read_symlink(device.path() / "driver", error);
    if (error || driver.filename() == "vfio-pci") continue;
    const std::string address = device.path().filename();
    EXPECT_THAT(RefusalOf({.pci = address}),
                AllOf(HasSubstr("bound to the kernel driver " + driver.filename().string()),
                      HasSubstr("dpdk-devbind.py --bind=vfio-pci " + address)));
    return;
  }
  GTEST_SKIP() << "NOT TESTED: this machine has no PCI device with a driver of the kernel";
}

}  // namespace
}  // namespace sluice
