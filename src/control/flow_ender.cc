#include "control/flow_ender.h"

#include "engine/flow_end.h"

namespace sluice {
namespace {

// Two frames each.
constexpr int kFinishedAtOnce = 256;

}  // namespace

bool FlowEnder::End(const FlowRecord& flow) {
  if (!EndFlow(flow)) return false;
  if (flow.session.has_value()) ended_.push_back({flow.record, now_ + kGrace});
  return true;
}

void FlowEnder::Tick(const sluice_tables& tables, absl::Time now) {
  now_ = now;
  const SendFrame send = [this](absl::Span<const uint8_t> frame, uint16_t port) { return engine_->Send(frame, port); };
  for (int i = 0; i < kFinishedAtOnce && !ended_.empty() && ended_.front().due <= now; i++) {
    const Ended& first = ended_.front();
    if (!FinishSession(first.record, tables, send)) {
      if (now < first.due + kPatience) return;
      FinishSilently(first.record);
    }
    ended_.pop_front();
  }
}

}  // namespace sluice
