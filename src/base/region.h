// Memory for tables, taken once: zeroed, in huge pages where there are some, because the TLB decides how fast a large
// table is; or shared with the kernel.
//
// Thread-safety: the object has one owner; what the memory holds is up to its users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace sluice {

enum class HugePages { kOff, kPreferred, kRequired };

class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept { *this = std::move(other); }
  Region& operator=(Region&& other) noexcept;
  ~Region();

  // `bytes` zeroed, aligned to a cache line at least. Preferred: reserved huge pages, else transparent ones, else what
  // there is. Errors: out of memory; no huge pages when they are required, with what to do.
  static absl::StatusOr<Region> Create(size_t bytes, HugePages pages);

  // The first `bytes` of what `fd` stands for, shared with whoever else has it mapped; `fd` may be closed then.
  static absl::StatusOr<Region> Share(int fd, size_t bytes);

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // Whether it lies in reserved huge pages.
  bool huge() const { return huge_; }

  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
  bool huge_ = false;
};

}  // namespace sluice
