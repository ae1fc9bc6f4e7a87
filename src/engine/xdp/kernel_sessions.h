// The NAT sessions of an engine whose packets the kernel translates: arrays that the kernel and this process share, and
// that the next instance goes on with.
//
// Thread-safety: none; the control thread's. Records and buckets have one writer for each partition, the queue's CPU;
// this side reads them, and hands over what its sweep has found to be over.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/region.h"
#include "engine/engine.h"
#include "engine/session_tables.h"
#include "engine/xdp/attachment.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/session_inheritance.h"
#include "sluice/nat_port.h"
#include "tables/tables.h"

namespace sluice {

class KernelSessions {
 public:
  // Whose partitions there are: the workers' first, if there are any, then the queues', which are the kernel's.
  struct Owners {
    uint32_t workers = 0;
    uint32_t queues = 0;
    uint32_t partitions() const { return workers + queues; }
  };
  // Room for `max_sessions`, at least one, over the workers' partitions, or over the queues' where there are no
  // workers; 96 bytes each. In workers' place a queue has room for as many as a worker. Sessions of an earlier
  // instance, whose program is the predecessor in one of the places, are gone on with. FailedPreconditionError when
  // there are too many partitions.
  static absl::StatusOr<std::unique_ptr<KernelSessions>> Open(const Owners& owners, uint64_t max_sessions,
                                                              const sluice_nat_ports& ports,
                                                              absl::Span<XdpAttachment* const> places);
  KernelSessions(const KernelSessions&) = delete;
  KernelSessions& operator=(const KernelSessions&) = delete;

  // ScatterPorts for all partitions; those that are gone on with keep theirs.
  void ScatterPorts(uint64_t seed);
  // Before the first tables are published: sessions of the earlier instance name backends, listeners and addresses by
  // its indices. Where `tables` number them otherwise, or there were other partitions, the sessions go on in other
  // arrays, but for those whose backend, listener or address is gone. Whether the partitions are other ones from here
  // on.
  bool Settle(const Tables& tables);
  // The earlier instance's program has been relieved.
  void EndInheritance();

  KernelSessionArrays arrays() const;
  // Of all ports, those that workers may take.
  const sluice_nat_ports& worker_ports() const { return worker_ports_; }
  SessionTables& tables() const { return *tables_; }
  // Adds what the kernel has counted of them.
  void AddCounters(EngineCounters* sum) const;

 private:
  KernelSessions(const Owners& owners, const sluice_nat_ports& ports);
  void Use(SessionArrays made);
  SessionCounters Counted() const;

  Owners owners_;
  sluice_nat_ports worker_ports_;
  sluice_nat_ports queue_ports_;
  SessionArrays arrays_;
  std::unique_ptr<SessionTables> tables_;
  std::optional<SessionInheritance> inheritance_;
  bool settled_ = false;
  // The earlier instance's program empties entries without a mark.
  bool marks_missing_ = false;
  // As counted when this instance began: what an earlier one has counted is not ours to tell.
  SessionCounters before_{};
};

}  // namespace sluice
