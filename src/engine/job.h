// What the stages of a burst know of one packet.
//
// Thread-safety: a job is its worker's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/burst.h"
#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/unfinished.h"

// The stages are one function when compiled; what is rare stays out of its way.
#define SLUICE_HOT inline __attribute__((always_inline))
#define SLUICE_APART __attribute__((noinline))
#define SLUICE_COLD __attribute__((noinline, cold))

namespace sluice {

// All of `count`.
SLUICE_HOT Jobs FirstJobs(uint32_t count) {
  return count < 64 ? (Jobs{1} << count) - 1 : ~Jobs{0};
}

SLUICE_HOT uint32_t FirstOf(Jobs jobs) {
  return static_cast<uint32_t>(__builtin_ctzll(jobs));
}

// A line that may be in memory, of a burst's worth of them: into the second level, as it takes more of them at a time
// than the first (docs/performance.md).
SLUICE_HOT void FetchFar(const void* at) {
  __builtin_prefetch(at, 0, 2);
}

// What will be parsed a few packets after frame `i` of a burst.
SLUICE_HOT void FetchAhead(const Frame* frames, uint32_t i, uint32_t count) {
  __builtin_prefetch(frames[std::min(i + kFramesAhead, count - 1)].data);
}

// Two cache lines: parse and hash fill the first, the look-ups the second.
struct alignas(64) Job {
  sluice_packet packet;
  uint64_t hash;
  Frame* frame;
  // Where the flow's entry is looked for: the connection table's or the sessions'.
  sluice_bucket* bucket;
  union {
    // What was found in the connection table's.
    uint64_t entry;
    // What the entry in the sessions' names among ours, until it is compared; anybody's when there is none.
    sluice_session* session;
  };
  // Of packets that need more than to be sent on: the flow's own entry, if it has one, usable or not.
  uint64_t* at;
  // Of packets that are to be settled: null until they have one.
  const sluice_backend* backend;
  uint32_t slot;
  // In the sessions only known of packets that do not just pass. SLUICE_NO_LISTENER: for no listener, so perhaps an
  // answer.
  uint32_t listener;
  sluice_verdict verdict;
  // In neither bucket when the burst began.
  bool absent;
  // An answer, to the sessions.
  bool reverse;

  // `unfinished`: as BurstPath::Process.
  void Parse(Frame* from, bool unfinished);
};

SLUICE_HOT void Job::Parse(Frame* from, bool unfinished) {
  frame = from;
  uint8_t* end = from->data + from->length;
  verdict = sluice_parse(from->data, end, &packet);
  if (SLUICE_UNLIKELY(unfinished) && verdict == SLUICE_CONTINUE) sluice_finish_checksum(from->data, end, &packet);
}

}  // namespace sluice
