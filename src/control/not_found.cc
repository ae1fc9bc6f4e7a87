#include "control/not_found.h"

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/suggest.h"

namespace sluice {
namespace {

std::string Suggestion(const std::string& name, const std::vector<std::string>& names) {
  return names.empty() ? "there is none; sluicectl list shows what there is" : config::Suggest(name, names);
}

// It comes from outside, and may be of any length.
std::string Quoted(const std::string& name) {
  return absl::StrCat("\"", name.substr(0, config::kMaxNameBytes), "\"");
}

}  // namespace

absl::Status NoPool(const v1::Config& config, const std::string& pool) {
  std::vector<std::string> names;
  for (const v1::Pool& one : config.pools()) names.push_back(one.name());
  return absl::NotFoundError(absl::StrCat("no pool is named ", Quoted(pool), "; ", Suggestion(pool, names)));
}

absl::Status NoBackend(const std::string& pool, const std::string& backend, const std::vector<std::string>& names) {
  return absl::NotFoundError(
      absl::StrCat("pool ", pool, " has no backend ", Quoted(backend), "; ", Suggestion(backend, names)));
}

}  // namespace sluice
