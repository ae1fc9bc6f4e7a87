// Fills a Tables once everything is decided: what goes where, the index and the Maglev tables.
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tables/access_index.h"
#include "tables/desired.h"
#include "tables/hash_key.h"
#include "tables/listener_index.h"
#include "tables/maglev_set.h"
#include "tables/stable_index.h"
#include "tables/tables.h"

namespace sluice {

struct TablesPlan {
  uint32_t generation = 0;
  FlowHashKey hash_key{};
  // Where each listener, pool and backend of the desired state has its record.
  IndexPlan listeners;
  IndexPlan pools;
  IndexPlan backends;
  // Those that are gone and may have sessions yet, which are found by their addresses.
  struct Gone {
    uint32_t index = 0;
    Address address;
  };
  std::vector<Gone> gone_listeners;
  std::vector<Gone> gone_backends;
};

class TablesWriter {
 public:
  // Errors: no memory, a backend that cannot be reached as its pool says (backend_record.h).
  static absl::StatusOr<std::shared_ptr<const Tables>> Write(const TablesPlan& plan, DesiredState state,
                                                             absl::Span<const PortDescription> ports,
                                                             ListenerIndex index, AccessIndex access,
                                                             const MaglevSet& maglev, HugePages pages);
};

}  // namespace sluice
