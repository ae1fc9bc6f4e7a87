// Whether bytes are text that a YAML reader may be given.
//
// Thread-safety: pure function.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "config/report.h"

namespace sluice::config {

struct BadByte {
  Place place;
  std::string what;
};

// The first byte that is not part of valid UTF-8 (RFC 3629), or is a control character other than tab and line ends
// (YAML 1.2.2 section 5.1; yaml-cpp takes 0x04 for the end of the file and would silently ignore the rest).
std::optional<BadByte> FindBadByte(std::string_view text);

// Where the byte at `offset` stands; the end of the text when there is none.
Place PlaceOf(std::string_view text, size_t offset);

}  // namespace sluice::config
