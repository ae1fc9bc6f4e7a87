// One backend as the path reads it: next hop and ready-made headers.
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "sluice/tables.h"
#include "tables/desired.h"

namespace sluice {

// `pool`: the pool's index in the pool table. Without a next hop the record is live and has no flag NEXT_HOP.
// InvalidArgument: a tunnel without an outer source address of the backend's family.
absl::StatusOr<sluice_backend> MakeBackendRecord(const DesiredState& state, const DesiredBackend& backend,
                                                 uint32_t pool, absl::Span<const PortDescription> ports);

}  // namespace sluice
