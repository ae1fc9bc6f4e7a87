#include "engine/session_owner.h"

#include <algorithm>

#include "engine/words.h"

namespace sluice {
namespace {

// What one new flow may look at: ports, and records that might give way.
constexpr uint32_t kPortsTried = 128;
constexpr uint32_t kRecordsTried = 16;

struct Words {
  explicit Words(const sluice_session& session)
      : forward(__atomic_load_n(&session.forward, __ATOMIC_RELAXED)),
        reverse(__atomic_load_n(&session.reverse, __ATOMIC_RELAXED)) {}
  uint64_t forward;
  uint64_t reverse;
};

bool IsOver(const sluice_tables& tables, const sluice_session& session, const Words& words, uint32_t tick) {
  if (!(tables.backends[session.backend].flags & SLUICE_BACKEND_LIVE)) return true;
  return sluice_session_expired(session.protocol, words.forward, words.reverse, &tables.session_terms[session.listener],
                                tick);
}

// Who gives way first: the larger. 0: never.
uint32_t Score(const sluice_tables& tables, const sluice_session& session, uint32_t tick) {
  if (session.protocol == 0) return 0;
  const Words words(session);
  if (IsOver(tables, session, words, tick)) return 3 << 12;
  const uint32_t age = sluice_session_age(words.forward, words.reverse, tick);
  switch (sluice_session_state(session.protocol, words.forward, words.reverse)) {
    case SLUICE_SESSION_CLOSED:
      return 2 << 12 | age;
    case SLUICE_SESSION_HANDSHAKE:
      return 1 << 12 | age;
    default:
      return 0;
  }
}

uint32_t Occupied(const sluice_bucket& bucket) {
  uint32_t occupied = 0;
  for (const uint64_t entry : bucket.entries) occupied += entry != SLUICE_ENTRY_EMPTY;
  return occupied;
}

uint64_t* FindEmpty(sluice_bucket* bucket) {
  uint64_t* end = bucket->entries + SLUICE_BUCKET_ENTRIES;
  uint64_t* at = std::find(bucket->entries, end, SLUICE_ENTRY_EMPTY);
  return at == end ? nullptr : at;
}

uint64_t ForwardHash(const sluice_tables& tables, const sluice_session& session) {
  const sluice_flow flow = sluice_session_forward_flow(&session, &tables.session_terms[session.listener].address);
  return sluice_hash_flow(tables.settings, &flow);
}

uint64_t ReverseHash(const sluice_tables& tables, const sluice_session& session) {
  const sluice_flow flow = sluice_session_reverse_flow(&session, &tables.backends[session.backend].destination,
                                                       sluice_session_source(&tables, &session));
  return sluice_hash_flow(tables.settings, &flow);
}

}  // namespace

sluice_bucket* SessionOwner::Primary(uint64_t hash) const {
  return &partition_.buckets[sluice_primary_bucket(hash, partition_.bucket_count)];
}

sluice_bucket* SessionOwner::Secondary(uint64_t hash) const {
  return &partition_.buckets[sluice_secondary_bucket(hash, partition_.bucket_count)];
}

std::optional<uint32_t> SessionOwner::Open(const sluice_tables& tables, const sluice_session& wanted, uint64_t forward,
                                           uint64_t reverse, uint32_t tick) {
  const std::optional<uint32_t> index = TakeRecord(tables, tick);
  if (!index.has_value()) return std::nullopt;
  // Whoever reads the new record does not find the entry again that named the old one.
  ReleaseFence();
  StoreWords(&partition_.sessions[*index], wanted);
  if (!Insert(tables, reverse, sluice_session_entry(reverse, SLUICE_ENTRY_REVERSE, *index), tick) ||
      !Insert(tables, forward, sluice_session_entry(forward, SLUICE_ENTRY_FORWARD, *index), tick)) {
    Close(tables, *index);
    return std::nullopt;
  }
  Add(counters_.opened, 1);
  return index;
}

// A free record, while there are enough; else the place of the one that may give way first, of the next few.
std::optional<uint32_t> SessionOwner::TakeRecord(const sluice_tables& tables, uint32_t tick) {
  if (partition_.session_count == 0) return std::nullopt;
  if (free_count_ <= spare_) {
    std::array<uint32_t, kRecordsTried> candidates;
    for (uint32_t& candidate : candidates) {
      candidate = hand_;
      hand_ = hand_ + 1 == partition_.session_count ? 0 : hand_ + 1;
    }
    if (!GiveUp(tables, candidates, tick)) return std::nullopt;
  }
  const uint32_t index = partition_.free[free_head_];
  free_head_ = free_head_ + 1 == partition_.session_count ? 0 : free_head_ + 1;
  free_count_--;
  return index;
}

// Ends the one of the candidates that is worth least. False when each is worth more than a new flow.
bool SessionOwner::GiveUp(const sluice_tables& tables, absl::Span<const uint32_t> candidates, uint32_t tick) {
  uint32_t best = 0;
  uint32_t victim = 0;
  for (const uint32_t candidate : candidates) {
    const uint32_t score = Score(tables, partition_.sessions[candidate], tick);
    if (score <= best) continue;
    best = score;
    victim = candidate;
  }
  if (best == 0) return false;
  const std::array<uint64_t*, 4> counters = {nullptr, &counters_.evicted_handshake, &counters_.evicted_closed,
                                             &counters_.expired};
  Add(*counters[best >> 12], 1);
  Close(tables, victim);
  return true;
}

bool SessionOwner::Insert(const sluice_tables& tables, uint64_t hash, uint64_t entry, uint32_t tick) {
  sluice_bucket* bucket = Primary(hash);
  sluice_bucket* other = Secondary(hash);
  const uint32_t occupied = Occupied(*bucket);
  if (occupied >= SLUICE_PRIMARY_FILL && Occupied(*other) < occupied) bucket = other;
  uint64_t* at = FindEmpty(bucket);
  if (at == nullptr) at = MakeRoom(tables, hash);
  if (at == nullptr) {
    // Nor has any of them another place: somebody in them gives way, or the new flow does.
    std::array<uint32_t, 2 * SLUICE_BUCKET_ENTRIES> candidates;
    for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
      candidates[i] = static_cast<uint32_t>(bucket->entries[i]);
      candidates[i + SLUICE_BUCKET_ENTRIES] = static_cast<uint32_t>(other->entries[i]);
    }
    // Not the one that is being made.
    const auto self = static_cast<uint32_t>(entry);
    const uint32_t another = candidates[candidates[0] == self ? 1 : 0];
    std::replace(candidates.begin(), candidates.end(), self, another);
    if (!GiveUp(tables, candidates, tick)) return false;
    return Insert(tables, hash, entry, tick);
  }
  __atomic_store_n(at, entry, __ATOMIC_RELEASE);
  return true;
}

// Both buckets of the flow are full, which is one in millions at capacity: an entry that also has a place elsewhere
// moves there (Pagh and Rodler, 2001, but never more than one). It is in both places for a moment, never in none.
uint64_t* SessionOwner::MakeRoom(const sluice_tables& tables, uint64_t hash) {
  for (sluice_bucket* bucket : {Primary(hash), Secondary(hash)}) {
    for (uint64_t& entry : bucket->entries) {
      const sluice_session& session = partition_.sessions[static_cast<uint32_t>(entry)];
      const bool forward = sluice_entry_state(entry) == SLUICE_ENTRY_FORWARD;
      const uint64_t own = forward ? ForwardHash(tables, session) : ReverseHash(tables, session);
      sluice_bucket* other = Primary(own) == bucket ? Secondary(own) : Primary(own);
      uint64_t* place = FindEmpty(other);
      if (place == nullptr) continue;
      __atomic_store_n(place, entry, __ATOMIC_RELEASE);
      __atomic_store_n(&entry, SLUICE_ENTRY_EMPTY, __ATOMIC_RELEASE);
      return &entry;
    }
  }
  return nullptr;
}

void SessionOwner::Remove(uint64_t hash, uint64_t entry) {
  for (sluice_bucket* bucket : {Primary(hash), Secondary(hash)}) {
    for (uint64_t& at : bucket->entries) {
      if (at == entry) return __atomic_store_n(&at, SLUICE_ENTRY_EMPTY, __ATOMIC_RELEASE);
    }
  }
}

void SessionOwner::Replace(const sluice_tables& tables, uint32_t index) {
  sluice_session& session = partition_.sessions[index];
  const uint64_t hash = ForwardHash(tables, session);
  Remove(hash, sluice_session_entry(hash, SLUICE_ENTRY_FORWARD, index));
  // Others may change it too.
  __atomic_fetch_or(&session.flags, SLUICE_SESSION_REPLACED, __ATOMIC_RELAXED);
}

void SessionOwner::Close(const sluice_tables& tables, uint32_t index) {
  sluice_session& session = partition_.sessions[index];
  const uint64_t forward = ForwardHash(tables, session);
  const uint64_t reverse = ReverseHash(tables, session);
  Remove(forward, sluice_session_entry(forward, SLUICE_ENTRY_FORWARD, index));
  Remove(reverse, sluice_session_entry(reverse, SLUICE_ENTRY_REVERSE, index));
  __atomic_store_n(&session.protocol, uint8_t{0}, __ATOMIC_RELAXED);
  const uint32_t tail = free_head_ + free_count_;
  partition_.free[tail >= partition_.session_count ? tail - partition_.session_count : tail] = index;
  free_count_++;
}

std::optional<uint32_t> SessionOwner::NextExpired(const sluice_tables& tables, uint32_t tick, uint32_t* budget) {
  ExpiredSessions& queue = *partition_.expired;
  uint32_t head = queue.head.load(std::memory_order_relaxed);
  const uint32_t tail = queue.tail.load(std::memory_order_acquire);
  std::optional<uint32_t> found;
  while (head != tail && *budget > 0 && !found.has_value()) {
    const uint32_t index = queue.ring[head % ExpiredSessions::kSize];
    const sluice_session& session = partition_.sessions[index];
    // It may have come back to life, or be gone already.
    if (session.protocol != 0 && IsOver(tables, session, Words(session), tick)) found = index;
    head++;
    (*budget)--;
  }
  queue.head.store(head, std::memory_order_release);
  return found;
}

void SessionOwner::Expire(const sluice_tables& tables, uint32_t index) {
  Close(tables, index);
  Add(counters_.expired, 1);
}

const sluice_session* SessionOwner::FindReverse(const sluice_tables& tables, const sluice_flow& reverse,
                                                uint64_t hash) const {
  const uint32_t tag = sluice_tag(hash);
  for (const sluice_bucket* bucket : {Primary(hash), Secondary(hash)}) {
    for (uint32_t match = sluice_bucket_match(bucket, tag); match != 0; match &= match - 1) {
      const auto index = static_cast<uint32_t>(bucket->entries[__builtin_ctz(match)]);
      const sluice_session* session = &partition_.sessions[index];
      if (sluice_session_is_reverse(session, &reverse, &tables.backends[session->backend],
                                    sluice_session_source(&tables, session))) {
        return session;
      }
    }
  }
  return nullptr;
}

bool SessionOwner::IsSameClient(const sluice_tables& tables, const sluice_session& a, const sluice_session& b) {
  return sluice_session_same_client(&a, &tables.session_terms[a.listener].address, &b,
                                    &tables.session_terms[b.listener].address);
}

bool SessionOwner::MakeWay(const sluice_tables& tables, const sluice_session& wanted, const sluice_flow& reverse,
                           uint64_t hash, uint32_t tick) {
  const sluice_session* holder = FindReverse(tables, reverse, hash);
  if (holder == nullptr) return true;
  const bool over = IsOver(tables, *holder, Words(*holder), tick);
  // Of another listener it would never be found again: the flow is this one's now.
  const bool replaced = ((holder->flags & SLUICE_SESSION_REPLACED) || holder->listener != wanted.listener) &&
                        IsSameClient(tables, *holder, wanted);
  if (!over && !replaced) return false;
  Close(tables, static_cast<uint32_t>(holder - partition_.sessions));
  if (over) Add(counters_.expired, 1);
  return true;
}

uint16_t SessionOwner::TakePort(const sluice_tables& tables, const sluice_flow& flow, uint32_t tick, bool early) {
  if (ports_.count == 0) return 0;
  sluice_flow server = flow;
  server.source_port = 0;
  const uint64_t place = sluice_hash_flow(tables.settings, &server);
  uint16_t& cursor = cursors_[place % cursors_.size()];
  const uint32_t start = sluice_scale(static_cast<uint32_t>(place >> 32), ports_.count);
  sluice_flow reverse{};
  reverse.source = flow.destination;
  reverse.destination = flow.source;
  reverse.source_port = flow.destination_port;
  reverse.protocol = flow.protocol;
  const sluice_session* oldest = nullptr;
  uint32_t oldest_age = 0;
  const NatOwners::Toward owners = owners_->To(reverse);
  // Ports of other owners are passed over without a look; there are as many times more as there are owners.
  for (uint32_t tried = 0, passed = 0; tried < kPortsTried && passed < ports_.count; passed++) {
    uint32_t at = start + cursor;
    if (at >= ports_.count) at -= ports_.count;
    cursor = cursor + 1 >= ports_.count ? 0 : static_cast<uint16_t>(cursor + 1);
    const uint16_t port = sluice_nat_port(&ports_, at);
    if (owners.Of(port) != self_) continue;
    tried++;
    reverse.destination_port = SLUICE_16(port);
    const sluice_session* holder = FindReverse(tables, reverse, sluice_hash_flow(tables.settings, &reverse));
    if (holder == nullptr) return port;
    const Words words(*holder);
    if (IsOver(tables, *holder, words, tick)) {
      Close(tables, static_cast<uint32_t>(holder - partition_.sessions));
      Add(counters_.expired, 1);
      return port;
    }
    if (!early || sluice_session_state(holder->protocol, words.forward, words.reverse) != SLUICE_SESSION_CLOSED)
      continue;
    const uint32_t age = sluice_session_age(words.forward, words.reverse, tick);
    if (oldest != nullptr && age <= oldest_age) continue;
    oldest = holder;
    oldest_age = age;
  }
  if (oldest == nullptr) return 0;
  const uint16_t port = SLUICE_16(oldest->source_port);
  Close(tables, static_cast<uint32_t>(oldest - partition_.sessions));
  Add(counters_.ports_taken_early, 1);
  return port;
}

}  // namespace sluice
