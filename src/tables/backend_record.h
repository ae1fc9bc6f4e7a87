// One backend as the path reads it: next hop and ready-made headers.
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "sluice/tables.h"
#include "tables/desired.h"

namespace sluice {

// What its record has of its pool.
struct BackendPool {
  const v1::Pool* config = nullptr;
  // In the pool table.
  uint32_t index = 0;
  // Ticks.
  uint16_t idle = 0;
};

// Without a next hop the record is live and has no flag NEXT_HOP.
// InvalidArgument: a tunnel without an outer source address of the backend's family.
absl::StatusOr<sluice_backend> MakeBackendRecord(const DesiredFront& front, const BackendPool& pool,
                                                 const DesiredBackend& backend,
                                                 absl::Span<const PortDescription> ports);

}  // namespace sluice
