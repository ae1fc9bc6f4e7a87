// The path of translated flows, composed over a burst: what the connection table and the tunnels are to direct server
// return, sessions and translation are here. The burst (burst.h) hands over the packets of listeners that translate,
// and, while there are any, those that are for no listener: one of them may be a server's answer.
//
// Each session is owned by one worker, which alone opens and ends it; any worker may translate its packets, reading
// the record and writing the word of the direction that it gets.
//
// Thread-safety: a SessionPath belongs to one worker. Its counters may be read by any thread while it works.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/burst.h"
#include "engine/session_job.h"
#include "engine/session_owner.h"
#include "engine/session_tables.h"
#include "sluice/hash.h"
#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/time.h"
#include "sluice/translate.h"

namespace sluice {

class SessionPath {
 public:
  // `partitions`: all workers', by index; they outlive this object. `self` is this worker's.
  SessionPath(std::vector<SessionPartition> partitions, uint32_t self, const sluice_nat_ports& ports);

  // Where the entry of a flow of this hash is looked for first, on its way from here on.
  sluice_bucket* Fetch(uint64_t hash) const {
    sluice_bucket* bucket = &partition_.buckets[sluice_primary_bucket(hash, partition_.bucket_count)];
    __builtin_prefetch(bucket);
    return bucket;
  }

  // Gives each job's frame its verdict, and counts it but for `forwarded`; returns how many got another one. A
  // later fragment whose first has not been translated is nobody's here: its verdict is SLUICE_CONTINUE, and not
  // counted.
  uint32_t Process(const SessionBurst& burst, SessionJob* jobs, uint32_t count, WorkerCounters* counters);

  // What is to be done between bursts: sessions that are over.
  void Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet) {
    if (SLUICE_LIKELY(!own_.AnyExpired())) return;
    EndExpired(tables, sluice_tick(now), outlet);
  }

  const SessionCounters& counters() const { return own_.counters(); }
  uint32_t live() const { return own_.live(); }

 private:
  struct Tally;
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
  enum class Use { kGoOn, kReplace, kOver };

  uint32_t GuessOwner(const SessionBurst& burst, const SessionJob& job) const;
  bool Meet(SessionJob& job) const;
  sluice_verdict Pass(const SessionBurst& burst, const SessionJob& job);
  bool Matches(const SessionBurst& burst, const SessionJob& job, const sluice_session& session) const;
  static bool NoteQuickly(const SessionBurst& burst, const SessionJob& job, sluice_session* session);
  sluice_verdict Forward(const SessionBurst& burst, const SessionJob& job, const sluice_session& session);
  sluice_verdict Return(const SessionBurst& burst, const SessionJob& job, const sluice_session& session);
  static bool LastHop(const SessionJob& job);
  static void TranslateInPlace(const SessionJob& job, const sluice_address* source, const sluice_address* destination,
                               uint32_t ports, uint16_t address_delta, uint16_t delta);
  Exit ExitOf(const SessionBurst& burst, bool reverse, const sluice_session& session) const;
  sluice_verdict Emit(const SessionBurst& burst, const SessionJob& job, const Exit& exit);
  sluice_verdict EmitAcross(const SessionBurst& burst, const SessionJob& job, const Exit& exit);
  static void Address(const Exit& exit, bool ipv6, Frame* frame);
  sluice_verdict TooBig(const SessionBurst& burst, const SessionJob& job, uint32_t mtu);
  bool SettleAndCount(const SessionBurst& burst, SessionJob& job, WorkerCounters* counters);

  void EndExpired(const sluice_tables& tables, uint32_t tick, Outlet* outlet);
  void ResetBothEnds(const sluice_tables& tables, const sluice_session& session, Outlet* outlet);
  Outcome Settle(const SessionBurst& burst, SessionJob& job);
  sluice_verdict Resolve(const SessionBurst& burst, SessionJob& job, Found* found);
  sluice_verdict ResolveFragment(const SessionBurst& burst, SessionJob& job, Found* found);
  sluice_verdict Stranger(const SessionBurst& burst, const SessionJob& job) const;
  bool Find(const SessionBurst& burst, const SessionJob& job, Found* found);
  bool FindIn(const SessionBurst& burst, const SessionJob& job, uint32_t owner, Found* found);
  bool IsOf(const SessionBurst& burst, const SessionJob& job, const sluice_session& session) const;
  Use UseOf(const SessionBurst& burst, const SessionJob& job, const sluice_session& session) const;
  sluice_verdict NoteSlowly(const SessionBurst& burst, const SessionJob& job, const Found& found);
  void NoteWayBack(const SessionBurst& burst, const SessionJob& job, const Found& found);
  sluice_verdict Open(const SessionBurst& burst, SessionJob& job, Found* found);
  std::optional<uint32_t> Enter(const SessionBurst& burst, const SessionJob& job, sluice_session* wanted);
  bool KeepsSource(const SessionBurst& burst, const sluice_backend& backend, const sluice_session& wanted);
  bool IsTakenElsewhere(const SessionBurst& burst, const sluice_session& wanted);
  sluice_verdict TakeSource(const SessionBurst& burst, const SessionJob& job, const sluice_backend& backend,
                            sluice_session* wanted);
  static sluice_flow ReverseFlow(const SessionBurst& burst, const sluice_session& session);
  void RememberFragment(const SessionBurst& burst, const SessionJob& job, const Found& found);
  bool FindFragment(const SessionBurst& burst, const sluice_packet& packet, sluice_fragment* fragment) const;
  sluice_fragment* FragmentPlaces(const SessionBurst& burst, const sluice_flow& flow, uint32_t owner) const;

  std::vector<SessionPartition> partitions_;
  uint32_t self_;
  // Ours.
  SessionPartition partition_;
  SessionOwner own_;
  sluice_limiter too_big_{};
  // The record that a packet has found which does not just pass.
  sluice_session copy_{};
};

}  // namespace sluice
