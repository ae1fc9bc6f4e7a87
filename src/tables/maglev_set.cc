#include "tables/maglev_set.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tables/sequence.h"

namespace sluice {
namespace {

using PartOrNull = std::shared_ptr<MaglevArena::Part>;

// Whether the pool has the table that it needs already.
bool IsCurrent(const MaglevSet& previous, size_t pool, const MaglevDemand& demand) {
  return pool < previous.pools.size() && previous.pools[pool] != nullptr && previous.pools[pool]->demand == demand;
}

uint32_t EntriesOf(const MaglevDemand& demand) {
  if (demand.members.empty()) return 0;
  return demand.size + (demand.lists_members ? static_cast<uint32_t>(demand.members.size()) : 0);
}

struct Room {
  std::shared_ptr<MaglevArena> arena;
  // Where tables are to be written, by pool; null where the old one stays, and where none is needed.
  std::vector<PartOrNull> parts;
};

bool TakeChanged(const MaglevSet& previous, std::span<const MaglevDemand> demands, Room& room) {
  room.parts.assign(demands.size(), nullptr);
  for (size_t i = 0; i < demands.size(); i++) {
    const uint32_t entries = EntriesOf(demands[i]);
    if (entries == 0 || IsCurrent(previous, i, demands[i])) continue;
    room.parts[i] = room.arena->Take(entries);
    if (room.parts[i] == nullptr) return false;
  }
  return true;
}

// A quarter more than needed, and two of the largest: the next generation's changed tables stand beside this one's.
absl::StatusOr<uint32_t> Capacity(uint64_t needed, uint64_t largest) {
  const uint64_t capacity = needed + std::max(needed / 4, 2 * largest);
  if (capacity <= UINT32_MAX) return static_cast<uint32_t>(capacity);
  return absl::ResourceExhaustedError(
      absl::StrCat("the Maglev tables of all pools have ", needed,
                   " entries, too many to address; use a smaller maglev_table_size in pools with few backends"));
}

absl::StatusOr<Room> FindRoom(const MaglevSet& previous, std::span<const MaglevDemand> demands, HugePages pages) {
  uint64_t needed = 0;
  uint32_t largest = 0;
  for (const MaglevDemand& demand : demands) {
    needed += EntriesOf(demand);
    largest = std::max(largest, EntriesOf(demand));
  }
  if (needed == 0) return Room{nullptr, std::vector<PartOrNull>(demands.size())};
  const absl::StatusOr<uint32_t> capacity = Capacity(needed, largest);
  if (!capacity.ok()) return capacity.status();
  if (previous.arena != nullptr && previous.arena->capacity() / 4 <= *capacity) {
    Room room{previous.arena, {}};
    if (TakeChanged(previous, demands, room)) return room;
  }
  absl::StatusOr<std::shared_ptr<MaglevArena>> arena = MaglevArena::Create(*capacity, pages);
  if (!arena.ok()) return arena.status();
  Room room{*arena, {}};
  for (const MaglevDemand& demand : demands) {
    room.parts.push_back(EntriesOf(demand) == 0 ? nullptr : room.arena->Take(EntriesOf(demand)));
  }
  return room;
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

}  // namespace

absl::StatusOr<MaglevSet> BuildMaglevSet(const MaglevSet& previous, std::vector<MaglevDemand> demands,
                                         std::span<const std::string> names,
                                         std::span<const uint8_t, kMaglevHashKeySize> hash_key, HugePages pages) {
  absl::StatusOr<Room> room = FindRoom(previous, demands, pages);
  if (!room.ok()) return room.status();
  MaglevSet set;
  set.arena = room->arena;
  set.pools.resize(demands.size());
  for (size_t i = 0; i < demands.size(); i++) {
    const bool current = IsCurrent(previous, i, demands[i]);
    PartOrNull& part = room->parts[i];
    if (current && part == nullptr) {
      set.pools[i] = previous.pools[i];
      continue;
    }
    if (current) {
      const MaglevArena::Part& old = *previous.pools[i]->part;
      std::copy_n(old.data(), old.size(), part->data());
    } else if (part != nullptr) {
      const absl::Status status = Compute(demands[i], names[i], hash_key, part->data());
      if (!status.ok()) return status;
      set.rebuilt++;
    }
    set.pools[i] = std::make_shared<const MaglevTable>(MaglevTable{std::move(demands[i]), std::move(part)});
  }
  return set;
}

}  // namespace sluice
