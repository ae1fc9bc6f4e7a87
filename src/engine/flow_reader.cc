#include "engine/flow_reader.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "engine/burst.h"
#include "sluice/access.h"
#include "sluice/connection.h"
#include "sluice/follow.h"
#include "sluice/hash.h"
#include "sluice/listener.h"
#include "sluice/select.h"
#include "sluice/session.h"
#include "sluice/session_records.h"

namespace sluice {
namespace {

using Words = std::array<uint64_t, sizeof(sluice_session) / sizeof(uint64_t)>;
// Client, ports, backend: they stay as long as the session does.
constexpr size_t kFixedWords = 4;
constexpr size_t kProtocolWord = offsetof(sluice_session, protocol) / sizeof(uint64_t);

// The protocol first: it is taken away before a record is another session's, and comes behind the fixed words.
Words Load(const sluice_session& session) {
  Words words;
  const auto* from = reinterpret_cast<const uint64_t*>(&session);
  words[kProtocolWord] = __atomic_load_n(from + kProtocolWord, __ATOMIC_ACQUIRE);
  for (size_t i = 0; i < words.size(); i++) {
    if (i != kProtocolWord) words[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
  }
  return words;
}

sluice_session ToSession(const Words& words) {
  sluice_session session;
  std::memcpy(&session, words.data(), sizeof(session));
  return session;
}

// None: it is nobody's, or its owner has just put another session there.
std::optional<sluice_session> Copy(const sluice_session& session) {
  const Words words = Load(session);
  const sluice_session copy = ToSession(words);
  if (copy.protocol == 0) return std::nullopt;
  const Words again = Load(session);
  if (ToSession(again).protocol == 0) return std::nullopt;
  if (!std::equal(words.begin(), words.begin() + kFixedWords, again.begin())) return std::nullopt;
  return copy;
}

uint32_t Seconds(uint32_t ticks) {
  return static_cast<uint32_t>((uint64_t{ticks} << SLUICE_TICK_SHIFT) / 1'000'000'000);
}

FlowRecord::State StateOfEntry(uint64_t entry) {
  switch (sluice_entry_state(entry)) {
    case SLUICE_STATE_CONFIRMED:
      return FlowRecord::State::kEstablished;
    case SLUICE_STATE_CLOSING:
      return FlowRecord::State::kClosing;
    default:
      return FlowRecord::State::kNew;
  }
}

FlowRecord::State StateOfSession(const sluice_session& session) {
  switch (sluice_session_state(session.protocol, session.forward, session.reverse)) {
    case SLUICE_SESSION_HANDSHAKE:
      return FlowRecord::State::kHandshake;
    case SLUICE_SESSION_HALF_CLOSED:
      return FlowRecord::State::kHalfClosed;
    case SLUICE_SESSION_CLOSED:
      return FlowRecord::State::kClosed;
    default:
      return FlowRecord::State::kEstablished;
  }
}

bool IsSame(const sluice_flow& a, const sluice_flow& b) {
  return a.ports == b.ports && a.protocol == b.protocol && sluice_address_equal(&a.source, &b.source) &&
         sluice_address_equal(&a.destination, &b.destination);
}

// Calls `take` for the place of each entry with the hash's tag in its two buckets.
template <typename Take>
void ForEachEntry(sluice_bucket* buckets, uint32_t count, uint64_t hash, Take take) {
  const uint32_t primary = sluice_primary_bucket(hash, count);
  const uint32_t secondary = sluice_secondary_bucket(hash, count);
  for (uint32_t i = 0; i < 2 * SLUICE_BUCKET_ENTRIES; i++) {
    const bool second = i >= SLUICE_BUCKET_ENTRIES;
    if (second && secondary == primary) return;
    uint64_t& at = buckets[second ? secondary : primary].entries[i % SLUICE_BUCKET_ENTRIES];
    const uint64_t entry = SLUICE_LOAD_ENTRY(&at);
    if (sluice_entry_matches(entry, hash)) take(at, entry);
  }
}

}  // namespace

FlowReader::FlowReader(const Engine& engine, const sluice_tables& tables, uint64_t now)
    : connections_(engine.partitions()),
      sessions_(engine.session_partitions()),
      tables_(tables),
      tick_(sluice_tick(now)) {
  for (const Partition& partition : connections_) buckets_ += partition.count;
  places_ = buckets_;
  for (const SessionPartition& partition : sessions_) places_ += partition.session_count;
}

uint64_t FlowReader::Read(uint64_t from, uint64_t count,
                          const std::function<bool(const FlowRecord& flow)>& take) const {
  const uint64_t end = from >= places_ ? places_ : from + std::min(count, places_ - from);
  bool more = true;
  for (uint64_t place = from; place < end; place++) {
    ReadPlace(place, [&](const FlowRecord& flow) { more = take(flow) && more; });
    if (!more) return place + 1;
  }
  return end;
}

void FlowReader::ReadPlace(uint64_t place, const std::function<void(const FlowRecord& flow)>& take) const {
  uint32_t partition = 0;
  if (place >= buckets_) {
    place -= buckets_;
    for (; place >= sessions_[partition].session_count; partition++) place -= sessions_[partition].session_count;
    const std::optional<FlowRecord> flow = ReadSession(partition, static_cast<uint32_t>(place));
    if (flow.has_value()) take(*flow);
    return;
  }
  for (; place >= connections_[partition].count; partition++) place -= connections_[partition].count;
  for (uint64_t& at : connections_[partition].buckets[place].entries) {
    const std::optional<FlowRecord> flow = ReadEntry(partition, at);
    if (flow.has_value()) take(*flow);
  }
}

std::optional<FlowRecord> FlowReader::ReadEntry(uint32_t partition, uint64_t& at) const {
  const uint64_t entry = SLUICE_LOAD_ENTRY(&at);
  if (sluice_entry_is_empty(entry)) return std::nullopt;
  const sluice_backend& backend = tables_.backends[sluice_entry_slot(entry)];
  if (!(backend.flags & SLUICE_BACKEND_LIVE) || sluice_entry_expired(entry, tick_, backend.idle)) return std::nullopt;
  FlowRecord flow;
  flow.partition = partition;
  flow.slot = sluice_entry_slot(entry);
  flow.state = StateOfEntry(entry);
  flow.age = Seconds(sluice_age(tick_, sluice_entry_seen(entry)));
  flow.entry = &at;
  flow.value = entry;
  return flow;
}

std::optional<FlowRecord> FlowReader::ReadSession(uint32_t partition, uint32_t index) const {
  const std::optional<sluice_session> session = Copy(sessions_[partition].sessions[index]);
  if (!session.has_value() || session->backend >= SLUICE_BACKENDS) return std::nullopt;
  if (session->flags & SLUICE_SESSION_ENDED) return std::nullopt;
  const sluice_session_terms& terms = tables_.session_terms[session->listener];
  if (!(tables_.backends[session->backend].flags & SLUICE_BACKEND_LIVE) ||
      sluice_session_expired(session->protocol, session->forward, session->reverse, &terms, tick_)) {
    return std::nullopt;
  }
  FlowRecord flow;
  flow.partition = partition;
  flow.slot = session->backend;
  flow.state = StateOfSession(*session);
  flow.age = Seconds(sluice_session_age(session->forward, session->reverse, tick_));
  flow.record = &sessions_[partition].sessions[index];
  SessionRecord& own = flow.session.emplace();
  own.flow = sluice_session_forward_flow(&*session, &terms.address);
  own.listener = session->listener;
  own.source = *sluice_session_source(&tables_, &*session);
  own.source_port = session->source_port;
  own.server_port = session->server_port;
  return flow;
}

void FlowReader::FindEntries(uint64_t hash, uint32_t pool, std::vector<FlowRecord>* found) const {
  for (uint32_t i = 0; i < connections_.size(); i++) {
    ForEachEntry(connections_[i].buckets, connections_[i].count, hash, [&](uint64_t& at, uint64_t) {
      const std::optional<FlowRecord> flow = ReadEntry(i, at);
      if (!flow.has_value() || !sluice_entry_matches(flow->value, hash)) return;
      if (sluice_backend_serves(&tables_, &tables_.backends[flow->slot], pool)) found->push_back(*flow);
    });
  }
}

void FlowReader::FindSessions(uint64_t hash, const sluice_flow& flow, std::vector<FlowRecord>* found) const {
  for (uint32_t i = 0; i < sessions_.size(); i++) {
    const SessionPartition& partition = sessions_[i];
    if (partition.session_count == 0) continue;
    ForEachEntry(partition.buckets, partition.bucket_count, hash, [&](const uint64_t&, uint64_t entry) {
      const auto index = static_cast<uint32_t>(entry);
      if (sluice_entry_state(entry) != SLUICE_ENTRY_FORWARD || index >= partition.session_count) return;
      const std::optional<FlowRecord> record = ReadSession(i, index);
      if (record.has_value() && IsSame(record->session->flow, flow)) found->push_back(*record);
    });
  }
}

uint32_t FlowReader::PoolOf(const sluice_listener& listener, const sluice_flow& flow, uint64_t hash) const {
  const sluice_pool& pool = tables_.pools[listener.pool];
  if (pool.algorithm != SLUICE_SPLIT) return listener.pool;
  if (pool.size == 0) return SLUICE_NO_POOL;
  return sluice_split_pool(&tables_, tables_.settings, &pool, listener.flags, &flow, hash);
}

FlowReader::Answer FlowReader::Explain(const sluice_flow& flow) const {
  Answer answer;
  uint32_t listeners_pool = SLUICE_NO_POOL;
  answer.verdict = sluice_listener_find(&tables_, tables_.settings, &flow, &answer.listener, &listeners_pool);
  if (answer.verdict != SLUICE_CONTINUE) return answer;
  const sluice_listener& listener = tables_.listeners[answer.listener];
  const uint64_t hash = sluice_hash_flow(tables_.settings, &flow);
  if (listener.flags & SLUICE_LISTENER_SESSIONS) {
    FindSessions(hash, flow, &answer.found);
  } else {
    FindEntries(hash, listeners_pool, &answer.found);
  }
  answer.pool = PoolOf(listener, flow, hash);
  const sluice_pool pool = answer.pool == SLUICE_NO_POOL ? sluice_pool{} : tables_.pools[answer.pool];
  answer.open = pool.size > 0 && (!sluice_selects_by_hash(&pool) || pool.members > 0);
  if (pool.size > 0 && !answer.open) {
    answer.selected = sluice_select_by_hash(&tables_, tables_.settings, &pool, listener.flags, &flow, hash);
  }
  answer.slot = answer.found.empty() ? answer.selected : answer.found[0].slot;
  if (answer.found.empty() && sluice_source_is_bad(&tables_, &flow.source)) {
    answer.verdict = SLUICE_VERDICT_bad_source;
  } else if (answer.found.empty() && (listener.flags & SLUICE_LISTENER_ACCESS) &&
             sluice_access_admits(&tables_, answer.listener, &flow.source) == 0) {
    answer.verdict = SLUICE_VERDICT_source_denied;
  } else if (answer.slot == SLUICE_NO_BACKEND) {
    if (!answer.open) answer.verdict = SLUICE_VERDICT_no_backend;
  } else if (!(tables_.backends[answer.slot].flags & SLUICE_BACKEND_NEXT_HOP)) {
    answer.verdict = SLUICE_VERDICT_no_next_hop;
  }
  return answer;
}

}  // namespace sluice
