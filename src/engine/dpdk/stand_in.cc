#include "engine/dpdk/stand_in.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kStartPatience(500);

}  // namespace

absl::StatusOr<std::unique_ptr<StandIn>> StandIn::Create(std::vector<AfxdpPort*> ports, KernelConnections* connections,
                                                         uint64_t takeover_after) {
  auto stand_in = std::unique_ptr<StandIn>(new StandIn(std::move(ports), connections, takeover_after));
  if (absl::Status status = stand_in->MakeOwners(); !status.ok()) return status;
  return stand_in;
}

StandIn::~StandIn() {
  if (owners_array_ >= 0) close(owners_array_);
}

absl::Status StandIn::MakeOwners() {
  const uint32_t partitions = connections_->partitions();
  const absl::StatusOr<int> array = MakeOwnerArray(partitions);
  if (!array.ok()) return array.status();
  owners_array_ = *array;
  absl::StatusOr<Region> memory = Region::Share(owners_array_, partitions * sizeof(sluice_owner));
  if (!memory.ok()) return memory.status();
  owners_ = *std::move(memory);
  told_.resize(partitions);
  return absl::OkStatus();
}

absl::Status StandIn::Publish(const std::shared_ptr<const Tables>& tables) {
  if (path_ != nullptr && path_->Fits(*tables)) {
    const absl::Status status = path_->Publish(tables);
    if (!absl::IsResourceExhausted(status)) return status;
  }
  return Replace(tables);
}

absl::StatusOr<std::unique_ptr<KernelPath>> StandIn::MakePath(const Tables& tables) const {
  KernelPath::Options options;
  options.room = KernelRoom::For(tables);
  options.partitions = connections_->partitions();
  options.buckets = connections_->buckets();
  options.connections = connections_->array();
  // Every port has the same addresses: the maps of one serve all.
  RedirectProgram& redirect = ports_[0]->redirect();
  options.workers = {takeover_after_, owners_array_, redirect.virtual_addresses(), redirect.services(),
                     redirect.local_addresses()};
  absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
  if (!path.ok()) return path.status();
  std::vector<sluice_ingress> interfaces;
  uint32_t partition = 0;
  for (uint16_t i = 0; i < ports_.size(); i++) {
    AfxdpPort& port = *ports_[i];
    const uint32_t direct = port.SendsBack() ? i : SLUICE_PORTS;
    interfaces.push_back({static_cast<uint32_t>(port.ifindex()), i, port.queues(), partition, direct});
    if (absl::Status status = (*path)->SetDevice(i, port.ifindex()); !status.ok()) return status;
    for (uint16_t queue = 0; queue < port.queues(); queue++, partition++) {
      if (absl::Status status = (*path)->SetSocket(partition, port.WaitHandle(queue)); !status.ok()) return status;
    }
  }
  (*path)->SetIngress(interfaces);
  return path;
}

// They have been started, and are about to say so: else the first packet would find nobody.
void StandIn::WaitForWorkers() const {
  const auto deadline = std::chrono::steady_clock::now() + kStartPatience;
  for (uint32_t i = 0; i < connections_->partitions(); i++) {
    while (__atomic_load_n(&owner(i)->heartbeat, __ATOMIC_ACQUIRE) == 0) {
      if (std::chrono::steady_clock::now() > deadline) return;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

absl::Status StandIn::Replace(const std::shared_ptr<const Tables>& tables) {
  absl::StatusOr<std::unique_ptr<KernelPath>> made = MakePath(*tables);
  if (!made.ok()) return made.status();
  if (absl::Status status = (*made)->Publish(tables); !status.ok()) return status;
  if (path_ == nullptr) WaitForWorkers();
  for (AfxdpPort* port : ports_) {
    absl::Status status = port->attachment().Attach((*made)->program());
    if (status.ok()) continue;
    // Those that have it go back to what they had.
    for (AfxdpPort* other : ports_) {
      if (other == port) break;
      if (path_ != nullptr) other->attachment().Attach(path_->program()).IgnoreError();
      if (path_ == nullptr) other->Redirect().IgnoreError();
    }
    return status;
  }
  const std::unique_ptr<KernelPath> before = std::exchange(path_, *std::move(made));
  if (before == nullptr) return absl::OkStatus();
  counted_before_.listeners.resize(tables->listener_count());
  counted_before_.backends.resize(tables->backend_slots());
  before->AddCounters(&counted_before_);
  return absl::OkStatus();
}

void StandIn::AddCounters(EngineCounters* sum) const {
  for (size_t i = 0; i < sum->verdicts.size(); i++) sum->verdicts[i] += counted_before_.verdicts[i];
  for (size_t i = 0; i < sum->inserted_over.size(); i++) sum->inserted_over[i] += counted_before_.inserted_over[i];
  sum->received += counted_before_.received;
  sum->bytes += counted_before_.bytes;
  const auto add = [](const std::vector<sluice_traffic>& from, std::vector<sluice_traffic>* to) {
    for (size_t i = 0; i < std::min(from.size(), to->size()); i++) {
      (*to)[i].packets += from[i].packets;
      (*to)[i].bytes += from[i].bytes;
      (*to)[i].new_flows += from[i].new_flows;
    }
  };
  add(counted_before_.listeners, &sum->listeners);
  add(counted_before_.backends, &sum->backends);
  if (path_ != nullptr) path_->AddCounters(sum);
}

std::vector<std::string> StandIn::TakeNews() {
  std::vector<std::string> news;
  uint32_t partition = 0;
  for (const AfxdpPort* port : ports_) {
    for (uint16_t queue = 0; queue < port->queues(); queue++, partition++) {
      const uint32_t taken = __atomic_load_n(&owner(partition)->taken, __ATOMIC_RELAXED);
      if (taken != told_[partition]) {
        news.push_back(absl::StrCat(port->name(), " queue ", queue,
                                    ": its worker gave no sign of life, so the kernel forwards in its place until it "
                                    "does (the ",
                                    taken, ". time)"));
      }
      told_[partition] = taken;
    }
  }
  return news;
}

}  // namespace sluice
