#include "engine/xdp/kernel_connections.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<KernelConnections>> KernelConnections::Open(uint32_t partitions,
                                                                           uint64_t max_connections,
                                                                           absl::Span<XdpAttachment* const> places,
                                                                           std::vector<std::string>* notes) {
  const auto left =
      std::find_if(places.begin(), places.end(), [](const XdpAttachment* place) { return place->predecessor() >= 0; });
  std::optional<Inheritance> inheritance;
  if (left != places.end()) {
    absl::StatusOr<Inheritance> found = Inherit((*left)->predecessor());
    if (found.ok()) {
      inheritance = *std::move(found);
    } else if ((*left)->predecessor_forwards()) {
      notes->push_back(absl::StrCat("connections and NAT sessions of the instance before are not gone on with: ",
                                    std::string(found.status().message())));
    }
  }
  return GoOn(partitions, max_connections, std::move(inheritance), notes);
}

absl::StatusOr<std::unique_ptr<KernelConnections>> KernelConnections::GoOn(uint32_t partitions,
                                                                           uint64_t max_connections,
                                                                           std::optional<Inheritance> inheritance,
                                                                           std::vector<std::string>* notes) {
  uint32_t buckets = BucketsFor((max_connections + partitions - 1) / partitions);
  if (inheritance.has_value()) {
    const uint32_t before = inheritance->state.partition_buckets;
    if (before <= 2 * buckets && buckets <= 2 * before) {
      buckets = before;
    } else {
      notes->push_back(
          "connections of the instance before are not gone on with: for each queue there is room for more than twice "
          "or less than half as many (max_connections, the number of queues)");
      close(inheritance->connections);
      inheritance.reset();
    }
  }
  auto connections = std::unique_ptr<KernelConnections>(new KernelConnections(partitions, buckets));
  connections->inheritance_ = std::move(inheritance);
  // Whose slots are whose is only known with the first tables.
  const std::optional<Inheritance>& kept = connections->inheritance_;
  const bool same = kept.has_value() && kept->state.partitions == partitions;
  const absl::StatusOr<int> array = same ? dup(kept->connections) : MakeConnectionArray(uint64_t{partitions} * buckets);
  if (!array.ok()) return array.status();
  if (absl::Status status = connections->Use(*array); !status.ok()) return status;
  return connections;
}

KernelConnections::~KernelConnections() {
  EndInheritance();
  if (array_ >= 0) close(array_);
}

absl::Status KernelConnections::Use(int array) {
  if (array_ >= 0) close(array_);
  array_ = array;
  absl::StatusOr<Region> memory = Region::Share(array_, size_t{partitions_} * buckets_ * sizeof(sluice_bucket));
  if (!memory.ok()) return memory.status();
  absl::StatusOr<ConnectionTables> tables = ConnectionTables::In(*std::move(memory), partitions_, buckets_);
  if (!tables.ok()) return tables.status();
  tables_ = std::make_unique<ConnectionTables>(*std::move(tables));
  return absl::OkStatus();
}

absl::StatusOr<bool> KernelConnections::Settle(const Tables& tables) {
  if (!inheritance_.has_value()) return false;
  const std::vector<uint32_t> slots = SlotsNow(inheritance_->backends, tables);
  bool same = inheritance_->state.partitions == partitions_;
  for (uint32_t old = 0; old < slots.size(); old++) {
    same = same && (slots[old] == old || !(inheritance_->backends[old].flags & SLUICE_BACKEND_LIVE));
  }
  if (same) {
    MarkUnlessNoted();
    return false;
  }
  const size_t buckets = size_t{inheritance_->state.partitions} * buckets_;
  const absl::StatusOr<Region> before = Region::Share(inheritance_->connections, buckets * sizeof(sluice_bucket));
  if (!before.ok()) return before.status();
  const absl::StatusOr<int> array = MakeConnectionArray(uint64_t{partitions_} * buckets_);
  if (!array.ok()) return array.status();
  if (absl::Status status = Use(*array); !status.ok()) return status;
  const auto* theirs = before->As<sluice_bucket>();
  const uint32_t were = inheritance_->state.partitions;
  for (uint32_t i = 0; i < partitions_; i++) {
    const absl::Span<sluice_bucket> ours(tables_->partitions()[i].buckets, buckets_);
    // Of another number of queues each may get any flow.
    for (uint32_t old = 0; old < were; old++) {
      if (were != partitions_ || old == i) CopyConnections({theirs + size_t{old} * buckets_, buckets_}, slots, ours);
    }
  }
  MarkUnlessNoted();
  return true;
}

void KernelConnections::MarkUnlessNoted() {
  if (inheritance_->state.marks_vacated != 0) return;
  MarkCrowded({tables_->partitions().front().buckets, size_t{partitions_} * buckets_}, 0);
}

void KernelConnections::EndInheritance() {
  if (inheritance_.has_value()) close(inheritance_->connections);
  inheritance_.reset();
}

}  // namespace sluice
