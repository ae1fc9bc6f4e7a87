#include "tests/packet/layers.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice::packet_test {
namespace {

std::string Stripped(absl::string_view text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::StatusOr<uint32_t> ParseNumber(const std::string& text) {
  uint32_t value = 0;
  const bool hex = text.starts_with("0x");
  if (hex ? absl::SimpleHexAtoi(text.substr(2), &value) : absl::SimpleAtoi(text, &value)) return value;
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number"));
}

absl::StatusOr<Layer> ParseLayer(const std::string& text) {
  Layer layer;
  const size_t open = text.find('(');
  layer.name = Stripped(text.substr(0, open));
  if (open == std::string::npos) return layer;
  if (!text.ends_with(')')) return absl::InvalidArgumentError(absl::StrCat("'", text, "' does not end in ')'"));
  const std::string inside = Stripped(text.substr(open + 1, text.size() - open - 2));
  if (inside.empty()) return layer;
  int position = 0;
  for (const absl::string_view part : absl::StrSplit(inside, ',')) {
    const std::pair<std::string, std::string> field = absl::StrSplit(part, absl::MaxSplits('=', 1));
    std::string key = Stripped(field.first);
    std::string value = Stripped(field.second);
    if (!key.empty() && std::isdigit(static_cast<unsigned char>(key[0])) && value.empty()) {
      value = key;
      key = absl::StrCat(position++);
    }
    if (!layer.fields.emplace(key, value).second) {
      return absl::InvalidArgumentError(absl::StrCat(layer.name, ": '", key, "' twice"));
    }
  }
  return layer;
}

}  // namespace

std::string Layer::Take(const std::string& key, bool* found) {
  const auto node = fields.extract(key);
  *found = !node.empty();
  return *found ? node.mapped() : "";
}

void Layer::Complain(const std::string& text) {
  if (mistake_.empty()) mistake_ = name + ": " + text;
}

bool Layer::Flag(const std::string& key) {
  bool found = false;
  if (!Take(key, &found).empty()) Complain("'" + key + "' takes no value");
  return found;
}

uint32_t Layer::Number(const std::string& key, uint32_t otherwise) {
  bool found = false;
  const std::string text = Take(key, &found);
  if (!found) return otherwise;
  const absl::StatusOr<uint32_t> value = ParseNumber(text);
  if (!value.ok()) Complain(key + ": " + std::string(value.status().message()));
  return value.value_or(0);
}

std::string Layer::AddressBytes(const std::string& key, bool ipv6) {
  bool found = false;
  const std::string text = Take(key, &found);
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok() || address->IsIpv4() == ipv6) {
    Complain(key + "='" + text + "' is not an address of this family");
    return std::string(ipv6 ? 16 : 4, '\0');
  }
  const auto* bytes = reinterpret_cast<const char*>(address->bytes.data());
  return ipv6 ? std::string(bytes, 16) : std::string(bytes + 12, 4);
}

std::string Layer::MacBytes(const std::string& key, const std::string& otherwise) {
  bool found = false;
  const std::string text = Take(key, &found);
  const absl::StatusOr<Mac> mac = ParseMac(found ? text : otherwise);
  if (!mac.ok()) {
    Complain(key + "='" + text + "' is not a MAC address");
    return std::string(6, '\0');
  }
  return std::string(mac->begin(), mac->end());
}

std::string Layer::HexBytes(const std::string& key) {
  bool found = false;
  std::string text = Take(key, &found);
  std::erase_if(text, [](char c) { return c == ' '; });
  if (text.size() % 2 != 0 ||
      !std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); })) {
    Complain(key + "='" + text + "' is not a string of bytes in hex");
    return "";
  }
  return absl::HexStringToBytes(text);
}

std::string Layer::Mistake() const {
  if (!mistake_.empty()) return mistake_;
  if (!fields.empty()) return name + ": no field '" + fields.begin()->first + "'";
  return "";
}

absl::StatusOr<std::vector<Layer>> SplitLayers(std::string_view text) {
  std::vector<Layer> layers;
  for (const absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), '/')) {
    absl::StatusOr<Layer> layer = ParseLayer(Stripped(part));
    if (!layer.ok()) return layer.status();
    layers.push_back(*std::move(layer));
  }
  return layers;
}

}  // namespace sluice::packet_test
