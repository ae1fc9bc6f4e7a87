#include "control/wanted.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/util/message_differencer.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "config/defaults.h"
#include "config/diff.h"
#include "config/validate.h"
#include "control/change_line.h"
#include "control/not_found.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;

absl::Status Validate(v1::Config& config, google::protobuf::RepeatedPtrField<std::string>* warnings) {
  config::Report report;
  ValidateConfig(config, report);
  for (std::string& warning : report.Warnings()) *warnings->Add() = std::move(warning);
  return report.ToStatus();
}

std::vector<std::string> NamesOf(const v1::Pool& pool) {
  std::vector<std::string> names;
  for (const v1::Backend& backend : pool.backends()) names.push_back(backend.name());
  return names;
}

absl::Status IsThere(const v1::Pool& pool, const v1::Backend& backend) {
  return absl::AlreadyExistsError(absl::StrCat("pool ", pool.name(), " has a backend \"", backend.name(), "\" (",
                                               backend.address(), "); remove it first, or change its weight"));
}

// Whether what was asked for is the reason, and not what the machine can't do just now.
bool IsOfTheirs(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status);
}

// On an arena: it is copied for every change, and of a large one each name and address would be allocated and freed
// alone.
struct ConfigOnArena {
  static google::protobuf::ArenaOptions Blocks() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = 64 << 10;
    options.max_block_size = 1 << 20;
    return options;
  }
  google::protobuf::Arena arena{Blocks()};
  v1::Config* config = google::protobuf::Arena::CreateMessage<v1::Config>(&arena);
};

std::shared_ptr<v1::Config> CopyOf(const v1::Config& config) {
  const auto owner = std::make_shared<ConfigOnArena>();
  *owner->config = config;
  return {owner, owner->config};
}

// The backend alone, in a configuration of its own, to tell what changes of it.
v1::Config Alone(const std::string& pool, const v1::Backend* backend) {
  v1::Config config;
  v1::Pool& only = *config.add_pools();
  only.set_name(pool);
  if (backend != nullptr) *only.add_backends() = *backend;
  return config;
}

}  // namespace

BackendEdit EditOf(const std::string& pool, const std::string& name, const v1::ChangeOptions& options) {
  BackendEdit edit;
  edit.change.set_pool(pool);
  edit.change.set_name(name);
  edit.options = options;
  return edit;
}

// What changes of backends that are made together come to, until they are published.
struct Wanted::Draft {
  // One that changes something: its reply's place, and the backend before and after it.
  struct Step {
    size_t reply = 0;
    v1::Config before;
    v1::Config after;
  };
  std::shared_ptr<v1::Config> config;
  v1::StoredState stored;
  Replies replies;
  std::vector<Step> steps;
  Warnings warnings;
};

void Wanted::Serve(Controller* controller) {
  controller_ = controller;
  // What is over by now must not come back when the file is once again as it was.
  if (begun_anew_) Keep();
}

void Wanted::Keep() {
  keeper_->Keep({stored_, {ground_, &ground_->bytes}});
}

v1::StoredState Wanted::Whole() const {
  v1::StoredState whole = ground_->state;
  whole.MergeFrom(stored_);
  return whole;
}

void Wanted::Take(v1::StoredState whole) {
  const auto ground = std::make_shared<Ground>();
  if (whole.wanted().has_applied()) {
    ground->state.mutable_wanted()->mutable_applied()->Swap(whole.mutable_wanted()->mutable_applied());
  }
  if (whole.has_previous()) ground->state.mutable_previous()->Swap(whole.mutable_previous());
  whole.mutable_wanted()->clear_applied();
  whole.clear_previous();
  ground->bytes = ground->state.SerializeAsString();
  ground_ = ground;
  stored_ = std::move(whole);
}

std::shared_ptr<const v1::Config> Wanted::Begin(const LoadedConfig& file, const v1::StoredState& kept,
                                                std::vector<std::string>* notes) {
  v1::StoredState whole = kept;
  base_ = file.config;
  if (kept.wanted().has_applied() && kept.file_sha256() != file.sha256) {
    notes->push_back("the file has changed since another configuration was applied over the API, so the file counts");
    whole.mutable_wanted()->clear_applied();
  } else if (kept.wanted().has_applied()) {
    v1::Config config = kept.wanted().applied();
    google::protobuf::RepeatedPtrField<std::string> warnings;
    const absl::Status status = Validate(config, &warnings);
    if (status.ok()) {
      base_ = std::move(config);
      notes->push_back("the configuration that was applied over the API counts, not the file; a reload takes the file");
    } else {
      notes->push_back(
          absl::StrCat("the configuration that was applied over the API is not valid any more, so the "
                       "file counts: ",
                       std::string(status.message())));
      whole.mutable_wanted()->clear_applied();
    }
  }
  Merged merged = MergeChanges(base_, kept.wanted().changes());
  notes->insert(notes->end(), merged.dropped.begin(), merged.dropped.end());
  *whole.mutable_wanted()->mutable_changes() = std::move(merged.changes);
  whole.set_file_sha256(file.sha256);
  begun_anew_ = !MessageDifferencer::Equals(whole.wanted(), kept.wanted());
  Take(std::move(whole));
  // As of what is valid already, to know its warnings: those of the file have its lines for places.
  Warnings warnings;
  Validate(merged.config, &warnings).IgnoreError();
  Warned(warnings);
  config_ = std::make_shared<const v1::Config>(std::move(merged.config));
  return config_;
}

absl::Status Wanted::CheckOptions(const v1::ChangeOptions& options, uint64_t revision) const {
  if (controller_ == nullptr) return absl::UnavailableError("sluiced is still starting; try again");
  if (!options.has_revision() || options.revision() == revision) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("the configuration is at revision ", revision, ", not ", options.revision(),
                                         ": somebody has changed it; look at it and try again"));
}

v1::WantedState Wanted::Current() const {
  v1::WantedState current = stored_.wanted();
  *current.mutable_applied() = base_;
  return current;
}

void Wanted::SetTook(uint64_t begin, v1::ChangeReply* reply) const {
  const uint64_t took = controller_->switched_at() - begin;
  reply->mutable_took()->set_seconds(static_cast<int64_t>(took / 1'000'000'000));
  reply->mutable_took()->set_nanos(static_cast<int32_t>(took % 1'000'000'000));
}

void Wanted::FillReply(v1::ChangeReply* reply) const {
  reply->set_generation(controller_->generation());
  reply->set_revision(revision());
}

void Wanted::Tell(const char* what, const v1::ChangeReply& reply) const {
  const double took = 1e3 * static_cast<double>(reply.took().seconds()) + 1e-6 * reply.took().nanos();
  spdlog::info("{} (every worker runs it after {:.1f} ms)", ChangeLine(what, reply), took);
  for (const std::string& warning : reply.warnings()) spdlog::warn("{}", warning);
  if (observer_) observer_(what, reply);
}

absl::StatusOr<v1::ChangeReply> Wanted::Reload(const LoadedConfig& file) {
  if (absl::Status status = CheckOptions({}, revision()); !status.ok()) return status;
  v1::StoredState next = Whole();
  *next.mutable_previous() = Current();
  next.mutable_wanted()->clear_applied();
  next.set_file_sha256(file.sha256);
  return Replace("reload", file.config, std::move(next), MergeChanges(file.config, changes()), false);
}

absl::StatusOr<v1::ChangeReply> Wanted::Apply(const v1::Config& config, const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options, revision()); !status.ok()) return status;
  v1::StoredState next = Whole();
  *next.mutable_previous() = Current();
  *next.mutable_wanted()->mutable_applied() = config;
  return Replace("apply", config, std::move(next), {config, {}, {}}, options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::Rollback(const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options, revision()); !status.ok()) return status;
  const v1::StoredState& ground = ground_->state;
  if (!ground.has_previous()) {
    return absl::FailedPreconditionError("there is nothing to go back to: nothing was applied or reloaded");
  }
  v1::StoredState next = Whole();
  *next.mutable_previous() = Current();
  *next.mutable_wanted() = ground.previous();
  v1::Config base = ground.previous().applied();
  Merged merged = MergeChanges(base, ground.previous().changes());
  return Replace("rollback", std::move(base), std::move(next), std::move(merged), options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::Replace(const char* what, v1::Config base, v1::StoredState next, Merged merged,
                                                bool dry_run) {
  const uint64_t begin = MonotonicNow();
  v1::ChangeReply reply;
  reply.set_dry_run(dry_run);
  for (std::string& line : DiffConfigs(*config_, merged.config)) reply.add_changes(std::move(line));
  Warnings warnings;
  if (absl::Status status = Validate(merged.config, &warnings); !status.ok()) return status;
  *reply.mutable_warnings() = warnings;
  for (std::string& line : merged.dropped) reply.add_warnings(std::move(line));
  if (dry_run) {
    if (absl::Status status = controller_->Check(merged.config); !status.ok()) return status;
  } else {
    auto config = std::make_shared<const v1::Config>(std::move(merged.config));
    if (absl::Status status = controller_->Apply(config).status(); !status.ok()) return status;
    SetTook(begin, &reply);
    *next.mutable_wanted()->mutable_changes() = std::move(merged.changes);
    next.set_revision(stored_.revision() + 1);
    base_ = std::move(base);
    config_ = std::move(config);
    Warned(warnings);
    Take(std::move(next));
    Keep();
  }
  FillReply(&reply);
  if (!dry_run) Tell(what, reply);
  return reply;
}

absl::StatusOr<v1::ChangeReply> Wanted::Draw(const BackendEdit& edit, Draft* draft) const {
  const v1::BackendChange& change = edit.change;
  if (absl::Status status = CheckOptions(edit.options, draft->stored.revision()); !status.ok()) return status;
  v1::Pool* pool = FindPool(*draft->config, change.pool());
  if (pool == nullptr) return NoPool(*draft->config, change.pool());
  const v1::Backend* there = FindBackend(*pool, change.name());
  if (there != nullptr && change.has_added()) return IsThere(*pool, *there);
  if (there == nullptr && !change.has_added()) return NoBackend(pool->name(), change.name(), NamesOf(*pool));
  Draft::Step step;
  step.before = Alone(pool->name(), there);
  if (absl::Status status = ApplyChange(change, *draft->config); !status.ok()) return status;
  v1::Backend* after = FindBackend(*pool, change.name());
  if (after != nullptr) config::FillDefaults(*after);
  step.after = Alone(pool->name(), after);
  step.reply = draft->replies.size();
  v1::ChangeReply reply;
  reply.set_dry_run(edit.options.dry_run());
  // What is so already needs no new tables.
  if (!MessageDifferencer::Equals(step.before, step.after)) {
    RecordChange(base_, pool->name(), change.name(), after, *draft->stored.mutable_wanted()->mutable_changes());
    draft->stored.set_revision(draft->stored.revision() + 1);
    draft->steps.push_back(std::move(step));
  }
  reply.set_revision(draft->stored.revision());
  return reply;
}

// Tells what changes once it is known to be valid.
absl::Status Wanted::Check(Draft* draft) const {
  if (absl::Status status = Validate(*draft->config, &draft->warnings); !status.ok()) return status;
  for (const Draft::Step& step : draft->steps) {
    v1::ChangeReply& reply = *draft->replies[step.reply];
    for (const std::string& warning : draft->warnings) {
      if (!warned_.contains(warning)) reply.add_warnings(warning);
    }
    for (std::string& line : DiffConfigs(step.before, step.after)) reply.add_changes(std::move(line));
  }
  return absl::OkStatus();
}

absl::Status Wanted::Publish(uint64_t begin, Draft* draft) {
  if (absl::Status status = controller_->Apply(draft->config).status(); !status.ok()) return status;
  config_ = std::move(draft->config);
  stored_ = std::move(draft->stored);
  Warned(draft->warnings);
  Keep();
  for (const Draft::Step& step : draft->steps) {
    v1::ChangeReply& reply = *draft->replies[step.reply];
    reply.set_generation(controller_->generation());
    SetTook(begin, &reply);
    Tell("change", reply);
  }
  return absl::OkStatus();
}

// Where they cannot be made together, one of them may be to blame: they are tried in halves, down to that one.
void Wanted::ChangeTogether(absl::Span<const BackendEdit> edits, Replies* replies) {
  const uint64_t begin = MonotonicNow();
  Draft draft{CopyOf(*config_), stored_, {}, {}};
  for (const BackendEdit& edit : edits) draft.replies.push_back(Draw(edit, &draft));
  absl::Status status = draft.steps.empty() ? absl::OkStatus() : Check(&draft);
  const bool dry_run = edits.front().options.dry_run();
  if (status.ok() && !draft.steps.empty() && !dry_run) status = Publish(begin, &draft);
  if (!status.ok() && edits.size() > 1 && IsOfTheirs(status)) {
    ChangeTogether(edits.first(edits.size() / 2), replies);
    return ChangeTogether(edits.subspan(edits.size() / 2), replies);
  }
  for (absl::StatusOr<v1::ChangeReply>& reply : draft.replies) {
    if (reply.ok() && !status.ok()) reply = status;
    if (reply.ok()) reply->set_generation(controller_->generation());
    if (reply.ok() && dry_run) reply->set_revision(revision());
    replies->push_back(std::move(reply));
  }
}

Wanted::Replies Wanted::ChangeBackends(absl::Span<const BackendEdit> edits) {
  Replies replies;
  if (controller_ == nullptr) return Replies(edits.size(), CheckOptions({}, 0));
  while (!edits.empty()) {
    const auto dry_run =
        std::find_if(edits.begin(), edits.end(), [](const auto& one) { return one.options.dry_run(); });
    const size_t together = std::max<size_t>(1, static_cast<size_t>(dry_run - edits.begin()));
    ChangeTogether(edits.first(together), &replies);
    edits.remove_prefix(together);
  }
  return replies;
}

}  // namespace sluice
