// What the stages of a burst know of all of its packets. Internal to burst.cc and burst_mixed.cc.
//
// Thread-safety: one worker's.
#pragma once

#include "engine/burst.h"
#include "engine/job.h"
#include "engine/traffic.h"
#include "sluice/hash.h"
#include "sluice/rewrite.h"

namespace sluice {

// Of a job that the sessions have seen to.
inline constexpr auto kDone = static_cast<sluice_verdict>(SLUICE_VERDICT_COUNT + 1);

// Nobody's bucket, for packets that have their verdict before a table is asked.
alignas(64) inline constexpr sluice_bucket kEmptyBucket{};

// Packets of one burst mostly have one verdict and one listener: those are added up first, and the listener's pool is
// read once.
struct BurstPath::Sums {
  uint64_t not_forwarded = 0;
  uint32_t listener = SLUICE_NO_LISTENER;
  uint32_t pool = SLUICE_NO_POOL;
  uint64_t plain = 0;
  // The hashes for which this burst has made entries, each as one bit of eight times as many.
  std::array<uint64_t, 8> made{};
  Volume volume{};

  void NoteMade(uint64_t hash) { made[hash >> 6 & 7] |= uint64_t{1} << (hash & 63); }
  bool MayHaveMade(uint64_t hash) const { return made[hash >> 6 & 7] >> (hash & 63) & 1; }
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

}  // namespace sluice
