// The meaning of a configuration: defaults filled, and everything checked that the schema cannot say.
//
// Thread-safety: pure function; 10,000 listeners take some milliseconds, the work grows as n log n at most.
#pragma once

#include "config/report.h"
#include "config/sluice.pb.h"

namespace sluice {

// Fills the defaults (config/defaults.h) and adds every error and warning to `report`: the one of ParseConfig() for a
// file, or a `config::Report report;` for a configuration from the API, whose errors then name the field's path. After
// report.ok(): all fields with a default are present, names are unique and resolve, addresses parse and are unicast,
// port ranges are sane and do not overlap, what nat and full_nat need is there, and every limit of config/bounds.h
// holds. Valid input stays as it is when validated again.
void ValidateConfig(v1::Config& config, config::Report& report);

}  // namespace sluice
