#include "engine/session_owner.h"

namespace sluice {
namespace {

std::optional<uint32_t> IndexOf(int index) {
  return index < 0 ? std::nullopt : std::optional<uint32_t>(static_cast<uint32_t>(index));
}

}  // namespace

sluice_owned SessionOwner::Owned(const sluice_tables& tables, uint32_t tick) {
  // But for the scratch, which is long.
  sluice_owned owned;
  owned.self = self_;
  owned.owners = owners_->owners();
  owned.tick = tick;
  owned.ports = ports_;
  owned.tables = &tables;
  owned.partition = &partition_;
  owned.rss = owners_->rss();
  return owned;
}

std::optional<uint32_t> SessionOwner::Open(const sluice_tables& tables, const sluice_session& wanted, uint64_t forward,
                                           uint64_t reverse, uint32_t tick) {
  sluice_owned owned = Owned(tables, tick);
  return IndexOf(sluice_session_open(&owned, &wanted, forward, reverse));
}

int SessionOwner::Enter(const sluice_tables& tables, sluice_session* wanted, const sluice_flow& forward, uint64_t hash,
                        uint32_t tick) {
  sluice_owned owned = Owned(tables, tick);
  sluice_session_answer(&owned, wanted);
  return sluice_session_enter(&owned, wanted, &forward, hash);
}

uint16_t SessionOwner::TakePort(const sluice_tables& tables, const sluice_flow& flow, uint32_t tick, bool early) {
  sluice_owned owned = Owned(tables, tick);
  owned.scratch.toward = flow;
  return static_cast<uint16_t>(sluice_session_take_port(&owned, early));
}

sluice_verdict SessionOwner::TakeSource(const sluice_tables& tables, sluice_session* wanted, uint64_t hash,
                                        uint32_t tick) {
  sluice_owned owned = Owned(tables, tick);
  return static_cast<sluice_verdict>(sluice_session_take_source(&owned, wanted, hash));
}

bool SessionOwner::KeepsSource(const sluice_tables& tables, const sluice_session& wanted, uint32_t tick) {
  sluice_owned owned = Owned(tables, tick);
  return sluice_session_keeps_source(&owned, &wanted) != 0;
}

bool SessionOwner::MakeWay(const sluice_tables& tables, const sluice_session& wanted, const sluice_flow& reverse,
                           uint64_t hash, uint32_t tick) {
  sluice_owned owned = Owned(tables, tick);
  return sluice_session_make_way(&owned, &wanted, &reverse, hash) != 0;
}

void SessionOwner::Replace(const sluice_tables& tables, uint32_t index) {
  sluice_owned owned = Owned(tables, 0);
  sluice_session_replace(&owned, index);
}

void SessionOwner::Close(const sluice_tables& tables, uint32_t index) {
  sluice_owned owned = Owned(tables, 0);
  sluice_session_close(&owned, index);
}

void SessionOwner::Expire(const sluice_tables& tables, uint32_t index) {
  sluice_owned owned = Owned(tables, 0);
  sluice_session_expire(&owned, index);
}

std::optional<uint32_t> SessionOwner::NextExpired(const sluice_tables& tables, uint32_t tick, uint32_t* budget) {
  sluice_owned owned = Owned(tables, tick);
  while (*budget > 0) {
    const int index = sluice_session_next_expired(&owned);
    if (index == -1) break;
    (*budget)--;
    if (index >= 0) return IndexOf(index);
  }
  return std::nullopt;
}

}  // namespace sluice
