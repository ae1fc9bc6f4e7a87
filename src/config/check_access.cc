// Who may open flows of a listener: each prefix alone, the lists against each other, and against the listener's
// address.
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/checks.h"

namespace sluice::config {
namespace {

using PrefixList = google::protobuf::RepeatedPtrField<std::string>;
// Where each prefix stands first, by its address and length.
using Places = absl::flat_hash_map<std::pair<Address, int>, int>;

std::string PathOf(int listener, const char* list, int entry) {
  return At(At("listeners", listener, absl::StrCat("access.", list)), entry, "");
}

// None and an error when the entry is wrong.
std::optional<Prefix> ReadEntry(const std::string& text, const std::string& path, Report& report) {
  const absl::StatusOr<Prefix> prefix = ParsePrefixOrAddress(text);
  if (!prefix.ok()) {
    report.AddError(path, std::string(prefix.status().message()));
    return std::nullopt;
  }
  if (!CheckHostBits(report, path, text, *prefix)) return std::nullopt;
  return *prefix;
}

struct Families {
  bool ipv4 = false;
  bool ipv6 = false;
};

// `others`: those of the list that has been read before.
Families CheckList(const PrefixList& entries, int listener, const char* list, const char* other, const Places& others,
                   Places* places, Report& report) {
  Families families;
  for (int i = 0; i < entries.size(); ++i) {
    const std::string path = PathOf(listener, list, i);
    const std::optional<Prefix> prefix = ReadEntry(entries[i], path, report);
    // A wrong one may have been meant to be either.
    families.ipv4 |= !prefix.has_value() || prefix->address.IsIpv4();
    families.ipv6 |= !prefix.has_value() || !prefix->address.IsIpv4();
    if (!prefix.has_value()) continue;
    const std::pair key(prefix->address, prefix->length);
    places->emplace(key, i);
    const auto opposed = others.find(key);
    if (opposed == others.end()) continue;
    report.AddError(path,
                    absl::StrCat(entries[i], " stands in ", other, " too (",
                                 report.Where(PathOf(listener, other, opposed->second)), "); keep one of the two"));
  }
  return families;
}

void CheckAccessOf(const v1::Listener& listener, int index, Report& report, const Facts& facts) {
  const v1::Access& access = listener.access();
  Places allowed;
  Places denied;
  const Families allow = CheckList(access.allow(), index, "allow", "deny", {}, &allowed, report);
  CheckList(access.deny(), index, "deny", "allow", allowed, &denied, report);
  if (!v1::Access::OnRefused_IsValid(access.on_refused())) {
    report.AddError(At("listeners", index, "access.on_refused"),
                    absl::StrCat("unknown value ", static_cast<int>(access.on_refused()), "; use drop or reset"));
  }
  const uint32_t rate = access.new_connections_per_source().per_second();
  if (access.has_new_connections_per_source() && (rate == 0 || rate > kMaxSourceRate)) {
    report.AddError(At("listeners", index, "access.new_connections_per_source"),
                    absl::StrCat("new_connections_per_source of ", rate, "/s is out of range; choose from 1/s to ",
                                 kMaxSourceRate, "/s, or remove this for any number"));
  }
  const std::optional<Address>& address = facts.listener_addresses[static_cast<size_t>(index)];
  if (access.allow().empty() || !address.has_value()) return;
  if (address->IsIpv4() ? allow.ipv4 : allow.ipv6) return;
  const char* family = address->IsIpv4() ? "IPv4" : "IPv6";
  report.AddWarning(At("listeners", index, "access.allow"),
                    absl::StrCat("listener \"", listener.name(), "\" is ", family, " and allows no ", family,
                                 " prefix, so nobody is admitted; add ", address->IsIpv4() ? "0.0.0.0/0" : "\"::/0\"",
                                 " or narrower ones"));
}

}  // namespace

void CheckAccess(const v1::Config& config, Report& report, const Facts& facts) {
  size_t prefixes = 0;
  for (int i = 0; i < config.listeners_size(); ++i) {
    const v1::Listener& listener = config.listeners(i);
    if (!listener.has_access()) continue;
    const size_t before = prefixes;
    prefixes += static_cast<size_t>(listener.access().allow_size() + listener.access().deny_size());
    if (before <= kMaxAccessPrefixes && prefixes > kMaxAccessPrefixes) {
      report.AddError(At("listeners", i, "access"),
                      absl::StrCat("the access lists hold more than ", kMaxAccessPrefixes,
                                   " prefixes up to here; join neighbours to shorter prefixes"));
    }
    if (prefixes <= kMaxAccessPrefixes) CheckAccessOf(listener, i, report, facts);
  }
}

}  // namespace sluice::config
