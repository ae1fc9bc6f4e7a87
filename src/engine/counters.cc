#include "engine/counters.h"

#include <algorithm>

namespace sluice {
namespace {

uint64_t Read(const uint64_t& counter) {
  return __atomic_load_n(&counter, __ATOMIC_RELAXED);
}

void AddTraffic(const sluice_traffic* traffic, size_t count, std::vector<sluice_traffic>* to) {
  for (size_t i = 0; i < count; i++) {
    (*to)[i].packets += Read(traffic[i].packets);
    (*to)[i].bytes += Read(traffic[i].bytes);
    (*to)[i].new_flows += Read(traffic[i].new_flows);
    (*to)[i].ended += Read(traffic[i].ended);
  }
}

void AddTraffic(const sluice_traffic* traffic, std::vector<sluice_traffic>* to) {
  AddTraffic(traffic, to->size(), to);
}

// By its verdicts.
template <typename Verdicts>
uint64_t Dropped(const Verdicts& verdicts) {
  uint64_t dropped = 0;
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    if (sluice_verdict_kind(i) == SLUICE_KIND_DROP) dropped += Read(verdicts[i]);
  }
  return dropped;
}

}  // namespace

void AddCounters(const WorkerCounters& counters, EngineCounters* sum) {
  for (size_t i = 0; i < sum->verdicts.size(); i++) sum->verdicts[i] += Read(counters.verdicts[i]);
  for (size_t i = 0; i < sum->inserted_over.size(); i++) sum->inserted_over[i] += Read(counters.inserted_over[i]);
  sum->received += Read(counters.received);
  sum->bytes += Read(counters.bytes);
  sum->transmit_full += Read(counters.transmit_full);
  sum->workers.push_back({Read(counters.received), Read(counters.bytes), Dropped(counters.verdicts)});
  sum->listener_answers.resize(sum->listeners.size());
  sum->backend_answers.resize(sum->backends.size());
  AddTraffic(counters.listener(0, false), &sum->listeners);
  AddTraffic(counters.listener(0, true), &sum->listener_answers);
  AddTraffic(counters.backend(0, false), &sum->backends);
  AddTraffic(counters.backend(0, true), &sum->backend_answers);
}

void AddCounters(const SessionCounters& counters, EngineCounters* sum) {
  sum->sessions.opened += Read(counters.opened);
  sum->sessions.expired += Read(counters.expired);
  sum->sessions.resets += Read(counters.resets);
  sum->sessions.evicted_closed += Read(counters.evicted_closed);
  sum->sessions.evicted_handshake += Read(counters.evicted_handshake);
  sum->sessions.ports_taken_early += Read(counters.ports_taken_early);
  sum->sessions.answers_elsewhere += Read(counters.answers_elsewhere);
  sum->sessions.proxy_acknowledged += Read(counters.proxy_acknowledged);
  sum->sessions.toa_left_out += Read(counters.toa_left_out);
}

void AddCounters(const sluice_counters& counters, const KernelTraffic& clients, const KernelTraffic& answers,
                 EngineCounters::Worker* worker, EngineCounters* sum) {
  for (size_t i = 0; i < sum->verdicts.size(); i++) {
    const uint64_t verdicts = Read(counters.verdicts[i]);
    sum->verdicts[i] += verdicts;
    sum->received += verdicts;
    worker->received += verdicts;
  }
  worker->bytes += Read(counters.bytes);
  worker->dropped += Dropped(counters.verdicts);
  for (size_t i = 0; i < sum->inserted_over.size(); i++) sum->inserted_over[i] += Read(counters.inserted_over[i]);
  sum->bytes += Read(counters.bytes);
  sum->listener_answers.resize(sum->listeners.size());
  sum->backend_answers.resize(sum->backends.size());
  AddTraffic(clients.listeners, &sum->listeners);
  AddTraffic(clients.backends, &sum->backends);
  AddTraffic(answers.listeners, &sum->listener_answers);
  AddTraffic(answers.backends, &sum->backend_answers);
}

void AddCounters(const EngineCounters& counters, EngineCounters* sum) {
  for (size_t i = 0; i < sum->verdicts.size(); i++) sum->verdicts[i] += counters.verdicts[i];
  for (size_t i = 0; i < sum->inserted_over.size(); i++) sum->inserted_over[i] += counters.inserted_over[i];
  sum->received += counters.received;
  sum->bytes += counters.bytes;
  sum->workers.resize(std::max(sum->workers.size(), counters.workers.size()));
  for (size_t i = 0; i < counters.workers.size(); i++) {
    sum->workers[i].received += counters.workers[i].received;
    sum->workers[i].bytes += counters.workers[i].bytes;
    sum->workers[i].dropped += counters.workers[i].dropped;
  }
  sum->listener_answers.resize(sum->listeners.size());
  sum->backend_answers.resize(sum->backends.size());
  AddTraffic(counters.listeners.data(), counters.listeners.size(), &sum->listeners);
  AddTraffic(counters.backends.data(), counters.backends.size(), &sum->backends);
  AddTraffic(counters.listener_answers.data(), counters.listener_answers.size(), &sum->listener_answers);
  AddTraffic(counters.backend_answers.data(), counters.backend_answers.size(), &sum->backend_answers);
}

}  // namespace sluice
