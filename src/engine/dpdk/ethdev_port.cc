#include "engine/dpdk/ethdev_port.h"

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/nat_owners.h"
#include "sluice/types.h"

namespace sluice {
namespace {

static_assert(RTE_PKTMBUF_HEADROOM >= SLUICE_HEADROOM, "an encapsulation must fit in front of a received packet");

// Ethernet header and two VLAN tags.
constexpr uint32_t kLinkHeader = 14 + 2 * 4;
// NICs count their buffers in KiB and round down.
constexpr uint32_t kRoomUnit = 1024;
// The largest whose room is still a uint16_t.
constexpr uint32_t kLargestMtu = (UINT16_MAX - RTE_PKTMBUF_HEADROOM) / kRoomUnit * kRoomUnit - kLinkHeader;
constexpr uint64_t kRssPorts = RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
constexpr uint64_t kRssWanted = RTE_ETH_RSS_IP | kRssPorts;
// Bytes of a key that reach addresses and ports of IPv6.
constexpr uint8_t kRssKey = 40;
// Flags by which parts of addresses or ports are hashed alone: all from RTE_ETH_RSS_L3_PRE96 on.
constexpr uint64_t kRssParts = UINT64_MAX << 52;
static_assert(RTE_ETH_RSS_L3_PRE96 == uint64_t{1} << 52);
constexpr std::pair<uint64_t, uint32_t> kRssKinds[] = {
    {RTE_ETH_RSS_NONFRAG_IPV4_TCP, NatOwners::Kind(false, false)},
    {RTE_ETH_RSS_NONFRAG_IPV4_UDP, NatOwners::Kind(false, true)},
    {RTE_ETH_RSS_NONFRAG_IPV6_TCP, NatOwners::Kind(true, false)},
    {RTE_ETH_RSS_NONFRAG_IPV6_UDP, NatOwners::Kind(true, true)},
};

// Virtual devices behind which is nothing but this process. Behind the others may be a kernel, at the far end of
// whatever program they lead to, that leaves checksums to the hardware which it takes them for.
bool LeadsElsewhere(const std::string& driver) {
  return driver != "net_null" && driver != "net_ring";
}

// Largest layer-3 packet. A driver that says nothing of it says UINT16_MAX, and its frame's length is the limit.
uint32_t LargestMtu(const rte_eth_dev_info& info) {
  uint32_t link_header = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  if (info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu) link_header = info.max_rx_pktlen - info.max_mtu;
  const uint32_t by_length = info.max_rx_pktlen > link_header ? info.max_rx_pktlen - link_header : UINT16_MAX;
  return std::min({uint32_t{info.max_mtu}, by_length, kLargestMtu});
}

absl::Status CheckOptions(const EthdevPort::Options& options) {
  if (options.pci.empty() == options.device.empty()) {
    return absl::InvalidArgumentError("an interface of DPDK has either a PCI address or a device string");
  }
  if (options.workers == 0) {
    return absl::InvalidArgumentError(absl::StrCat(options.pci, options.device, ": no worker to serve it"));
  }
  return absl::OkStatus();
}

void DeviceEvent(const char* /*device*/, rte_dev_event_type event, void* wanted_back) {
  if (event == RTE_DEV_EVENT_REMOVE) static_cast<std::atomic<bool>*>(wanted_back)->store(true);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EthdevPort>> EthdevPort::Open(const Options& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  std::optional<InterfaceLock> lock;
  if (!options.pci.empty()) {
    // Not every driver keeps a second process out by itself: UIO does not, nor do those that share with the kernel.
    absl::StatusOr<InterfaceLock> taken = InterfaceLock::Take(options.pci);
    if (!taken.ok()) return taken.status();
    lock.emplace(*std::move(taken));
  }
  absl::StatusOr<EthdevDevice> device =
      options.pci.empty() ? EthdevDevice::OpenString(options.device) : EthdevDevice::OpenPci(options.pci);
  if (!device.ok()) return device.status();
  auto port = std::unique_ptr<EthdevPort>(new EthdevPort(options, std::move(lock), *std::move(device)));
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(port->port_id_, &info); result != 0) {
    return port->Refusal("telling what it can do", result);
  }
  port->driver_ = info.driver_name;
  if (absl::Status status = port->CheckMtu(info); !status.ok()) return status;
  if (absl::Status status = port->ChooseQueues(info); !status.ok()) return status;
  if (absl::Status status = port->ChooseRings(info); !status.ok()) return status;
  port->ChooseRss(info);
  return port;
}

EthdevPort::EthdevPort(const Options& options, std::optional<InterfaceLock> lock, EthdevDevice device)
    : options_(options),
      lock_(std::move(lock)),
      port_id_(device.port_id()),
      device_(std::move(device)),
      name_(device_->name()) {}

EthdevPort::~EthdevPort() {
  Release();
}

void EthdevPort::Release() {
  if (!device_.has_value()) return;
  // -EAGAIN: it is being called.
  while (!heard_of_.empty() &&
         rte_dev_event_callback_unregister(heard_of_.c_str(), &DeviceEvent, &wanted_back_) == -EAGAIN) {
    std::this_thread::yield();
  }
  last_info_ = info();
  last_info_.link_up = false;
  last_counters_ = ReadCounters();
  device_.reset();
}

// A driver of the kernel's that is told to let go of the device (`echo ADDRESS > unbind`) asks us for it, and waits.
void EthdevPort::HearOfRemoval() {
  rte_eth_dev_info info{};
  if (options_.pci.empty() || rte_eth_dev_info_get(port_id_, &info) != 0 || info.device == nullptr) return;
  heard_of_ = rte_dev_name(info.device);
  if (rte_dev_event_callback_register(heard_of_.c_str(), &DeviceEvent, &wanted_back_) != 0) {
    heard_of_.clear();
    notes_.push_back(absl::StrCat(name_, ": DPDK does not tell when the device is taken away"));
  }
}

absl::Status EthdevPort::CheckMtu(const rte_eth_dev_info& info) {
  const uint32_t largest = LargestMtu(info);
  if (options_.mtu > largest || options_.mtu < info.min_mtu) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": an MTU of ", options_.mtu, " bytes; ", driver_, " takes ",
                                                   info.min_mtu, " to ", largest, " on this device"));
  }
  const uint32_t wanted =
      std::max({options_.mtu + kLinkHeader, uint32_t{RTE_MBUF_DEFAULT_DATAROOM}, info.min_rx_bufsize});
  const uint32_t room = RTE_ALIGN_MUL_CEIL(wanted, kRoomUnit) + RTE_PKTMBUF_HEADROOM;
  if (room > UINT16_MAX) {
    return absl::FailedPreconditionError(absl::StrCat(name_, ": ", driver_, " wants buffers of at least ",
                                                      info.min_rx_bufsize, " bytes, more than there are"));
  }
  pool_data_room_ = static_cast<uint16_t>(room);
  return absl::OkStatus();
}

absl::Status EthdevPort::ChooseQueues(const rte_eth_dev_info& info) {
  if (info.max_tx_queues < options_.workers || info.max_rx_queues == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        name_, ": too few queues: the device has ", info.max_tx_queues, " to send from and ", info.max_rx_queues,
        " to receive from, for ", options_.workers, " workers, each of which sends from its own; configure `workers: ",
        std::max<int>(info.max_tx_queues, 1), "`, or give the device more"));
  }
  queues_ = std::min(options_.workers, info.max_rx_queues);
  if (queues_ < options_.workers) {
    notes_.push_back(absl::StrCat(
        name_, ": has ", queues_, " queues to receive from, for ", options_.workers,
        " workers: ", queues_ == 1 ? "all its flows are on one worker" : "the others get none of its flows",
        ", the others only send"));
  }
  queue_states_ = std::vector<QueueState>(queues_);
  return absl::OkStatus();
}

absl::Status EthdevPort::ChooseRings(const rte_eth_dev_info& info) {
  rx_ring_ = options_.ring_size;
  tx_ring_ = options_.ring_size;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(port_id_, &rx_ring_, &tx_ring_); result != 0) {
    return Refusal("choosing the size of its queues", result);
  }
  if (rx_ring_ < options_.ring_size || tx_ring_ < options_.ring_size) {
    notes_.push_back(absl::StrCat(name_, ": its queues hold ", rx_ring_, " packets received and ", tx_ring_,
                                  " to send, not ", options_.ring_size, "; ", info.driver_name, " has no more"));
  }
  return absl::OkStatus();
}

void EthdevPort::ChooseRss(const rte_eth_dev_info& info) {
  if (queues_ == 1) return;
  rss_ = info.flow_type_rss_offloads & kRssWanted;
  if (rss_ == 0) {
    notes_.push_back(absl::StrCat(name_, ": ", driver_, " has no RSS: how flows are spread over its ", queues_,
                                  " queues is up to the other side; a flow has to stay on one"));
  } else if ((rss_ & kRssPorts) == 0) {
    notes_.push_back(absl::StrCat(name_, ": ", driver_,
                                  " spreads by addresses alone, not by ports: all flows between two addresses are on "
                                  "one worker"));
  }
}

absl::Status EthdevPort::Refusal(const char* what, int result) const {
  return absl::InternalError(absl::StrCat(name_, ": ", driver_, " fails at ", what, " (", rte_strerror(-result),
                                          "); its own words are in the lines above"));
}

absl::Status EthdevPort::Start(absl::Span<rte_mempool* const> pool_of_queue) {
  if (absl::Status status = CheckPools(pool_of_queue); !status.ok()) return status;
  if (absl::Status status = Configure(); !status.ok()) return status;
  if (absl::Status status = SetUpQueues(pool_of_queue); !status.ok()) return status;
  if (const int result = rte_eth_dev_start(port_id_); result != 0) return Refusal("starting", result);
  started_ = true;
  // A virtual device passes on what its peer's kernel had.
  unfinished_checksums_ = options_.pci.empty() && LeadsElsewhere(driver_);
  AcceptMulticast();
  HearOfRemoval();
  // Of a device that can't, the counters start where they are.
  rte_eth_stats_reset(port_id_);
  return absl::OkStatus();
}

absl::Status EthdevPort::CheckPools(absl::Span<rte_mempool* const> pools) const {
  if (pools.size() != queues_ || started_) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", pools.size(), " pools for ", queues_, " queues",
                                                   started_ ? ", which run already" : ""));
  }
  for (rte_mempool* pool : pools) {
    if (const uint16_t room = rte_pktmbuf_data_room_size(pool); room < pool_data_room_) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": packets of ", room, " bytes; its MTU needs ", pool_data_room_));
    }
  }
  return absl::OkStatus();
}

absl::Status EthdevPort::Configure() {
  rte_eth_conf conf{};
  conf.rxmode.mtu = options_.mtu;
  if (rss_ != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = rss_;
  }
  // No offloads: VLAN tags stay in the packet, and packets that are sent come from the pools of other ports too, which
  // rules RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE out.
  if (const int result = rte_eth_dev_configure(port_id_, queues_, options_.workers, &conf); result != 0) {
    return Refusal("setting its queues", result);
  }
  // Drivers over a kernel interface set that one's MTU; for the others the configuration was enough.
  const int result = rte_eth_dev_set_mtu(port_id_, options_.mtu);
  if (result == 0 || result == -ENOTSUP) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name_, ": ", driver_, " refuses an MTU of ", options_.mtu, " bytes (",
                                                 rte_strerror(-result), "); configure a smaller one"));
}

absl::Status EthdevPort::SetUpQueues(absl::Span<rte_mempool* const> pools) {
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(port_id_));
  for (uint16_t queue = 0; queue < queues_; ++queue) {
    if (const int result = rte_eth_rx_queue_setup(port_id_, queue, rx_ring_, socket, nullptr, pools[queue]);
        result != 0) {
      return Refusal("setting up a queue to receive from", result);
    }
  }
  for (uint16_t queue = 0; queue < options_.workers; ++queue) {
    if (const int result = rte_eth_tx_queue_setup(port_id_, queue, tx_ring_, socket, nullptr); result != 0) {
      return Refusal("setting up a queue to send from", result);
    }
  }
  return absl::OkStatus();
}

// Neighbour solicitations go to multicast addresses that depend on the address asked for (RFC 4291 section 2.7.1), and
// the kernel's side has groups of its own.
void EthdevPort::AcceptMulticast() {
  if (rte_eth_allmulticast_enable(port_id_) == 0) return;
  if (rte_eth_promiscuous_enable(port_id_) == 0) return;
  notes_.push_back(absl::StrCat(name_, ": ", driver_,
                                " can't be told to receive multicast; if it leaves some out, IPv6 neighbours do not "
                                "find the virtual addresses"));
}

uint16_t EthdevPort::Receive(uint16_t queue, rte_mbuf** packets, uint16_t count) {
  if (!in_use_.load(std::memory_order_relaxed)) [[unlikely]] {
    return 0;
  }
  const uint16_t received = rte_eth_rx_burst(port_id_, queue, packets, count);
  uint32_t segments = 0;
  for (uint16_t i = 0; i < received; ++i) segments += packets[i]->nb_segs;
  if (segments == received) [[likely]] {
    return received;
  }
  return MakeSingle(queue, packets, received);
}

// A peer of net_memif, a file of net_pcap and a NIC with odd buffers may bring more than one buffer holds.
uint16_t EthdevPort::MakeSingle(uint16_t queue, rte_mbuf** packets, uint16_t count) {
  uint16_t kept = 0;
  uint64_t dropped = 0;
  for (uint16_t i = 0; i < count; ++i) {
    if (rte_pktmbuf_linearize(packets[i]) == 0) {
      packets[kept++] = packets[i];
    } else {
      rte_pktmbuf_free(packets[i]);
      ++dropped;
    }
  }
  std::atomic<uint64_t>& sum = queue_states_[queue].dropped;
  sum.store(sum.load(std::memory_order_relaxed) + dropped, std::memory_order_relaxed);
  return kept;
}

uint16_t EthdevPort::Transmit(uint16_t queue, rte_mbuf** packets, uint16_t count) {
  if (!in_use_.load(std::memory_order_relaxed)) [[unlikely]] {
    return 0;
  }
  return rte_eth_tx_burst(port_id_, queue, packets, count);
}

int EthdevPort::WaitHandle(uint16_t /*queue*/) {
  return -1;
}

absl::Status EthdevPort::SetVirtualAddresses(absl::Span<const Address> /*addresses*/) {
  return absl::OkStatus();
}

absl::StatusOr<PortRss> EthdevPort::ReadRss() {
  rte_eth_dev_info info{};
  if (queues_ == 1) return absl::UnavailableError("it has one queue");
  if (rss_ == 0 || rte_eth_dev_info_get(port_id_, &info) != 0) {
    return absl::UnimplementedError(absl::StrCat(driver_, " has no RSS"));
  }
  std::array<uint8_t, UINT8_MAX> key{};
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = info.hash_key_size != 0 ? info.hash_key_size : uint8_t{kRssKey};
  const int result = rte_eth_dev_rss_hash_conf_get(port_id_, &conf);
  const bool empty = std::all_of(key.begin(), key.end(), [](uint8_t byte) { return byte == 0; });
  if (result != 0 || conf.rss_key_len < kRssKey || empty) {
    return absl::UnimplementedError(absl::StrCat(driver_, " does not tell it"));
  }
  PortRss rss;
  std::copy_n(key.begin(), rss.key.size(), rss.key.begin());
  std::vector<rte_eth_rss_reta_entry64> table((info.reta_size + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE);
  for (rte_eth_rss_reta_entry64& group : table) group.mask = UINT64_MAX;
  if (table.empty() || rte_eth_dev_rss_reta_query(port_id_, table.data(), info.reta_size) != 0) {
    return absl::UnimplementedError(absl::StrCat(driver_, " does not tell its table"));
  }
  for (uint16_t i = 0; i < info.reta_size; i++) {
    rss.queue_of_hash.push_back(table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]);
  }
  if (conf.rss_hf & kRssParts) return rss;
  for (const auto& [hashed, kind] : kRssKinds) rss.with_ports |= conf.rss_hf & hashed ? kind : 0;
  return rss;
}

absl::Status EthdevPort::SetRssKey(const std::array<uint8_t, 40>& key) {
  rte_eth_dev_info info{};
  if (rss_ == 0 || rte_eth_dev_info_get(port_id_, &info) != 0) {
    return absl::UnimplementedError(absl::StrCat(driver_, " has no RSS"));
  }
  // What goes beyond is under no bit of addresses and ports.
  std::array<uint8_t, UINT8_MAX> longer{};
  std::copy(key.begin(), key.end(), longer.begin());
  rte_eth_rss_conf conf{};
  conf.rss_key = longer.data();
  conf.rss_key_len = info.hash_key_size != 0 ? info.hash_key_size : uint8_t{kRssKey};
  conf.rss_hf = rss_;
  const int result = rte_eth_dev_rss_hash_update(port_id_, &conf);
  return result == 0 ? absl::OkStatus() : Refusal("taking a key for RSS", result);
}

PortInfo EthdevPort::info() {
  if (!device_.has_value()) return last_info_;
  PortInfo info{.name = name_, .mtu = options_.mtu, .queues = queues_, .mode = driver_};
  rte_ether_addr mac{};
  if (rte_eth_macaddr_get(port_id_, &mac) == 0) {
    std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), info.mac.begin());
  }
  uint16_t mtu = 0;
  // Before Start the device's own says nothing; raised while running, a packet still has to fit an mbuf.
  if (started_ && rte_eth_dev_get_mtu(port_id_, &mtu) == 0) info.mtu = std::min(info.mtu, mtu);
  rte_eth_link link{};
  // A device that can't tell is taken to be up.
  const int result = rte_eth_link_get_nowait(port_id_, &link);
  info.link_up = started_ && (result == -ENOTSUP || (result == 0 && link.link_status == RTE_ETH_LINK_UP));
  return info;
}

PortCounters EthdevPort::ReadCounters() {
  if (!device_.has_value()) return last_counters_;
  PortCounters counters;
  for (const QueueState& state : queue_states_) {
    counters.receive_dropped += state.dropped.load(std::memory_order_relaxed);
  }
  rte_eth_stats stats{};
  if (rte_eth_stats_get(port_id_, &stats) != 0) return counters;
  counters.receive_dropped += stats.imissed + stats.rx_nombuf + stats.ierrors;
  counters.transmit_dropped += stats.oerrors;
  return counters;
}

}  // namespace sluice
