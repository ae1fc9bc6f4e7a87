#include "tools/sluicectl/views.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "config/format.h"

namespace sluice {
namespace {

template <typename Enum>
std::string Word(const std::string& (*name)(Enum value), Enum value) {
  return absl::AsciiStrToLower(name(value));
}

std::string FormatOther(const google::protobuf::Message& message, Format format) {
  return format == Format::kJson ? FormatJson(message) : FormatYaml(message, Unset::kShow);
}

std::string FormatTables(const std::vector<Table>& tables, Format format) {
  std::vector<std::string> texts;
  for (const Table& table : tables) {
    texts.push_back(format == Format::kCsv ? FormatCsv(table) : FormatTable(table));
  }
  return absl::StrJoin(texts, "\n");
}

std::string PortsText(const google::protobuf::RepeatedPtrField<v1::PortRange>& ports) {
  return absl::StrJoin(ports, ",", [](std::string* out, const v1::PortRange& range) {
    absl::StrAppend(out, range.first());
    if (range.last() != range.first()) absl::StrAppend(out, "-", range.last());
  });
}

// "blue:90,green:10" where new flows are split.
std::string PoolsText(const v1::ListenerStatus& listener) {
  if (listener.pools().empty()) return listener.pool();
  return absl::StrJoin(listener.pools(), ",", [](std::string* out, const v1::WeightedPool& pool) {
    absl::StrAppend(out, pool.name(), ":", pool.weight());
  });
}

// The names and values of counters, one column each.
void AddTraffic(const v1::Traffic& traffic, const v1::Traffic& answers, std::vector<std::string>* row) {
  for (const uint64_t value :
       {traffic.new_flows(), traffic.packets(), traffic.bytes(), answers.packets(), answers.bytes()}) {
    row->push_back(absl::StrCat(value));
  }
}

void AddTrafficHead(Columns columns, Table* table) {
  if (columns == Columns::kPlain) return;
  const char* unit = columns == Columns::kRate ? "/s" : "";
  for (const char* name : {"new_flows", "packets", "bytes", "answers", "answer_bytes"}) {
    table->numbers.push_back(table->head.size());
    table->head.push_back(absl::StrCat(name, unit));
  }
}

Table ListenerTable(const v1::Inventory& inventory, Columns columns) {
  // The last two of those that have a limit.
  Table table{{"listener", "address", "ports", "protocol", "pool", "active", "limit"}, {}, {5, 6}};
  AddTrafficHead(columns, &table);
  for (const v1::ListenerStatus& listener : inventory.listeners()) {
    std::vector<std::string> row = {listener.name(),
                                    listener.address(),
                                    PortsText(listener.ports()),
                                    Word(v1::Listener::Protocol_Name, listener.protocol()),
                                    PoolsText(listener),
                                    listener.has_active_flows() ? absl::StrCat(listener.active_flows()) : "",
                                    listener.has_max_connections() ? absl::StrCat(listener.max_connections()) : ""};
    if (columns != Columns::kPlain) AddTraffic(listener.traffic(), listener.answers(), &row);
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string StateOf(const v1::BackendStatus& backend) {
  return Word(v1::BackendStatus::Condition_Name, backend.condition());
}

// UTC, to the second.
std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

std::string Milliseconds(const google::protobuf::Duration& duration) {
  return absl::StrFormat("%.1fms", static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() * 1e-6);
}

std::string LastCheck(const v1::Health& health) {
  if (!health.has_last()) return "";
  return absl::StrFormat(
      "%s in %s at %s", absl::StrReplaceAll(Word(v1::CheckReport::Outcome_Name, health.last().outcome()), {{"_", " "}}),
      Milliseconds(health.last().duration()), TimeText(health.last().at()));
}

std::string EndpointText(const std::string& address, uint32_t port) {
  if (port == 0) return address;
  const bool ipv6 = address.find(':') != std::string::npos;
  return absl::StrCat(ipv6 ? "[" : "", address, ipv6 ? "]:" : ":", port);
}

std::string AddressOf(const v1::BackendStatus& backend) {
  return EndpointText(backend.address(), backend.port());
}

Table BackendTable(const v1::Inventory& inventory, Columns columns) {
  Table table{{"pool", "backend", "address", "forwarding", "weight", "state", "flows", "closed"}, {}, {4, 6, 7}};
  AddTrafficHead(columns, &table);
  for (const v1::PoolStatus& pool : inventory.pools()) {
    for (const v1::BackendStatus& backend : pool.backends()) {
      std::vector<std::string> row = {pool.name(),
                                      backend.name(),
                                      AddressOf(backend),
                                      Word(v1::Pool::Forwarding_Name, pool.forwarding()),
                                      absl::StrCat(backend.weight()),
                                      StateOf(backend),
                                      absl::StrCat(backend.active_flows()),
                                      absl::StrCat(backend.closed_flows())};
      if (columns != Columns::kPlain) AddTraffic(backend.traffic(), backend.answers(), &row);
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table SummaryTable(const v1::Status& status) {
  std::string engine = Word(v1::Engine::Type_Name, status.engine());
  if (status.has_workers())
    absl::StrAppend(&engine, ", ", status.workers(), status.workers() == 1 ? " worker" : " workers");
  return {{"status", "value"},
          {{"version", status.version()},
           {"engine", engine},
           {"reason", status.engine_reason()},
           {"generation", absl::StrCat(status.generation())},
           {"revision", absl::StrCat(status.revision())},
           {"uptime", absl::FormatDuration(absl::Seconds(status.uptime().seconds()))},
           {"ready", status.ready() ? "yes" : "no"},
           {"flows", absl::StrCat(status.active_flows())},
           {"sessions", absl::StrCat(status.sessions())},
           {"packets", absl::StrCat(status.packets())},
           {"bytes", absl::StrCat(status.bytes())}},
          {}};
}

Table PortTable(const v1::Status& status) {
  Table table{{"port", "mode", "mac", "mtu", "link"}, {}, {3}};
  for (const v1::PortStatus& port : status.ports()) {
    table.rows.push_back(
        {port.name(), port.mode(), port.mac(), absl::StrCat(port.mtu()), port.link_up() ? "up" : "down"});
  }
  return table;
}

Table WorkerTable(const v1::Status& status) {
  Table table{{"worker", "packets", "bytes", "dropped"}, {}, {0, 1, 2, 3}};
  for (const v1::WorkerStatus& worker : status.by_worker()) {
    table.rows.push_back({absl::StrCat(worker.worker()), absl::StrCat(worker.packets()), absl::StrCat(worker.bytes()),
                          absl::StrCat(worker.dropped())});
  }
  return table;
}

// Those that have happened.
Table TotalTable(const v1::Status& status) {
  Table table{{"total", "kind", "packets", "text"}, {}, {2}};
  for (const v1::Total& total : status.totals()) {
    if (total.value() == 0) continue;
    table.rows.push_back(
        {total.name(), Word(v1::Total::Kind_Name, total.kind()), absl::StrCat(total.value()), total.text()});
  }
  return table;
}

uint64_t PerSecond(uint64_t before, uint64_t after, double seconds) {
  return after < before ? 0 : static_cast<uint64_t>(std::llround(static_cast<double>(after - before) / seconds));
}

v1::Traffic Rate(const v1::Traffic& before, const v1::Traffic& after, double seconds) {
  v1::Traffic rate;
  rate.set_packets(PerSecond(before.packets(), after.packets(), seconds));
  rate.set_bytes(PerSecond(before.bytes(), after.bytes(), seconds));
  rate.set_new_flows(PerSecond(before.new_flows(), after.new_flows(), seconds));
  return rate;
}

template <typename Element>
using ByName = absl::flat_hash_map<std::string_view, const Element*>;

template <typename Element>
ByName<Element> IndexByName(const google::protobuf::RepeatedPtrField<Element>& list) {
  ByName<Element> index;
  for (const Element& one : list) index.emplace(one.name(), &one);
  return index;
}

template <typename Element>
const Element& Find(const ByName<Element>& index, const Element& like, const Element& otherwise) {
  const auto found = index.find(like.name());
  return found == index.end() ? otherwise : *found->second;
}

// Each against the one of the same name in the earlier list, or against itself, so that its rates are 0.
template <typename Element>
void SetRates(const google::protobuf::RepeatedPtrField<Element>& before, double seconds,
              google::protobuf::RepeatedPtrField<Element>* after) {
  const ByName<Element> index = IndexByName(before);
  for (Element& one : *after) {
    const Element& earlier = Find(index, one, one);
    *one.mutable_traffic() = Rate(earlier.traffic(), one.traffic(), seconds);
    *one.mutable_answers() = Rate(earlier.answers(), one.answers(), seconds);
  }
}

}  // namespace

v1::Inventory Rate(const v1::Inventory& before, const v1::Inventory& after, double seconds) {
  v1::Inventory rate = after;
  SetRates(before.listeners(), seconds, rate.mutable_listeners());
  const ByName<v1::PoolStatus> pools = IndexByName(before.pools());
  for (v1::PoolStatus& pool : *rate.mutable_pools()) {
    const v1::PoolStatus& earlier = Find(pools, pool, v1::PoolStatus::default_instance());
    SetRates(earlier.backends(), seconds, pool.mutable_backends());
  }
  return rate;
}

v1::Inventory InventoryAt(const v1::Inventory& inventory, const Endpoint& at) {
  v1::Inventory found;
  found.set_generation(inventory.generation());
  std::set<std::string> pools;
  for (const v1::ListenerStatus& listener : inventory.listeners()) {
    const bool has_port =
        std::any_of(listener.ports().begin(), listener.ports().end(),
                    [&at](const v1::PortRange& range) { return range.first() <= at.port && at.port <= range.last(); });
    if (!has_port || listener.address() != FormatAddress(at.address)) continue;
    *found.add_listeners() = listener;
    pools.insert(listener.pool());
    for (const v1::WeightedPool& pool : listener.pools()) pools.insert(pool.name());
  }
  for (const v1::PoolStatus& pool : inventory.pools()) {
    if (pools.contains(pool.name())) *found.add_pools() = pool;
  }
  return found;
}

std::string ShowStatus(const v1::Status& status, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(status, format);
  std::string text =
      FormatTables({SummaryTable(status), PortTable(status), WorkerTable(status), TotalTable(status)}, format);
  Table problems{{"problem"}, {}, {}};
  for (const std::string& problem : status.problems()) problems.rows.push_back({problem});
  if (!problems.rows.empty()) absl::StrAppend(&text, "\n", FormatTables({problems}, format));
  return text;
}

std::string ShowInventory(const v1::Inventory& inventory, Columns columns, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(inventory, format);
  return FormatTables({ListenerTable(inventory, columns), BackendTable(inventory, columns)}, format);
}

std::string ShowHealth(const v1::Inventory& inventory, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(inventory, format);
  Table table{{"pool", "backend", "address", "state", "health", "since", "last_check", "reason"}, {}, {}};
  for (const v1::PoolStatus& pool : inventory.pools()) {
    for (const v1::BackendStatus& backend : pool.backends()) {
      const v1::Health& health = backend.health();
      const bool known = backend.has_since() || health.has_since();
      const google::protobuf::Timestamp& since = backend.has_since() ? backend.since() : health.since();
      table.rows.push_back({pool.name(), backend.name(), AddressOf(backend), StateOf(backend),
                            Word(v1::Health::State_Name, health.state()), known ? TimeText(since) : "",
                            LastCheck(health), backend.reason().empty() ? health.reason() : backend.reason()});
    }
  }
  return FormatTables({table}, format);
}

std::string ShowFlows(const std::vector<v1::Flow>& flows, Format format) {
  if (format == Format::kJson || format == Format::kYaml) {
    v1::FlowsReply all;
    all.mutable_flows()->Assign(flows.begin(), flows.end());
    return FormatOther(all, format);
  }
  Table table{{"protocol", "client", "virtual", "pool", "backend", "server", "seen_as", "state", "idle", "partition"},
              {},
              {8, 9}};
  for (const v1::Flow& flow : flows) {
    const bool known = flow.has_flow();
    const v1::FiveTuple& own = flow.flow();
    const v1::FiveTuple& other = flow.translated();
    table.rows.push_back({known ? Word(v1::FiveTuple::Protocol_Name, own.protocol()) : "",
                          known ? EndpointText(own.source(), own.source_port()) : "",
                          known ? EndpointText(own.destination(), own.destination_port()) : "", flow.pool(),
                          flow.backend(), known ? EndpointText(other.destination(), other.destination_port()) : "",
                          known ? EndpointText(other.source(), other.source_port()) : "",
                          Word(v1::Flow::State_Name, flow.state()), absl::StrCat(flow.idle().seconds()),
                          absl::StrCat(flow.partition())});
  }
  return FormatTables({table}, format);
}

std::string ShowKilled(const v1::KillFlowsReply& reply, bool dry_run, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(reply, format);
  if (format == Format::kCsv) return FormatTables({{{"killed"}, {{absl::StrCat(reply.killed())}}, {0}}}, format);
  return absl::StrCat(dry_run ? "dry run, nothing was done: " : "", "killed=", reply.killed(), "\n");
}

std::string ShowExplanation(const v1::Explanation& explanation, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(explanation, format);
  Table table{{"step", "result", "why"}, {}, {}};
  for (const v1::Explanation::Step& step : explanation.steps()) {
    table.rows.push_back({step.name(), step.result(), step.reason()});
  }
  table.rows.push_back({"verdict", explanation.verdict(), explanation.text()});
  return FormatTables({table}, format);
}

// A line an event, so that it can be followed.
std::string ShowEvent(const v1::Event& event, Format format) {
  const std::string kind = Word(v1::Event::Kind_Name, event.kind());
  switch (format) {
    case Format::kJson:
      return FormatJsonLine(event);
    case Format::kYaml:
      return absl::StrCat("---\n", FormatYaml(event, Unset::kShow));
    case Format::kCsv:
      return FormatCsv({{TimeText(event.at()), kind, event.text()}, {}, {}});
    default:
      return absl::StrFormat("%s %-7s %s\n", TimeText(event.at()), kind, event.text());
  }
}

std::string ShowConfig(const v1::Config& config, Format format) {
  return format == Format::kJson ? FormatJson(FileValue(config)) : FormatYaml(config);
}

std::string ShowChange(const v1::ChangeReply& reply, Format format) {
  if (format == Format::kJson || format == Format::kYaml) return FormatOther(reply, format);
  std::string text;
  for (const std::string& change : reply.changes()) absl::StrAppend(&text, change, "\n");
  if (reply.changes().empty()) text = "nothing changes\n";
  absl::StrAppend(&text, reply.dry_run() ? "dry run, nothing was done: " : "", "generation=", reply.generation(),
                  " revision=", reply.revision());
  if (reply.has_took()) absl::StrAppend(&text, " took=", Milliseconds(reply.took()));
  return text + "\n";
}

}  // namespace sluice
