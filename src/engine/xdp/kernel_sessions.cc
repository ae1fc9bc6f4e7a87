#include "engine/xdp/kernel_sessions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/counters.h"
#include "sluice/kernel.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<KernelSessions>> KernelSessions::Open(uint32_t partitions, uint64_t max_sessions,
                                                                     const sluice_nat_ports& ports,
                                                                     absl::Span<XdpAttachment* const> places,
                                                                     std::vector<std::string>* notes) {
  if (partitions > SLUICE_SESSION_PARTITIONS) {
    return absl::FailedPreconditionError(
        absl::StrCat("the interfaces have ", partitions, " RX queues, and NAT in the kernel looks for a session at ",
                     SLUICE_SESSION_PARTITIONS, " of them at most; use: ethtool -L NAME combined N"));
  }
  auto sessions = std::unique_ptr<KernelSessions>(new KernelSessions(ports));
  const SessionArrays::Shape shape = SessionArrays::ShapeFor(partitions, max_sessions);
  const auto left =
      std::find_if(places.begin(), places.end(), [](const XdpAttachment* place) { return place->predecessor() >= 0; });
  if (left != places.end()) sessions->inheritance_ = InheritSessions((*left)->predecessor());
  if (sessions->inheritance_.has_value() && sessions->inheritance_->arrays.shape().records != shape.records) {
    notes->push_back(
        "NAT sessions of the instance before are not gone on with: max_sessions or the number of queues has changed");
    sessions->inheritance_.reset();
  }
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

void KernelSessions::Settle(const Tables& tables) {
  if (!inheritance_.has_value() || settled_) return;
  settled_ = true;
  if (inheritance_->arrays.shape() != arrays_.shape() || !HaveSameNumbers(*inheritance_, tables)) {
    CopySessions(*inheritance_, tables, &arrays_);
    return;
  }
  // The very same: the program before goes on writing to them until it is relieved.
  Use(std::move(inheritance_->arrays));
  inheritance_.reset();
}

KernelSessionArrays KernelSessions::arrays() const {
  KernelSessionArrays arrays;
  arrays.partitions = arrays_.shape().partitions;
  arrays.records = arrays_.shape().records;
  arrays.buckets = arrays_.shape().buckets;
  arrays.bucket_array = arrays_.fd(SessionArrays::kBuckets);
  arrays.session_array = arrays_.fd(SessionArrays::kSessions);
  arrays.fragment_array = arrays_.fd(SessionArrays::kFragments);
  arrays.free_array = arrays_.fd(SessionArrays::kFree);
  arrays.owner_array = arrays_.fd(SessionArrays::kOwners);
  arrays.expired_array = arrays_.fd(SessionArrays::kExpired);
  arrays.ports = ports_;
  return arrays;
}

SessionCounters KernelSessions::Counted() const {
  EngineCounters sum;
  for (uint32_t i = 0; i < arrays_.shape().partitions; i++) sluice::AddCounters(arrays_.owner(i)->counters, &sum);
  return sum.sessions;
}

void KernelSessions::AddCounters(EngineCounters* sum) const {
  const SessionCounters now = Counted();
  sum->sessions.opened += now.opened - before_.opened;
  sum->sessions.expired += now.expired - before_.expired;
  sum->sessions.evicted_closed += now.evicted_closed - before_.evicted_closed;
  sum->sessions.evicted_handshake += now.evicted_handshake - before_.evicted_handshake;
  sum->sessions.ports_taken_early += now.ports_taken_early - before_.ports_taken_early;
  sum->sessions.answers_elsewhere += now.answers_elsewhere - before_.answers_elsewhere;
}

}  // namespace sluice
