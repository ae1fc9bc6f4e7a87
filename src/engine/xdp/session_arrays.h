// The arrays that NAT sessions lie in in the kernel, mapped here too.
//
// Thread-safety: none; the control thread's. What they hold is the owners' (sluice/session_records.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/session_tables.h"
#include "sluice/nat_port.h"
#include "sluice/session_records.h"

namespace sluice {

class SessionArrays {
 public:
  // Of each partition.
  struct Shape {
    uint32_t partitions = 0;
    uint32_t records = 0;
    uint32_t buckets = 0;
    bool operator==(const Shape&) const = default;
  };
  enum Kind { kBuckets, kSessions, kFragments, kFree, kOwners, kExpired, kKinds };

  // Room for so many sessions in each partition.
  static Shape ShapeFor(uint32_t partitions, uint64_t sessions);

  SessionArrays() = default;
  SessionArrays(SessionArrays&& other) noexcept { *this = std::move(other); }
  SessionArrays& operator=(SessionArrays&& other) noexcept;
  ~SessionArrays();

  // Empty ones: all records are free.
  static absl::StatusOr<SessionArrays> Make(const Shape& shape);
  // Those of a program. None when it has none of this shape.
  static std::optional<SessionArrays> Find(int program, const Shape& shape);

  const Shape& shape() const { return shape_; }
  // Stays this object's.
  int fd(Kind kind) const { return fds_[kind]; }
  std::vector<SessionPartition> partitions() const;

 private:
  absl::Status Map();

  Shape shape_;
  std::array<int, kKinds> fds_ = {-1, -1, -1, -1, -1, -1};
  std::array<Region, kKinds> regions_;
};

}  // namespace sluice
