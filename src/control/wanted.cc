#include "control/wanted.h"

#include <google/protobuf/util/message_differencer.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/diff.h"
#include "config/suggest.h"
#include "config/validate.h"
#include "control/change_line.h"

namespace sluice {
namespace {

absl::Status Validate(v1::Config& config, google::protobuf::RepeatedPtrField<std::string>* warnings) {
  config::Report report;
  ValidateConfig(config, report);
  for (std::string& warning : report.Warnings()) *warnings->Add() = std::move(warning);
  return report.ToStatus();
}

template <typename List>
std::string SuggestName(const std::string& name, const List& list) {
  std::vector<std::string> names;
  for (const auto& one : list) names.push_back(one.name());
  return names.empty() ? "there is none; sluicectl list shows what there is" : config::Suggest(name, names);
}

absl::Status NoPool(const v1::Config& config, const std::string& pool) {
  return absl::NotFoundError(absl::StrCat("no pool is named \"", pool.substr(0, config::kMaxNameBytes), "\"; ",
                                          SuggestName(pool, config.pools())));
}

absl::Status NoBackend(const v1::Pool& pool, const std::string& name) {
  return absl::NotFoundError(absl::StrCat("pool ", pool.name(), " has no backend \"",
                                          name.substr(0, config::kMaxNameBytes), "\"; ",
                                          SuggestName(name, pool.backends())));
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

void Wanted::Serve(Controller* controller) {
  controller_ = controller;
  // What is over by now must not come back when the file is once again as it was.
  if (begun_anew_) keeper_->Keep(stored_);
}

v1::Config Wanted::Begin(const LoadedConfig& file, const v1::StoredState& kept, std::vector<std::string>* notes) {
  stored_ = kept;
  base_ = file.config;
  if (applied() && kept.file_sha256() != file.sha256) {
    notes->push_back("the file has changed since another configuration was applied over the API, so the file counts");
    stored_.mutable_wanted()->clear_applied();
  } else if (applied()) {
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
      stored_.mutable_wanted()->clear_applied();
    }
  }
  Merged merged = MergeChanges(base_, changes());
  notes->insert(notes->end(), merged.dropped.begin(), merged.dropped.end());
  *stored_.mutable_wanted()->mutable_changes() = std::move(merged.changes);
  stored_.set_file_sha256(file.sha256);
  begun_anew_ = !google::protobuf::util::MessageDifferencer::Equals(stored_.wanted(), kept.wanted());
  config_ = std::move(merged.config);
  return config_;
}

absl::Status Wanted::CheckOptions(const v1::ChangeOptions& options) const {
  if (controller_ == nullptr) return absl::UnavailableError("sluiced is still starting; try again");
  if (!options.has_revision() || options.revision() == revision()) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("the configuration is at revision ", revision(), ", not ", options.revision(),
                                         ": somebody has changed it; look at it and try again"));
}

v1::WantedState Wanted::Current() const {
  v1::WantedState current = stored_.wanted();
  *current.mutable_applied() = base_;
  return current;
}

void Wanted::FillReply(v1::ChangeReply* reply) const {
  reply->set_generation(controller_->generation());
  reply->set_revision(revision());
}

void Wanted::Tell(const char* what, const v1::ChangeReply& reply) const {
  spdlog::info("{}", ChangeLine(what, reply));
  for (const std::string& warning : reply.warnings()) spdlog::warn("{}", warning);
  if (observer_) observer_(what, reply);
}

absl::StatusOr<v1::ChangeReply> Wanted::Reload(const LoadedConfig& file) {
  if (absl::Status status = CheckOptions({}); !status.ok()) return status;
  v1::StoredState next = stored_;
  *next.mutable_previous() = Current();
  next.mutable_wanted()->clear_applied();
  next.set_file_sha256(file.sha256);
  return Replace("reload", file.config, std::move(next), MergeChanges(file.config, changes()), false);
}

absl::StatusOr<v1::ChangeReply> Wanted::Apply(const v1::Config& config, const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  v1::StoredState next = stored_;
  *next.mutable_previous() = Current();
  *next.mutable_wanted()->mutable_applied() = config;
  return Replace("apply", config, std::move(next), {config, {}, {}}, options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::Rollback(const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  if (!stored_.has_previous()) {
    return absl::FailedPreconditionError("there is nothing to go back to: nothing was applied or reloaded");
  }
  v1::StoredState next = stored_;
  *next.mutable_previous() = Current();
  *next.mutable_wanted() = stored_.previous();
  v1::Config base = stored_.previous().applied();
  Merged merged = MergeChanges(base, stored_.previous().changes());
  return Replace("rollback", std::move(base), std::move(next), std::move(merged), options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::Replace(const char* what, v1::Config base, v1::StoredState next, Merged merged,
                                                bool dry_run) {
  v1::ChangeReply reply;
  reply.set_dry_run(dry_run);
  for (std::string& line : DiffConfigs(config_, merged.config)) reply.add_changes(std::move(line));
  if (absl::Status status = Validate(merged.config, reply.mutable_warnings()); !status.ok()) return status;
  for (std::string& line : merged.dropped) reply.add_warnings(std::move(line));
  if (dry_run) {
    if (absl::Status status = controller_->Check(merged.config); !status.ok()) return status;
  } else {
    if (absl::Status status = controller_->Apply(merged.config).status(); !status.ok()) return status;
    *next.mutable_wanted()->mutable_changes() = std::move(merged.changes);
    next.set_revision(stored_.revision() + 1);
    base_ = std::move(base);
    config_ = std::move(merged.config);
    stored_ = std::move(next);
    keeper_->Keep(stored_);
  }
  FillReply(&reply);
  if (!dry_run) Tell(what, reply);
  return reply;
}

absl::StatusOr<v1::ChangeReply> Wanted::AddBackend(const std::string& pool, const v1::Backend& backend,
                                                   const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const v1::Pool* in = FindPool(config_, pool);
  if (in == nullptr) return NoPool(config_, pool);
  const v1::Backend* there = FindBackend(*in, backend.name());
  if (there != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("pool ", pool, " has a backend \"", there->name(), "\" (",
                                                 there->address(), "); remove it first, or change its weight"));
  }
  return ChangeBackend(pool, backend.name(), &backend, options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::RemoveBackend(const std::string& pool, const std::string& backend,
                                                      const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const v1::Pool* in = FindPool(config_, pool);
  if (in == nullptr) return NoPool(config_, pool);
  if (FindBackend(*in, backend) == nullptr) return NoBackend(*in, backend);
  return ChangeBackend(pool, backend, nullptr, options.dry_run());
}

absl::StatusOr<v1::ChangeReply> Wanted::UpdateBackend(const std::string& pool, const std::string& backend,
                                                      std::optional<uint32_t> weight,
                                                      std::optional<v1::Backend::State> state,
                                                      const v1::ChangeOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const v1::Pool* in = FindPool(config_, pool);
  if (in == nullptr) return NoPool(config_, pool);
  const v1::Backend* there = FindBackend(*in, backend);
  if (there == nullptr) return NoBackend(*in, backend);
  v1::Backend wanted = *there;
  if (weight.has_value()) wanted.set_weight(*weight);
  if (state.has_value()) wanted.set_state(*state);
  return ChangeBackend(pool, backend, &wanted, options.dry_run());
}

// `wanted` is the backend as it shall be, null when it shall be gone. Required: the pool is there.
absl::StatusOr<v1::ChangeReply> Wanted::ChangeBackend(const std::string& pool, const std::string& name,
                                                      const v1::Backend* wanted, bool dry_run) {
  v1::BackendChange change;
  change.set_pool(pool);
  change.set_name(name);
  change.set_removed(FindBackend(*FindPool(config_, pool), name) != nullptr);
  if (wanted != nullptr) *change.mutable_added() = *wanted;
  v1::Config next = config_;
  if (absl::Status status = ApplyChange(change, next); !status.ok()) return status;
  v1::ChangeReply reply;
  reply.set_dry_run(dry_run);
  if (absl::Status status = Validate(next, reply.mutable_warnings()); !status.ok()) return status;
  const v1::Backend* after = FindBackend(*FindPool(next, pool), name);
  for (std::string& line : DiffConfigs(Alone(pool, FindBackend(*FindPool(config_, pool), name)), Alone(pool, after))) {
    reply.add_changes(std::move(line));
  }
  // What is so already needs no new tables.
  const bool changes = !dry_run && reply.changes_size() > 0;
  if (changes) {
    if (absl::Status status = controller_->Apply(next).status(); !status.ok()) return status;
    RecordChange(base_, pool, name, after, *stored_.mutable_wanted()->mutable_changes());
    stored_.set_revision(revision() + 1);
    config_ = std::move(next);
    keeper_->Keep(stored_);
  }
  FillReply(&reply);
  if (changes) Tell("change", reply);
  return reply;
}

}  // namespace sluice
