// The parts of ValidateConfig(), for src/config/ alone; validate.h is the way in.
//
// They run in the order in which they stand here and hand over what the later ones need, so nothing is parsed twice.
// Views point into the configuration, which nobody changes meanwhile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "config/report.h"
#include "config/sluice.pb.h"

namespace sluice::config {

struct PoolFacts {
  // FORWARDING_UNSPECIFIED when the file says something that could not be read.
  v1::Pool::Forwarding forwarding = v1::Pool::FORWARDING_UNSPECIFIED;
  // A backend of each family, as an index; -1 when there is none.
  int ipv4_backend = -1;
  int ipv6_backend = -1;
};

// What else an address of engine.nat_addresses may be.
enum class NatClash { kListener, kBackend, kTunnelSource, kInterface };

// One entry of engine.nat_addresses.
struct NatBlock {
  Address first;
  Address last;
  int index;
  // Which clashes were told: a bit each, so that a prefix over a thousand backends is one line.
  unsigned told = 0;
};

struct Facts {
  // In ascending order, without overlap. Entries that are wrong are not among them.
  std::vector<NatBlock> nat_blocks;
  // Whether engine.nat_addresses has the family, or an entry that is wrong and may have been meant to.
  bool nat_ipv4 = false;
  bool nat_ipv6 = false;
  // By listener; none where the address is wrong.
  std::vector<std::optional<Address>> listener_addresses;
  // The first listener of each address.
  absl::flat_hash_map<Address, int> listener_by_address;
  absl::flat_hash_map<absl::string_view, int> pool_by_name;
  std::vector<PoolFacts> pools;
  // By listener: the indices of its pools; without those of whose names there is none.
  std::vector<std::vector<int>> listener_pools;
};

// A pool that a listener names, and where it does.
struct NamedPool {
  const std::string& name;
  std::string path;
};
std::vector<NamedPool> PoolsOf(const v1::Listener& listener, int index);

void CheckNatAddresses(const v1::Config& config, Report& report, Facts& facts);
void CheckListeners(const v1::Config& config, Report& report, Facts& facts);
void CheckAccess(const v1::Config& config, Report& report, const Facts& facts);
void CheckPorts(const v1::Config& config, Report& report, const Facts& facts);
void CheckPools(const v1::Config& config, Report& report, Facts& facts);
// Listeners against pools, and pools against the engine.
void CheckReferences(const v1::Config& config, Report& report, Facts& facts);
// What nat and full_nat need, and what only they know.
void CheckTranslation(const v1::Config& config, Report& report, const Facts& facts);
void CheckHealthChecks(const v1::Config& config, Report& report, const Facts& facts);
void CheckEngine(const v1::Config& config, Report& report, Facts& facts);
// What the engine of the file's choice cannot do.
void CheckXdp(const v1::Config& config, Report& report);
void CheckApi(const v1::Config& config, Report& report);

// Where something stands in the configuration, put together only when there is something to say about it: there may be
// a million backends.
using MakePath = absl::FunctionRef<std::string()>;

// The address, or none and an error when it is not one that a machine can have.
std::optional<Address> CheckUnicast(Report& report, MakePath path, const std::string& text);
// Why the address is none, or "".
std::string NotUnicast(const Address& address);

// An error when a prefix, written as `text`, has host bits. Whether it has none.
bool CheckHostBits(Report& report, const std::string& path, const std::string& text, const Prefix& prefix);

// An error when `address`, which stands at `path`, is one of engine.nat_addresses too. `name` is that of the listener
// or backend.
void CheckNotNat(const Address& address, NatClash clash, const std::string& name, MakePath path, Report& report,
                 Facts& facts);

// An error when it is out of the range of every timeout.
void CheckTimeout(const google::protobuf::Duration& timeout, const std::string& path, absl::string_view field,
                  Report& report);

// A required field that is absent.
void Missing(Report& report, const std::string& path, const std::string& text);

// Whether `name` may be one of a listener, pool or backend: [A-Za-z0-9_.-], at most kMaxNameBytes.
bool IsName(const std::string& name);
void AddBadName(Report& report, const std::string& path, const std::string& name);

inline std::string At(const std::string& list, int index, absl::string_view field) {
  return absl::StrCat(list, "[", index, "]", field.empty() ? "" : ".", field);
}

// Checks the names of one list, and returns the first owner of each. `kind` with its article: "a listener".
template <typename List>
absl::flat_hash_map<absl::string_view, int> CheckNames(Report& report, const std::string& list_path,
                                                       const std::string& kind, const List& list) {
  absl::flat_hash_map<absl::string_view, int> by_name;
  by_name.reserve(static_cast<size_t>(list.size()));
  for (int i = 0; i < list.size(); ++i) {
    const std::string& name = list[i].name();
    if (name.empty()) {
      Missing(report, At(list_path, i, "name"), absl::StrCat(kind, " needs a name; add name: ..."));
      continue;
    }
    const auto [first, is_new] = by_name.emplace(name, i);
    if (is_new) {
      if (!IsName(name)) AddBadName(report, At(list_path, i, "name"), name);
    } else {
      const std::string path = At(list_path, i, "name");
      report.AddError(path, absl::StrCat("name \"", name, "\" is taken by ",
                                         report.Where(At(list_path, first->second, "name")), "; choose another"));
    }
  }
  return by_name;
}

}  // namespace sluice::config
