// What is wanted: the file, or what was applied over the API in its place, with the changes of single backends over it.
// Every change of it comes through here, whoever asks for it: it is validated, published by the controller, and kept in
// the state folder. The rules: docs/decisions/kept-changes.md.
//
// Thread-safety: the control thread's. Errors say what to do; nothing has changed then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "config/load.h"
#include "control/controller.h"
#include "control/overlay.h"
#include "control/runtime.pb.h"
#include "control/state.pb.h"
#include "control/state_keeper.h"

namespace sluice {

// What shall become of a backend: there shall be a new one (`added`), it shall be gone (`removed`), or have another
// weight or state; what is absent stays as it is.
struct BackendEdit {
  v1::BackendChange change;
  v1::ChangeOptions options;
};

// One that leaves the backend as it is: what shall become of it is still to be said.
BackendEdit EditOf(const std::string& pool, const std::string& name, const v1::ChangeOptions& options);

class Wanted {
 public:
  // `keeper` outlives this.
  explicit Wanted(StateKeeper* keeper) : keeper_(keeper) {}

  // What to start with, from the file and what was kept; what of that was dropped goes to `notes`.
  std::shared_ptr<const v1::Config> Begin(const LoadedConfig& file, const v1::StoredState& kept,
                                          std::vector<std::string>* notes);
  // From here on changes are published. Required: `controller` runs what Begin gave.
  void Serve(Controller* controller);

  // The file as it is now is the base; changes of backends stay.
  absl::StatusOr<v1::ChangeReply> Reload(const LoadedConfig& file);
  // `config` is validated (config/validate.h) and becomes the base; there are no changes over it.
  absl::StatusOr<v1::ChangeReply> Apply(const v1::Config& config, const v1::ChangeOptions& options);
  absl::StatusOr<v1::ChangeReply> Rollback(const v1::ChangeOptions& options);

  // Changes of single backends, in their order, and what each is answered. All of them together are validated, built,
  // published and kept once; one that is refused holds up none of the others. A reply's revision is that of its own
  // change, its generation the one that has all of them. Dry runs are answered by what is before them.
  using Replies = std::vector<absl::StatusOr<v1::ChangeReply>>;
  Replies ChangeBackends(absl::Span<const BackendEdit> edits);

  const v1::Config& config() const { return *config_; }
  uint64_t revision() const { return stored_.revision(); }
  // Whether the base was applied over the API.
  bool applied() const { return ground_->state.wanted().has_applied(); }
  const BackendChanges& changes() const { return stored_.wanted().changes(); }

  // Calls `done` when all changes up to now are kept, or with the reason why they are not.
  void WhenKept(StateKeeper::Done done) { keeper_->WhenKept(std::move(done)); }
  // Called for each change that was made, with what it was: "apply", "reload", "rollback", "change".
  using Observer = std::function<void(const char* what, const v1::ChangeReply& reply)>;
  void SetObserver(Observer observer) { observer_ = std::move(observer); }
  // How the last attempt to keep them ended.
  absl::Status kept() const { return keeper_->status(); }

 private:
  struct Draft;
  using Warnings = google::protobuf::RepeatedPtrField<std::string>;
  // Since `begin`, of MonotonicNow.
  void SetTook(uint64_t begin, v1::ChangeReply* reply) const;
  absl::Status CheckOptions(const v1::ChangeOptions& options, uint64_t revision) const;
  absl::StatusOr<v1::ChangeReply> Replace(const char* what, v1::Config base, v1::StoredState next, Merged merged,
                                          bool dry_run);
  v1::StoredState Whole() const;
  void Take(v1::StoredState whole);
  void Keep();
  absl::StatusOr<v1::ChangeReply> Draw(const BackendEdit& edit, Draft* draft) const;
  absl::Status Check(Draft* draft) const;
  void Warned(const Warnings& warnings) { warned_ = {warnings.begin(), warnings.end()}; }
  absl::Status Publish(uint64_t begin, Draft* draft);
  void ChangeTogether(absl::Span<const BackendEdit> edits, Replies* replies);
  v1::WantedState Current() const;
  void FillReply(v1::ChangeReply* reply) const;
  void Tell(const char* what, const v1::ChangeReply& reply) const;

  StateKeeper* keeper_;
  Observer observer_;
  Controller* controller_ = nullptr;
  // The file as last read, or what was applied; what the changes are over.
  v1::Config base_;
  // `base_` with all changes; the controller has the same one.
  std::shared_ptr<const v1::Config> config_ = std::make_shared<const v1::Config>();
  // What is kept, in two parts: the bases, which no change of a backend touches, and the rest.
  struct Ground {
    v1::StoredState state;
    // Serialized.
    std::string bytes;
  };
  std::shared_ptr<const Ground> ground_ = std::make_shared<const Ground>();
  v1::StoredState stored_;
  // What `config_` is warned of, which a change of a backend does not say again.
  absl::flat_hash_set<std::string> warned_;
  // It is not as it was found.
  bool begun_anew_ = false;
};

}  // namespace sluice
