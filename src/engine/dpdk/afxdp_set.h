// A set of keys in a BPF hash map, changed step by step to what is wanted: new keys come before old ones go, so a key
// in both sets is there at every moment. The map holds twice as many as a set may have.
//
// Thread-safety: none. Key: plain bytes, hashable.
#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

template <typename Key>
class AfxdpSet {
 public:
  // Both return 0, or an errno. `map` is the map's descriptor.
  int Add(int map, const Key& key) {
    const uint8_t value = 1;
    if (bpf_map_update_elem(map, &key, &value, BPF_ANY) != 0) return errno;
    keys_.insert(key);
    return 0;
  }

  int Replace(int map, absl::Span<const Key> keys) {
    const absl::flat_hash_set<Key> wanted(keys.begin(), keys.end());
    std::vector<Key> gone;
    for (const Key& key : keys_) {
      if (!wanted.contains(key)) gone.push_back(key);
    }
    for (const Key& key : wanted) {
      if (keys_.contains(key)) continue;
      if (const int error = Add(map, key); error != 0) return error;
    }
    for (const Key& key : gone) {
      if (bpf_map_delete_elem(map, &key) != 0 && errno != ENOENT) return errno;
      keys_.erase(key);
    }
    return 0;
  }

 private:
  absl::flat_hash_set<Key> keys_;
};

}  // namespace sluice
