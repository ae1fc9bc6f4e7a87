// The file in the state folder that has what is wanted (state.proto): whole or not at all, also when the power goes.
//
// "wanted" is the last one, "wanted.old" the one before it. Thread-safety: one writer to a folder; functions that block
// on the disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/state.pb.h"

namespace sluice {

// A state in two parts, so that for a change of one backend nothing is copied or serialized but what that one can
// change.
struct KeptState {
  v1::StoredState state;
  // Another StoredState, serialized, into which `state` is merged (MergeFrom). Null: an empty one.
  std::shared_ptr<const std::string> ground;
};

// Returns when it is on the disk.
absl::Status WriteState(const std::string& folder, const KeptState& kept);

struct FoundState {
  // As when nothing was ever changed, if there is none.
  v1::StoredState state;
  // What is wrong with the files, for the log: with the last one damaged, the one before it is the state. A damaged
  // file is kept as "wanted.bad".
  std::vector<std::string> notes;
};

// An error when a file cannot be read at all.
absl::StatusOr<FoundState> ReadState(const std::string& folder);

}  // namespace sluice
