// The places of all pools of one generation, Maglev tables or sequences; made from those of the generation before, so
// that only pools that changed are computed.
//
// Thread-safety: a set is immutable; building one is for one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/region.h"
#include "tables/maglev.h"
#include "tables/maglev_arena.h"

namespace sluice {

// A backend that takes flows. Maglev's key is the text of its address, and of its port when it has one of its own: the
// same on every node, whatever its name there.
struct MaglevMember {
  uint32_t slot = 0;
  uint32_t weight = 0;
  Address address;
  // 0: none of its own.
  uint16_t port = 0;
  auto operator<=>(const MaglevMember&) const = default;
};

// What a pool's table follows from. Empty members: no table.
struct MaglevDemand {
  // 0: the members alone, as no one of them has a weight.
  uint32_t size = 0;
  // Sorted.
  std::vector<MaglevMember> members;
  // Not a Maglev table, but the order in which the members take their turns (sequence.h); `size` is their sum.
  std::vector<uint32_t> turns = {};
  // The members stand behind the table as well, each once (sluice_pool).
  bool lists_members = false;
  // What Maglev knows the members by that have no address: pools of a split, whose indices are their slots. In their
  // order, which is not sorted then; of those with weight 0 there are no entries.
  std::vector<std::string> keys = {};
  bool operator==(const MaglevDemand&) const = default;
};

struct MaglevTable {
  MaglevDemand demand;
  // Backend slots; null when there are no members.
  std::shared_ptr<const MaglevArena::Part> part;
};

struct MaglevSet {
  // Null while no pool has a table.
  std::shared_ptr<MaglevArena> arena;
  // By pool index; null where no pool is.
  std::vector<std::shared_ptr<const MaglevTable>> pools;
  // How many were computed, not taken over.
  uint32_t rebuilt = 0;
  // Indices of pools whose table is not the one before's, or lies elsewhere.
  std::vector<uint32_t> moved = {};
};

// What is demanded for a pool from now on.
struct MaglevChange {
  // Of the pool.
  uint32_t index = 0;
  // For errors.
  std::string name;
  MaglevDemand demand;
};

// `changes`, in the order of their indices, each once; all other pools, `pools` in all, stay as they are. `hash_key` is
// the same as for `previous`. Takes a new arena, with all tables copied, when the old one has no gap for a changed
// table, or is mostly empty.
// Errors: no memory; a demand that BuildMaglev refuses.
absl::StatusOr<MaglevSet> BuildMaglevSet(const MaglevSet& previous, size_t pools, std::vector<MaglevChange> changes,
                                         std::span<const uint8_t, kMaglevHashKeySize> hash_key, HugePages pages);

}  // namespace sluice
