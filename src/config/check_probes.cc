#include "config/check_probes.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"

namespace sluice::config {

int64_t Milliseconds(const google::protobuf::Duration& time) {
  return time.seconds() * 1000 + time.nanos() / 1'000'000;
}

std::string MillisecondsText(int64_t milliseconds) {
  return milliseconds % 1000 == 0 ? absl::StrCat(milliseconds / 1000, "s") : absl::StrCat(milliseconds, "ms");
}

void CheckInterval(const google::protobuf::Duration& time, const std::string& path, absl::string_view field,
                   Report& report) {
  const int64_t ms = Milliseconds(time);
  if (ms >= kMinCheckIntervalMs && ms <= kMaxCheckIntervalMs) return;
  report.AddError(absl::StrCat(path, ".", field),
                  absl::StrCat(field, " is out of range; choose from ", kMinCheckIntervalMs, "ms to 1h"));
}

void CheckAnswerTime(const google::protobuf::Duration& timeout, const google::protobuf::Duration& interval,
                     const std::string& path, Report& report) {
  const std::string timeout_path = absl::StrCat(path, ".timeout");
  if (Milliseconds(timeout) < kMinCheckTimeoutMs) {
    report.AddError(timeout_path,
                    absl::StrCat("timeout is out of range; choose from ", kMinCheckTimeoutMs, "ms to interval"));
  } else if (Milliseconds(timeout) > Milliseconds(interval)) {
    report.AddError(timeout_path,
                    absl::StrCat("timeout is longer than interval, ", MillisecondsText(Milliseconds(interval)),
                                 ", and checks would be late; make one of them shorter or longer"));
  }
}

void CheckEscaped(const std::string& text, const std::string& path, absl::string_view field, Report& report) {
  std::string plain;
  std::string wrong;
  if (!absl::CUnescape(text, &plain, &wrong)) {
    report.AddError(absl::StrCat(path, ".", field),
                    absl::StrCat(field, " has an escape that is none (", wrong, "); write \\\\ for a backslash"));
  }
  CheckSentLength(plain, path, field, report);
}

void CheckSentLength(const std::string& text, const std::string& path, absl::string_view field, Report& report) {
  if (text.size() <= kMaxCheckBytes) return;
  report.AddError(absl::StrCat(path, ".", field),
                  absl::StrCat(field, " has ", text.size(), " bytes; at most ", kMaxCheckBytes, " are possible"));
}

}  // namespace sluice::config
