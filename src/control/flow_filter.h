// Which flows a request of the API is about.
//
// Thread-safety: the control thread's. Errors say what to ask instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "control/controller.h"
#include "control/runtime.pb.h"
#include "engine/flow_reader.h"
#include "tables/tables.h"

namespace sluice {

// Places that are read at a time. A cache line each: about a millisecond.
inline constexpr uint64_t kFlowPlaces = 16'384;

Address AddressOf(const sluice_address& address);
// UNAVAILABLE, for before there are tables.
absl::Status NoTablesYet();
absl::StatusOr<sluice_flow> ReadFlow(const v1::FiveTuple& flow);

// NOT_FOUND, with the names of those that there are.
absl::Status NoListener(const Tables& tables, const v1::FiveTuple& flow);

// By what is not empty.
class FlowFilter {
 public:
  // The controller's tables outlive it. `source` is a prefix. A pool or backend that there is not is an error which
  // names those that there are.
  static absl::StatusOr<FlowFilter> Make(const Controller& controller, const std::string& pool,
                                         const std::string& backend, const std::string& source);
  bool Fits(const FlowRecord& flow) const;

 private:
  FlowFilter(const Tables& tables, std::string pool, std::string backend)
      : tables_(&tables), pool_(std::move(pool)), backend_(std::move(backend)) {}

  const Tables* tables_;
  std::string pool_;
  std::string backend_;
  // What an entry does not know, and never fits.
  std::optional<Prefix> source_;
};

}  // namespace sluice
