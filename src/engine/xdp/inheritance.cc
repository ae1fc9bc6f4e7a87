#include "engine/xdp/inheritance.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/region.h"
#include "engine/xdp/program_maps.h"
#include "sluice/connection.h"

namespace sluice {
namespace {

// As in bpf/maps.h; the kernel keeps 15 characters of a name.
constexpr char kConnections[] = "sluice_buckets_";
constexpr std::string_view kState = "sluice_state_ma";
constexpr std::string_view kBackends = "sluice_backends";

}  // namespace

absl::StatusOr<int> MakeConnectionArray(uint64_t buckets) {
  return MakeSharedArray(kConnections, sizeof(sluice_bucket), buckets, "connections");
}

absl::StatusOr<int> MakeOwnerArray(uint32_t partitions) {
  return MakeSharedArray("sluice_owners", sizeof(sluice_owner), partitions, "the owners of partitions");
}

absl::StatusOr<Inheritance> Inherit(int program) {
  const absl::Status other = absl::FailedPreconditionError("it has them in another form");
  const absl::StatusOr<Region> state = ReadProgramMap(program, kState, sizeof(sluice_kernel_state));
  const absl::StatusOr<Region> backends = ReadProgramMap(program, kBackends, sizeof(sluice_backend));
  if (!state.ok()) return other;
  Inheritance inheritance;
  inheritance.state = *state->As<sluice_kernel_state>();
  const sluice_kernel_state& said = inheritance.state;
  if (said.layout != SLUICE_LAYOUT_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has them in layout ", said.layout, ", and this version in ", SLUICE_LAYOUT_VERSION));
  }
  if (!backends.ok() || said.half > 1) return other;
  if (uint64_t{2} * said.backends_room * sizeof(sluice_backend) > backends->size()) return other;
  const auto* first = backends->As<sluice_backend>() + size_t{said.half} * said.backends_room;
  inheritance.backends.assign(first, first + said.backends_room);
  const ProgramMap map = OpenProgramMap(program, kConnections);
  const uint64_t buckets = uint64_t{said.partitions} * said.partition_buckets;
  if (map.fd < 0) return other;
  inheritance.connections = map.fd;
  if (map.records == buckets && map.record_size == sizeof(sluice_bucket)) return inheritance;
  close(map.fd);
  return other;
}

std::vector<uint32_t> SlotsNow(const std::vector<sluice_backend>& before, const Tables& tables) {
  std::vector<uint32_t> slots(before.size(), SLUICE_NO_BACKEND);
  const auto is_same = [](const sluice_backend& a, const sluice_backend& b) {
    return (b.flags & SLUICE_BACKEND_LIVE) && sluice_address_equal(&a.destination, &b.destination) &&
           a.forwarding == b.forwarding && a.service_port == b.service_port;
  };
  for (uint32_t old = 0; old < before.size(); old++) {
    if (!(before[old].flags & SLUICE_BACKEND_LIVE)) continue;
    for (uint32_t slot = 0; slot < tables.backend_slots(); slot++) {
      const sluice_backend& backend = tables.view().backends[slot];
      if (!is_same(before[old], backend)) continue;
      const bool same_pool = backend.pool == before[old].pool;
      if (same_pool || slots[old] == SLUICE_NO_BACKEND) slots[old] = slot;
      if (same_pool) break;
    }
  }
  return slots;
}

void CopyConnections(absl::Span<const sluice_bucket> from, const std::vector<uint32_t>& slots,
                     absl::Span<sluice_bucket> to) {
  const uint64_t slot_bits = uint64_t{SLUICE_NO_BACKEND} << SLUICE_ENTRY_SLOT_SHIFT;
  for (size_t i = 0; i < std::min(from.size(), to.size()); i++) {
    for (uint32_t at = 0; at < SLUICE_BUCKET_ENTRIES; at++) {
      const uint64_t entry = SLUICE_LOAD_ENTRY(&from[i].entries[at]);
      if (entry == SLUICE_ENTRY_EMPTY) continue;
      uint64_t* place = &to[i].entries[at];
      // Whoever it was: somebody was here.
      if (*place == SLUICE_ENTRY_EMPTY) SLUICE_STORE_ENTRY(place, SLUICE_ENTRY_VACATED);
      const uint32_t old = sluice_entry_slot(entry);
      if (sluice_entry_is_empty(entry) || old >= slots.size() || slots[old] == SLUICE_NO_BACKEND) continue;
      const uint64_t now = (entry & ~slot_bits) | uint64_t{slots[old]} << SLUICE_ENTRY_SLOT_SHIFT;
      if (!sluice_entry_is_empty(*place)) {
        place = std::find_if(std::begin(to[i].entries), std::end(to[i].entries),
                             [](uint64_t other) { return sluice_entry_is_empty(other); });
      }
      if (place != std::end(to[i].entries)) SLUICE_STORE_ENTRY(place, now);
    }
  }
}

void MarkCrowded(absl::Span<sluice_bucket> buckets, uint32_t entry) {
  for (sluice_bucket& bucket : buckets) {
    uint64_t empty = SLUICE_ENTRY_EMPTY;
    __atomic_compare_exchange_n(&bucket.entries[entry], &empty, SLUICE_ENTRY_VACATED, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
  }
}

}  // namespace sluice
