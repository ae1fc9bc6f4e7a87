#include "engine/xdp/load_hint.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

// The kernel's own, which errno.h does not have: what its JIT compiler answers for a program that it cannot take.
constexpr int kNotSupported = 524;
constexpr uint32_t kOldestMajor = 5;
constexpr uint32_t kOldestMinor = 15;

// What the kernel or libbpf write, and what it takes. The first that fits counts, so maps come before programs.
struct Hint {
  // 0: any.
  int error;
  // In what they write; empty: whatever they write.
  absl::string_view text;
  absl::string_view advice;
};

constexpr absl::string_view kLessMemory =
    "there is no memory for the tables; lower engine.max_connections or engine.max_sessions, or raise the memory limit "
    "of the service (MemoryMax=)";
constexpr absl::string_view kTooComplex =
    "the verifier of this kernel follows fewer paths than the program has; use a newer kernel (6.1 and 6.18 take it)";
constexpr absl::string_view kUnknownHelper =
    "this kernel lacks something that the program calls; use Linux 5.15 or later, built with CONFIG_BPF_SYSCALL, "
    "CONFIG_BPF_JIT and CONFIG_XDP_SOCKETS";
constexpr absl::string_view kPerfmon =
    "the kernel wants CAP_PERFMON for a program that compares pointers; give it besides CAP_BPF and CAP_NET_ADMIN";
constexpr absl::string_view kJit =
    "the kernel's JIT compiler does not take the program; switch it on with `sysctl -w net.core.bpf_jit_enable=1`, and "
    "raise net.core.bpf_jit_limit if other programs have used it up";

constexpr std::array<Hint, 14> kHints = {{
    {E2BIG, "failed to create", "a table is larger than a map of the kernel may be; lower engine.max_connections"},
    {ENOMEM, "", kLessMemory},
    {0, "Cannot allocate memory", kLessMemory},
    {0, "BPF program is too large", kTooComplex},
    {0, "jumps is too complex", kTooComplex},
    {E2BIG, "", kTooComplex},
    {0, "invalid func unknown", kUnknownHelper},
    {0, "program of this type cannot use helper", kUnknownHelper},
    {0, "unknown func", kUnknownHelper},
    {0, "prohibited", kPerfmon},
    {kNotSupported, "", kJit},
    {0, "valid kernel BTF",
     "the kernel has no description of its types (/sys/kernel/btf/vmlinux); use one that is built with "
     "CONFIG_DEBUG_INFO_BTF, as those of distributions are"},
    {ENOSYS, "", "the kernel is built without BPF; use one with CONFIG_BPF_SYSCALL, as those of distributions are"},
    {ENOSPC, "", "a table of the kernel is full; lower engine.max_connections"},
}};

bool Has(const LoadEnvironment& environment, int capability) {
  return environment.capabilities >> capability & 1;
}

// Of those that a load needs. CAP_SYS_ADMIN has the first and the last of them in it.
std::string MissingCapabilities(const LoadEnvironment& environment) {
  std::vector<absl::string_view> missing;
  const bool admin = Has(environment, CAP_SYS_ADMIN);
  if (!admin && !Has(environment, CAP_BPF)) missing.push_back("CAP_BPF");
  if (!Has(environment, CAP_NET_ADMIN)) missing.push_back("CAP_NET_ADMIN");
  if (!admin && !Has(environment, CAP_PERFMON)) missing.push_back("CAP_PERFMON");
  return absl::StrJoin(missing, ", ");
}

bool IsOlder(const LoadEnvironment& environment, uint32_t major, uint32_t minor) {
  if (environment.kernel_major == 0) return false;
  return environment.kernel_major < major || (environment.kernel_major == major && environment.kernel_minor < minor);
}

std::string Permission(const LoadEnvironment& environment) {
  if (const std::string missing = MissingCapabilities(environment); !missing.empty()) {
    return absl::StrCat("no permission, for want of ", missing,
                        "; run as root, or give it (AmbientCapabilities= in the unit, setpriv --ambient-caps)");
  }
  // From Linux 5.11 on it is the cgroup's memory that counts.
  if (IsOlder(environment, 5, 11) && environment.locked_memory != RLIM_INFINITY) {
    return absl::StrCat("this kernel counts maps as locked memory, of which ", environment.locked_memory >> 10,
                        " KiB are allowed; set LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`");
  }
  if (!environment.lockdown.empty() && environment.lockdown != "none") {
    return absl::StrCat("the kernel is locked down (", environment.lockdown,
                        "), as with Secure Boot, and `dmesg` says \"Lockdown:\" if that is why; boot with less of it");
  }
  return "this process has the capabilities, but is not allowed to use BPF; a container's seccomp profile or a "
         "security module forbids it: look at `dmesg` and the audit log";
}

std::string ReadLockdown() {
  std::ifstream file("/sys/kernel/security/lockdown");
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find('[');
  const size_t end = line.find(']');
  return begin < end && end != std::string::npos ? line.substr(begin + 1, end - begin - 1) : "";
}

uint64_t ReadCapabilities() {
  std::ifstream file("/proc/self/status");
  std::string key;
  while (file >> key) {
    uint64_t value = 0;
    if (key == "CapEff:" && file >> std::hex >> value) return value;
  }
  return 0;
}

}  // namespace

LoadEnvironment LoadEnvironment::Read() {
  LoadEnvironment environment;
  environment.capabilities = ReadCapabilities();
  environment.lockdown = ReadLockdown();
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) environment.locked_memory = limit.rlim_cur;
  utsname name{};
  if (uname(&name) != 0) return environment;
  const std::vector<absl::string_view> parts = absl::StrSplit(absl::string_view(name.release), absl::ByAnyChar(".-"));
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &environment.kernel_major) ||
      !absl::SimpleAtoi(parts[1], &environment.kernel_minor)) {
    environment.kernel_major = 0;
  }
  return environment;
}

absl::string_view VerifierReason(absl::string_view words) {
  absl::string_view reason;
  bool in_log = false;
  for (absl::string_view line : absl::StrSplit(words, '\n')) {
    if (absl::StrContains(line, "BEGIN PROG LOAD LOG")) {
      in_log = true;
    } else if (absl::StrContains(line, "END PROG LOAD LOG")) {
      break;
    } else if (in_log && !line.empty() && !absl::StartsWith(line, "processed ") &&
               !absl::StartsWith(line, "verification time ") && !absl::StartsWith(line, "stack depth ")) {
      reason = line;
    }
  }
  return reason;
}

std::string LoadHint(int error, absl::string_view words, const LoadEnvironment& environment) {
  if (IsOlder(environment, kOldestMajor, kOldestMinor) && error != EPERM) {
    return absl::StrCat("this is Linux ", environment.kernel_major, ".", environment.kernel_minor, "; it takes ",
                        kOldestMajor, ".", kOldestMinor, " or later");
  }
  for (const Hint& hint : kHints) {
    if ((hint.error == 0 || hint.error == error) && absl::StrContains(words, hint.text)) {
      return std::string(hint.advice);
    }
  }
  // The verifier answers so too, for a program that it believes to be wrong.
  const bool refused = !VerifierReason(words).empty();
  if (error == EPERM || (error == EACCES && !refused)) return Permission(environment);
  if (refused) {
    return "the verifier of this kernel does not believe that the program is safe; use another kernel (6.1 and 6.18 "
           "take it), and report this with the log";
  }
  return "look at what libbpf has written to the log, and at `dmesg`";
}

}  // namespace sluice
