// The key of the flow hash: the configuration's, else the one kept in the state folder, else a new random one that is
// kept there, so that flows find their backends again after a restart.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

// `configured` is empty or 32 bytes. Errors name the file and what is wrong with it.
absl::StatusOr<std::array<uint8_t, 32>> FindHashKey(const std::string& configured, const std::string& state_dir);

}  // namespace sluice
