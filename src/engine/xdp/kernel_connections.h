// The connection table of an engine whose packets the kernel forwards, always or when nobody else does: one array that
// the kernel and this process share, and that the next instance goes on with.
//
// Thread-safety: none; the control thread's. The table itself has one writer for each partition.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/connection_tables.h"
#include "engine/xdp/attachment.h"
#include "engine/xdp/inheritance.h"
#include "tables/tables.h"

namespace sluice {

class KernelConnections {
 public:
  // Room for `max_connections` over all partitions, 12 bytes each. The table of an earlier instance, whose program is
  // the predecessor in one of the places, is gone on with, unless its partitions are less than half or more than twice
  // as large; then `notes` gets a sentence for the log.
  static absl::StatusOr<std::unique_ptr<KernelConnections>> Open(uint32_t partitions, uint64_t max_connections,
                                                                 absl::Span<XdpAttachment* const> places,
                                                                 std::vector<std::string>* notes);
  // The same with what an earlier instance has left, if it has; its map is closed in time.
  static absl::StatusOr<std::unique_ptr<KernelConnections>> GoOn(uint32_t partitions, uint64_t max_connections,
                                                                 std::optional<Inheritance> inheritance,
                                                                 std::vector<std::string>* notes);
  ~KernelConnections();
  KernelConnections(const KernelConnections&) = delete;
  KernelConnections& operator=(const KernelConnections&) = delete;

  // Before the first tables are published: entries of the earlier instance name backends by its slots. Where `tables`
  // number them otherwise, and where there are other partitions, the entries go on in another array: the program before
  // still writes to the old one. True when array() and tables() are others now.
  absl::StatusOr<bool> Settle(const Tables& tables);
  // The earlier instance's program has been relieved.
  void EndInheritance();

  uint32_t partitions() const { return partitions_; }
  // Of each partition.
  uint32_t buckets() const { return buckets_; }
  // Stays this object's.
  int array() const { return array_; }
  ConnectionTables& tables() const { return *tables_; }

 private:
  KernelConnections(uint32_t partitions, uint32_t buckets) : partitions_(partitions), buckets_(buckets) {}
  absl::Status Use(int array);
  void MarkUnlessNoted();

  uint32_t partitions_;
  uint32_t buckets_;
  int array_ = -1;
  std::unique_ptr<ConnectionTables> tables_;
  // What the entries were made by, until the first tables are ours.
  std::optional<Inheritance> inheritance_;
};

}  // namespace sluice
