#include "engine/xdp/xdp_port.h"

#include <linux/if_packet.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<XdpPort>> XdpPort::Open(const std::string& interface) {
  absl::StatusOr<KernelInterface> found = KernelInterface::Find(interface);
  if (!found.ok()) return found.status();
  absl::StatusOr<InterfaceLock> lock = InterfaceLock::Take(interface);
  if (!lock.ok()) return lock.status();
  auto port = std::unique_ptr<XdpPort>(new XdpPort(*std::move(found), *std::move(lock)));
  if (absl::Status status = port->attachment_.Look(); !status.ok()) return status;
  port->TuneDevice();
  return port;
}

XdpPort::~XdpPort() {
  if (socket_ >= 0) close(socket_);
}

// Best effort: without it one queue may get more than its share, or a tagged packet be taken for an untagged one.
void XdpPort::TuneDevice() const {
  const absl::Status statuses[] = {ReadQueues() > 1 ? interface_.HashFourTuple() : absl::OkStatus(),
                                   interface_.KeepVlanTags()};
  for (const absl::Status& status : statuses) {
    if (!status.ok()) spdlog::info("{}", std::string(status.message()));
  }
}

uint16_t XdpPort::ReadQueues() const {
  const absl::StatusOr<KernelInterface::Channels> channels = interface_.ReadChannels();
  return channels.ok() ? std::max<uint16_t>(channels->count, 1) : 1;
}

EnginePort XdpPort::Describe() const {
  EnginePort port{.name = interface_.name(), .kernel_ifindex = interface_.index()};
  port.mac = interface_.ReadMac().value_or(Mac{});
  port.mtu = static_cast<uint16_t>(std::min<uint32_t>(interface_.ReadMtu().value_or(0), UINT16_MAX));
  port.link_up = interface_.ReadLinkUp();
  const uint16_t queues = ReadQueues();
  const char* path = attachment_.generic() ? "generic XDP (slow: the driver has none)" : "native XDP";
  port.mode = absl::StrCat(path, ", ", queues, queues == 1 ? " queue" : " queues");
  return port;
}

absl::Status XdpPort::Send(const std::vector<uint8_t>& frame) {
  if (socket_ < 0) socket_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = interface_.index();
  const bool sent = socket_ >= 0 && sendto(socket_, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
                                           sizeof(to)) == static_cast<ssize_t>(frame.size());
  if (sent) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat(interface_.name(), ": sending a frame of our own"));
}

}  // namespace sluice
