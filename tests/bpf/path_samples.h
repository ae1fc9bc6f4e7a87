// Packets that reach every corner of the path, with the verdict that the tables of path_tables.h give them.
#pragma once

#include <string>
#include <vector>

#include "sluice/verdict.h"

namespace sluice::path_test {

struct Sample {
  // As tests/packet/notation.h writes packets.
  std::string packet;
  sluice_verdict verdict;
  // Meets what the sample before it left in the connection table; others meet an empty one.
  bool follows = false;
};

std::vector<Sample> Samples();

}  // namespace sluice::path_test
