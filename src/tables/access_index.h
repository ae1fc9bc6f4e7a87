// The prefixes of a listener's access lists, as the path asks them (sluice/access.h).
//
// Of all prefixes that hold a source the longest one decides, and the list that it stands in. A source that none holds
// is admitted when nothing is allowed in so many words.
//
// Thread-safety: pure functions; what they return is immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/region.h"
#include "config/sluice.pb.h"
#include "tables/desired.h"

namespace sluice {

struct AccessTree {
  std::vector<sluice_access_node> nodes;
  uint16_t levels = 0;
  // Whether the lowest address of all is admitted.
  bool admits_lowest = true;
};

// For sources of one family: the other's prefixes say nothing to them. Errors: an entry that is no prefix.
absl::StatusOr<AccessTree> BuildAccessTree(const v1::Access& access, bool ipv4);

// Trees by the lists that they were made of: those that are the same are there once, and are taken from the generation
// before.
using AccessTrees = absl::flat_hash_map<std::string, std::shared_ptr<const AccessTree>>;

struct AccessIndex {
  // sluice_access by listener index, sluice_access_node.
  Region access;
  Region nodes;
  AccessTrees trees;
  // Whether any listener limits what a source may open.
  bool limits_sources = false;
};

// `indices`: each listener's in the listener table, which has `listeners` records. `before`: the generation before's.
// Errors: an entry that is no prefix, no memory.
absl::StatusOr<AccessIndex> BuildAccessIndex(const DesiredState& state, std::span<const uint32_t> indices,
                                             size_t listeners, const AccessTrees& before, HugePages pages);

// What a source may open within a window of the path (sluice/source_rate.h); 0 for 0 alone.
uint32_t FlowsInWindow(uint32_t per_second);

// Whether the listener's record in the access table says anything.
bool HasAccess(const v1::Listener& listener);

}  // namespace sluice
