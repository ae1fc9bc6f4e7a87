// From a file to a configuration that can be run.
//
// Thread-safety: pure functions but for reading the file. A relative path is taken from the working directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/sluice.pb.h"

namespace sluice {

struct LoadedConfig {
  // Valid, with every default filled in (config/validate.h).
  v1::Config config;
  // Lines "file:line:column: ..." about what is allowed but hardly meant.
  std::vector<std::string> warnings;
  // Of the text, 32 bytes: tells whether the file has changed.
  std::string sha256;
};

// Errors: NotFound, PermissionDenied or FailedPrecondition when the file cannot be read; InvalidArgument with one line
// "file:line:column: what is wrong; what would be right" for each mistake, at most kMaxErrorLines of them.
absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path);

// The same from text; `filename` only for messages.
absl::StatusOr<LoadedConfig> LoadConfigText(std::string_view text, const std::string& filename);

}  // namespace sluice
