// What must become of a flow's packets: a deliberately simple memory of every flow, beside the connection table. It
// knows of evictions only what the counters say.
//
// Thread-safety: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "engine/sim/sim_engine.h"
#include "tests/sim/site.h"

namespace sluice::sim_test {

// Entries that have given way, by what they were.
using Evictions = std::array<uint64_t, SLUICE_VICTIM_COUNT>;

enum class Kind { kSyn, kData, kClose, kIcmpError, kFirstFragment, kLaterFragment, kEarlyFragment };

struct Flow {
  Tuple tuple;
  uint32_t listener = 0;
  // Where its packets come in.
  uint16_t port = 0;
  // Null: not known, or none.
  const SiteBackend* backend = nullptr;
  uint32_t incarnation = 0;
  sluice_connection_state state = SLUICE_STATE_NEW;
  uint64_t last_seen = 0;
  Evictions evictions{};
  // Its last packet may have found no place in the table.
  bool unplaced = false;
  // Ended for good.
  bool over = false;

  // The driver's: RSS tables so far when it began, when it sends again, and a first fragment whose later is still to
  // be sent.
  uint32_t rss_epoch = 0;
  uint64_t due = 0;
  uint32_t fragment = 0;
  const SiteBackend* fragment_backend = nullptr;
  uint32_t fragment_incarnation = 0;
  Evictions fragment_evictions{};
  bool fragment_unplaced = false;
};

class Oracle {
 public:
  explicit Oracle(const Site* site) : site_(*site) {}

  // Counters before and after the packets that are judged next, and their time.
  void Begin(uint64_t now, const Evictions& before, const Evictions& after);
  // Judges what became of a packet of the flow and takes note of it.
  void Judge(Flow& flow, Kind kind, const SimResult& result);
  // A packet of a flow that is not remembered.
  void JudgeStranger(uint32_t listener, const SimResult& result);

  uint64_t stays() const { return stays_; }
  uint64_t changes() const { return changes_; }
  uint64_t lost_fragments() const { return lost_fragments_; }
  // By name of the backend.
  const std::map<std::string, uint64_t>& forwarded() const { return forwarded_; }

 private:
  bool MustStay(const Flow& flow, Kind kind) const;
  bool Evicted(const Evictions& since, sluice_connection_state state) const;
  bool Unplaced() const { return after_[SLUICE_VICTIM_NONE] != before_[SLUICE_VICTIM_NONE]; }
  const SiteBackend* Recipient(const SimResult& result);
  void JudgeFragment(Flow& flow, const SimResult& result);
  void CheckNew(uint32_t listener, const SiteBackend* old, const SiteBackend* recipient, const SimResult& result);
  void Note(Flow& flow, Kind kind, bool stayed, const SiteBackend* recipient);

  const Site& site_;
  uint64_t now_ = 0;
  Evictions before_{};
  Evictions after_{};
  uint64_t stays_ = 0;
  uint64_t changes_ = 0;
  uint64_t lost_fragments_ = 0;
  std::map<std::string, uint64_t> forwarded_;
};

}  // namespace sluice::sim_test
