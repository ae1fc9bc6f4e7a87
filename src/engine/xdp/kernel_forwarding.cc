#include "engine/xdp/kernel_forwarding.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/counters.h"

namespace sluice {
namespace {

// Devices that hand over what a sender on the same machine has left to hardware.
bool LeavesChecksums(const std::string& driver) {
  return driver == "veth" || driver == "virtio_net" || driver == "tun";
}

}  // namespace

absl::Status KernelForwarding::Publish(const std::shared_ptr<const Tables>& tables) {
  if (path_ != nullptr && path_->Fits(*tables)) {
    const absl::Status status = path_->Publish(tables);
    if (!absl::IsResourceExhausted(status)) return status;
  }
  return Replace(tables);
}

// A veth leaves what the driver sends back by itself lying in its peer's ring, unless that peer runs an XDP program too
// (Linux 6.18, veth_xdp_flush); what it is redirected to itself goes on at once.
absl::StatusOr<std::unique_ptr<KernelPath>> KernelForwarding::MakePath(const Tables& tables) const {
  KernelPath::Options options;
  options.room = KernelRoom::For(tables);
  options.partitions = connections_->partitions();
  options.buckets = connections_->buckets();
  options.connections = connections_->array();
  if (sessions_ != nullptr) options.sessions = sessions_->arrays();
  options.workers = workers_;
  absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
  if (!path.ok()) return path.status();
  std::vector<sluice_ingress> interfaces;
  uint32_t partition = 0;
  for (uint16_t i = 0; i < ports_.size(); i++) {
    const Port& port = ports_[i];
    const int ifindex = port.interface->index();
    const std::string driver = port.interface->ReadDriver();
    const uint16_t direct = driver == "veth" ? SLUICE_PORTS : i;
    const uint32_t sessions = options.sessions.has_value() ? options.sessions->workers + partition : 0;
    interfaces.push_back(
        {static_cast<uint32_t>(ifindex), port.queues, partition, sessions, i, direct, LeavesChecksums(driver), {}});
    if (absl::Status status = (*path)->SetDevice(i, ifindex); !status.ok()) return status;
    for (uint32_t queue = 0; queue < port.sockets.size(); queue++) {
      if (absl::Status status = (*path)->SetSocket(partition + queue, port.sockets[queue]); !status.ok()) return status;
    }
    partition += port.queues;
  }
  (*path)->SetIngress(interfaces);
  return path;
}

absl::Status KernelForwarding::Replace(const std::shared_ptr<const Tables>& tables) {
  absl::StatusOr<std::unique_ptr<KernelPath>> made = MakePath(*tables);
  if (!made.ok()) return made.status();
  if (absl::Status status = (*made)->Publish(tables); !status.ok()) return status;
  if (absl::Status status = AttachAll((*made)->program()); !status.ok()) return status;
  connections_->EndInheritance();
  if (sessions_ != nullptr) sessions_->EndInheritance();
  const std::unique_ptr<KernelPath> before = std::exchange(path_, *std::move(made));
  if (before == nullptr) return absl::OkStatus();
  // Indices only ever grow.
  counted_before_.listeners.resize(tables->listener_count());
  counted_before_.backends.resize(tables->backend_slots());
  before->AddCounters(&counted_before_);
  return absl::OkStatus();
}

void KernelForwarding::WaitForPackets() const {
  if (path_ != nullptr) path_->WaitForPackets().IgnoreError();
}

// On all of them, or as before.
absl::Status KernelForwarding::AttachAll(int program) const {
  std::vector<int> before;
  for (const Port& port : ports_) {
    before.push_back(port.attachment->program());
    absl::Status status = port.attachment->Attach(program);
    const bool attached = status.ok();
    if (attached && sessions_ != nullptr && port.attachment->generic()) {
      // It may run one queue on several CPUs, and each session has one writer.
      status = absl::FailedPreconditionError(absl::StrCat(
          port.interface->name(), ": its driver has no XDP, and generic XDP cannot translate (nat, full_nat); set ",
          "engine.type: dpdk"));
    }
    if (status.ok()) continue;
    for (size_t i = 0; i + !attached < before.size(); i++) {
      XdpAttachment& attachment = *ports_[i].attachment;
      const absl::Status back = before[i] >= 0 ? attachment.Attach(before[i]) : attachment.Detach();
      back.IgnoreError();
    }
    return status;
  }
  return absl::OkStatus();
}

std::vector<LoadedWorker> KernelForwarding::loaded_workers() const {
  return path_ != nullptr ? path_->loaded_workers() : std::vector<LoadedWorker>();
}

void KernelForwarding::AddCounters(EngineCounters* sum) const {
  sluice::AddCounters(counted_before_, sum);
  if (path_ != nullptr) path_->AddCounters(sum);
  if (sessions_ != nullptr) sessions_->AddCounters(sum);
}

}  // namespace sluice
