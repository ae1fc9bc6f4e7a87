// What tables say, with names in the place of the numbers that their builder has given: tables of other builders, which
// have other numbers, are the same when this is.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "sluice/select.h"
#include "tables/tables.h"

namespace sluice {

template <typename Record>
std::vector<uint8_t> Bytes(const Record* records, size_t count) {
  std::vector<uint8_t> bytes(count * sizeof(Record));
  if (count > 0) std::memcpy(bytes.data(), records, bytes.size());
  return bytes;
}

inline std::vector<uint32_t> PlacesOf(const sluice_tables& view, const sluice_pool& pool) {
  const uint32_t* first = view.maglev + pool.offset;
  return sluice_pool_places(&pool) == 0 ? std::vector<uint32_t>()
                                        : std::vector<uint32_t>(first, first + sluice_pool_places(&pool));
}

// Records that say nothing of numbers, by name.
using Description = std::map<std::string, std::string>;

inline std::string Hex(const std::vector<uint8_t>& bytes) {
  return absl::StrJoin(bytes, "", [](std::string* out, uint8_t byte) { absl::StrAppend(out, absl::Hex(byte)); });
}

inline std::string DescribePlaces(const Tables& tables, const sluice_pool& pool) {
  std::vector<std::string> names;
  const bool split = pool.algorithm == SLUICE_SPLIT;
  for (const uint32_t place : PlacesOf(tables.view(), pool)) {
    names.push_back(split ? tables.pool_names()[place] : tables.backend_names()[place].backend);
  }
  // Those who take turns, and members, are in the order of their numbers.
  const bool in_turns = pool.algorithm >= SLUICE_ROUND_ROBIN && !split;
  std::sort(names.begin() + (in_turns ? 0 : static_cast<std::ptrdiff_t>(pool.size)), names.end());
  return absl::StrCat(pool.size, " ", pool.algorithm, " ", pool.takers, " ", pool.members, ": ",
                      absl::StrJoin(names, " "));
}

inline Description Describe(const Tables& tables) {
  const sluice_tables& view = tables.view();
  Description all;
  for (uint32_t i = 0; i < tables.listener_count(); i++) {
    if (tables.listener_names()[i].empty()) continue;
    const sluice_listener& listener = view.listeners[i];
    sluice_session_terms terms = view.session_terms[i];
    EXPECT_EQ(terms.pool, listener.pool);
    terms.pool = 0;
    all["listener " + tables.listener_names()[i]] =
        absl::StrCat(listener.idle, " ", listener.flags, " ", Hex(Bytes(&terms, 1)), " ",
                     DescribePlaces(tables, view.pools[listener.pool]));
  }
  for (uint32_t i = 0; i < tables.pool_count(); i++) {
    if (!tables.pool_names()[i].empty()) {
      all["pool " + tables.pool_names()[i]] = DescribePlaces(tables, view.pools[i]);
    }
  }
  for (uint32_t i = 0; i < tables.backend_slots(); i++) {
    const BackendName& name = tables.backend_names()[i];
    if (name.backend.empty()) continue;
    sluice_backend record = view.backends[i];
    const bool live = record.flags & SLUICE_BACKEND_LIVE;
    EXPECT_EQ(live ? tables.pool_names()[record.pool] : name.pool, name.pool);
    record.pool = 0;
    all[absl::StrCat("backend ", name.pool, "/", name.backend)] = Hex(Bytes(&record, 1));
  }
  for (const LoadTerms& terms : tables.load_terms()) {
    const BackendName& name = tables.backend_names()[terms.slot];
    all[absl::StrCat("load ", name.pool, "/", name.backend)] =
        absl::StrCat(terms.weight, " ", terms.max_connections, " ", terms.takes_flows, " ", terms.by_time, " ",
                     terms.hash_balance_factor, " ", tables.pool_names()[terms.pool]);
  }
  for (const uint32_t slot : tables.reset_slots()) all["reset " + tables.backend_names()[slot].backend] = "";
  return all;
}

}  // namespace sluice
