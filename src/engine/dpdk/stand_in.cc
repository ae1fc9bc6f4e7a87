#include "engine/dpdk/stand_in.h"

#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kStartPatience(500);

}  // namespace

absl::StatusOr<std::unique_ptr<StandIn>> StandIn::Create(std::vector<AfxdpPort*> ports, KernelConnections* connections,
                                                         KernelSessions* sessions, uint64_t takeover_after) {
  auto stand_in = std::unique_ptr<StandIn>(new StandIn(std::move(ports)));
  if (absl::Status status = stand_in->MakeOwners(connections->partitions()); !status.ok()) return status;
  std::vector<KernelForwarding::Port> forwarding;
  for (AfxdpPort* port : stand_in->ports_) {
    forwarding.push_back({&port->interface(), &port->attachment(), port->queues(), {}});
    for (uint16_t queue = 0; queue < port->queues(); queue++) {
      forwarding.back().sockets.push_back(port->WaitHandle(queue));
    }
  }
  // Every port has the same addresses: the maps of one serve all.
  const RedirectProgram& redirect = stand_in->ports_[0]->redirect();
  const KernelPath::Workers workers = {takeover_after, stand_in->owners_array_, redirect.virtual_addresses(),
                                       redirect.services(), redirect.local_addresses()};
  stand_in->forwarding_ = std::make_unique<KernelForwarding>(std::move(forwarding), connections, sessions, workers);
  return stand_in;
}

StandIn::~StandIn() {
  if (owners_array_ >= 0) close(owners_array_);
}

absl::Status StandIn::MakeOwners(uint32_t partitions) {
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
  if (!forwarding_->attached()) WaitForWorkers();
  return forwarding_->Publish(tables);
}

// They have been started, and are about to say so: else the first packet would find nobody.
void StandIn::WaitForWorkers() const {
  const auto deadline = std::chrono::steady_clock::now() + kStartPatience;
  for (uint32_t i = 0; i < told_.size(); i++) {
    while (__atomic_load_n(&owner(i)->heartbeat, __ATOMIC_ACQUIRE) == 0) {
      if (std::chrono::steady_clock::now() > deadline) return;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
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
