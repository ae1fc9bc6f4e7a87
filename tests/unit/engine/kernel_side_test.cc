// The kernel's side of a port, against a kernel: each test in a network namespace of its own, which has nothing but
//
//   kernel: tap0 (192.0.2.1/24, 2001:db8::1/64)  <-- KernelSide -->  port: the test
#include "engine/dpdk/kernel_side.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <thread>

#include "ethdev_testbed.h"
#include "unit/neighbor/network_namespace.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::NetworkNamespace;

constexpr Mac kMac = {2, 0, 0, 0, 0, 1};
constexpr Mac kPeerMac = {2, 0, 0, 0, 0, 2};
constexpr uint16_t kServerPort = 4000;

class KernelSideTest : public EthdevTestbed {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root (network namespaces, tap)";
    namespace_ = std::make_unique<NetworkNamespace>();
    here_.reset(new NetworkNamespace::Entered(namespace_->Enter()));
    control_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pool_ = MakePool();
  }

  void TearDown() override {
    side_.reset();
    for (rte_mbuf* packet : port_) rte_pktmbuf_free(packet);
    if (control_ >= 0) close(control_);
    here_.reset();
    EthdevTestbed::TearDown();
  }

  KernelSide::Options OptionsOf(const std::string& name) {
    return {.name = name,
            .addresses = {ParsePrefix("192.0.2.1/24").value(), ParsePrefix("2001:db8::1/64").value()},
            .mac = kMac,
            .pool = pool_,
            .to_port = [this](rte_mbuf* packet) {
              const std::scoped_lock lock(mutex_);
              if (!taking_) return false;
              port_.push_back(packet);
              return true;
            }};
  }

  void Open(const KernelSide::Options& options) {
    auto side = KernelSide::Open(options);
    ASSERT_TRUE(side.ok()) << side.status();
    side_ = *std::move(side);
  }
  void Open() { Open(OptionsOf("tap0")); }

  std::string RefusalOf(const KernelSide::Options& options) {
    const auto side = KernelSide::Open(options);
    return side.ok() ? "" : WordsOf(side.status());
  }

  // The kernel's view of the interface, by an ioctl.
  ifreq Ask(const std::string& name, unsigned long request) const {
    ifreq result{};
    name.copy(result.ifr_name, IFNAMSIZ - 1);
    EXPECT_EQ(ioctl(control_, request, &result), 0) << name;
    return result;
  }
  Mac MacOf(const std::string& name) const {
    const ifreq answer = Ask(name, SIOCGIFHWADDR);
    Mac mac{};
    std::copy_n(reinterpret_cast<const uint8_t*>(answer.ifr_hwaddr.sa_data), mac.size(), mac.begin());
    return mac;
  }
  bool Flag(const std::string& name, int flag) const { return (Ask(name, SIOCGIFFLAGS).ifr_flags & flag) == flag; }

  // The first frame for which `wanted` holds that reaches the port; empty when none came in time.
  Frame AtPort(const std::function<bool(const Frame&)>& wanted) {
    Frame found;
    Eventually([&] {
      const std::scoped_lock lock(mutex_);
      for (const rte_mbuf* packet : port_) {
        Frame frame = BytesOf(packet);
        if (found.empty() && wanted(frame)) found = std::move(frame);
      }
      return !found.empty();
    });
    return found;
  }

  // A UDP socket of the kernel, bound to kServerPort, that knows 192.0.2.2 at kPeerMac.
  int OpenServer() {
    namespace_->Ip("neighbor add 192.0.2.2 lladdr " + FormatMac(kPeerMac) + " dev tap0 nud permanent");
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(kServerPort), .sin_addr = {}, .sin_zero = {}};
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::unique_ptr<NetworkNamespace> namespace_;
  std::unique_ptr<NetworkNamespace::Entered> here_;
  int control_ = -1;
  rte_mempool* pool_ = nullptr;
  std::mutex mutex_;
  std::vector<rte_mbuf*> port_;
  bool taking_ = true;
  std::unique_ptr<KernelSide> side_;
};

void Put(Frame* frame, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame->push_back(static_cast<uint8_t>(byte));
}

// The sum of RFC 1071 over [begin, end) and `start`; 0xffff when a checksum inside is right.
uint32_t Sum(const Frame& frame, size_t begin, size_t end, uint32_t start = 0) {
  uint32_t sum = start;
  for (size_t i = begin; i < end; i++) sum += i % 2 == begin % 2 ? frame[i] << 8u : frame[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

// UDP from 192.0.2.2 to kServerPort of 192.0.2.1; without a UDP checksum (RFC 768 allows).
Frame UdpFrame(size_t payload, int seed) {
  Frame frame(kMac.begin(), kMac.end());
  frame.insert(frame.end(), kPeerMac.begin(), kPeerMac.end());
  const int length = static_cast<int>(28 + payload);
  Put(&frame, {8, 0, 0x45, 0, length >> 8, length & 0xff, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1});
  const uint32_t sum = ~Sum(frame, 14, 34) & 0xffff;
  frame[24] = static_cast<uint8_t>(sum >> 8);
  frame[25] = static_cast<uint8_t>(sum);
  Put(&frame, {0x10, 0, kServerPort >> 8, kServerPort & 0xff, (length - 20) >> 8, (length - 20) & 0xff, 0, 0});
  frame.resize(frame.size() + payload, static_cast<uint8_t>(seed));
  return frame;
}

bool IsUdpFromServer(const Frame& frame) {
  return frame.size() >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == 17 &&
         (frame[34] << 8 | frame[35]) == kServerPort;
}

TEST_F(KernelSideTest, HasMacMtuLinkAndAddresses) {
  Open();
  EXPECT_EQ(MacOf("tap0"), kMac);
  EXPECT_EQ(Ask("tap0", SIOCGIFMTU).ifr_mtu, 1500);
  EXPECT_TRUE(Flag("tap0", IFF_UP));
  EXPECT_TRUE(Eventually([&] { return Flag("tap0", IFF_RUNNING); }));
  EXPECT_EQ(side_->ifindex(), static_cast<int>(if_nametoindex("tap0")));
  const ifreq address = Ask("tap0", SIOCGIFADDR);
  const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&address.ifr_addr);
  EXPECT_EQ(ipv4->sin_addr.s_addr, inet_addr("192.0.2.1"));
  const ifreq mask = Ask("tap0", SIOCGIFNETMASK);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in*>(&mask.ifr_netmask)->sin_addr.s_addr, inet_addr("255.255.255.0"));
  std::ifstream file("/proc/thread-self/net/if_inet6");
  const std::string ipv6((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(ipv6, AllOf(HasSubstr("20010db8000000000000000000000001"), HasSubstr(" 40 00 "), HasSubstr("tap0")));
}

TEST_F(KernelSideTest, FollowsThePort) {
  Open();
  const Mac mac = {2, 0, 0, 0, 0, 9};
  ASSERT_TRUE(side_->Update(mac, 1400, false).ok());
  EXPECT_EQ(MacOf("tap0"), mac);
  EXPECT_EQ(Ask("tap0", SIOCGIFMTU).ifr_mtu, 1400);
  EXPECT_TRUE(Eventually([&] { return !Flag("tap0", IFF_RUNNING); }));
  EXPECT_TRUE(Flag("tap0", IFF_UP));
  ASSERT_TRUE(side_->Update(kMac, 1500, true).ok());
  EXPECT_EQ(MacOf("tap0"), kMac);
  EXPECT_EQ(Ask("tap0", SIOCGIFMTU).ifr_mtu, 1500);
  EXPECT_TRUE(Eventually([&] { return Flag("tap0", IFF_RUNNING); }));
  // No mbuf takes it.
  EXPECT_TRUE(absl::IsInvalidArgument(side_->Update(kMac, 9000, true)));
  EXPECT_EQ(Ask("tap0", SIOCGIFMTU).ifr_mtu, 1500);
}

TEST_F(KernelSideTest, StartsWithoutALink) {
  KernelSide::Options options = OptionsOf("tap0");
  options.link_up = false;
  Open(options);
  EXPECT_TRUE(Flag("tap0", IFF_UP));
  // The kernel looks after its links at most once a second.
  EXPECT_TRUE(Eventually([&] { return !Flag("tap0", IFF_RUNNING); }));
}

TEST_F(KernelSideTest, FramesReachTheKernel) {
  Open();
  const int server = OpenServer();
  for (int i = 0; i < 100; i++) {
    const auto size = static_cast<size_t>(i) * 14;
    ASSERT_TRUE(side_->ToKernel(MakePacket(pool_, UdpFrame(size, i))));
    // Now and then it has gone to sleep in between.
    std::vector<uint8_t> got(2000);
    ssize_t count = -1;
    ASSERT_TRUE(Eventually([&] { return (count = recv(server, got.data(), got.size(), 0)) >= 0; })) << i;
    got.resize(static_cast<size_t>(count));
    ASSERT_EQ(got, std::vector<uint8_t>(size, static_cast<uint8_t>(i)));
  }
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().to_kernel == 100; }));
  EXPECT_EQ(side_->ReadCounters().to_kernel_dropped, 0u);
  close(server);
}

TEST_F(KernelSideTest, FramesOfTheKernelReachThePortComplete) {
  Open();
  const int server = OpenServer();
  const sockaddr_in peer{
      .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {inet_addr("192.0.2.2")}, .sin_zero = {}};
  const std::string text(1472, 'x');
  ASSERT_EQ(sendto(server, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 1472);
  const Frame frame = AtPort(IsUdpFromServer);
  ASSERT_EQ(frame.size(), 1514u);
  EXPECT_TRUE(std::equal(kPeerMac.begin(), kPeerMac.end(), frame.begin()));
  EXPECT_TRUE(std::equal(kMac.begin(), kMac.end(), frame.begin() + 6));
  EXPECT_EQ(std::string(frame.begin() + 42, frame.end()), text);
  // Nobody behind the port would complete a checksum.
  EXPECT_EQ(Sum(frame, 14, 34), 0xffffu);
  EXPECT_EQ(Sum(frame, 26, frame.size(), 17 + 1480), 0xffffu);
  EXPECT_GE(side_->ReadCounters().from_kernel, 1u);
  close(server);
}

TEST_F(KernelSideTest, AnswersNeighbours) {
  Open();
  Frame arp(6, 0xff);
  arp.insert(arp.end(), kPeerMac.begin(), kPeerMac.end());
  Put(&arp, {8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1});
  ASSERT_TRUE(side_->ToKernel(MakePacket(pool_, arp)));
  const Frame reply = AtPort([](const Frame& frame) { return frame.size() >= 42 && frame[13] == 6 && frame[21] == 2; });
  ASSERT_FALSE(reply.empty());
  EXPECT_TRUE(std::equal(kMac.begin(), kMac.end(), reply.begin() + 22));
}

TEST_F(KernelSideTest, ManyWorkersAtOnce) {
  Open();
  constexpr int kWorkers = 3;
  constexpr int kEach = 2000;
  std::atomic<uint64_t> refused = 0;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < kWorkers; worker++) {
    workers.emplace_back([&] {
      for (int i = 0; i < kEach; i++) {
        rte_mbuf* packet = MakePacket(pool_, UdpFrame(32, i));
        if (side_->ToKernel(packet)) continue;
        rte_pktmbuf_free(packet);
        refused++;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().to_kernel + refused == kWorkers * kEach; }))
      << side_->ReadCounters().to_kernel << " " << refused;
  EXPECT_EQ(side_->ReadCounters().to_kernel_dropped, 0u);
}

TEST_F(KernelSideTest, DropsAndCountsWhatNobodyTakes) {
  Open();
  const int server = OpenServer();
  const sockaddr_in peer{
      .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {inet_addr("192.0.2.2")}, .sin_zero = {}};
  const auto send = [&] {
    EXPECT_EQ(sendto(server, "x", 1, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 1);
  };
  {
    const std::scoped_lock lock(mutex_);
    taking_ = false;
  }
  uint64_t before = side_->ReadCounters().from_kernel_dropped;
  send();
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().from_kernel_dropped > before; }));
  {
    const std::scoped_lock lock(mutex_);
    taking_ = true;
  }
  // All mbufs gone: frames are dropped, not left to wait.
  std::vector<rte_mbuf*> all;
  while (rte_mbuf* packet = rte_pktmbuf_alloc(pool_)) all.push_back(packet);
  before = side_->ReadCounters().from_kernel_dropped;
  send();
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().from_kernel_dropped > before; }));
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
  send();
  EXPECT_FALSE(AtPort(IsUdpFromServer).empty());
  // Down, it takes nothing.
  namespace_->Ip("link set tap0 down");
  ASSERT_TRUE(side_->ToKernel(MakePacket(pool_, UdpFrame(10, 0))));
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().to_kernel_dropped == 1; }));
  close(server);
}

TEST_F(KernelSideTest, DropsWhatIsLargerThanThePortTakes) {
  Open();
  const int server = OpenServer();
  namespace_->Ip("link set tap0 mtu 9000");
  const sockaddr_in peer{
      .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {inet_addr("192.0.2.2")}, .sin_zero = {}};
  const std::string text(5000, 'x');
  ASSERT_EQ(sendto(server, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 5000);
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().from_kernel_dropped == 1; }));
  const std::scoped_lock lock(mutex_);
  EXPECT_TRUE(
      std::none_of(port_.begin(), port_.end(), [](rte_mbuf* packet) { return IsUdpFromServer(BytesOf(packet)); }));
  close(server);
}

TEST_F(KernelSideTest, TheInterfaceGoesWithTheObject) {
  for (int i = 0; i < 10; i++) {
    Open();
    // Still in the queue, perhaps, when it ends.
    for (int j = 0; j < 50; j++) ASSERT_TRUE(side_->ToKernel(MakePacket(pool_, UdpFrame(100, j))));
    side_.reset();
    EXPECT_EQ(if_nametoindex("tap0"), 0u);
  }
}

TEST_F(KernelSideTest, SleepsWhenThereIsNothingToDo) {
  Open();
  const auto cpu = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
  };
  // The kernel's own first words (router solicitations, multicast reports) may come in between: some quiet spell comes.
  EXPECT_TRUE(Eventually([&] {
    const int64_t before = cpu();
    usleep(50'000);
    return cpu() - before < 5'000'000;
  }));
  namespace_->Ip("link del tap0");
  EXPECT_TRUE(Eventually([&] {
    const int64_t before = cpu();
    usleep(50'000);
    return cpu() - before < 5'000'000;
  }));
}

TEST_F(KernelSideTest, SaysWhenSomeoneRemovedTheInterface) {
  Open();
  namespace_->Ip("link del tap0");
  ASSERT_TRUE(Eventually([&] { return absl::IsFailedPrecondition(side_->Update(kMac, 1500, true)); }));
  EXPECT_THAT(WordsOf(side_->Update(kMac, 1500, true)), AllOf(HasSubstr("tap0"), HasSubstr("removed")));
  ASSERT_TRUE(side_->ToKernel(MakePacket(pool_, UdpFrame(10, 0))));
  EXPECT_TRUE(Eventually([&] { return side_->ReadCounters().to_kernel_dropped == 1; }));
}

TEST_F(KernelSideTest, FollowsARename) {
  Open();
  namespace_->Ip("link set tap0 down\nlink set tap0 name uplink\nlink set uplink up");
  ASSERT_TRUE(side_->Update(kMac, 1300, true).ok());
  EXPECT_EQ(Ask("uplink", SIOCGIFMTU).ifr_mtu, 1300);
}

TEST_F(KernelSideTest, RefusesInWords) {
  namespace_->Ip("link add veth0 type veth peer name veth1\ntuntap add mode tap name left");
  for (const char* name : {"veth0", "left", "lo"}) {
    EXPECT_THAT(RefusalOf(OptionsOf(name)), AllOf(HasSubstr(name), HasSubstr("already"))) << name;
  }
  for (const char* name : {"", "tap%d", "a/b", "a b", "..", "sixteencharacter"}) {
    EXPECT_THAT(RefusalOf(OptionsOf(name)), HasSubstr("not a name for an interface")) << name;
  }
  KernelSide::Options options = OptionsOf("tap0");
  options.mac = {1, 0, 0, 0, 0, 1};
  EXPECT_THAT(RefusalOf(options), HasSubstr("refuses the MAC address 01:00:00:00:00:01"));
  options = OptionsOf("tap0");
  options.mtu = 9000;
  EXPECT_THAT(RefusalOf(options), HasSubstr("too small for an MTU of 9000"));
  options = OptionsOf("tap0");
  options.addresses.push_back(options.addresses[0]);
  EXPECT_THAT(RefusalOf(options), HasSubstr("refuses the address 192.0.2.1/24"));
  // And nothing is left of any of them.
  EXPECT_EQ(if_nametoindex("tap0"), 0u);
  Open();
  EXPECT_THAT(RefusalOf(OptionsOf("tap0")), HasSubstr("already"));
}

}  // namespace
}  // namespace sluice
