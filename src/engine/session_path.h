// The path of translated flows, composed over a burst: what the connection table and the tunnels are to direct server
// return, sessions and translation are here. While there are listeners that translate, the burst (burst.h) hands over
// all flows and fragments: an established one is found by its session, whoever sends it, and what is nobody's here goes
// back to the burst.
//
// Each session is owned by one worker, which alone opens and ends it; any worker may translate its packets, reading
// the record and writing the word of the direction that it gets.
//
// Thread-safety: a SessionPath belongs to one worker. Its counters may be read by any thread while it works.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/burst.h"
#include "engine/nat_owners.h"
#include "engine/session_job.h"
#include "engine/session_owner.h"
#include "engine/session_tables.h"
#include "engine/traffic.h"
#include "sluice/hash.h"
#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/time.h"
#include "sluice/translate.h"

namespace sluice {

class SessionPath {
 public:
  explicit SessionPath(WorkerSessions sessions);

  // Where the entry of a flow of this hash is looked for first, on its way from here on.
  sluice_bucket* Fetch(uint64_t hash) const {
    sluice_bucket* bucket = &partition_.buckets[sluice_primary_bucket(hash, partition_.bucket_count)];
    FetchFar(bucket);
    return bucket;
  }

  // Which of the jobs may be ours. A job that is in neither has a hash and a bucket all the same.
  struct Candidates {
    Jobs flows;
    Jobs fragments;
  };
  struct Rest {
    // Of those with a verdict.
    uint32_t not_forwarded = 0;
    // Candidates that are nobody's here, untouched: flows of listeners that do not translate, and later fragments
    // whose first has not been translated.
    Jobs left = 0;
  };
  // Gives the candidates' frames their verdicts, and counts them but for `forwarded`.
  Rest Process(const SessionBurst& burst, Job* jobs, uint32_t count, Candidates candidates, WorkerCounters* counters);

  // What is to be done between bursts: sessions that are over.
  void Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet) {
    if (SLUICE_LIKELY(!own_.AnyExpired())) return;
    EndExpired(tables, sluice_tick(now), outlet);
  }

  const SessionCounters& counters() const { return own_.counters(); }
  uint32_t live() const { return own_.live(); }

 private:
  struct Sums;
  // Where a packet goes and what it says there.
  struct Exit {
    const uint8_t* destination_mac;
    const uint8_t* source_mac;
    uint16_t vlan;
    uint16_t port;
    uint16_t mtu;
    sluice_endpoints to;
  };
  // What became of a packet; for the counters.
  struct Outcome {
    sluice_verdict verdict = SLUICE_CONTINUE;
    uint32_t listener = SLUICE_NO_LISTENER;
    uint32_t slot = 0;
    bool opened = false;
  };
  // A session that a packet has found, wherever it is: a copy of its record, and where the record itself is.
  struct Found {
    const sluice_session* record = nullptr;
    sluice_session* live = nullptr;
    uint32_t owner = 0;
    // Just now, for this packet.
    bool opened = false;
  };
  // A side of a session; by how much it acknowledges more than its peer has sent.
  struct Side {
    bool reverse;
    uint32_t ahead;
  };
  enum class Use { kGoOn, kReplace, kOver };

  // Whose entries were found.
  struct Met {
    Jobs forward = 0;
    Jobs reverse = 0;
    Jobs found() const { return forward | reverse; }
    void Note(uint32_t i, Jobs kind) {
      static_assert(SLUICE_ENTRY_FORWARD == 1 && SLUICE_ENTRY_REVERSE == 2);
      forward |= (kind & 1) << i;
      reverse |= (kind >> 1) << i;
    }
  };

  uint32_t GuessOwner(const SessionBurst& burst, const Job& job) const;
  uint32_t Meet(Job& job) const;
  Met MeetAll(Job* jobs, uint32_t count) const;
  Jobs FetchAgain(const SessionBurst& burst, Job* jobs, Jobs missed) const;
  static bool FindListener(const SessionBurst& burst, Job& job);
  static bool NoteQuickly(const SessionBurst& burst, const sluice_packet& packet, const uint8_t* data, Side side,
                          sluice_session* session, uint64_t noted);
  static bool Note(const SessionBurst& burst, const sluice_packet& packet, const uint8_t* data, Side side,
                   sluice_session* session);
  static bool GoesOn(const SessionBurst& burst, const sluice_flow& flow, bool reverse, const sluice_session& session);
  bool Forward(const SessionBurst& burst, Job& job, Sums& sums);
  bool ForwardTold(const SessionBurst& burst, Job& job, Sums& sums);
  bool ForwardAs(const SessionBurst& burst, Job& job, bool told, Sums& sums);
  bool ForwardApart(const SessionBurst& burst, Job& job, bool told, Sums& sums);
  static bool TakeForward(const SessionBurst& burst, const sluice_packet& packet, uint8_t* data,
                          sluice_session* session, bool told, const Sums& sums);
  bool Return(const SessionBurst& burst, Job& job, Sums& sums);
  bool ReturnTold(const SessionBurst& burst, Job& job, Sums& sums);
  bool ReturnAs(const SessionBurst& burst, Job& job, bool told, Sums& sums);
  bool ReturnApart(const SessionBurst& burst, Job& job, bool told, Sums& sums);
  static bool TakeReturn(const SessionBurst& burst, const Job& job, const uint8_t* data, sluice_session* session,
                         bool told, const Sums& sums);
  static bool NoteAnswer(const SessionBurst& burst, const Job& job, const uint8_t* data, sluice_session* session,
                         bool told, uint64_t noted);
  void EmitAndCount(const SessionBurst& burst, Job& job, bool reverse, Volume volume, Sums& sums);
  static void Begin(const SessionBurst& burst, const sluice_session& session, Sums& sums);
  static void Flush(Sums& sums);
  static void TranslateInPlace(uint8_t* data, const sluice_packet& packet, const sluice_address* source,
                               const sluice_address* destination, uint32_t ports, uint16_t address_delta,
                               uint16_t delta);
  Exit ExitOf(const SessionBurst& burst, bool reverse, const sluice_session& session) const;
  sluice_verdict Emit(const SessionBurst& burst, const Job& job, const Exit& exit);
  sluice_verdict EmitApart(const SessionBurst& burst, const Job& job, const sluice_session& session);
  sluice_verdict EmitAcross(const SessionBurst& burst, const Job& job, const Exit& exit);
  static void Address(const Exit& exit, bool ipv6, Frame* frame);
  sluice_verdict TooBig(const SessionBurst& burst, const Job& job, uint32_t mtu);
  sluice_verdict SettleAndCount(const SessionBurst& burst, Job& job, WorkerCounters* counters);

  sluice_verdict EmitTelling(const SessionBurst& burst, const Job& job, const Found& found);
  sluice_verdict Tell(const SessionBurst& burst, const Job& job, const Found& found, const Exit& exit,
                      sluice_packet* packet);
  sluice_verdict TellByHeader(const SessionBurst& burst, const Job& job, const Found& found, const Exit& exit,
                              sluice_packet* packet);
  sluice_verdict TellByOption(const SessionBurst& burst, const Job& job, const Found& found, const Exit& exit,
                              sluice_packet* packet);
  static void TellQuote(const Job& job, const Found& found);
  static void ShiftBack(const Job& job, uint32_t bytes);
  static sluice_verdict Measure(const Job& job, const Exit& exit, uint32_t bytes, uint32_t* mtu);
  sluice_verdict CheckAnswer(const SessionBurst& burst, const Job& job, const Found& found, const Exit& exit);
  sluice_verdict MakeGap(const SessionBurst& burst, const Job& job, const Exit& exit, uint32_t offset, uint32_t bytes);
  void TellAgain(const SessionBurst& burst, const Found& found);
  void HearServer(const SessionBurst& burst, const Job& job, const Found& found, sluice_segment* segment);

  void EndExpired(const sluice_tables& tables, uint32_t tick, Outlet* outlet);
  void ResetBothEnds(const sluice_tables& tables, const sluice_session& session, Outlet* outlet);
  Outcome Settle(const SessionBurst& burst, Job& job);
  sluice_verdict Resolve(const SessionBurst& burst, Job& job, Found* found);
  sluice_verdict ResolveFragment(const SessionBurst& burst, Job& job, Found* found);
  sluice_verdict Stranger(const SessionBurst& burst, const Job& job) const;
  bool Find(const SessionBurst& burst, const Job& job, Found* found);
  bool FindIn(const SessionBurst& burst, const Job& job, uint32_t owner, Found* found);
  bool FindElsewhere(const SessionBurst& burst, const Job& job, enum sluice_session_rank than, Found* found);
  bool IsOf(const SessionBurst& burst, const Job& job, const sluice_session& session) const;
  Use UseOf(const SessionBurst& burst, const Job& job, const sluice_session& session) const;
  sluice_verdict NoteSlowly(const SessionBurst& burst, const Job& job, const Found& found);
  static void CountOpening(const SessionBurst& burst, uint32_t slot, enum sluice_opening opening);
  sluice_verdict NoteEnded(const SessionBurst& burst, const Job& job, const Found& found);
  void NoteWayBack(const SessionBurst& burst, const Job& job, const Found& found);
  sluice_verdict Open(const SessionBurst& burst, Job& job, Found* found);
  bool IsTakenElsewhere(const SessionBurst& burst, const sluice_session& wanted);
  void RememberFragment(const SessionBurst& burst, const Job& job, const Found& found);
  bool FindFragment(const SessionBurst& burst, const sluice_packet& packet, sluice_fragment* fragment) const;
  sluice_fragment* FragmentPlaces(const SessionBurst& burst, const sluice_flow& flow, uint32_t owner) const;

  // The workers', one for each of the owners below, and those of the kernel in place of workers.
  std::vector<SessionPartition> partitions_;
  uint32_t self_;
  std::shared_ptr<const NatOwners> owners_;
  // Ours.
  SessionPartition partition_;
  SessionOwner own_;
  sluice_limiter errors_{};
  // The record that a packet has found which does not just pass.
  sluice_session copy_{};
};

}  // namespace sluice
