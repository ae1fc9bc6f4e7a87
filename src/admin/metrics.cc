#include "admin/metrics.h"

#include <prometheus/text_serializer.h>

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

std::string Lower(const std::string& name) {
  return absl::AsciiStrToLower(name);
}

// A sentence of it, as the help of the others is.
std::string Sentence(std::string text) {
  if (!text.empty()) text[0] = absl::ascii_toupper(static_cast<unsigned char>(text[0]));
  return absl::StrCat(text, ".");
}

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + 1e-9 * duration.nanos();
}

MetricFamily Family(const std::string& name, const std::string& help, MetricType type) {
  MetricFamily family;
  family.name = absl::StrCat("sluice_", name);
  family.help = help;
  family.type = type;
  return family;
}

void Add(double value, Labels labels, MetricFamily* family) {
  ClientMetric& metric = family->metric.emplace_back();
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
}

void Add(uint64_t value, Labels labels, MetricFamily* family) {
  Add(static_cast<double>(value), std::move(labels), family);
}

class Families {
 public:
  void One(const std::string& name, const std::string& help, MetricType type, double value, Labels labels = {}) {
    Add(value, std::move(labels), &Add(Family(name, help, type)));
  }
  void Gauge(const std::string& name, const std::string& help, uint64_t value) {
    One(name, help, MetricType::Gauge, static_cast<double>(value));
  }
  void Counter(const std::string& name, const std::string& help, uint64_t value) {
    One(absl::StrCat(name, "_total"), help, MetricType::Counter, static_cast<double>(value));
  }
  void Summary(const std::string& name, const std::string& help, const v1::Timing& timing) {
    ClientMetric& metric = Add(Family(name, help, MetricType::Summary)).metric.emplace_back();
    metric.summary.sample_count = timing.count();
    metric.summary.sample_sum = Seconds(timing.sum());
  }
  MetricFamily& Add(MetricFamily family) { return families_.emplace_back(std::move(family)); }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  static void Add(double value, Labels labels, MetricFamily* family) { sluice::Add(value, std::move(labels), family); }
  std::vector<MetricFamily> families_;
};

// Traffic of listeners or of backends, in a family for each number.
class TrafficFamilies {
 public:
  explicit TrafficFamilies(const std::string& owner) {
    const auto counter = [&owner](const char* name, const char* help) {
      return Family(absl::StrCat(owner, "_", name, "_total"), help, MetricType::Counter);
    };
    flows_ = counter("new_flows", "Flows that began.");
    packets_ = counter("packets", "Packets forwarded.");
    bytes_ = counter("bytes", "Bytes forwarded, of whole frames as they came.");
    answer_packets_ = counter("answer_packets", "Packets of answers, where they come back through this node.");
    answer_bytes_ = counter("answer_bytes", "Bytes of answers, of whole frames as they came.");
  }

  void Add(const v1::Traffic& traffic, const v1::Traffic& answers, const Labels& labels) {
    sluice::Add(traffic.new_flows(), labels, &flows_);
    sluice::Add(traffic.packets(), labels, &packets_);
    sluice::Add(traffic.bytes(), labels, &bytes_);
    sluice::Add(answers.packets(), labels, &answer_packets_);
    sluice::Add(answers.bytes(), labels, &answer_bytes_);
  }

  void MoveTo(Families* families) {
    for (MetricFamily* family : {&flows_, &packets_, &bytes_, &answer_packets_, &answer_bytes_}) {
      families->Add(std::move(*family));
    }
  }

 private:
  MetricFamily flows_, packets_, bytes_, answer_packets_, answer_bytes_;
};

void AddDaemon(const v1::Status& status, Families* families) {
  families->One("build_info", "Version and engine.", MetricType::Gauge, 1,
                {{"version", status.version()}, {"engine", Lower(v1::Engine::Type_Name(status.engine()))}});
  families->One("uptime_seconds", "Since the start of sluiced.", MetricType::Gauge, Seconds(status.uptime()));
  families->Gauge("ready", "Whether every backend's next hop is known, or known to be missing.",
                  status.ready() ? 1 : 0);
  families->Gauge("generation", "Of the tables that every worker runs.", status.generation());
  families->Gauge("revision", "Of the configuration: counts its changes.", status.revision());
  families->Gauge("problems", "What is wrong; sluicectl status has the words.",
                  static_cast<uint64_t>(status.problems_size()));
  families->Summary("build_duration_seconds", "Making new tables.", status.build());
  families->Summary("publish_duration_seconds", "Until every worker has left the old tables.", status.publish());
  if (status.has_workers()) families->Gauge("workers", "Of the dpdk engine.", status.workers());
}

void AddTotals(const v1::Status& status, Families* families) {
  families->Gauge("flows", "Live flows, as of the last sweep of the connection tables.", status.active_flows());
  families->Gauge("sessions", "Live NAT sessions, as of the last sweep of their table.", status.sessions());
  families->Counter("received_packets", "Packets that workers got.", status.packets());
  families->Counter("received_bytes", "Bytes that workers got, of whole frames.", status.bytes());
  MetricFamily verdicts =
      Family("packets_total", "What became of packets; docs/operations.md has the words.", MetricType::Counter);
  for (const v1::Total& total : status.totals()) {
    if (total.kind() == v1::Total::OTHER) {
      families->Counter(total.name(), Sentence(total.text()), total.value());
    } else {
      Add(total.value(), {{"kind", Lower(v1::Total::Kind_Name(total.kind()))}, {"verdict", total.name()}}, &verdicts);
    }
  }
  families->Add(std::move(verdicts));
}

void AddWorkers(const v1::Status& status, Families* families) {
  MetricFamily packets =
      Family("worker_received_packets_total", "Packets that the worker got; with xdp the queue.", MetricType::Counter);
  MetricFamily bytes = Family("worker_received_bytes_total", "Their bytes, of whole frames.", MetricType::Counter);
  MetricFamily dropped = Family("worker_dropped_packets_total", "Those of them that it dropped.", MetricType::Counter);
  for (const v1::WorkerStatus& worker : status.by_worker()) {
    const Labels labels = {{"worker", absl::StrCat(worker.worker())}};
    Add(worker.packets(), labels, &packets);
    Add(worker.bytes(), labels, &bytes);
    Add(worker.dropped(), labels, &dropped);
  }
  for (MetricFamily* family : {&packets, &bytes, &dropped}) families->Add(std::move(*family));
}

void AddPorts(const v1::Status& status, Families* families) {
  MetricFamily up = Family("port_up", "Whether the port has a link.", MetricType::Gauge);
  MetricFamily mtu = Family("port_mtu_bytes", "Of layer 3.", MetricType::Gauge);
  for (const v1::PortStatus& port : status.ports()) {
    Add(uint64_t{port.link_up() ? 1U : 0U}, {{"port", port.name()}, {"mode", port.mode()}}, &up);
    Add(uint64_t{port.mtu()}, {{"port", port.name()}}, &mtu);
  }
  families->Add(std::move(up));
  families->Add(std::move(mtu));
}

void AddListeners(const v1::Inventory& inventory, Families* families) {
  TrafficFamilies traffic("listener");
  MetricFamily weights =
      Family("listener_pool_weight", "The pool's share of the listener's new flows, where it has several pools.",
             MetricType::Gauge);
  MetricFamily flows =
      Family("listener_flows", "Flows that count against its limit, as of the last sweep; absent without one.",
             MetricType::Gauge);
  MetricFamily most = Family("listener_max_connections", "The most of them that it may have; absent without a limit.",
                             MetricType::Gauge);
  for (const v1::ListenerStatus& listener : inventory.listeners()) {
    // To Prometheus an empty label is none.
    const Labels labels = {{"listener", listener.name()}, {"pool", listener.pool()}};
    traffic.Add(listener.traffic(), listener.answers(), labels);
    for (const v1::WeightedPool& pool : listener.pools()) {
      Add(uint64_t{pool.weight()}, {{"listener", listener.name()}, {"pool", pool.name()}}, &weights);
    }
    if (!listener.has_max_connections()) continue;
    Add(listener.active_flows(), labels, &flows);
    Add(uint64_t{listener.max_connections()}, labels, &most);
  }
  traffic.MoveTo(families);
  for (MetricFamily* family : {&weights, &flows, &most}) families->Add(std::move(*family));
}

// How many of a pool's backends are in each condition; 0 as well, so that an alert sees the change.
void AddConditions(const v1::PoolStatus& pool, MetricFamily* family) {
  const google::protobuf::EnumDescriptor& conditions = *v1::BackendStatus::Condition_descriptor();
  std::map<int, uint64_t> counts;
  for (const v1::BackendStatus& backend : pool.backends()) counts[backend.condition()]++;
  for (int i = 0; i < conditions.value_count(); i++) {
    Add(counts[conditions.value(i)->number()],
        {{"pool", pool.name()}, {"condition", Lower(conditions.value(i)->name())}}, family);
  }
}

void AddPools(const v1::Inventory& inventory, Families* families) {
  TrafficFamilies traffic("backend");
  MetricFamily backends = Family("pool_backends", "Backends of the pool, by condition.", MetricType::Gauge);
  MetricFamily weight = Family("backend_weight", "Its share of new flows, as configured.", MetricType::Gauge);
  MetricFamily takes = Family("backend_takes_flows", "Whether it is ready for new flows.", MetricType::Gauge);
  MetricFamily flows = Family("backend_flows", "Live flows with it, as of the last sweep.", MetricType::Gauge);
  MetricFamily closed =
      Family("backend_closed_flows", "Flows that are over and remembered for late packets.", MetricType::Gauge);
  MetricFamily answered = Family("backend_answered_flows_total",
                                 "New TCP flows that it has agreed to, with nat and full_nat.", MetricType::Counter);
  MetricFamily failed =
      Family("backend_failed_flows_total", "New TCP flows that it has refused or not answered, with nat and full_nat.",
             MetricType::Counter);
  MetricFamily healthy =
      Family("backend_healthy", "By its health checks; absent without, and before the first.", MetricType::Gauge);
  MetricFamily check = Family("backend_check_duration_seconds", "Of the last health check.", MetricType::Gauge);
  MetricFamily agent =
      Family("backend_agent_percent", "Of its weight, as its agent says; absent without one.", MetricType::Gauge);
  for (const v1::PoolStatus& pool : inventory.pools()) {
    AddConditions(pool, &backends);
    for (const v1::BackendStatus& backend : pool.backends()) {
      const Labels labels = {{"pool", pool.name()}, {"backend", backend.name()}};
      Add(uint64_t{backend.weight()}, labels, &weight);
      Add(uint64_t{backend.condition() == v1::BackendStatus::READY ? 1U : 0U}, labels, &takes);
      Add(backend.active_flows(), labels, &flows);
      Add(backend.closed_flows(), labels, &closed);
      if (backend.has_answered_flows()) Add(backend.answered_flows(), labels, &answered);
      if (backend.has_failed_flows()) Add(backend.failed_flows(), labels, &failed);
      traffic.Add(backend.traffic(), backend.answers(), labels);
      if (backend.has_agent()) Add(uint64_t{backend.agent().percent()}, labels, &agent);
      const v1::Health& health = backend.health();
      if (!health.has_last()) continue;
      Add(uint64_t{health.state() == v1::Health::HEALTHY ? 1U : 0U}, labels, &healthy);
      Add(Seconds(health.last().duration()), labels, &check);
    }
  }
  for (MetricFamily* family :
       {&backends, &weight, &takes, &flows, &closed, &answered, &failed, &healthy, &check, &agent})
    families->Add(std::move(*family));
  traffic.MoveTo(families);
}

}  // namespace

std::vector<MetricFamily> MetricFamilies(const v1::Status& status, const v1::Inventory& inventory) {
  Families families;
  AddDaemon(status, &families);
  AddTotals(status, &families);
  AddWorkers(status, &families);
  AddPorts(status, &families);
  AddListeners(inventory, &families);
  AddPools(inventory, &families);
  return families.Take();
}

std::string MetricsText(const v1::Status& status, const v1::Inventory& inventory) {
  return prometheus::TextSerializer().Serialize(MetricFamilies(status, inventory));
}

}  // namespace sluice
