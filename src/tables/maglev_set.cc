#include "tables/maglev_set.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tables/sequence.h"

namespace sluice {
namespace {

using PartOrNull = std::shared_ptr<MaglevArena::Part>;

uint32_t EntriesOf(const MaglevDemand& demand) {
  if (demand.members.empty()) return 0;
  return demand.size + (demand.lists_members ? static_cast<uint32_t>(demand.members.size()) : 0);
}

uint32_t EntriesOf(const std::shared_ptr<const MaglevTable>& table) {
  return table == nullptr ? 0 : EntriesOf(table->demand);
}

// A quarter more than needed, and two of the largest: the next generation's changed tables stand beside this one's.
absl::StatusOr<uint32_t> Capacity(uint64_t needed, uint64_t largest) {
  const uint64_t capacity = needed + std::max(needed / 4, 2 * largest);
  if (capacity <= UINT32_MAX) return static_cast<uint32_t>(capacity);
  return absl::ResourceExhaustedError(
      absl::StrCat("the Maglev tables of all pools have ", needed,
                   " entries, too many to address; use a smaller maglev_table_size in pools with few backends"));
}

// What the arena of a set should have room for; 0: there is no table in it.
absl::StatusOr<uint32_t> CapacityFor(const MaglevSet& set) {
  uint64_t needed = 0;
  uint32_t largest = 0;
  for (const std::shared_ptr<const MaglevTable>& table : set.pools) {
    needed += EntriesOf(table);
    largest = std::max(largest, EntriesOf(table));
  }
  return needed == 0 ? 0 : Capacity(needed, largest);
}

// Where changed tables are to be written, in the arena that there is; null for those that are empty. False: no room.
bool FindGaps(const MaglevSet& set, std::span<const uint32_t> changed, std::vector<PartOrNull>& parts) {
  for (const uint32_t index : changed) {
    const uint32_t entries = EntriesOf(set.pools[index]);
    parts.push_back(entries == 0 ? nullptr : set.arena->Take(entries));
    if (entries != 0 && parts.back() == nullptr) return false;
  }
  return true;
}

// Puts demands without tables in the place of others. Returns whose.
std::vector<uint32_t> PutDemands(MaglevSet& set, std::vector<MaglevChange>& changes) {
  std::vector<uint32_t> changed;
  for (MaglevChange& change : changes) {
    std::shared_ptr<const MaglevTable>& table = set.pools[change.index];
    if (table != nullptr && table->demand == change.demand) continue;
    table = std::make_shared<const MaglevTable>(MaglevTable{std::move(change.demand), nullptr});
    changed.push_back(change.index);
  }
  return changed;
}

void ComputeSequence(const MaglevDemand& demand, uint32_t* slots) {
  const std::vector<uint32_t> sequence = BuildSequence(demand.turns);
  std::transform(sequence.begin(), sequence.end(), slots, [&](uint32_t member) { return demand.members[member].slot; });
}

std::vector<std::string> AddressKeys(std::span<const MaglevMember> members) {
  std::vector<std::string> keys;
  keys.reserve(members.size());
  for (const MaglevMember& member : members) {
    keys.push_back(FormatAddress(member.address));
    if (member.port != 0) absl::StrAppend(&keys.back(), " ", member.port);
  }
  return keys;
}

absl::Status Compute(const MaglevDemand& demand, const std::string& name,
                     std::span<const uint8_t, kMaglevHashKeySize> hash_key, uint32_t* slots) {
  for (size_t i = 0; demand.lists_members && i < demand.members.size(); i++) {
    slots[demand.size + i] = demand.members[i].slot;
  }
  if (!demand.turns.empty()) {
    ComputeSequence(demand, slots);
    return absl::OkStatus();
  }
  if (demand.size == 0) return absl::OkStatus();
  const std::vector<std::string> keys = demand.keys.empty() ? AddressKeys(demand.members) : demand.keys;
  std::vector<MaglevBackend> backends;
  backends.reserve(demand.members.size());
  for (size_t i = 0; i < keys.size(); i++) backends.push_back({.key = keys[i], .weight = demand.members[i].weight});
  const absl::StatusOr<std::vector<uint32_t>> table = BuildMaglev(backends, demand.size, hash_key);
  if (!table.ok()) {
    return absl::Status(table.status().code(), absl::StrCat("pool \"", name, "\": ", table.status().message()));
  }
  std::transform(table->begin(), table->end(), slots, [&](uint32_t backend) { return demand.members[backend].slot; });
  return absl::OkStatus();
}

// In an arena of that capacity: the tables that there are already, too.
absl::Status Move(uint32_t capacity, HugePages pages, MaglevSet& set, std::span<const uint32_t> changed,
                  std::vector<PartOrNull>& parts) {
  absl::StatusOr<std::shared_ptr<MaglevArena>> arena = MaglevArena::Create(capacity, pages);
  if (!arena.ok()) return arena.status();
  set.arena = *std::move(arena);
  parts.clear();
  set.moved.clear();
  for (uint32_t i = 0, next = 0; i < set.pools.size(); i++) {
    const uint32_t entries = EntriesOf(set.pools[i]);
    PartOrNull part = entries == 0 ? nullptr : set.arena->Take(entries);
    const bool has_changed = next < changed.size() && changed[next] == i;
    if (part != nullptr || has_changed) set.moved.push_back(i);
    if (has_changed) {
      parts.push_back(std::move(part));
      next++;
    } else if (part != nullptr) {
      const MaglevTable& old = *set.pools[i];
      std::copy_n(old.part->data(), old.part->size(), part->data());
      set.pools[i] = std::make_shared<const MaglevTable>(MaglevTable{old.demand, std::move(part)});
    }
  }
  return absl::OkStatus();
}

// Room for the changed tables.
absl::StatusOr<std::vector<PartOrNull>> FindRoom(HugePages pages, MaglevSet& set, std::span<const uint32_t> changed) {
  std::vector<PartOrNull> parts;
  const absl::StatusOr<uint32_t> capacity = CapacityFor(set);
  if (!capacity.ok()) return capacity.status();
  if (*capacity == 0) {
    set.arena = nullptr;
    return std::vector<PartOrNull>(changed.size());
  }
  const bool fits = set.arena != nullptr && set.arena->capacity() / 4 <= *capacity;
  if (fits && FindGaps(set, changed, parts)) return parts;
  if (absl::Status status = Move(*capacity, pages, set, changed, parts); !status.ok()) return status;
  return parts;
}

}  // namespace

absl::StatusOr<MaglevSet> BuildMaglevSet(const MaglevSet& previous, size_t pools, std::vector<MaglevChange> changes,
                                         std::span<const uint8_t, kMaglevHashKeySize> hash_key, HugePages pages) {
  MaglevSet set{previous.arena, previous.pools};
  set.pools.resize(pools);
  const std::vector<uint32_t> changed = PutDemands(set, changes);
  set.moved = changed;
  absl::StatusOr<std::vector<PartOrNull>> parts = FindRoom(pages, set, changed);
  if (!parts.ok()) return parts.status();
  for (size_t i = 0, change = 0; i < changed.size(); i++) {
    PartOrNull& part = (*parts)[i];
    if (part == nullptr) continue;
    while (changes[change].index != changed[i]) change++;
    std::shared_ptr<const MaglevTable>& table = set.pools[changed[i]];
    const absl::Status status = Compute(table->demand, changes[change].name, hash_key, part->data());
    if (!status.ok()) return status;
    table = std::make_shared<const MaglevTable>(MaglevTable{table->demand, std::move(part)});
    set.rebuilt++;
  }
  return set;
}

}  // namespace sluice
