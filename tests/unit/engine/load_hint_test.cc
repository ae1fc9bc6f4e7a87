// What to do when the kernel refuses a program or a map, by messages as kernels and libbpf write them.
#include "engine/xdp/load_hint.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "engine/xdp/bpf_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "redirect.skel.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Root on a kernel of today.
LoadEnvironment Root() {
  LoadEnvironment environment;
  environment.capabilities = ~uint64_t{0};
  environment.kernel_major = 6;
  environment.kernel_minor = 1;
  environment.locked_memory = 8 << 20;
  return environment;
}

uint64_t Bit(int capability) {
  return uint64_t{1} << capability;
}

// The verifier's log as libbpf hands it on.
std::string Log(const std::string& lines) {
  return "libbpf: prog 'sluice_xdp': BPF program load failed: Permission denied\n"
         "libbpf: prog 'sluice_xdp': -- BEGIN PROG LOAD LOG --\n" +
         lines +
         "processed 153 insns (limit 1000000) max_states_per_insn 1 total_states 9 peak_states 9 mark_read 3\n"
         "-- END PROG LOAD LOG --\n"
         "libbpf: prog 'sluice_xdp': failed to load: -13\n"
         "libbpf: failed to load object 'sluice_bpf'\n";
}

struct Refusal {
  int error;
  std::string words;
  std::string advice;
};

TEST(LoadHint, ByWhatTheKernelSays) {
  const std::string too_large =
      "BPF program is too large. Processed 1000001 insn\n"
      "processed 1000001 insns (limit 1000000) max_states_per_insn 63 total_states 13181 peak_states 2810 mark_read "
      "5\n";
  const std::vector<Refusal> refusals = {
      {E2BIG, Log(too_large), "use a newer kernel"},
      {E2BIG, Log("The sequence of 8193 jumps is too complex.\n"), "use a newer kernel"},
      {E2BIG, "", "use a newer kernel"},
      {E2BIG, "libbpf: map 'sluice_buckets_map': failed to create: Argument list too long(-7)\n", "max_connections"},
      {ENOMEM, "libbpf: map 'sluice_buckets_map': failed to create: Cannot allocate memory(-12)\n", "max_connections"},
      {ENOMEM, "", "MemoryMax="},
      {EINVAL, Log("16: (85) call unknown#177\ninvalid func unknown#177\n"), "Linux 5.15 or later"},
      {EINVAL, Log("program of this type cannot use helper bpf_redirect_map#51\n"), "Linux 5.15 or later"},
      {EINVAL, Log("unknown func bpf_redirect_map#51\n"), "Linux 5.15 or later"},
      {EACCES, Log("R3 pointer comparison prohibited\n"), "CAP_PERFMON"},
      {EACCES, Log("R1 has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root\n"),
       "CAP_PERFMON"},
      {EACCES, Log("R1 invalid mem access 'scalar'\n"), "does not believe"},
      {524, "libbpf: prog 'sluice_xdp': BPF program load failed: unknown error (-524)\n", "net.core.bpf_jit_enable=1"},
      {ESRCH, "libbpf: failed to find valid kernel BTF\nlibbpf: Error loading vmlinux BTF: -3\n",
       "CONFIG_DEBUG_INFO_BTF"},
      {ENOSYS, "", "CONFIG_BPF_SYSCALL"},
      {EINVAL, "", "dmesg"},
  };
  for (const Refusal& refusal : refusals) {
    const std::string hint = LoadHint(refusal.error, refusal.words, Root());
    EXPECT_THAT(hint, HasSubstr(refusal.advice)) << refusal.error << " " << refusal.words;
    EXPECT_THAT(hint, Not(HasSubstr("no permission"))) << refusal.words;
  }
}

TEST(LoadHint, ByWhatThisProcessMay) {
  const std::string trivial =
      "libbpf: Error in bpf_object__probe_loading():Operation not permitted(1). Couldn't load trivial BPF program. "
      "Make "
      "sure your kernel supports BPF (CONFIG_BPF_SYSCALL=y) and/or that RLIMIT_MEMLOCK is set to big enough value.\n";
  LoadEnvironment environment = Root();
  environment.capabilities = 0;
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("for want of CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON;"));
  environment.capabilities = Bit(CAP_BPF) | Bit(CAP_NET_ADMIN);
  EXPECT_THAT(LoadHint(EPERM, "", environment), HasSubstr("for want of CAP_PERFMON;"));
  environment.capabilities = Bit(CAP_SYS_ADMIN);
  EXPECT_THAT(LoadHint(EPERM, "", environment), HasSubstr("for want of CAP_NET_ADMIN;"));

  // It has what it takes.
  environment.capabilities = Bit(CAP_BPF) | Bit(CAP_NET_ADMIN) | Bit(CAP_PERFMON);
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("seccomp"));
  environment.lockdown = "none";
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("seccomp"));
  environment.lockdown = "confidentiality";
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("locked down (confidentiality)"));
  environment.kernel_major = 5;
  environment.kernel_minor = 10;
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("8192 KiB are allowed; set LimitMEMLOCK=infinity"));
  environment.locked_memory = RLIM_INFINITY;
  EXPECT_THAT(LoadHint(EPERM, trivial, environment), HasSubstr("locked down"));
}

// Whatever an old kernel says, it is too old.
TEST(LoadHint, AnOldKernel) {
  LoadEnvironment environment = Root();
  environment.kernel_major = 5;
  environment.kernel_minor = 4;
  EXPECT_THAT(LoadHint(EINVAL, Log("invalid func unknown#177\n"), environment),
              HasSubstr("this is Linux 5.4; it takes 5.15 or later"));
  environment.kernel_minor = 15;
  EXPECT_THAT(LoadHint(EINVAL, "", environment), Not(HasSubstr("this is Linux")));
  environment.kernel_major = 0;
  EXPECT_THAT(LoadHint(EINVAL, "", environment), Not(HasSubstr("this is Linux")));
}

TEST(VerifierReason, TheLastLineBeforeItsStatistics) {
  EXPECT_EQ(VerifierReason(Log("0: (bf) r6 = r1\n1: (61) r1 = *(u32 *)(r6 +0)\nR1 invalid mem access 'scalar'\n")),
            "R1 invalid mem access 'scalar'");
  EXPECT_EQ(VerifierReason(Log("BPF program is too large. Processed 1000001 insn\n"
                               "verification time 1234567 usec\nstack depth 160+128\n")),
            "BPF program is too large. Processed 1000001 insn");
  EXPECT_EQ(VerifierReason("libbpf: failed to find valid kernel BTF\n"), "");
  EXPECT_EQ(VerifierReason(""), "");
}

// The kernel's own verifier, with a program of ours that reads more of the stack than it has written.
TEST(LoadStatus, TheVerifiersReasonReachesTheUser) {
  if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
  LogLibbpf();
  redirect_bpf* skeleton = redirect_bpf__open();
  ASSERT_NE(skeleton, nullptr);
  ASSERT_EQ(bpf_map__set_key_size(skeleton->maps.vips, 256), 0);
  const int error = redirect_bpf__load(skeleton);
  redirect_bpf__destroy(skeleton);
  ASSERT_LT(error, 0);
  const std::string words(LoadStatus(-error, "loading the XDP program").message());
  EXPECT_THAT(words, AllOf(HasSubstr("loading the XDP program: "), HasSubstr(" (verifier: invalid ")));
  EXPECT_THAT(words, HasSubstr("does not believe"));
  // What was said of one load is not said of the next.
  LogLibbpf();
  EXPECT_THAT(std::string(LoadStatus(ENOMEM, "another").message()), Not(HasSubstr("verifier")));
}

TEST(LoadEnvironment, OfThisProcess) {
  const LoadEnvironment environment = LoadEnvironment::Read();
  EXPECT_GE(environment.kernel_major, 5u);
  if (geteuid() == 0) {
    EXPECT_TRUE(environment.capabilities & Bit(CAP_CHOWN));
  }
  EXPECT_GT(environment.locked_memory, 0u);
}

}  // namespace
}  // namespace sluice
