#include "engine/dpdk/afxdp_port.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

absl::Status CheckOptions(const AfxdpPort::Options& options) {
  if (options.workers == 0)
    return absl::InvalidArgumentError(absl::StrCat(options.interface, ": no worker to serve it"));
  if (!std::has_single_bit(options.ring_size) || options.ring_size < 64 || options.ring_size > 8192) {
    return absl::InvalidArgumentError(absl::StrCat(options.interface, ": a ring of ", options.ring_size,
                                                   " entries; it must be a power of two from 64 to 8192"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AfxdpPort>> AfxdpPort::Open(const Options& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<KernelInterface> interface = KernelInterface::Find(options.interface);
  if (!interface.ok()) return interface.status();
  absl::StatusOr<InterfaceLock> lock = InterfaceLock::Take(options.interface);
  if (!lock.ok()) return lock.status();
  auto port = std::unique_ptr<AfxdpPort>(new AfxdpPort(options, *std::move(interface), *std::move(lock)));
  if (absl::Status status = port->CheckMtu(); !status.ok()) return status;
  if (absl::Status status = port->ChooseQueues(); !status.ok()) return status;
  if (absl::Status status = port->AttachProgram(); !status.ok()) return status;
  port->TuneDevice();
  return port;
}

AfxdpPort::~AfxdpPort() = default;

absl::Status AfxdpPort::CheckMtu() {
  const absl::StatusOr<uint32_t> mtu = interface_.ReadMtu();
  if (!mtu.ok()) return mtu.status();
  if (*mtu > kLargestMtu) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.interface, ": its MTU is ", *mtu, ", and AF_XDP takes ", kLargestMtu, " at most; `ip link set ",
        options_.interface, " mtu ", kLargestMtu, "` (or less), or give the device to DPDK for jumbo frames"));
  }
  chunk_size_ = *mtu <= LargestAfxdpMtu(2048) ? 2048 : 4096;
  return absl::OkStatus();
}

absl::Status AfxdpPort::ChooseQueues() {
  const absl::StatusOr<KernelInterface::Channels> channels = interface_.ReadChannels();
  if (!channels.ok()) return channels.status();
  channels_at_open_ = *channels;
  queues_ = channels->count;
  if (queues_ == options_.workers) return absl::OkStatus();
  const absl::Status set = interface_.SetChannels(options_.workers);
  if (set.ok()) {
    queues_ = options_.workers;
    return absl::OkStatus();
  }
  if (queues_ < options_.workers) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.interface, " has ", queues_, " RX queues (", channels->maximum, " at most) for ", options_.workers,
        " workers (", std::string(set.message()), "); configure fewer workers, or get more queues with `ethtool -L ",
        options_.interface, channels->combined ? " combined " : " rx ", options_.workers,
        "`, for a veth with `ip link add ... numrxqueues ", options_.workers, " numtxqueues ", options_.workers, "`"));
  }
  spdlog::info("{}: keeps its {} RX queues for {} workers: {}", options_.interface, queues_, options_.workers,
               std::string(set.message()));
  return absl::OkStatus();
}

absl::Status AfxdpPort::AttachProgram() {
  absl::StatusOr<std::unique_ptr<RedirectProgram>> program =
      RedirectProgram::Load(std::max(queues_, channels_at_open_.count));
  if (!program.ok()) return program.status();
  program_ = *std::move(program);
  absl::Status status = program_->Attach(interface_.index(), options_.interface);
  // A veth takes no XDP program when it has fewer RX queues than its peer sends from.
  if (absl::IsResourceExhausted(status) && queues_ < channels_at_open_.count) {
    spdlog::info("{}: back to {} RX queues for {} workers: its peer sends from as many", options_.interface,
                 channels_at_open_.count, options_.workers);
    if (absl::Status back = interface_.SetChannels(channels_at_open_); !back.ok()) return back;
    queues_ = channels_at_open_.count;
    status = program_->Attach(interface_.index(), options_.interface);
  }
  if (status.ok() && program_->generic()) {
    spdlog::warn("{}: its driver has no XDP; the kernel's generic path is used, several times slower",
                 options_.interface);
  }
  return status;
}

void AfxdpPort::TuneDevice() {
  // Best effort: without it one queue may get more than its share, or a tagged packet be taken for an untagged one.
  if (queues_ > 1) {
    if (const absl::Status status = interface_.HashFourTuple(); !status.ok()) {
      spdlog::info("{}", std::string(status.message()));
    }
  }
  if (const absl::Status status = interface_.KeepVlanTags(); !status.ok()) {
    spdlog::info("{}", std::string(status.message()));
  }
}

absl::Status AfxdpPort::Start(absl::Span<UmemPool* const> pool_of_queue) {
  if (pool_of_queue.size() != queues_ || !sockets_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options_.interface, ": ", pool_of_queue.size(), " pools for ",
                                                   queues_, " queues, ", sockets_.size(), " of them open"));
  }
  std::vector<std::unique_ptr<AfxdpSocket>> sockets;
  for (uint16_t queue = 0; queue < queues_; ++queue) {
    UmemPool* pool = pool_of_queue[queue];
    if (pool->chunk_size() < chunk_size_) {
      return absl::InvalidArgumentError(
          absl::StrCat(options_.interface, ": packets of ", pool->chunk_size(), " bytes; its MTU needs ", chunk_size_));
    }
    absl::StatusOr<std::unique_ptr<AfxdpSocket>> socket = AfxdpSocket::Open({.interface = options_.interface,
                                                                             .queue = queue,
                                                                             .ring_size = options_.ring_size,
                                                                             .generic = program_->generic()},
                                                                            pool);
    if (!socket.ok()) return socket.status();
    sockets.push_back(*std::move(socket));
  }
  for (uint16_t queue = 0; queue < queues_; ++queue) {
    if (absl::Status status = program_->SetSocket(queue, sockets[queue]->fd()); !status.ok()) return status;
  }
  sockets_ = std::move(sockets);
  // A device that writes into our memory has computed them; veth, virtio and the like hand over what the kernel had.
  unfinished_checksums_ =
      std::any_of(sockets_.begin(), sockets_.end(), [](const auto& socket) { return !socket->zero_copy(); });
  return absl::OkStatus();
}

uint16_t AfxdpPort::Receive(uint16_t queue, rte_mbuf** packets, uint16_t count) {
  return sockets_[queue]->Receive(packets, count);
}

uint16_t AfxdpPort::Transmit(uint16_t queue, rte_mbuf** packets, uint16_t count) {
  return sockets_[queue]->Transmit(packets, count);
}

int AfxdpPort::WaitHandle(uint16_t queue) {
  return sockets_[queue]->fd();
}

absl::Status AfxdpPort::Named(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(options_.interface, ": ", std::string(status.message())));
}

absl::Status AfxdpPort::SetVirtualAddresses(absl::Span<const Address> addresses) {
  return Named(program_->SetVirtualAddresses(addresses));
}

absl::Status AfxdpPort::SetServices(absl::Span<const Service> services) {
  return Named(program_->SetServices(services));
}

absl::Status AfxdpPort::SetLocalAddresses(absl::Span<const Address> addresses) {
  return Named(program_->SetLocalAddresses(addresses));
}

absl::Status AfxdpPort::SetRssKey(const std::array<uint8_t, 40>& /*key*/) {
  return absl::UnimplementedError("its key is the kernel's");
}

PortInfo AfxdpPort::info() {
  PortInfo info{.name = options_.interface, .queues = queues_, .kernel_ifindex = interface_.index()};
  info.mac = interface_.ReadMac().value_or(Mac{});
  // Raised while running, it still gets no larger packet than a chunk takes.
  info.mtu = static_cast<uint16_t>(std::min(interface_.ReadMtu().value_or(0), LargestAfxdpMtu(chunk_size_)));
  info.link_up = interface_.ReadLinkUp();
  const bool zero_copy = !sockets_.empty() && std::all_of(sockets_.begin(), sockets_.end(),
                                                          [](const auto& socket) { return socket->zero_copy(); });
  info.mode = zero_copy ? "af_xdp zero-copy" : "af_xdp copy";
  if (program_->generic()) info.mode += ", generic XDP (slow: the driver has none)";
  return info;
}

PortCounters AfxdpPort::ReadCounters() {
  PortCounters sum;
  for (const auto& socket : sockets_) {
    const PortCounters counters = socket->ReadCounters();
    sum.receive_dropped += counters.receive_dropped;
    sum.transmit_dropped += counters.transmit_dropped;
  }
  return sum;
}

}  // namespace sluice
