// The Maglev look-up table of one pool: which backend each of its entries names.
//
// D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4; the weights
// are ours (docs/decisions/maglev.md). A pure function of its arguments: the same keys, weights, size and hash key give
// the same assignment of entries to keys on every node, architecture and version, in whatever order the backends come.
// Thread-safety: pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

struct MaglevBackend {
  // What the backend is called on every node for as long as it lives, such as its address; different for each backend.
  std::string_view key;
  // In proportion to the others'; 0 takes no entry.
  uint32_t weight = 1;
};

inline constexpr uint32_t kMaglevMaxSize = 1u << 24;
inline constexpr size_t kMaglevHashKeySize = 32;

// `size` entries, each an index into `backends`; empty when no backend has a weight. More than a hundred times the
// number of backends, as 65537, keeps them within 1 % of each other (section 3.4).
//
// Entries are given in exact proportion to the weights: with equal weights the numbers of two backends differ by one at
// the most; otherwise a backend has its share rounded to within about one entry, and never less than one.
// InvalidArgument: `size` is not a prime of at most kMaglevMaxSize, there are more weighted backends than entries, or
// two backends have one key.
absl::StatusOr<std::vector<uint32_t>> BuildMaglev(std::span<const MaglevBackend> backends, uint32_t size,
                                                  std::span<const uint8_t, kMaglevHashKeySize> hash_key);

}  // namespace sluice
