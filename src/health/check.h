// What a health check is: of which kind, how often, what it sends and what it takes for an answer.
//
// Thread-safety: as of a struct; shared, it is const.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status_ranges.h"

namespace sluice {

class TlsContext;

enum class CheckType { kTcp, kHttp, kHttps, kUdp, kIcmp, kGrpc, kAgent };

// New flows that a backend was given and that came to something, in one window (control/observer.h).
struct OpenedFlows {
  uint64_t answered = 0;
  uint64_t failed = 0;
};

// When too many of them have failed.
struct ObserveTerms {
  uint32_t failed_percent = 50;
  uint64_t minimum_failed = 20;
  bool operator==(const ObserveTerms&) const = default;

  bool TooManyFailed(const OpenedFlows& flows) const {
    return flows.failed >= minimum_failed && flows.failed * 100 >= (flows.answered + flows.failed) * failed_percent;
  }
};

// How results make states.
struct CheckTerms {
  // From the start of one check to the start of the next: of a backend whose state is settled and healthy; of one whose
  // state is about to change, or is not known yet; of an unhealthy one.
  absl::Duration interval;
  absl::Duration fast_interval;
  absl::Duration down_interval;
  // How many checks in a row have to pass, and to fail, for the state to change.
  uint32_t rise = 2;
  uint32_t fall = 3;
  // Who falls soon after a return needs twice as many passed checks each time.
  bool flap_dampening = false;
  // None: flows are not observed.
  std::optional<ObserveTerms> observe = std::nullopt;
  bool operator==(const CheckTerms&) const = default;
};

// Either may be empty.
struct CheckStep {
  std::string send;
  std::string expect;
};

struct CheckSpec {
  CheckType type = CheckType::kTcp;
  CheckTerms terms;
  // Of the whole check, from opening the socket to the last byte that counts.
  absl::Duration timeout;
  // http and https; grpc, whose :authority is `host`. Empty: the address and port that are asked.
  std::string host;
  // http and https.
  std::string method;
  std::string path;
  std::vector<StatusRange> statuses;
  // As `statuses`, for the reader.
  std::string expected_statuses;
  // Has to be in the beginning of the body (kMaxAnswer); empty: the body is not read.
  std::string expect_body;
  // agent: what is sent. tcp and udp: what is sent, and what has to be in the beginning of the answer. May be empty.
  std::string send;
  std::string expect;
  // tcp: in place of the two, one after the other.
  std::vector<CheckStep> script;
  // grpc: the service that is asked for; empty: the server as a whole.
  std::string service;
  // https, and grpc where it is to be over TLS.
  std::shared_ptr<const TlsContext> tls;
};

// Bytes of an answer that are looked at; a longer one is cut off.
inline constexpr size_t kMaxAnswer = 65'536;

// Of the line that an agent says.
inline constexpr size_t kMaxAgentLine = 1'024;

}  // namespace sluice
