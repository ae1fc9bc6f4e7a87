#include "base/status_ranges.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

std::optional<uint32_t> StatusCode(absl::string_view text) {
  uint32_t code = 0;
  text = absl::StripAsciiWhitespace(text);
  if (text.size() != 3 || !absl::ascii_isdigit(static_cast<unsigned char>(text[0])) || !absl::SimpleAtoi(text, &code)) {
    return std::nullopt;
  }
  return code >= 100 && code <= 599 ? std::optional(code) : std::nullopt;
}

}  // namespace

std::optional<std::vector<StatusRange>> ParseStatusRanges(const std::string& text) {
  std::vector<StatusRange> ranges;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    const std::optional<uint32_t> first = StatusCode(ends.front());
    const std::optional<uint32_t> last = StatusCode(ends.back());
    if (ends.size() > 2 || !first.has_value() || !last.has_value() || *first > *last) return std::nullopt;
    ranges.push_back({*first, *last});
  }
  return ranges;
}

}  // namespace sluice
