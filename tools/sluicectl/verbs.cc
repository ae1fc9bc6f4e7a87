#include "tools/sluicectl/verbs.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

constexpr char kPool[] = "POOL";
constexpr char kBackend[] = "POOL/NAME";

}  // namespace

std::string Client::Verb::name() const {
  return absl::StrJoin(words, " ");
}

std::string Client::Verb::usage() const {
  std::vector<std::string> all = words;
  for (size_t i = 0; i < arguments.size(); i++) {
    const bool may_be_left_out = i + optional >= arguments.size();
    all.push_back(may_be_left_out ? absl::StrCat("[", arguments[i], "]") : arguments[i]);
  }
  return absl::StrJoin(all, " ");
}

std::vector<std::string> Client::Verb::all_flags() const {
  std::vector<std::string> all = flags;
  const auto add = [&all](const std::vector<std::string>& more) { all.insert(all.end(), more.begin(), more.end()); };
  if (kind == Kind::kReads) add({"watch", "interval"});
  if (kind == Kind::kChanges) add({"dry_run", "revision"});
  add({"api", "ca_file", "certificate_file", "key_file", "server_name", "o", "timeout", "help"});
  return all;
}

const std::vector<Client::Verb>& Client::Verbs() {
  using C = Client;
  using Kind = Verb::Kind;
  // clang-format off
  static const auto* const kVerbs = new std::vector<Verb>{
      {{"status"}, {}, 0, Kind::kReads, {}, "engine, ports, totals, and what is wrong", &C::Status},
      {{"list"}, {"POOL|ADDRESS:PORT"}, 1, Kind::kReads, {"stats", "rate"},
       "listeners and backends; --stats or --rate with their traffic", &C::List},
      {{"health"}, {kPool}, 1, Kind::kReads, {}, "backends, what their checks have found, since when and why",
       &C::Health},
      {{"watch"}, {}, 0, Kind::kOther, {}, "changes, backends, ports: a line for each, as they happen", &C::Watch},
      {{"flows", "list"}, {"POOL[/NAME]"}, 1, Kind::kReads, {"source", "limit"},
       "connections and NAT sessions, with their states", &C::ListFlows},
      {{"flows", "get"}, {"SRC", "DST"}, 0, Kind::kReads, {"protocol"},
       "the one of a client's ADDRESS:PORT to a virtual one", &C::GetFlow},
      {{"flows", "kill"}, {"POOL[/NAME]|SRC", "DST"}, 2, Kind::kOther, {"source", "protocol", "dry_run"},
       "ends those, or that one, and tells both ends of NAT sessions", &C::KillFlows},
      {{"explain"}, {"SRC", "DST"}, 0, Kind::kReads, {"protocol"},
       "the five steps that such a packet would take now, and why", &C::Explain},
      {{"check"}, {"FILE"}, 0, Kind::kOther, {}, "all that is wrong with a configuration file; asks no sluiced",
       &C::Check},
      {{"diff"}, {"FILE"}, 0, Kind::kOther, {"revision"}, "what apply would change; exit code 5 if anything", &C::Diff},
      {{"apply"}, {"FILE"}, 0, Kind::kChanges, {}, "the file becomes the configuration; - is standard input",
       &C::Apply},
      {{"rollback"}, {}, 0, Kind::kChanges, {}, "back to before the last apply, reload or rollback", &C::Rollback},
      {{"export"}, {}, 0, Kind::kOther, {}, "the configuration as a file", &C::Export},
      {{"backend", "add"}, {kBackend, "ADDRESS"}, 0, Kind::kChanges, {"weight", "port"},
       "a new one, with --weight and --port", &C::AddBackend},
      {{"backend", "remove"}, {kBackend}, 0, Kind::kChanges, {"wait", "drain_timeout"},
       "at once, or with --wait when its flows have ended", &C::RemoveBackend},
      {{"backend", "drain"}, {kBackend}, 0, Kind::kChanges, {}, "no new flows; those that it has go on", &C::Drain},
      {{"backend", "ready"}, {kBackend}, 0, Kind::kChanges, {}, "takes flows again", &C::Ready},
      {{"backend", "disable"}, {kBackend}, 0, Kind::kChanges, {}, "as if it were not there; stays in the list",
       &C::Disable},
      {{"backend", "weight"}, {kBackend, "WEIGHT"}, 0, Kind::kChanges, {}, "its share of new flows; 0: none",
       &C::SetWeight},
      {{"completion"}, {}, 0, Kind::kOther, {}, "for bash: source <(sluicectl completion)", &C::Completion},
  };
  // clang-format on
  return *kVerbs;
}

}  // namespace sluice
