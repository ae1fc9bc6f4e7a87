#include "tests/sim/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::sim_test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
// SLUICE_CLOSING_TICKS and SLUICE_FRAGMENT_TICKS are 28 of 2.147 s, of which the first may be over at once.
constexpr uint64_t kClosingNs = 55 * kSecond;

}  // namespace

void Oracle::Begin(uint64_t now, const Evictions& before, const Evictions& after) {
  now_ = now;
  before_ = before;
  after_ = after;
}

// Confirmed entries give way to nothing but for themselves: a flood of new flows is no excuse.
bool Oracle::Evicted(const Evictions& since, sluice_connection_state state) const {
  if (after_[SLUICE_VICTIM_CONFIRMED] != since[SLUICE_VICTIM_CONFIRMED]) return true;
  if (state == SLUICE_STATE_CONFIRMED) return false;
  if (after_[SLUICE_VICTIM_NEW] != since[SLUICE_VICTIM_NEW]) return true;
  return state == SLUICE_STATE_CLOSING && after_[SLUICE_VICTIM_CLOSING] != since[SLUICE_VICTIM_CLOSING];
}

bool Oracle::MustStay(const Flow& flow, Kind kind) const {
  if (flow.backend == nullptr || !flow.backend->present || flow.backend->incarnation != flow.incarnation) return false;
  if (kind == Kind::kSyn && flow.state == SLUICE_STATE_CLOSING) return false;
  const uint64_t idle = site_.listeners()[flow.listener].idle_seconds * kSecond;
  const uint64_t most = flow.state == SLUICE_STATE_CLOSING ? std::min(idle, kClosingNs) : idle;
  return now_ - flow.last_seen <= most && !flow.unplaced && !Evicted(flow.evictions, flow.state);
}

const SiteBackend* Oracle::Recipient(const SimResult& result) {
  if (result.verdict != SLUICE_VERDICT_forwarded) return nullptr;
  const SiteBackend* recipient = site_.Recipient(result.out.bytes, result.out.port);
  EXPECT_NE(recipient, nullptr) << "a packet has left for nobody, or for a backend that is gone";
  if (recipient != nullptr) forwarded_[recipient->name]++;
  return recipient;
}

void Oracle::Judge(Flow& flow, Kind kind, const SimResult& result) {
  if (kind == Kind::kEarlyFragment) {
    EXPECT_EQ(result.verdict, SLUICE_VERDICT_unknown_fragment);
    return;
  }
  if (kind == Kind::kLaterFragment) return JudgeFragment(flow, result);
  const SiteBackend* recipient = Recipient(result);
  const bool stays = MustStay(flow, kind);
  if (stays && !flow.backend->reachable) {
    EXPECT_EQ(result.verdict, SLUICE_VERDICT_no_next_hop) << flow.backend->name;
  } else if (stays) {
    EXPECT_EQ(result.verdict, SLUICE_VERDICT_forwarded) << sluice_verdict_name(result.verdict);
    EXPECT_EQ(recipient, flow.backend) << "a flow of " << flow.backend->name << " went to "
                                       << (recipient != nullptr ? recipient->name : "nobody") << ": protocol "
                                       << int{flow.tuple.protocol} << ", packet " << static_cast<int>(kind)
                                       << ", state " << flow.state << ", seen " << (now_ - flow.last_seen) / 1'000'000
                                       << " ms ago";
  } else {
    CheckNew(flow.listener, flow.backend, recipient, result);
  }
  // No backend is selected without a next hop, so an entry has been followed.
  Note(flow, kind, stays, result.verdict == SLUICE_VERDICT_no_next_hop ? flow.backend : recipient);
}

void Oracle::JudgeStranger(uint32_t listener, const SimResult& result) {
  CheckNew(listener, nullptr, Recipient(result), result);
}

// `old`: where the flow was; it may still be known there.
void Oracle::CheckNew(uint32_t listener, const SiteBackend* old, const SiteBackend* recipient,
                      const SimResult& result) {
  const uint32_t pool = site_.listeners()[listener].pool;
  if (recipient != nullptr) {
    EXPECT_EQ(recipient->pool, pool);
    EXPECT_TRUE(recipient == old || recipient->TakesFlows()) << recipient->name << " takes no new flows";
  } else if (result.verdict == SLUICE_VERDICT_no_next_hop) {
    EXPECT_TRUE(old != nullptr && !old->reachable);
  } else {
    EXPECT_EQ(result.verdict, SLUICE_VERDICT_no_backend) << sluice_verdict_name(result.verdict);
    EXPECT_FALSE(site_.TakesFlows(pool));
  }
}

void Oracle::Note(Flow& flow, Kind kind, bool stayed, const SiteBackend* recipient) {
  (stayed ? stays_ : changes_)++;
  // It makes no entry and keeps none alive.
  if (kind == Kind::kIcmpError) return;
  if (kind == Kind::kClose && !stayed) {
    flow.over = true;
    return;
  }
  if (kind == Kind::kClose) {
    flow.state = SLUICE_STATE_CLOSING;
    return;
  }
  if (kind == Kind::kFirstFragment) flow.fragment_backend = stayed ? flow.backend : recipient;
  // No backend takes flows: an old entry stays what it is.
  if (!stayed && recipient == nullptr) return;
  if (!stayed) {
    // Perhaps it was evicted and made anew, perhaps it is closing as before.
    const bool closing = flow.state == SLUICE_STATE_CLOSING && kind != Kind::kSyn && flow.backend == recipient;
    flow.state = closing ? SLUICE_STATE_CLOSING : SLUICE_STATE_NEW;
    flow.backend = recipient;
    flow.incarnation = recipient->incarnation;
  } else if (kind != Kind::kSyn && flow.state == SLUICE_STATE_NEW) {
    flow.state = SLUICE_STATE_CONFIRMED;
  }
  flow.last_seen = now_;
  flow.evictions = before_;
  flow.unplaced = !stayed && Unplaced();
  if (kind != Kind::kFirstFragment) return;
  flow.fragment_incarnation = flow.incarnation;
  flow.fragment_evictions = before_;
  flow.fragment_unplaced = Unplaced();
}

// A fragment's entry is one of a new flow for as long as it lives.
void Oracle::JudgeFragment(Flow& flow, const SimResult& result) {
  const SiteBackend* backend = flow.fragment_backend;
  const SiteBackend* recipient = Recipient(result);
  // Where the first one went was not to be seen.
  if (backend == nullptr) return;
  const bool lives = backend->present && backend->incarnation == flow.fragment_incarnation;
  if (result.verdict == SLUICE_VERDICT_unknown_fragment) {
    EXPECT_TRUE(!lives || flow.fragment_unplaced || Evicted(flow.fragment_evictions, SLUICE_STATE_NEW));
    lost_fragments_++;
  } else if (result.verdict == SLUICE_VERDICT_no_next_hop) {
    EXPECT_FALSE(backend->reachable);
  } else {
    EXPECT_EQ(result.verdict, SLUICE_VERDICT_forwarded) << sluice_verdict_name(result.verdict);
    EXPECT_EQ(recipient, backend) << "fragments of one datagram have parted";
  }
}

}  // namespace sluice::sim_test
