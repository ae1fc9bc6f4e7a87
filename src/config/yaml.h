// YAML text -> sluice.v1.Config, with every mistake and its place.
//
// Walks the schema by reflection: a new field of the schema is a new key of the file, nothing to do here unless its
// scalars need a form of their own (config/scalar.h). It reads YAML events, never a tree, so memory is bounded by the
// result. What a configuration does not need is refused instead of followed: aliases, tags, a second document, control
// characters, invalid UTF-8, more than kMaxFileBytes, kMaxDepth or kMaxListElements (config/bounds.h).
//
// Thread-safety: pure function. Never throws.
#pragma once

#include <string_view>

#include "config/report.h"
#include "config/sluice.pb.h"

namespace sluice {

// What could be read, without defaults. Mistakes and the places of all values go to `report`; a value with a mistake is
// left out, so the result is only to be used when report.ok(), or by ValidateConfig() to find further mistakes.
// After broken YAML the rest is unread; `report` then explains everything that is missing.
v1::Config ParseConfig(std::string_view text, config::Report& report);

}  // namespace sluice
