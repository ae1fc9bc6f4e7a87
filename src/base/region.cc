#include "base/region.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

void* Map(size_t bytes, int flags) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

Region& Region::operator=(Region&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) munmap(data_, mapped_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  mapped_ = std::exchange(other.mapped_, 0);
  huge_ = std::exchange(other.huge_, false);
  return *this;
}

Region::~Region() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

absl::StatusOr<Region> Region::Create(size_t bytes, HugePages pages) {
  Region region;
  region.size_ = bytes;
  // A small table would waste most of a huge page.
  const bool worthwhile = pages == HugePages::kRequired || bytes >= kHugePage / 4;
  if (pages != HugePages::kOff && worthwhile) {
    region.mapped_ = RoundUp(bytes, kHugePage);
    region.data_ = static_cast<uint8_t*>(Map(region.mapped_, MAP_HUGETLB | MAP_POPULATE));
    region.huge_ = region.data_ != nullptr;
  }
  if (region.data_ == nullptr && pages == HugePages::kRequired) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no huge pages for ", bytes, " bytes; reserve some with `sysctl -w vm.nr_hugepages=",
                     RoundUp(bytes, kHugePage) / kHugePage, "` (or more), or set engine.huge_pages to preferred"));
  }
  if (region.data_ == nullptr) {
    region.mapped_ = RoundUp(bytes == 0 ? 1 : bytes, 4096);
    region.data_ = static_cast<uint8_t*>(Map(region.mapped_, 0));
    if (region.data_ == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes: ", std::strerror(errno)));
    }
    if (pages != HugePages::kOff && worthwhile) madvise(region.data_, region.mapped_, MADV_HUGEPAGE);
  }
  return region;
}

absl::StatusOr<Region> Region::Share(int fd, size_t bytes) {
  Region region;
  region.size_ = bytes;
  region.mapped_ = RoundUp(bytes == 0 ? 1 : bytes, 4096);
  void* at = mmap(nullptr, region.mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("mapping ", bytes, " shared bytes"));
  region.data_ = static_cast<uint8_t*>(at);
  return region;
}

}  // namespace sluice
