// Golden packets through the dpdk engine.
#include "tests/packet/golden_runner.h"

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenKind;
  return sluice::packet_test::RunGoldenCases(argc, argv, "dpdk", GoldenKind::kReal,
                                             [] { return sluice::packet_test::OpenTestedDpdk({}); });
}
