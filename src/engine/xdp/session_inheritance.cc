#include "engine/xdp/session_inheritance.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "engine/words.h"
#include "engine/xdp/inheritance.h"
#include "engine/xdp/program_maps.h"
#include "sluice/kernel.h"
#include "sluice/listener.h"
#include "sluice/session.h"

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

// Entries are found by hashes, which stay; those whose record has not gone on are left out.
void CopyBuckets(const SessionPartition& from, const SessionPartition& to) {
  for (uint32_t i = 0; i < from.bucket_count; i++) {
    for (uint32_t at = 0; at < SLUICE_BUCKET_ENTRIES; at++) {
      const uint64_t entry = SLUICE_LOAD_ENTRY(&from.buckets[i].entries[at]);
      const auto index = static_cast<uint32_t>(entry);
      if (entry == SLUICE_ENTRY_EMPTY || index >= to.session_count || to.sessions[index].protocol == 0) continue;
      SLUICE_STORE_ENTRY(&to.buckets[i].entries[at], entry);
    }
  }
}

// The records that are not in use are the free ones.
void ListFree(const SessionPartition& partition, sluice_session_owner* owner) {
  owner->free_head = 0;
  owner->free_count = 0;
  for (uint32_t i = 0; i < partition.session_count; i++) {
    if (partition.sessions[i].protocol == 0) partition.free[owner->free_count++] = i;
  }
}

}  // namespace

std::optional<SessionInheritance> InheritSessions(int program) {
  const absl::StatusOr<Region> said = ReadProgramMap(program, "sluice_state_ma", sizeof(sluice_kernel_state));
  if (!said.ok()) return std::nullopt;
  const sluice_kernel_state state = *said->As<sluice_kernel_state>();
  if (state.layout != SLUICE_LAYOUT_VERSION || state.half > 1 || state.session_records == 0) return std::nullopt;
  std::optional<SessionArrays> arrays =
      SessionArrays::Find(program, {state.partitions, state.session_records, state.session_buckets});
  if (!arrays.has_value()) return std::nullopt;
  SessionInheritance before;
  before.arrays = *std::move(arrays);
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

uint64_t CopySessions(const SessionInheritance& before, const Tables& tables, SessionArrays* to) {
  if (!IsSameKey(before.settings, *tables.view().settings)) return 0;
  if (before.arrays.shape().records != to->shape().records) return 0;
  const Renumbering now(before, tables);
  const std::vector<SessionPartition> from = before.arrays.partitions();
  const std::vector<SessionPartition> into = to->partitions();
  uint64_t copied = 0;
  for (uint32_t i = 0; i < std::min(from.size(), into.size()); i++) {
    for (uint32_t record = 0; record < into[i].session_count; record++) {
      sluice_session session = LoadWords(&from[i].sessions[record]);
      if (session.protocol == 0 || !now.Apply(&session)) continue;
      StoreWords(&into[i].sessions[record], session);
      copied++;
    }
    CopyBuckets(from[i], into[i]);
    ListFree(into[i], to->owner(i));
    std::copy_n(before.arrays.owner(i)->cursors, SLUICE_PORT_CURSORS, to->owner(i)->cursors);
  }
  return copied;
}

}  // namespace sluice
