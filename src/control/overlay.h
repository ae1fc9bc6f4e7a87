// Changes of single backends over a base, which is the file or what was applied over the API.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "config/sluice.pb.h"
#include "control/state.pb.h"

namespace sluice {

using BackendChanges = google::protobuf::RepeatedPtrField<v1::BackendChange>;

struct Merged {
  // Valid.
  v1::Config config;
  // Those that still have a meaning over this base.
  BackendChanges changes;
  // Why the others have none, a line each.
  std::vector<std::string> dropped;
};

// `base` is valid. A change is dropped when its pool or backend is gone, when the base has made it itself, and when the
// result would not be valid.
Merged MergeChanges(const v1::Config& base, const BackendChanges& changes);

// Null when there is none of the name.
v1::Pool* FindPool(v1::Config& config, const std::string& name);
const v1::Pool* FindPool(const v1::Config& config, const std::string& name);
v1::Backend* FindBackend(v1::Pool& pool, const std::string& name);
const v1::Backend* FindBackend(const v1::Pool& pool, const std::string& name);

// Does the change to `config`; otherwise says why it has no meaning there, and changes nothing.
absl::Status ApplyChange(const v1::BackendChange& change, v1::Config& config);

// One more change of a backend into `changes`. `wanted` is the backend as it shall be, null when it shall be gone.
// `base` is what the changes are over. What comes to the same as the base leaves no change.
void RecordChange(const v1::Config& base, const std::string& pool, const std::string& name, const v1::Backend* wanted,
                  BackendChanges& changes);

}  // namespace sluice
