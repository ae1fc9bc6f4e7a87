#include "engine/xdp/kernel_sessions.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/counters.h"
#include "engine/session_repair.h"
#include "sluice/kernel.h"

namespace sluice {

// One port in eight is the kernel's, in workers' place.
KernelSessions::KernelSessions(const Owners& owners, const sluice_nat_ports& ports)
    : owners_(owners), worker_ports_(ports), queue_ports_(ports) {
  if (owners.workers == 0) return;
  const uint32_t workers = ports.count - ports.count / 8u;
  worker_ports_ = sluice_nat_ports_part(&ports, 0, workers);
  queue_ports_ = sluice_nat_ports_part(&ports, workers, ports.count - workers);
}

absl::StatusOr<std::unique_ptr<KernelSessions>> KernelSessions::Open(const Owners& owners, uint64_t max_sessions,
                                                                     const sluice_nat_ports& ports,
                                                                     absl::Span<XdpAttachment* const> places) {
  if (owners.partitions() > SLUICE_SESSION_PARTITIONS) {
    return absl::FailedPreconditionError(
        absl::StrCat("the interfaces have ", owners.queues, " RX queues",
                     owners.workers > 0 ? absl::StrCat(" and there are ", owners.workers, " workers") : "",
                     ", and NAT in the kernel looks for a session at ", SLUICE_SESSION_PARTITIONS,
                     " of them at most; use: ethtool -L NAME combined N"));
  }
  auto sessions = std::unique_ptr<KernelSessions>(new KernelSessions(owners, ports));
  const uint32_t sharing = owners.workers > 0 ? owners.workers : owners.queues;
  const auto shape = SessionArrays::ShapeFor(owners.partitions(), (max_sessions + sharing - 1) / sharing);
  const auto left =
      std::find_if(places.begin(), places.end(), [](const XdpAttachment* place) { return place->predecessor() >= 0; });
  if (left != places.end()) sessions->inheritance_ = InheritSessions((*left)->predecessor());
  absl::StatusOr<SessionArrays> made = SessionArrays::Make(shape);
  if (!made.ok()) return made.status();
  sessions->Use(*std::move(made));
  return sessions;
}

void KernelSessions::Use(SessionArrays made) {
  arrays_ = std::move(made);
  tables_ = std::make_unique<SessionTables>(SessionTables::In(arrays_.partitions()));
  before_ = Counted();
}

void KernelSessions::ScatterPorts(uint64_t seed) {
  const std::vector<SessionPartition>& partitions = tables_->partitions();
  for (uint32_t i = 0; i < partitions.size(); i++) {
    sluice::ScatterPorts(partitions[i], i < owners_.workers ? worker_ports_ : queue_ports_, seed + i);
  }
}

bool KernelSessions::Settle(const Tables& tables) {
  if (!inheritance_.has_value() || settled_) return false;
  settled_ = true;
  const bool same = inheritance_->arrays.shape() == arrays_.shape() && inheritance_->workers == owners_.workers;
  if (!same || !HaveSameNumbers(*inheritance_, tables)) {
    CopySessions(*inheritance_, tables, owners_.workers, &arrays_);
    before_ = Counted();
    return false;
  }
  // The very same: the program before goes on writing to them until it is relieved. But workers may have ended in the
  // middle of something.
  marks_missing_ = !inheritance_->marked;
  Use(std::move(inheritance_->arrays));
  if (marks_missing_) MarkCrowdedSessions(arrays_);
  for (uint32_t i = 0; i < owners_.workers; i++) RepairSessions(tables_->partitions()[i]);
  for (const SessionPartition& partition : tables_->partitions()) EndEnded(partition);
  inheritance_.reset();
  return true;
}

void KernelSessions::EndInheritance() {
  // Until now it may have taken some away.
  if (marks_missing_) MarkCrowdedSessions(arrays_);
  marks_missing_ = false;
  inheritance_.reset();
}

KernelSessionArrays KernelSessions::arrays() const {
  KernelSessionArrays arrays;
  arrays.partitions = arrays_.shape().partitions;
  arrays.workers = owners_.workers;
  arrays.records = arrays_.shape().records;
  arrays.buckets = arrays_.shape().buckets;
  arrays.bucket_array = arrays_.fd(SessionArrays::kBuckets);
  arrays.session_array = arrays_.fd(SessionArrays::kSessions);
  arrays.fragment_array = arrays_.fd(SessionArrays::kFragments);
  arrays.free_array = arrays_.fd(SessionArrays::kFree);
  arrays.owner_array = arrays_.fd(SessionArrays::kOwners);
  arrays.expired_array = arrays_.fd(SessionArrays::kExpired);
  arrays.ports = queue_ports_;
  return arrays;
}

SessionCounters KernelSessions::Counted() const {
  EngineCounters sum;
  for (const SessionPartition& partition : tables_->partitions()) sluice::AddCounters(partition.state->counters, &sum);
  return sum.sessions;
}

void KernelSessions::AddCounters(EngineCounters* sum) const {
  using Words = std::array<uint64_t, sizeof(SessionCounters) / sizeof(uint64_t)>;
  auto since = std::bit_cast<Words>(Counted());
  const auto before = std::bit_cast<Words>(before_);
  for (size_t i = 0; i < since.size(); i++) since[i] -= before[i];
  sluice::AddCounters(std::bit_cast<SessionCounters>(since), sum);
}

}  // namespace sluice
