#include "control/overlay.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "config/validate.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;

template <typename List>
auto FindByName(List& list, const std::string& name) -> decltype(&*list.begin()) {
  const auto found = std::find_if(list.begin(), list.end(), [&name](const auto& one) { return one.name() == name; });
  return found == list.end() ? nullptr : &*found;
}

void Erase(const std::string& name, v1::Pool& pool) {
  auto& backends = *pool.mutable_backends();
  backends.erase(
      std::find_if(backends.begin(), backends.end(), [&name](const v1::Backend& one) { return one.name() == name; }));
}

bool IsValid(v1::Config& config, std::string* why) {
  config::Report report;
  ValidateConfig(config, report);
  if (report.ok()) return true;
  *why = report.Errors().front();
  return false;
}

std::string DroppedLine(const v1::BackendChange& change, const std::string& why) {
  const std::string what = change.has_added() ? "addition" : change.removed() ? "removal" : "change";
  return absl::StrCat("the ", what, " of backend ", change.pool(), "/", change.name(), " is dropped: ", why);
}

// As they stand, without a look at whether the result is valid.
Merged MergeAll(const v1::Config& base, const BackendChanges& changes) {
  Merged merged;
  merged.config = base;
  for (const v1::BackendChange& change : changes) {
    const absl::Status status = ApplyChange(change, merged.config);
    if (status.ok()) {
      *merged.changes.Add() = change;
    } else {
      merged.dropped.push_back(DroppedLine(change, std::string(status.message())));
    }
  }
  return merged;
}

// What makes of `base`'s backend the wanted one.
v1::BackendChange ChangeOf(const v1::Backend* base, const v1::Backend* wanted) {
  v1::BackendChange change;
  if (wanted == nullptr) {
    change.set_removed(true);
    return change;
  }
  v1::Backend same = *wanted;
  if (base != nullptr) {
    same.set_weight(base->weight());
    same.set_state(base->state());
  }
  if (base == nullptr || !MessageDifferencer::Equals(same, *base)) {
    change.set_removed(base != nullptr);
    *change.mutable_added() = *wanted;
    return change;
  }
  if (wanted->weight() != base->weight()) change.set_weight(wanted->weight());
  if (wanted->state() != base->state()) change.set_state(wanted->state());
  return change;
}

}  // namespace

v1::Pool* FindPool(v1::Config& config, const std::string& name) {
  return FindByName(*config.mutable_pools(), name);
}
const v1::Pool* FindPool(const v1::Config& config, const std::string& name) {
  return FindByName(config.pools(), name);
}
v1::Backend* FindBackend(v1::Pool& pool, const std::string& name) {
  return FindByName(*pool.mutable_backends(), name);
}
const v1::Backend* FindBackend(const v1::Pool& pool, const std::string& name) {
  return FindByName(pool.backends(), name);
}

absl::Status ApplyChange(const v1::BackendChange& change, v1::Config& config) {
  v1::Pool* pool = FindPool(config, change.pool());
  if (pool == nullptr) return absl::NotFoundError("there is no such pool any more");
  v1::Backend* backend = FindBackend(*pool, change.name());
  if (change.has_added()) {
    if (backend != nullptr && !change.removed()) {
      return absl::AlreadyExistsError("the configuration has a backend of this name itself now");
    }
    *(backend != nullptr ? backend : pool->add_backends()) = change.added();
    return absl::OkStatus();
  }
  if (backend == nullptr) return absl::NotFoundError("there is no such backend any more");
  if (change.removed()) {
    Erase(change.name(), *pool);
    return absl::OkStatus();
  }
  if (change.has_weight()) backend->set_weight(change.weight());
  if (change.has_state()) backend->set_state(change.state());
  return absl::OkStatus();
}

Merged MergeChanges(const v1::Config& base, const BackendChanges& changes) {
  Merged merged = MergeAll(base, changes);
  std::string why;
  if (IsValid(merged.config, &why)) return merged;
  // Seldom: the base has something that a change cannot be together with. Each is tried by itself, in their order.
  Merged result;
  result.config = base;
  result.dropped = merged.dropped;
  for (const v1::BackendChange& change : merged.changes) {
    v1::Config next = result.config;
    if (ApplyChange(change, next).ok() && IsValid(next, &why)) {
      result.config = std::move(next);
      *result.changes.Add() = change;
    } else {
      result.dropped.push_back(DroppedLine(change, why));
    }
  }
  return result;
}

void RecordChange(const v1::Config& base, const std::string& pool, const std::string& name, const v1::Backend* wanted,
                  BackendChanges& changes) {
  changes.erase(std::remove_if(changes.begin(), changes.end(),
                               [&](const v1::BackendChange& one) { return one.pool() == pool && one.name() == name; }),
                changes.end());
  const v1::Pool* base_pool = FindPool(base, pool);
  const v1::Backend* original = base_pool == nullptr ? nullptr : FindBackend(*base_pool, name);
  if (wanted == nullptr ? original == nullptr : original != nullptr && MessageDifferencer::Equals(*wanted, *original)) {
    return;
  }
  v1::BackendChange& change = *changes.Add();
  change = ChangeOf(original, wanted);
  change.set_pool(pool);
  change.set_name(name);
}

}  // namespace sluice
