// What tells the ends of a session that it is over.
//
// Thread-safety: any thread, beside the workers that note what the ends say.
#pragma once

#include <cstdint>
#include <optional>

#include "sluice/reset.h"
#include "sluice/tables.h"

namespace sluice {

// From the address that its receiver talks to, with the numbers that it has acknowledged and been acknowledged; points
// into the tables and the session.
struct SessionReset {
  sluice_reset what;
  // Port of the engine.
  uint16_t egress = 0;
};

// None: it has not acknowledged anything, or there is no way to it.
std::optional<SessionReset> ResetOfClient(const sluice_tables& tables, const sluice_session& session);
std::optional<SessionReset> ResetOfServer(const sluice_tables& tables, const sluice_session& session);

}  // namespace sluice
