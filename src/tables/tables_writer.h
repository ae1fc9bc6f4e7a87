// Fills a Tables once everything is decided: what goes where, the index and the Maglev tables. All records that pools
// have are those of the generation before, where there is one, but for pools that are new in the state.
//
// Thread-safety: pure functions.
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
  // Where each listener and each pool, splits behind them, has its record; backends have their slots.
  IndexPlan listeners;
  IndexPlan pools;
  uint32_t backend_slots = 0;
  // Those that are gone and may have sessions yet, which are found by their addresses.
  struct Gone {
    uint32_t index = 0;
    Address address;
  };
  std::vector<Gone> gone_listeners;
  std::vector<Gone> gone_backends;
  // Slots of the generation before that are not as they were, whoever has them now.
  std::vector<uint32_t> left_slots;
};

class TablesWriter {
 public:
  // Of all listeners and ports. Errors: no memory.
  static absl::StatusOr<std::shared_ptr<const TablesFront>> WriteFront(const TablesPlan& plan,
                                                                       const DesiredState& state,
                                                                       absl::Span<const PortDescription> ports,
                                                                       ListenerIndex index, AccessIndex access,
                                                                       HugePages pages);

  // `before`: the generation before, of whose records those are taken that are not new; null: all are.
  // Errors: no memory, a backend that cannot be reached as its pool says (backend_record.h).
  static absl::StatusOr<std::shared_ptr<const Tables>> Write(const TablesPlan& plan, const DesiredState& state,
                                                             absl::Span<const PortDescription> ports,
                                                             std::shared_ptr<const TablesFront> front,
                                                             std::shared_ptr<const MaglevSet> maglev,
                                                             const Tables* before, HugePages pages);

  // What new pools of the state have of their own beside records, by their slots.
  static void WriteTerms(const TablesPlan& plan, DesiredState& state);
};

}  // namespace sluice
