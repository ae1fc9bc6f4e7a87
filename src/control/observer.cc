#include "control/observer.h"

#include <utility>

namespace sluice {
namespace {

// A look reads all counters of every worker.
constexpr absl::Duration kLook = absl::Milliseconds(200);
constexpr absl::Duration kSecond = absl::Seconds(1);

OpenedFlows At(const EngineCounters& counters, uint32_t slot) {
  if (slot >= counters.backend_answers.size()) return {};
  return {counters.backend_answers[slot].answered, counters.backend_answers[slot].failed};
}

}  // namespace

void Observer::Watch(absl::Span<const CheckedBackend> targets) {
  observed_.clear();
  for (const CheckedBackend& one : targets) {
    if (one.target.spec->terms.observe.has_value()) observed_.insert(one.id);
  }
  absl::erase_if(begins_, [this](const auto& entry) { return !observed_.contains(entry.first); });
  found_in_.reset();
}

// Of a million backends a few may be observed.
void Observer::FindSlots(const Tables& tables) {
  if (found_in_ == tables.generation()) return;
  found_in_ = tables.generation();
  slots_.clear();
  for (uint32_t slot = 0; slot < tables.backend_slots(); slot++) {
    const BackendName& name = tables.backend_names()[slot];
    BackendId id{name.pool, name.backend};
    if (observed_.contains(id)) slots_.emplace_back(slot, std::move(id));
  }
}

void Observer::Tick(absl::Time now, const Tables& tables, Engine* engine, BackendStates* states) {
  if (observed_.empty() || now < next_look_) return;
  next_look_ = now + kLook;
  const bool ends = now >= next_second_;
  if (ends) next_second_ = now + kSecond;
  FindSlots(tables);
  const EngineCounters counters = engine->ReadCounters();
  for (const auto& [slot, id] : slots_) {
    const RiseFall* health = states->FindHealth(id.pool, id.backend);
    if (health == nullptr) continue;
    const Begin look{slot, health->since(), At(counters, slot)};
    Begin& begin = begins_.try_emplace(id, look).first->second;
    if (begin.slot != look.slot || begin.since != look.since) begin = look;
    states->Observe(id, {look.flows.answered - begin.flows.answered, look.flows.failed - begin.flows.failed});
    if (ends) begin = look;
  }
}

}  // namespace sluice
