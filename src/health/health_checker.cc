#include "health/health_checker.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// So that the rest of the control thread's work is not kept waiting when many are due at once: 25,600 a second.
constexpr int kStartsPerTick = 256;

}  // namespace

void HealthChecker::Watch(absl::Span<const CheckedBackend> backends) {
  absl::flat_hash_set<uint64_t> wanted;
  for (const CheckedBackend& backend : backends) {
    const auto known = numbers_.find(backend.id);
    if (known != numbers_.end() && checked_.at(known->second)->target.address == backend.target.address) {
      Update(backend, known->second);
    } else {
      if (known != numbers_.end()) Drop(known->second);
      Add(backend);
    }
    wanted.insert(numbers_.at(backend.id));
  }
  std::vector<uint64_t> gone;
  for (const auto& [number, checked] : checked_) {
    if (!wanted.contains(number)) gone.push_back(number);
  }
  for (const uint64_t number : gone) Drop(number);
}

void HealthChecker::Add(const CheckedBackend& backend) {
  const uint64_t number = next_number_++;
  RiseFall health(options_.wall());
  const absl::Duration wait = SpreadOver(health.Interval(backend.target.spec->terms), number);
  numbers_.emplace(backend.id, number);
  checked_.emplace(number,
                   std::make_unique<Checked>(Checked{backend.id, backend.target, std::move(health), {}, nullptr}));
  schedule_.Set(number, options_.monotonic() + wait);
}

// The check under way, if any, ends as it began.
void HealthChecker::Update(const CheckedBackend& backend, uint64_t number) {
  Checked& checked = *checked_.at(number);
  const bool same = checked.target.spec->terms == backend.target.spec->terms;
  checked.target = backend.target;
  if (same || checked.probe != nullptr) return;
  schedule_.Set(number, options_.monotonic() + SpreadOver(checked.health.Interval(checked.target.spec->terms), number));
}

void HealthChecker::Drop(uint64_t number) {
  const auto at = checked_.find(number);
  if (at->second->probe != nullptr) running_--;
  schedule_.Remove(number);
  numbers_.erase(at->second->id);
  std::erase(changes_, at->second->id);
  checked_.erase(at);
}

void HealthChecker::Tick() {
  const absl::Time now = options_.monotonic();
  for (int started = 0; started < kStartsPerTick && running_ < options_.most_running; started++) {
    const std::optional<CheckSchedule::Due> due = schedule_.TakeDue(now);
    if (!due.has_value()) return;
    Start(due->id, due->at);
  }
}

void HealthChecker::Start(uint64_t number, absl::Time due) {
  Checked& checked = *checked_.at(number);
  checked.due = due;
  running_++;
  checked.probe =
      options_.prober->Start(checked.target, [this, number](const CheckResult& result) { Finish(number, result); });
}

void HealthChecker::Finish(uint64_t number, const CheckResult& result) {
  Checked& checked = *checked_.at(number);
  checked.probe.reset();
  running_--;
  const CheckTerms& terms = checked.target.spec->terms;
  const bool was_initial = checked.health.state() == HealthState::kInitial;
  if (result.outcome == CheckResult::Outcome::kNotMade) not_made_ = {not_made_.count + 1, result.reason};
  const bool changed = checked.health.Take(terms, result);
  if (changed) changes_.push_back(checked.id);
  if (options_.on_result) options_.on_result(checked.id, result);
  // First checks come fast and close together; from there each finds its place in the whole interval.
  absl::Duration wait = checked.health.Interval(terms);
  if (changed && was_initial) wait = SpreadOver(wait, number);
  schedule_.Set(number, std::max(checked.due + wait, options_.monotonic()));
}

void HealthChecker::Observe(const BackendId& id, const OpenedFlows& flows) {
  const auto known = numbers_.find(id);
  if (known == numbers_.end()) return;
  Checked& checked = *checked_.at(known->second);
  const CheckTerms& terms = checked.target.spec->terms;
  if (!terms.observe.has_value() || !terms.observe->TooManyFailed(flows)) return;
  CheckResult seen;
  seen.outcome = CheckResult::Outcome::kFailed;
  seen.reason = absl::StrCat("observed: ", flows.failed, " of ", flows.answered + flows.failed,
                             " new flows refused or not answered");
  seen.at = options_.wall();
  if (!checked.health.Fall(terms, seen)) return;
  changes_.push_back(id);
  if (checked.probe != nullptr) return;
  schedule_.Set(known->second, options_.monotonic() + SpreadOver(checked.health.Interval(terms), known->second));
}

const RiseFall* HealthChecker::Find(const BackendId& id) const {
  const auto known = numbers_.find(id);
  return known == numbers_.end() ? nullptr : &checked_.at(known->second)->health;
}

}  // namespace sluice
