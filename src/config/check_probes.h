// What health checks and agent checks have in common: times, and bytes that are sent or expected. For src/config/
// alone.
//
// Each tells the report of the key `field` below `path`. Thread-safety: as of the report.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "config/report.h"
#include "config/sluice.pb.h"

namespace sluice::config {

int64_t Milliseconds(const google::protobuf::Duration& time);
// "2s", "150ms".
std::string MillisecondsText(int64_t milliseconds);

void CheckInterval(const google::protobuf::Duration& time, const std::string& path, absl::string_view field,
                   Report& report);
// The timeout of a check that is made every `interval`.
void CheckAnswerTime(const google::protobuf::Duration& timeout, const google::protobuf::Duration& interval,
                     const std::string& path, Report& report);
// C escapes, and what they stand for is not too long.
void CheckEscaped(const std::string& text, const std::string& path, absl::string_view field, Report& report);
void CheckSentLength(const std::string& text, const std::string& path, absl::string_view field, Report& report);

}  // namespace sluice::config
