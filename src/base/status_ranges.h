// HTTP status codes as operators write them.
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice {

// Both ends included.
struct StatusRange {
  uint32_t first = 200;
  uint32_t last = 399;
  bool operator==(const StatusRange&) const = default;
};

// "200-399", "200, 204, 301-302"; none when it is anything else. Codes are 100 to 599.
std::optional<std::vector<StatusRange>> ParseStatusRanges(const std::string& text);

}  // namespace sluice
