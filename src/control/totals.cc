#include "control/totals.h"

namespace sluice {
namespace {

// The table of docs/operations.md has the same.
struct Other {
  const char* name;
  const char* text;
  uint64_t (*value)(const EngineCounters& counters);
};

constexpr Other kOthers[] = {
    {"transmit_full", "forwarded, but the device's queue was full",
     [](const EngineCounters& c) { return c.transmit_full; }},
    {"port_receive_dropped", "lost by the device or the kernel before a worker saw them",
     [](const EngineCounters& c) { return c.port_receive_dropped; }},
    {"port_transmit_dropped", "lost by the device or the kernel after a worker sent them",
     [](const EngineCounters& c) { return c.port_transmit_dropped; }},
    {"kernel_dropped", "lost between a DPDK device and its tap",
     [](const EngineCounters& c) { return c.kernel_dropped; }},
    {"flows_evicted", "flows that were forgotten for a new one, the connection table being full",
     [](const EngineCounters& c) {
       return c.inserted_over[SLUICE_VICTIM_CONFIRMED] + c.inserted_over[SLUICE_VICTIM_NEW] +
              c.inserted_over[SLUICE_VICTIM_CLOSING];
     }},
    {"flows_evicted_confirmed", "those of them that were established",
     [](const EngineCounters& c) { return c.inserted_over[SLUICE_VICTIM_CONFIRMED]; }},
    {"flows_unplaced", "packets that no entry was made for, the connection table being full of established flows",
     [](const EngineCounters& c) { return c.inserted_over[SLUICE_VICTIM_NONE]; }},
    {"sessions_opened", "NAT sessions that began", [](const EngineCounters& c) { return c.sessions.opened; }},
    {"sessions_expired", "NAT sessions over by their timeouts, or because listener or backend are gone",
     [](const EngineCounters& c) { return c.sessions.expired; }},
    {"sessions_evicted", "NAT sessions closed or not yet established, given up for a new one",
     [](const EngineCounters& c) { return c.sessions.evicted_closed + c.sessions.evicted_handshake; }},
    {"ports_taken_early", "source ports used again before closed_timeout",
     [](const EngineCounters& c) { return c.sessions.ports_taken_early; }},
    {"answers_elsewhere", "servers' packets whose session another worker had",
     [](const EngineCounters& c) { return c.sessions.answers_elsewhere; }},
    {"resets_sent", "RSTs to the ends of expired sessions", [](const EngineCounters& c) { return c.sessions.resets; }},
    {"proxy_acknowledged", "servers that have acknowledged the header with their client's address",
     [](const EngineCounters& c) { return c.sessions.proxy_acknowledged; }},
    {"toa_left_out", "packets that had no room for the option with their client's address, or came in fragments",
     [](const EngineCounters& c) { return c.sessions.toa_left_out; }},
};

v1::Total::Kind KindOf(uint32_t verdict) {
  switch (sluice_verdict_kind(verdict)) {
    case SLUICE_KIND_TRANSMIT:
      return v1::Total::TRANSMIT;
    case SLUICE_KIND_PASS:
      return v1::Total::PASS;
    case SLUICE_KIND_DROP:
      return v1::Total::DROP;
  }
  return v1::Total::OTHER;
}

}  // namespace

std::vector<v1::Total> ReadTotals(const EngineCounters& counters) {
  std::vector<v1::Total> totals;
  totals.reserve(SLUICE_VERDICT_COUNT + std::size(kOthers));
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    v1::Total& total = totals.emplace_back();
    total.set_name(sluice_verdict_name(i));
    total.set_kind(KindOf(i));
    total.set_text(sluice_verdict_text(i));
    total.set_value(counters.verdicts[i]);
  }
  for (const Other& other : kOthers) {
    v1::Total& total = totals.emplace_back();
    total.set_name(other.name);
    total.set_text(other.text);
    total.set_value(other.value(counters));
  }
  return totals;
}

}  // namespace sluice
