// Golden packets through the sim engine.
#include "tests/packet/golden_runner.h"

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenKind;
  return sluice::packet_test::RunGoldenCases(argc, argv, "sim", GoldenKind::kSimulated,
                                             [] { return sluice::packet_test::OpenTestedSim({}); });
}
