#include "engine/xdp/session_inheritance.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "engine/words.h"
#include "engine/xdp/inheritance.h"
#include "engine/xdp/program_maps.h"
#include "sluice/kernel.h"
#include "sluice/listener.h"
#include "sluice/session.h"
#include "sluice/session_owner.h"

namespace sluice {
namespace {

// The generation that packets read, of the table that the program calls so (bpf/maps.h; 15 characters).
template <typename Record>
bool ReadTable(int program, std::string_view name, uint32_t half, std::vector<Record>* records) {
  const absl::StatusOr<Region> table = ReadProgramMap(program, name, sizeof(Record));
  if (!table.ok()) return false;
  const size_t room = table->size() / sizeof(Record) / 2;
  const auto* first = table->As<Record>() + half * room;
  records->assign(first, first + room);
  return true;
}

bool IsSameKey(const sluice_settings& a, const sluice_settings& b) {
  return std::memcmp(a.hash_key, b.hash_key, sizeof(a.hash_key)) == 0;
}

// What the numbers in a record become.
class Renumbering {
 public:
  Renumbering(const SessionInheritance& before, const Tables& tables)
      : before_(before), tables_(tables), slots_(SlotsNow(before.backends, tables)) {
    for (const sluice_nat_address& old : before.nat_addresses) {
      nat_addresses_.push_back(Find(old, tables.view().nat_addresses, tables.nat_address_count()));
    }
    for (const sluice_port& old : before.ports) {
      ports_.push_back(Find(old, tables.view().ports, tables.port_count(), SLUICE_MAC_BYTES));
    }
  }

  // False when the session can't go on.
  bool Apply(sluice_session* session) const {
    const uint32_t listener = ListenerOf(*session);
    const uint32_t slot = session->backend < slots_.size() ? slots_[session->backend] : SLUICE_NO_BACKEND;
    const uint32_t egress = session->client_egress < ports_.size() ? ports_[session->client_egress] : kNone;
    if (listener == SLUICE_NO_LISTENER || slot == SLUICE_NO_BACKEND || egress == kNone) return false;
    if (session->nat_address != SLUICE_NO_NAT_ADDRESS) {
      const uint32_t address =
          session->nat_address < nat_addresses_.size() ? nat_addresses_[session->nat_address] : kNone;
      if (address == kNone) return false;
      session->nat_address = static_cast<uint16_t>(address);
    }
    session->listener = static_cast<uint16_t>(listener);
    session->backend = slot;
    session->client_egress = static_cast<uint8_t>(egress);
    return true;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  template <typename Record>
  static uint32_t Find(const Record& old, const Record* records, uint32_t count, size_t bytes = sizeof(Record)) {
    for (uint32_t i = 0; i < count; i++) {
      if (std::memcmp(&old, &records[i], bytes) == 0) return i;
    }
    return kNone;
  }

  // Whose the flow is now.
  uint32_t ListenerOf(const sluice_session& session) const {
    if (session.listener >= before_.terms.size()) return SLUICE_NO_LISTENER;
    const sluice_flow flow = sluice_session_forward_flow(&session, &before_.terms[session.listener].address);
    const sluice_tables& view = tables_.view();
    const uint32_t listener = sluice_listener_of(&view, view.settings, &flow);
    if (listener == SLUICE_NO_LISTENER) return listener;
    return view.listeners[listener].flags & SLUICE_LISTENER_SESSIONS ? listener : SLUICE_NO_LISTENER;
  }

  const SessionInheritance& before_;
  const Tables& tables_;
  std::vector<uint32_t> slots_;
  std::vector<uint32_t> nat_addresses_;
  std::vector<uint32_t> ports_;
};

// Whose a partition's sessions are among `now` partitions, of which `workers` are workers'.
uint32_t HeirOf(uint32_t partition, uint32_t workers_before, uint32_t workers, uint32_t now) {
  if (partition < workers_before) return partition % (workers > 0 ? workers : now);
  return workers + (partition - workers_before) % (now - workers);
}

// The session in a partition of another shape, perhaps under another hash key. False when there is no room.
bool Enter(const sluice_session& session, const SessionPartition& partition, const sluice_tables& view, uint64_t now) {
  sluice_owned owned;
  owned.tick = sluice_tick(now);
  owned.tables = &view;
  owned.partition = &partition;
  uint64_t forward = 0;
  uint64_t reverse = 0;
  sluice_session_hash(&view, &session, false, &forward);
  sluice_session_hash(&view, &session, true, &reverse);
  const int index = sluice_session_open(&owned, &session, forward, reverse);
  if (index < 0) return false;
  if (session.flags & SLUICE_SESSION_REPLACED) sluice_session_replace(&owned, static_cast<uint32_t>(index));
  return true;
}

}  // namespace

std::optional<SessionInheritance> InheritSessions(int program) {
  const absl::StatusOr<Region> said = ReadProgramMap(program, "sluice_state_ma", sizeof(sluice_kernel_state));
  if (!said.ok()) return std::nullopt;
  const sluice_kernel_state state = *said->As<sluice_kernel_state>();
  if (state.layout != SLUICE_LAYOUT_VERSION || state.half > 1 || state.session_records == 0) return std::nullopt;
  std::optional<SessionArrays> arrays =
      SessionArrays::Find(program, {state.session_partitions, state.session_records, state.session_buckets});
  if (!arrays.has_value()) return std::nullopt;
  SessionInheritance before;
  before.arrays = *std::move(arrays);
  before.marked = state.marks_vacated >= SLUICE_MARKS_SESSIONS;
  before.workers = std::min(state.session_workers, state.session_partitions);
  std::vector<sluice_settings> settings;
  const bool whole = ReadTable(program, "sluice_settings", state.half, &settings) &&
                     ReadTable(program, "sluice_backends", state.half, &before.backends) &&
                     ReadTable(program, "sluice_session_", state.half, &before.terms) &&
                     ReadTable(program, "sluice_nat_addr", state.half, &before.nat_addresses) &&
                     ReadTable(program, "sluice_ports_ma", state.half, &before.ports);
  if (!whole || settings.empty()) return std::nullopt;
  before.settings = settings[0];
  before.nat_addresses.resize(
      std::min<size_t>(before.nat_addresses.size(), before.settings.nat_ipv4 + before.settings.nat_ipv6));
  return before;
}

bool HaveSameNumbers(const SessionInheritance& before, const Tables& tables) {
  if (!IsSameKey(before.settings, *tables.view().settings)) return false;
  const Renumbering now(before, tables);
  for (const SessionPartition& partition : before.arrays.partitions()) {
    for (uint32_t i = 0; i < partition.session_count; i++) {
      if (SLUICE_LOAD(&partition.sessions[i].protocol) == 0) continue;
      const sluice_session old = LoadWords(&partition.sessions[i]);
      sluice_session session = old;
      if (!now.Apply(&session) || session.listener != old.listener || session.backend != old.backend ||
          session.nat_address != old.nat_address || session.client_egress != old.client_egress) {
        return false;
      }
    }
  }
  return true;
}

void MarkCrowdedSessions(const SessionArrays& arrays) {
  for (const SessionPartition& partition : arrays.partitions()) {
    MarkCrowded({partition.buckets, partition.bucket_count}, SLUICE_SESSION_FILL - 1);
  }
}

uint64_t CopySessions(const SessionInheritance& before, const Tables& tables, uint32_t workers, SessionArrays* to) {
  const Renumbering renumbering(before, tables);
  const std::vector<SessionPartition> from = before.arrays.partitions();
  const std::vector<SessionPartition> into = to->partitions();
  const uint64_t now = MonotonicNow();
  uint64_t copied = 0;
  for (uint32_t i = 0; i < from.size(); i++) {
    const uint32_t heir = HeirOf(i, before.workers, workers, static_cast<uint32_t>(into.size()));
    for (uint32_t record = 0; record < from[i].session_count; record++) {
      sluice_session session = LoadWords(&from[i].sessions[record]);
      if (session.protocol == 0 || (session.flags & SLUICE_SESSION_ENDED) || !renumbering.Apply(&session)) continue;
      copied += Enter(session, into[heir], tables.view(), now);
    }
    std::copy_n(from[i].state->cursors, SLUICE_PORT_CURSORS, into[heir].state->cursors);
  }
  return copied;
}

}  // namespace sluice
