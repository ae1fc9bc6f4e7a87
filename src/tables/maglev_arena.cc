#include "tables/maglev_arena.h"

#include <optional>
#include <utility>

namespace sluice {

absl::StatusOr<std::shared_ptr<MaglevArena>> MaglevArena::Create(uint32_t capacity, HugePages pages) {
  absl::StatusOr<Region> region = Region::Create(size_t{capacity} * sizeof(uint32_t), pages);
  if (!region.ok()) return region.status();
  return std::shared_ptr<MaglevArena>(new MaglevArena(*std::move(region), capacity));
}

std::shared_ptr<MaglevArena> MaglevArena::In(Region region) {
  const auto capacity = static_cast<uint32_t>(region.size() / sizeof(uint32_t));
  return std::shared_ptr<MaglevArena>(new MaglevArena(std::move(region), capacity));
}

std::shared_ptr<MaglevArena::Part> MaglevArena::Take(uint32_t size) {
  uint32_t offset = 0;
  {
    const absl::MutexLock lock(&mutex_);
    for (const auto& [begin, length] : taken_) {
      if (begin - offset >= size) break;
      offset = begin + length;
    }
    if (capacity_ - offset < size) return nullptr;
    taken_.emplace(offset, size);
  }
  return std::make_shared<Part>(shared_from_this(), offset, size);
}

void MaglevArena::GiveBack(uint32_t offset) {
  const absl::MutexLock lock(&mutex_);
  taken_.erase(offset);
}

}  // namespace sluice
