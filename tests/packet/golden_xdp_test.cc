// Golden packets through the engine in the kernel.
#include <unistd.h>

#include <cstdio>

#include "tests/packet/golden_runner.h"

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenKind;
  if (geteuid() != 0) {
    std::fprintf(stderr, "SKIPPED: loading a BPF program needs root\n");
    return 77;
  }
  if (const absl::Status made = sluice::packet_test::MakeTestedXdpInterfaces(); !made.ok()) {
    std::fprintf(stderr, "%s\n", made.ToString().c_str());
    return 1;
  }
  return sluice::packet_test::RunGoldenCases(argc, argv, "xdp", GoldenKind::kReal,
                                             [] { return sluice::packet_test::OpenTestedXdp({}); });
}
