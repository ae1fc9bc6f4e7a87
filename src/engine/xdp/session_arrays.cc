#include "engine/xdp/session_arrays.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/xdp/program_maps.h"

namespace sluice {
namespace {

struct Array {
  // The kernel keeps 15 characters of a name, and the next instance finds the arrays by theirs.
  const char* name;
  uint32_t record;
};
constexpr std::array<Array, SessionArrays::kKinds> kArrays = {{{"sluice_s_bucket", sizeof(sluice_bucket)},
                                                               {"sluice_sessions", sizeof(sluice_session)},
                                                               {"sluice_s_pieces", sizeof(sluice_fragment)},
                                                               {"sluice_s_free", sizeof(sluice_free_line)},
                                                               {"sluice_s_owner", sizeof(sluice_session_owner)},
                                                               {"sluice_s_over", sizeof(sluice_expired)}}};

uint64_t RecordsOf(const SessionArrays::Shape& shape, size_t kind) {
  const uint64_t partitions = shape.partitions;
  switch (kind) {
    case SessionArrays::kBuckets:
      return partitions * shape.buckets;
    case SessionArrays::kSessions:
      return partitions * shape.records;
    case SessionArrays::kFragments:
      return partitions * SLUICE_FRAGMENTS;
    case SessionArrays::kFree:
      return partitions * shape.records / SLUICE_FREE_LINE;
    default:
      return partitions;
  }
}

}  // namespace

// Whole lines of free records.
SessionArrays::Shape SessionArrays::ShapeFor(uint32_t partitions, uint64_t sessions) {
  const uint64_t each = std::min<uint64_t>(sessions, UINT32_MAX / 4 / partitions);
  Shape shape;
  shape.partitions = partitions;
  shape.records = static_cast<uint32_t>((each + SLUICE_FREE_LINE - 1) / SLUICE_FREE_LINE * SLUICE_FREE_LINE);
  shape.buckets = SessionTables::BucketsForSessions(shape.records);
  return shape;
}

SessionArrays& SessionArrays::operator=(SessionArrays&& other) noexcept {
  std::swap(shape_, other.shape_);
  std::swap(fds_, other.fds_);
  std::swap(regions_, other.regions_);
  return *this;
}

SessionArrays::~SessionArrays() {
  for (const int fd : fds_) {
    if (fd >= 0) close(fd);
  }
}

absl::StatusOr<SessionArrays> SessionArrays::Make(const Shape& shape) {
  SessionArrays arrays;
  arrays.shape_ = shape;
  for (size_t kind = 0; kind < kKinds; kind++) {
    const absl::StatusOr<int> fd =
        MakeSharedArray(kArrays[kind].name, kArrays[kind].record, RecordsOf(shape, kind), "NAT sessions");
    if (!fd.ok()) return fd.status();
    arrays.fds_[kind] = *fd;
  }
  if (absl::Status status = arrays.Map(); !status.ok()) return status;
  for (const SessionPartition& partition : arrays.partitions()) {
    sluice_session_owner_begin(partition.state, shape.records);
    for (uint32_t record = 0; record < shape.records; record++) partition.free[record] = record;
  }
  return arrays;
}

std::optional<SessionArrays> SessionArrays::Find(int program, const Shape& shape) {
  SessionArrays arrays;
  arrays.shape_ = shape;
  for (size_t kind = 0; kind < kKinds; kind++) {
    const ProgramMap map = OpenProgramMap(program, kArrays[kind].name);
    arrays.fds_[kind] = map.fd;
    if (map.fd < 0 || map.record_size != kArrays[kind].record || map.records != RecordsOf(shape, kind)) {
      return std::nullopt;
    }
  }
  if (!arrays.Map().ok()) return std::nullopt;
  return arrays;
}

absl::Status SessionArrays::Map() {
  for (size_t kind = 0; kind < kKinds; kind++) {
    absl::StatusOr<Region> region = Region::Share(fds_[kind], RecordsOf(shape_, kind) * kArrays[kind].record);
    if (!region.ok()) return region.status();
    regions_[kind] = *std::move(region);
  }
  return absl::OkStatus();
}

std::vector<SessionPartition> SessionArrays::partitions() const {
  std::vector<SessionPartition> partitions;
  for (size_t i = 0; i < shape_.partitions; i++) {
    SessionPartition partition{};
    partition.buckets = regions_[kBuckets].As<sluice_bucket>() + i * shape_.buckets;
    partition.bucket_count = shape_.buckets;
    partition.session_count = shape_.records;
    partition.sessions = regions_[kSessions].As<sluice_session>() + i * shape_.records;
    partition.fragments = regions_[kFragments].As<sluice_fragment>() + i * SLUICE_FRAGMENTS;
    partition.free = regions_[kFree].As<uint32_t>() + i * shape_.records;
    partition.state = regions_[kOwners].As<sluice_session_owner>() + i;
    partition.expired = regions_[kExpired].As<sluice_expired>() + i;
    partitions.push_back(partition);
  }
  return partitions;
}

}  // namespace sluice
