#include "engine/xdp/bpf_status.h"

#include <bpf/libbpf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/xdp/load_hint.h"

namespace sluice {
namespace {

// A verifier's log may have a million lines: what it says comes last.
constexpr size_t kLinesOfOne = 24;
constexpr size_t kRemembered = 1u << 16;

// What libbpf has written since LogLibbpf.
std::string& Words() {
  thread_local std::string words;
  return words;
}

std::string Format(const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  std::string text(static_cast<size_t>(std::max(length, 0)), '\0');
  // The terminating zero has a place of its own behind a string's characters.
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

int Log(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  const std::string text = Format(format, arguments);
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (lines.size() > kLinesOfOne) {
    // The first says what it is.
    spdlog::info("{} ({} lines are left out)", std::string(lines[0]), lines.size() - kLinesOfOne);
    absl::StrAppend(&Words(), lines[0], "\n");
    lines.erase(lines.begin(), lines.end() - kLinesOfOne);
  }
  for (const absl::string_view line : lines) {
    spdlog::info("{}", std::string(line));
    if (Words().size() < kRemembered) absl::StrAppend(&Words(), line, "\n");
  }
  return 0;
}

}  // namespace

absl::Status BpfStatus(int error, const std::string& what) {
  if (error == EPERM || error == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(what,
                     ": no permission; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN (CAP_BPF and "
                     "CAP_PERFMON do, but for taking over from an instance that crashed)"));
  }
  return absl::ErrnoToStatus(error, what);
}

void LogLibbpf() {
  Words().clear();
  libbpf_set_print(Log);
}

absl::Status LoadStatus(int error, const std::string& what) {
  const absl::string_view reason = VerifierReason(Words());
  absl::Status status = absl::ErrnoToStatus(error, what);
  return absl::Status(status.code(), absl::StrCat(std::string(status.message()),
                                                  reason.empty() ? "" : absl::StrCat(" (verifier: ", reason, ")"), "; ",
                                                  LoadHint(error, Words(), LoadEnvironment::Read())));
}

}  // namespace sluice
