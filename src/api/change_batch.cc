#include "api/change_batch.h"

#include <boost/asio/post.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {

// The answer waits until the change is kept, the control thread does not.
void AnswerWhenKept(Wanted& wanted, const std::shared_ptr<Call>& call, v1::ChangeReply* reply,
                    absl::StatusOr<v1::ChangeReply> changed) {
  if (!changed.ok() || changed->dry_run()) {
    if (changed.ok()) *reply = *std::move(changed);
    return call->Finish(changed.status());
  }
  wanted.WhenKept([call, reply, changed = *std::move(changed)](const absl::Status& kept) {
    // Else the reply is gone.
    if (call->finished()) return;
    *reply = changed;
    if (kept.ok()) return call->Finish(kept);
    call->Finish(absl::DataLossError(absl::StrCat(
        "generation ", changed.generation(), " runs, but would be lost by a restart: ", std::string(kept.message()))));
  });
}

void ChangeBatch::Add(const std::shared_ptr<Call>& call, v1::ChangeReply* reply, BackendEdit edit) {
  changes_.push_back({call, reply, std::move(edit)});
  MakeSoon();
}

void ChangeBatch::MakeAll() {
  while (!changes_.empty()) Make();
}

// Behind those that wait for the control thread already: they come into the same batch.
void ChangeBatch::MakeSoon() {
  if (std::exchange(soon_, true)) return;
  boost::asio::post(io_, [weak = weak_from_this()] {
    const std::shared_ptr<ChangeBatch> self = weak.lock();
    if (self == nullptr) return;
    self->soon_ = false;
    self->Make();
    if (!self->changes_.empty()) self->MakeSoon();
  });
}

void ChangeBatch::Make() {
  std::vector<Change> changes;
  std::vector<BackendEdit> edits;
  while (!changes_.empty() && changes.size() < kTogether) {
    Change change = std::move(changes_.front());
    changes_.pop_front();
    if (change.call->EndIfAbandoned()) continue;
    edits.push_back(std::move(change.edit));
    changes.push_back(std::move(change));
  }
  Wanted::Replies replies = wanted_->ChangeBackends(edits);
  for (size_t i = 0; i < changes.size(); i++) {
    AnswerWhenKept(*wanted_, changes[i].call, changes[i].reply, std::move(replies[i]));
  }
}

}  // namespace sluice
