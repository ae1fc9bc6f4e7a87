#include "control/kernel_probes.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

Address SourceOf(const OwnPacket& packet) {
  Address source;
  static_assert(sizeof(packet.parsed.flow.source) == sizeof(source.bytes));
  const auto* bytes = reinterpret_cast<const uint8_t*>(&packet.parsed.flow.source);
  std::copy_n(bytes, source.bytes.size(), source.bytes.begin());
  return source;
}

}  // namespace

KernelProbes::KernelProbes(MarkedSockets* sockets, std::function<void(int)> on_device)
    : sockets_(sockets), on_device_(std::move(on_device)) {
  CheckDevice::RemoveStale();
}

KernelProbes::~KernelProbes() {
  Drop();
}

void KernelProbes::Drop() {
  if (device_ == nullptr) return;
  sockets_->SetMark(0);
  on_device_(-1);
  device_.reset();
}

absl::Status KernelProbes::Want(const ProbeFamilies& families) {
  if (!families.any()) {
    Drop();
    return absl::OkStatus();
  }
  const bool is_new = device_ == nullptr;
  if (is_new) {
    absl::StatusOr<std::unique_ptr<CheckDevice>> device = CheckDevice::Open();
    if (!device.ok()) return device.status();
    device_ = *std::move(device);
  }
  absl::Status status = families.ipv4 ? device_->Route(/*ipv4=*/true) : absl::OkStatus();
  if (status.ok() && families.ipv6) status = device_->Route(/*ipv4=*/false);
  if (is_new && status.ok()) {
    sockets_->SetMark(device_->mark());
    on_device_(device_->fd());
    spdlog::info("health checks with via: vip leave through {}", device_->name());
  } else if (is_new) {
    device_.reset();
  }
  return status;
}

std::optional<ProbePacket> KernelProbes::Take() {
  while (device_ != nullptr) {
    const ssize_t size = read(device_->fd(), bytes_.data(), bytes_.size());
    if (size <= 0) return std::nullopt;
    std::optional<OwnPacket> packet = ReadOwnPacket(absl::MakeConstSpan(bytes_).first(static_cast<size_t>(size)));
    if (!packet.has_value()) continue;
    const sluice_flow& flow = packet->parsed.flow;
    const MarkedSockets::Whose* whose = sockets_->Find(flow.protocol, SourceOf(*packet), SLUICE_16(flow.source_port));
    if (whose != nullptr) return ProbePacket{whose->pool, whose->backend, *std::move(packet)};
  }
  return std::nullopt;
}

}  // namespace sluice
