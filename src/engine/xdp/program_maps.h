// Arrays that programs in the kernel and this process share: made for a program, and found again by the program alone
// that an earlier instance has left.
//
// Thread-safety: none; the control thread's.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/region.h"

namespace sluice {

// An array of the kernel that can be mapped; the caller closes it. `what` is for the error: "taking 12 KiB for WHAT".
absl::StatusOr<int> MakeSharedArray(const char* name, uint32_t record, uint64_t records, const char* what);

struct ProgramMap {
  // The caller closes it; -1 when the program has no such map.
  int fd = -1;
  uint32_t records = 0;
  uint32_t record_size = 0;
};
// A map that the program uses, by its name: the kernel keeps 15 characters of it.
ProgramMap OpenProgramMap(int program, std::string_view name);

// The whole of one whose records are of the size that they are here.
absl::StatusOr<Region> ReadProgramMap(int program, std::string_view name, uint32_t record);

}  // namespace sluice
