// The words of the path's flow hash (sluice/hash.h), from the one key that an operator keeps.
//
// HKDF with SHA-256 (RFC 5869), no salt, info "sluice flow hash 1", 40 bytes, read as little-endian words: the same on
// every node, architecture and version. Derived and not cut out of the key, because Maglev hashes with the key itself.
// Thread-safety: pure function.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace sluice {

inline constexpr size_t kHashKeySize = 32;
using FlowHashKey = std::array<uint32_t, 10>;

// InvalidArgument: `key` is not of kHashKeySize bytes.
absl::StatusOr<FlowHashKey> DeriveFlowHashKey(absl::Span<const uint8_t> key);

}  // namespace sluice
