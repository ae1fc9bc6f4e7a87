#include "control/flow_ender.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "engine/flow_end.h"

namespace sluice {
namespace {

// Records of a cache line each: half a millisecond.
constexpr uint64_t kPlacesAtOnce = 16'384;
constexpr uint32_t kEndedAtOnce = 1'000;
// Two frames each.
constexpr int kFinishedAtOnce = 256;

}  // namespace

bool FlowEnder::End(const FlowRecord& flow) {
  if (!EndFlow(flow)) return false;
  if (flow.session.has_value()) ended_.push_back({flow.record, now_ + kGrace});
  return true;
}

// One that is healthy again before all of its sessions were looked at keeps the others.
void FlowEnder::Follow(const Tables& tables) {
  absl::btree_map<uint32_t, uint64_t> before = std::exchange(resets_, {});
  for (const uint32_t slot : tables.reset_slots()) {
    const auto known = before.find(slot);
    resets_[slot] = known == before.end() ? 0 : known->second;
    if (known == before.end()) left_ = UINT64_MAX;
  }
  if (resets_.empty()) left_ = 0;
}

void FlowEnder::Tick(const Tables& tables, absl::Time now) {
  now_ = now;
  if (left_ > 0) EndSome(tables);
  TellSome(tables.view());
}

// Round and round, and once around for whoever came last.
void FlowEnder::EndSome(const Tables& tables) {
  const auto clock = static_cast<uint64_t>(absl::ToUnixNanos(now_));
  const FlowReader reader(*engine_, tables.view(), clock);
  const uint64_t sessions = reader.places() - reader.sessions_begin();
  left_ = std::min(left_, sessions);
  position_ = position_ < sessions ? position_ : 0;
  const uint64_t count = std::min({left_, sessions - position_, kPlacesAtOnce});
  uint32_t ended = 0;
  const uint64_t next = reader.Read(reader.sessions_begin() + position_, count, [&](const FlowRecord& flow) {
    const auto reset = resets_.find(flow.slot);
    if (reset != resets_.end() && End(flow)) {
      reset->second++;
      ended++;
    }
    return ended < kEndedAtOnce;
  });
  const uint64_t read = next - reader.sessions_begin() - position_;
  position_ += read;
  left_ -= read;
  if (left_ == 0) Report(tables);
}

void FlowEnder::Report(const Tables& tables) {
  for (auto& [slot, count] : resets_) {
    const BackendName& name = tables.backend_names()[slot];
    if (count > 0) {
      spdlog::info("backend {}/{}: unhealthy, so {} sessions are ended (on_unhealthy: reset)", name.pool, name.backend,
                   count);
    }
    count = 0;
  }
}

void FlowEnder::TellSome(const sluice_tables& tables) {
  const SendFrame send = [this](absl::Span<const uint8_t> frame, uint16_t port) { return engine_->Send(frame, port); };
  for (int i = 0; i < kFinishedAtOnce && !ended_.empty() && ended_.front().due <= now_; i++) {
    const Ended& first = ended_.front();
    if (!FinishSession(first.record, tables, send)) {
      if (now_ < first.due + kPatience) return;
      FinishSilently(first.record);
    }
    ended_.pop_front();
  }
}

}  // namespace sluice
