// Small numbers for things that have names, such that a thing keeps its number for as long as it is there: new ones get
// the lowest free number.
//
// Assign only plans, so that whoever fails between it and Commit leaves the numbers as they were.
// Thread-safety: as of a container.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace sluice {

// What becomes of the number of a thing that is gone: another may have it at once, or nobody until Release. A retired
// thing that comes back has its own number again.
enum class WhenGone { kFree, kRetire };

struct IndexPlan {
  // By position in the keys.
  std::vector<uint32_t> indices;
  // One more than the highest number ever given.
  uint32_t size = 0;
};

// Key: hashable by absl::Hash, copyable.
template <typename Key>
class StableIndex {
 public:
  // Numbers are below `limit`.
  StableIndex(size_t limit, WhenGone when_gone) : limit_(limit), when_gone_(when_gone) {}

  // Numbers for `keys`, which differ from each other, in the place of those things that have the numbers `before`,
  // which are live; all others stay. What it takes grows with these, and with all only for a key that has no number
  // yet. None: more than the limit.
  std::optional<IndexPlan> Assign(std::span<const uint32_t> before, std::span<const Key> keys) const {
    IndexPlan plan{std::vector<uint32_t>(keys.size(), kUnknown), static_cast<uint32_t>(entries_.size())};
    size_t unknown = 0;
    for (size_t i = 0; i < keys.size(); i++) {
      plan.indices[i] = Find(keys[i], i < before.size() ? before[i] : kUnknown);
      unknown += plan.indices[i] == kUnknown ? 1 : 0;
    }
    if (unknown > 0 && !AssignNew(before, plan)) return std::nullopt;
    return plan;
  }

  // Things that are in nobody's plan but keep their number until they are released: with retirement only. `before` as
  // for the plan.
  std::vector<std::pair<uint32_t, Key>> Absent(std::span<const uint32_t> before, const IndexPlan& plan) const {
    std::vector<bool> present(plan.size);
    for (const uint32_t index : plan.indices) present[index] = true;
    std::set<uint32_t> gone = retired_;
    std::copy_if(before.begin(), before.end(), std::inserter(gone, gone.end()),
                 [&](uint32_t i) { return !present[i]; });
    std::vector<std::pair<uint32_t, Key>> absent;
    for (const uint32_t index : gone) {
      if (!present[index]) absent.emplace_back(index, entries_[index].key);
    }
    return absent;
  }

  // Makes the plan true. It is the last one that Assign made, of the same ones.
  void Commit(std::span<const uint32_t> before, std::span<const Key> keys, const IndexPlan& plan) {
    entries_.resize(plan.size);
    for (const uint32_t index : before) entries_[index].state = State::kRetired;
    for (size_t i = 0; i < keys.size(); i++) {
      const uint32_t index = plan.indices[i];
      Entry& entry = entries_[index];
      if (entry.state == State::kRetired && !(entry.key == keys[i])) Free(index);
      if (entry.state == State::kFree) {
        entry.key = keys[i];
        by_key_.emplace(keys[i], index);
      }
      entry.state = State::kLive;
      retired_.erase(index);
    }
    for (const uint32_t index : before) {
      if (entries_[index].state != State::kRetired) continue;
      if (when_gone_ == WhenGone::kFree) Free(index);
      if (when_gone_ == WhenGone::kRetire) retired_.insert(index);
    }
  }

  std::vector<uint32_t> Retired() const { return {retired_.begin(), retired_.end()}; }

  // Frees a retired number, and says so; any other stays as it is.
  bool Release(uint32_t index) {
    if (retired_.erase(index) == 0) return false;
    Free(index);
    return true;
  }

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;
  enum class State : uint8_t { kFree, kLive, kRetired };
  struct Entry {
    State state = State::kFree;
    Key key{};
  };

  void Free(uint32_t index) {
    by_key_.erase(entries_[index].key);
    entries_[index] = Entry();
  }

  // Most keys are where they were the last time, in most changes all of them.
  uint32_t Find(const Key& key, uint32_t likely) const {
    if (likely != kUnknown && entries_[likely].key == key) return likely;
    const auto known = by_key_.find(key);
    return known == by_key_.end() ? kUnknown : known->second;
  }

  bool AssignNew(std::span<const uint32_t> before, IndexPlan& plan) const {
    std::vector<bool> taken(entries_.size());
    for (size_t i = 0; i < entries_.size(); i++) taken[i] = entries_[i].state != State::kFree;
    if (when_gone_ == WhenGone::kFree) {
      for (const uint32_t index : before) taken[index] = false;
    }
    for (const uint32_t index : plan.indices) {
      if (index != kUnknown) taken[index] = true;
    }
    uint32_t next = 0;
    for (uint32_t& index : plan.indices) {
      if (index != kUnknown) continue;
      while (next < taken.size() && taken[next]) next++;
      if (next == limit_) return false;
      index = next++;
      if (index >= plan.size) plan.size = index + 1;
    }
    return true;
  }

  size_t limit_;
  WhenGone when_gone_;
  // By number. Live and retired ones are in by_key_.
  std::vector<Entry> entries_;
  absl::flat_hash_map<Key, uint32_t> by_key_;
  std::set<uint32_t> retired_;
};

}  // namespace sluice
