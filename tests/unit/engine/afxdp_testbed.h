// What the tests of the AF_XDP port stand on: a network namespace of their own with veth pairs, raw sockets on the
// peers, and frames made by hand.
//
//   test's namespace:   lb0 <-- veth --> peer0        the port under test opens lb0, the test plays the wire on peer0
//                       lb1 <-- veth --> peer1
#pragma once

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_mempool.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/dpdk/afxdp_port.h"

namespace sluice {

using Frame = std::vector<uint8_t>;

inline constexpr Mac kPortMac = {2, 0, 0, 0, 0, 1};
inline constexpr Mac kPeerMac = {2, 0, 0, 0, 0, 2};

inline Address Ip(std::string_view text) {
  return ParseAddress(text).value();
}

// Until `done` says so, 20 seconds at most; says whether it did.
inline bool Eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    sched_yield();
  }
  return true;
}

inline void Shell(const std::string& command) {
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// The wire: sends and receives whole frames on an interface.
class Wire {
 public:
  // Without `receive` it takes no copy of what arrives.
  explicit Wire(const std::string& interface, bool receive = true)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = receive ? htons(ETH_P_ALL) : 0;
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0) << interface;
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool Send(const Frame& frame) {
    return send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }

  // The next frame from the other side for which `wanted` holds; empty when none came in time.
  Frame Receive(const std::function<bool(const Frame&)>& wanted) {
    Frame frame;
    Eventually([&] {
      frame.resize(9000);
      sockaddr_ll from{};
      socklen_t size = sizeof(from);
      const ssize_t got = recvfrom(fd_, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      frame.resize(got > 0 && from.sll_pkttype != PACKET_OUTGOING ? static_cast<size_t>(got) : 0);
      return !frame.empty() && wanted(frame);
    });
    return frame;
  }

 private:
  int fd_;
};

inline void Append(Frame* frame, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame->push_back(static_cast<uint8_t>(byte));
}

inline Frame Ethernet(const Mac& to, uint16_t ethertype) {
  Frame frame(to.begin(), to.end());
  frame.insert(frame.end(), kPeerMac.begin(), kPeerMac.end());
  Append(&frame, {ethertype >> 8, ethertype & 0xff});
  return frame;
}

inline void AppendIpv4(Frame* frame, std::string_view to, int protocol, size_t payload, int fragment = 0) {
  const size_t start = frame->size();
  const int length = static_cast<int>(20 + payload);
  Append(frame,
         {0x45, 0, length >> 8, length & 0xff, 0, 1, fragment >> 8, fragment & 0xff, 64, protocol, 0, 0, 10, 0, 0, 2});
  const Address address = Ip(to);
  frame->insert(frame->end(), address.bytes.begin() + 12, address.bytes.end());
  uint32_t sum = 0;
  for (size_t i = start; i < frame->size(); i += 2) sum += static_cast<uint32_t>((*frame)[i] << 8 | (*frame)[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~(sum + (sum >> 16));
  (*frame)[start + 10] = static_cast<uint8_t>(sum >> 8);
  (*frame)[start + 11] = static_cast<uint8_t>(sum);
}

// UDP over IPv4 from 10.0.0.2, below `vlans` VLAN tags.
inline Frame UdpFrame(std::string_view to, uint16_t source_port = 1000, size_t payload = 18, int vlans = 0) {
  Frame frame = Ethernet(kPortMac, vlans > 0 ? 0x8100 : 0x0800);
  for (int i = 1; i <= vlans; ++i) Append(&frame, {0, i, i < vlans ? 0x81 : 0x08, 0});
  AppendIpv4(&frame, to, 17, 8 + payload);
  const int length = static_cast<int>(8 + payload);
  Append(&frame, {source_port >> 8, source_port & 0xff, 0, 53, length >> 8, length & 0xff, 0, 0});
  frame.resize(frame.size() + payload, 0x5a);
  return frame;
}

inline Frame ArpRequest(std::string_view target) {
  Frame frame = Ethernet({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x0806);
  Append(&frame, {0, 1, 8, 0, 6, 4, 0, 1});
  frame.insert(frame.end(), kPeerMac.begin(), kPeerMac.end());
  Append(&frame, {10, 0, 0, 2, 0, 0, 0, 0, 0, 0});
  const Address address = Ip(target);
  frame.insert(frame.end(), address.bytes.begin() + 12, address.bytes.end());
  return frame;
}

inline Frame NeighborSolicitation(std::string_view target) {
  Frame frame = Ethernet({0x33, 0x33, 0xff, 0, 0, 0x10}, 0x86dd);
  Append(&frame, {0x60, 0, 0, 0, 0, 24, 58, 255});
  for (const Address& address : {Ip("fe80::2"), Ip("ff02::1:ff00:10")}) {
    frame.insert(frame.end(), address.bytes.begin(), address.bytes.end());
  }
  Append(&frame, {135, 0, 0, 0, 0, 0, 0, 0});
  const Address address = Ip(target);
  frame.insert(frame.end(), address.bytes.begin(), address.bytes.end());
  return frame;
}

// 0 when there is none.
inline uint32_t AttachedProgram(const char* interface) {
  uint32_t id = 0;
  EXPECT_EQ(bpf_xdp_query_id(static_cast<int>(if_nametoindex(interface)), 0, &id), 0);
  return id;
}

inline std::string WordsOf(const absl::Status& status) {
  return std::string(status.message());
}

inline Frame BytesOf(const rte_mbuf* packet) {
  const auto* data = rte_pktmbuf_mtod(packet, const uint8_t*);
  return Frame(data, data + packet->data_len);
}

class AfxdpTestbed : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() != 0) return;
    std::vector<std::string> words = {"afxdp_port_test",
                                      "--no-huge",
                                      "--no-shconf",
                                      "--no-telemetry",
                                      "--no-pci",
                                      "-m",
                                      "128",
                                      "--log-level=error",
                                      "-l",
                                      "0"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ASSERT_GE(rte_eal_init(static_cast<int>(words.size()), arguments.data()), 0);
  }

  // Leaves the last test's namespace, and everything in it, behind to vanish.
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root (network namespaces, XDP)";
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  }

  // lbN and peerN with `queues` each way; lb0 has 10.0.0.1/24 and knows 10.0.0.2 at the peer.
  static void AddPair(int number, int queues = 1) {
    const std::string n = std::to_string(number);
    const std::string q = " numrxqueues " + std::to_string(queues) + " numtxqueues " + std::to_string(queues);
    Shell("ip link add lb" + n + q + " type veth peer name peer" + n + q);
    Shell("ip link set lb" + n + " address " + FormatMac(kPortMac) + " up");
    Shell("ip link set peer" + n + " address " + FormatMac(kPeerMac) + " up");
    if (number != 0) return;
    Shell("ip address add 10.0.0.1/24 dev lb0");
    Shell("ip neighbor add 10.0.0.2 lladdr " + FormatMac(kPeerMac) + " dev lb0");
  }

  static std::unique_ptr<UmemPool> MakePool(uint32_t chunks = 1024, uint32_t chunk_size = 2048) {
    static int number = 0;
    auto pool =
        UmemPool::Create({.name = "test" + std::to_string(number++), .chunks = chunks, .chunk_size = chunk_size});
    EXPECT_TRUE(pool.ok()) << pool.status();
    return pool.ok() ? *std::move(pool) : nullptr;
  }

  // Open and Start with one pool for every queue; small rings, so that tests get around them.
  static std::unique_ptr<AfxdpPort> MakePort(const std::string& interface, UmemPool* pool, uint16_t workers = 1) {
    auto port = AfxdpPort::Open({.interface = interface, .workers = workers, .ring_size = 128});
    EXPECT_TRUE(port.ok()) << port.status();
    if (!port.ok()) return nullptr;
    const std::vector<UmemPool*> pools((*port)->queues(), pool);
    const absl::Status started = (*port)->Start(pools);
    EXPECT_TRUE(started.ok()) << started;
    return *std::move(port);
  }

  // One packet from the queue, or null when none came in time.
  static rte_mbuf* ReceiveOne(Port* port, uint16_t queue = 0) {
    rte_mbuf* packet = nullptr;
    Eventually([&] { return port->Receive(queue, &packet, 1) == 1; });
    return packet;
  }

  static void ExpectAllBack(const UmemPool& pool) { EXPECT_EQ(rte_mempool_avail_count(pool.mempool()), pool.chunks()); }
};

}  // namespace sluice
