#include "neighbor/neighbor_state.h"

#include <linux/neighbour.h>

#include <algorithm>

namespace sluice {
namespace {

constexpr uint16_t kFixed = NUD_PERMANENT | NUD_NOARP;
constexpr uint16_t kValid = kFixed | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;
// The kernel is sending solicitations: a failure after these means that nobody answered.
constexpr uint16_t kSoliciting = NUD_PROBE | NUD_INCOMPLETE;

}  // namespace

void NeighborState::Report(uint16_t state, const std::optional<Mac>& mac, absl::Time now) {
  if ((state & kValid) != 0 && mac.has_value()) {
    state_ = state;
    mac_ = mac;
    failed_ = false;
    refusal_.clear();
    retry_ = kFirstRetry;
    if ((state & kFixed) != 0) {
      due_ = absl::InfiniteFuture();
    } else if (state == NUD_STALE) {
      due_ = Soon(now);
    } else {
      due_ = now + kLookInterval;
    }
    return;
  }
  if (state == NUD_INCOMPLETE) {
    state_ = state;
    due_ = now + kAnswerTimeout;
    return;
  }
  if (state == NUD_FAILED) {
    // `ip neigh del` passes through FAILED too, from whatever state the entry was in; and an entry that failed before
    // we asked may be old.
    const bool unanswered = (state_ & kSoliciting) != 0;
    const bool was_probed = state_ == NUD_PROBE;
    state_ = state;
    if (unanswered) {
      Fail(now);
      // Probes go to the old MAC alone; a host with a new one answers a broadcast.
      if (was_probed) due_ = now;
    } else if (!failed_) {
      due_ = Soon(now);
    }
    return;
  }
  Gone(now);
}

void NeighborState::Gone(absl::Time now) {
  state_ = NUD_NONE;
  if (!failed_) due_ = Soon(now);
}

absl::Time NeighborState::Soon(absl::Time now) const {
  return std::max(now, last_asked_ + kAskInterval);
}

void NeighborState::Refused(const absl::Status& why, absl::Time now) {
  state_ = NUD_NONE;
  refusal_ = std::string(why.message());
  Fail(now);
}

void NeighborState::Fail(absl::Time now) {
  mac_.reset();
  failed_ = true;
  due_ = now + retry_;
  retry_ = std::min(2 * retry_, kLongestRetry);
}

NeighborState::Action NeighborState::Next(absl::Time now) {
  due_ = now + kAnswerTimeout;
  if (state_ == NUD_STALE) {
    last_asked_ = now;
    return Action::kProbe;
  }
  if (state_ == NUD_NONE || state_ == NUD_FAILED) {
    last_asked_ = now;
    // Should it be refused, that is a new refusal; the old one is history.
    refusal_.clear();
    state_ = NUD_INCOMPLETE;
    return Action::kUse;
  }
  return Action::kLook;
}

}  // namespace sluice
