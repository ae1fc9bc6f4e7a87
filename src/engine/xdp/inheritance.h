// What an earlier instance has left in the kernel: a program that goes on forwarding, and the connection table that it
// does so by. The next instance goes on with that table.
//
// Thread-safety: none; the control thread's.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "sluice/kernel.h"
#include "sluice/tables.h"
#include "tables/tables.h"

namespace sluice {

// An array of `buckets` connection buckets in the kernel; the caller closes it.
absl::StatusOr<int> MakeConnectionArray(uint64_t buckets);

// The same of `partitions` owner records.
absl::StatusOr<int> MakeOwnerArray(uint32_t partitions);

struct Inheritance {
  // The array of connection buckets; the caller closes it.
  int connections = -1;
  sluice_kernel_state state{};
  // Whom the entries of the table name, by slot.
  std::vector<sluice_backend> backends;
};

// What `program`, one of ours, works on. FailedPreconditionError when it is of another layout, or works on nothing of
// the kind: why, as the end of a sentence.
absl::StatusOr<Inheritance> Inherit(int program);

// The slot that each backend of the inheritance has now, by its old slot; SLUICE_NO_BACKEND for one that is gone. In
// its own pool where it still is in it.
std::vector<uint32_t> SlotsNow(const std::vector<sluice_backend>& before, const Tables& tables);

// Copies entries of connections into the same buckets of another table, where they have room, with their backends'
// slots as they are now.
void CopyConnections(absl::Span<const sluice_bucket> from, const std::vector<uint32_t>& slots,
                     absl::Span<sluice_bucket> to);

// Makes each bucket one that may have been crowded: of a table whose entries were emptied without a mark
// (sluice_kernel_state::marks_vacated). Others may read and write entries meanwhile.
// `entry`: the one whose mark says so, 0 in the connection table.
void MarkCrowded(absl::Span<sluice_bucket> buckets, uint32_t entry);

}  // namespace sluice
