// Memory for the Maglev tables of all pools, shared by the generations: a pool that did not change has its table in the
// same place in the next one, so nobody writes or copies it.
//
// Parts are taken by the builder, and come back by themselves when the last generation that reads them is gone.
// Thread-safety: Take is for one thread; a part may be let go on any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/region.h"

namespace sluice {

class MaglevArena : public std::enable_shared_from_this<MaglevArena> {
 public:
  // Entries of the arena: what a pool record has as its offset and size. Keeps the arena.
  class Part {
   public:
    Part(std::shared_ptr<MaglevArena> arena, uint32_t offset, uint32_t size)
        : arena_(std::move(arena)), offset_(offset), size_(size) {}
    ~Part() { arena_->GiveBack(offset_); }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

    const MaglevArena& arena() const { return *arena_; }
    uint32_t offset() const { return offset_; }
    uint32_t size() const { return size_; }
    // For the builder, before the generation is published; and for the path.
    uint32_t* data() const { return arena_->region_.As<uint32_t>() + offset_; }

   private:
    std::shared_ptr<MaglevArena> arena_;
    uint32_t offset_;
    uint32_t size_;
  };

  // `capacity` in entries.
  static absl::StatusOr<std::shared_ptr<MaglevArena>> Create(uint32_t capacity, HugePages pages);

  // In memory of the caller's choice, whole entries of it.
  static std::shared_ptr<MaglevArena> In(Region region);

  // The first gap that is large enough; null when there is none. `size` > 0.
  std::shared_ptr<Part> Take(uint32_t size);

  uint32_t capacity() const { return capacity_; }
  const Region& region() const { return region_; }

 private:
  MaglevArena(Region region, uint32_t capacity) : region_(std::move(region)), capacity_(capacity) {}
  void GiveBack(uint32_t offset);

  const Region region_;
  const uint32_t capacity_;
  absl::Mutex mutex_;
  // Taken parts: offset -> size.
  std::map<uint32_t, uint32_t> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice
