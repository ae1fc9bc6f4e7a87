#include "config/text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace sluice::config {
namespace {

// Bytes of the character at the start of `text`; 0 when it is not valid (RFC 3629 section 4: no overlong forms, no
// surrogates, at most U+10FFFF).
size_t CharacterLength(std::string_view text) {
  const auto byte = [text](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto continues = [&byte](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool overlong = lead == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = lead == 0xed && byte(1) > 0x9f;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool overlong = lead == 0xf0 && byte(1) < 0x90;
    const bool beyond = lead == 0xf4 && byte(1) > 0x8f;
    return continues(1) && continues(2) && continues(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::optional<BadByte> FindBadByte(std::string_view text) {
  for (size_t offset = 0; offset < text.size();) {
    const auto byte = static_cast<uint8_t>(text[offset]);
    const size_t length = CharacterLength(text.substr(offset));
    if (length == 0) {
      return BadByte{PlaceOf(text, offset),
                     absl::StrFormat("byte 0x%02x is not UTF-8 text; save the file as UTF-8", byte)};
    }
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
      return BadByte{PlaceOf(text, offset),
                     absl::StrFormat("control character 0x%02x; a configuration is plain text", byte)};
    }
    offset += length;
  }
  return std::nullopt;
}

Place PlaceOf(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<uint32_t>(std::count(before.begin(), before.end(), '\n') + 1),
          static_cast<uint32_t>(before.size() - line_start + 1)};
}

}  // namespace sluice::config
