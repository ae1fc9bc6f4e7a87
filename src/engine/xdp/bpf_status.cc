#include "engine/xdp/bpf_status.h"

#include <bpf/libbpf.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

int Log(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 1024> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  line[std::strcspn(line.data(), "\n")] = '\0';
  spdlog::info("{}", line.data());
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
  libbpf_set_print(Log);
}

}  // namespace sluice
