// The text of a packet, taken apart: layers, and the fields of each. Internal to the notation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"

namespace sluice::packet_test {

// One `name(field=value, flag, value)`. Reading a field uses it up; what is left over is a mistake of the writer.
class Layer {
 public:
  std::string name;
  // A value without a name has its position among those ("0", "1"); a flag has an empty value.
  std::map<std::string, std::string> fields;

  bool Has(const std::string& key) const { return fields.contains(key); }
  // True when the flag is there.
  bool Flag(const std::string& key);
  uint32_t Number(const std::string& key, uint32_t otherwise);
  // 4 or 16 bytes.
  std::string AddressBytes(const std::string& key, bool ipv6);
  std::string MacBytes(const std::string& key, const std::string& otherwise);
  std::string HexBytes(const std::string& key);
  // The first mistake in what was read, or a field that nobody read. Empty when all is well.
  std::string Mistake() const;

 private:
  // The value, used up; sets *found.
  std::string Take(const std::string& key, bool* found);
  void Complain(const std::string& text);

  std::string mistake_;
};

absl::StatusOr<std::vector<Layer>> SplitLayers(std::string_view text);

}  // namespace sluice::packet_test
