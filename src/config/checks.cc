#include "config/checks.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"

namespace sluice::config {

std::string NotUnicast(const Address& address) {
  const auto& bytes = address.bytes;
  if (address.IsIpv4()) {
    const uint8_t first = bytes[12];
    if (first == 0) return "is of the unspecified network 0.0.0.0/8 (RFC 1122)";
    if (first == 127) return "is a loopback address";
    if (first >= 224 && first <= 239) return "is a multicast address";
    if (first >= 240) return "is reserved or broadcast (240.0.0.0/4)";
    return "";
  }
  if (bytes[0] == 0xff) return "is a multicast address";
  // fe80::/10 means something only together with an interface.
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) return "is a link-local address";
  const bool zeros = std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t byte) { return byte == 0; });
  if (zeros && bytes[15] == 0) return "is the unspecified address";
  if (zeros && bytes[15] == 1) return "is a loopback address";
  return "";
}

std::optional<Address> CheckUnicast(Report& report, MakePath path, const std::string& text) {
  // The parser of addresses stops at a zero byte.
  const absl::StatusOr<Address> address = ParseAddress(text.substr(0, text.find('\0')));
  if (!address.ok()) {
    report.AddError(path(), std::string(address.status().message()));
    return std::nullopt;
  }
  const std::string reason = text.find('\0') != std::string::npos ? "has a zero byte behind it" : NotUnicast(*address);
  if (reason.empty()) return *address;
  report.AddError(path(), absl::StrCat("\"", text, "\" ", reason, "; write the unicast address of one machine"));
  return std::nullopt;
}

bool CheckHostBits(Report& report, const std::string& path, const std::string& text, const Prefix& prefix) {
  const Address first = FirstAddress(prefix);
  if (first == prefix.address) return true;
  report.AddError(path, absl::StrCat("\"", text, "\" is not the start of a prefix; write ", FormatAddress(first), "/",
                                     prefix.length, ", or ", FormatAddress(prefix.address), " for this one address"));
  return false;
}

void CheckTimeout(const google::protobuf::Duration& timeout, const std::string& path, absl::string_view field,
                  Report& report) {
  const bool whole = timeout.nanos() >= 0 && timeout.nanos() < 1'000'000'000;
  const bool at_most =
      timeout.seconds() < kMaxIdleSeconds || (timeout.seconds() == kMaxIdleSeconds && timeout.nanos() == 0);
  if (whole && timeout.seconds() >= kMinIdleSeconds && at_most) return;
  report.AddError(
      path, absl::StrCat(field, " is out of range; choose from ", kMinIdleSeconds, "s to ", kMaxIdleSeconds, "s"));
}

std::vector<NamedPool> PoolsOf(const v1::Listener& listener, int index) {
  std::vector<NamedPool> pools;
  if (!listener.pool().empty()) pools.push_back({listener.pool(), At("listeners", index, "pool")});
  const std::string list = At("listeners", index, "pools");
  for (int i = 0; i < listener.pools_size(); ++i) {
    if (!listener.pools(i).name().empty()) pools.push_back({listener.pools(i).name(), At(list, i, "name")});
  }
  return pools;
}

void Missing(Report& report, const std::string& path, const std::string& text) {
  if (!report.MissingIsExplained(path)) report.AddError(path, text);
}

bool IsName(const std::string& name) {
  return name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
         });
}

void AddBadName(Report& report, const std::string& path, const std::string& name) {
  if (name.size() > kMaxNameBytes) {
    report.AddError(path, absl::StrCat("a name of ", name.size(), " bytes; use at most ", kMaxNameBytes));
  } else {
    report.AddError(path, absl::StrCat("\"", name, "\" is not a name; use letters, digits, \"_\", \".\" and \"-\""));
  }
}

}  // namespace sluice::config
