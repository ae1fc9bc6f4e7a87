// Small numbers for things that have names, such that a thing keeps its number for as long as it is there: new ones get
// the lowest free number.
//
// Assign only plans, so that whoever fails between it and Commit leaves the numbers as they were.
// Thread-safety: as of a container.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

  // Numbers for all things that are there from now on; `keys` differ from each other. None: more than the limit.
  std::optional<IndexPlan> Assign(std::span<const Key> keys) const {
    IndexPlan plan{std::vector<uint32_t>(keys.size(), kUnknown), static_cast<uint32_t>(entries_.size())};
    std::vector<bool> taken(entries_.size());
    if (when_gone_ == WhenGone::kRetire) {
      for (size_t i = 0; i < entries_.size(); i++) taken[i] = entries_[i].state != State::kFree;
    }
    for (size_t i = 0; i < keys.size(); i++) {
      plan.indices[i] = Find(keys[i], i);
      if (plan.indices[i] != kUnknown) taken[plan.indices[i]] = true;
    }
    uint32_t next = 0;
    for (uint32_t& index : plan.indices) {
      if (index != kUnknown) continue;
      while (next < taken.size() && taken[next]) next++;
      if (next == limit_) return std::nullopt;
      index = next++;
      if (index >= plan.size) plan.size = index + 1;
    }
    return plan;
  }

  // Things that are in nobody's plan but keep their number until they are released: with retirement only.
  std::vector<std::pair<uint32_t, Key>> Absent(const IndexPlan& plan) const {
    std::vector<bool> present(entries_.size());
    for (const uint32_t index : plan.indices) {
      if (index < present.size()) present[index] = true;
    }
    std::vector<std::pair<uint32_t, Key>> absent;
    for (uint32_t i = 0; i < entries_.size(); i++) {
      if (!present[i] && entries_[i].state != State::kFree) absent.emplace_back(i, entries_[i].key);
    }
    return absent;
  }

  // Makes the plan true. It is the last one that Assign made, of the same keys.
  void Commit(std::span<const Key> keys, const IndexPlan& plan) {
    entries_.resize(plan.size);
    std::vector<bool> stays(entries_.size());
    for (uint32_t index : plan.indices) stays[index] = true;
    for (uint32_t i = 0; i < entries_.size(); i++) {
      Entry& entry = entries_[i];
      // A number that another thing has from now on was free, or is freed here: its old owner is gone.
      if (entry.state != State::kLive) continue;
      if (!stays[i] || when_gone_ == WhenGone::kFree) entry.state = State::kRetired;
      if (when_gone_ == WhenGone::kFree) Release(i);
    }
    for (size_t i = 0; i < keys.size(); i++) {
      Entry& entry = entries_[plan.indices[i]];
      if (entry.state == State::kFree) {
        entry.key = keys[i];
        by_key_.emplace(keys[i], plan.indices[i]);
      }
      entry.state = State::kLive;
    }
    last_ = plan.indices;
  }

  std::vector<uint32_t> Retired() const {
    std::vector<uint32_t> retired;
    for (uint32_t i = 0; i < entries_.size(); i++) {
      if (entries_[i].state == State::kRetired) retired.push_back(i);
    }
    return retired;
  }

  // Frees a retired number; any other stays as it is.
  void Release(uint32_t index) {
    if (index >= entries_.size() || entries_[index].state != State::kRetired) return;
    by_key_.erase(entries_[index].key);
    entries_[index] = Entry();
  }

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;
  enum class State : uint8_t { kFree, kLive, kRetired };
  struct Entry {
    State state = State::kFree;
    Key key{};
  };

  // Most keys are where they were the last time, in most changes all of them.
  uint32_t Find(const Key& key, size_t position) const {
    if (position < last_.size()) {
      const Entry& there = entries_[last_[position]];
      if (there.state != State::kFree && there.key == key) return last_[position];
    }
    const auto known = by_key_.find(key);
    return known == by_key_.end() ? kUnknown : known->second;
  }

  size_t limit_;
  WhenGone when_gone_;
  // By number. Live and retired ones are in by_key_.
  std::vector<Entry> entries_;
  absl::flat_hash_map<Key, uint32_t> by_key_;
  // By position in the keys of the last Commit.
  std::vector<uint32_t> last_;
};

}  // namespace sluice
