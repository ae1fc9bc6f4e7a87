// What the stages of a burst know of one packet, and of all of them. Internal to burst.cc and burst_mixed.cc.
//
// Thread-safety: one worker's.
#pragma once

#include "engine/burst.h"
#include "engine/traffic.h"
#include "sluice/hash.h"
#include "sluice/rewrite.h"
#include "sluice/unfinished.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {

// Of a job that the sessions have seen to.
inline constexpr auto kDone = static_cast<sluice_verdict>(SLUICE_VERDICT_COUNT + 1);

// Nobody's bucket, for packets that have their verdict before a table is asked.
alignas(64) inline constexpr sluice_bucket kEmptyBucket{};

// What the stages know of one packet. Two cache lines: parse and hash fill the first, the look-ups the second.
struct alignas(64) BurstPath::Job {
  sluice_packet packet;
  uint64_t hash;
  Frame* frame;
  sluice_bucket* bucket;
  // What was found in the bucket.
  uint64_t entry;
  // Of packets that need more than to be sent on: the flow's own entry, if it has one, usable or not.
  uint64_t* at;
  // Of packets that are to be settled: null until they have one.
  const sluice_backend* backend;
  uint32_t slot;
  uint32_t listener;
  sluice_verdict verdict;
  // In neither bucket when the burst began.
  bool absent;

  // Steps 1 and 2. `unfinished`: as Process.
  void Parse(Frame* from, bool unfinished);
};

// Packets of one burst mostly have one verdict and one listener: those are added up first, and the listener's pool is
// read once.
struct BurstPath::Sums {
  uint64_t not_forwarded = 0;
  uint32_t listener = SLUICE_NO_LISTENER;
  uint32_t pool = SLUICE_NO_POOL;
  uint64_t plain = 0;
  // The hashes for which this burst has made entries, each as one bit of many.
  uint64_t made = 0;
  Volume volume{};

  static uint64_t BitOf(uint64_t hash) { return uint64_t{1} << (hash & 63); }
  void TurnTo(uint32_t to) {
    pool = to;
    plain = sluice_plain_backend(to);
  }
};

// What a mixed burst comes to.
struct BurstPath::Totals {
  uint64_t bytes = 0;
  uint64_t not_forwarded = 0;
};

// What is the same for all packets of a burst.
struct BurstPath::Burst {
  const sluice_tables tables;
  const sluice_settings* settings;
  uint64_t now;
  uint32_t tick;
  // What an entry says when there is nothing to note in it.
  uint64_t noted;
  uint16_t ingress;
  uint32_t own;
  Partition partition;
  sluice_selector selector;

  sluice_bucket* Primary(uint64_t hash) const {
    return &partition.buckets[sluice_primary_bucket(hash, partition.count)];
  }
  sluice_bucket* Secondary(uint64_t hash) const {
    return &partition.buckets[sluice_secondary_bucket(hash, partition.count)];
  }

  // Steps 3 and half of 4 for one packet: its bucket, its listener.
  void Look(Job& job) const;
  void Aim(Job& job) const;
  void Fetch(Job& job, uint64_t hash) const;
  static void LeaveOut(Job& job, sluice_verdict verdict, uint32_t listener);
  void Dispatch(Job& job) const;
  void FindListener(Job& job) const;
  bool Meet(Job& job) const;
  void Take(Job& job, uint32_t match) const;
  const sluice_backend* Follow(Job& job, uint32_t* slot) const;
  uint32_t PoolOf(const Job& job) const;
};

SLUICE_HOT void BurstPath::Job::Parse(Frame* from, bool unfinished) {
  frame = from;
  uint8_t* end = from->data + from->length;
  verdict = sluice_parse(from->data, end, &packet);
  if (SLUICE_UNLIKELY(unfinished) && verdict == SLUICE_CONTINUE) sluice_finish_checksum(from->data, end, &packet);
}

}  // namespace sluice
