// "Did you mean ...?": the known word that is nearest to a mistyped one.
//
// Thread-safety: pure functions. The distance is optimal string alignment: insert, delete, change, or swap two
// neighbours, each 1 (Boytsov 2011, section 2.2).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::config {

// The distance, or `limit` + 1 when it is more than `limit`.
size_t EditDistance(std::string_view a, std::string_view b, size_t limit);

// The nearest of `words` (the first among equals), or "" when none is near enough to be what was meant: at most a third
// of the letters, and at most 3, differ.
std::string Nearest(std::string_view word, const std::vector<std::string>& words);

// `did you mean "web"?`, or `it is one of a, b, c` when nothing is near, or "" when there is nothing to name.
std::string Suggest(std::string_view word, const std::vector<std::string>& words);

}  // namespace sluice::config
