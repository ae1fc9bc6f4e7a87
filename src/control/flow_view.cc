#include "control/flow_view.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/address.h"
#include "control/flow_filter.h"
#include "control/listener_loads.h"
#include "control/view.h"
#include "engine/flow_reader.h"

namespace sluice {
namespace {

constexpr uint32_t kFlows = 1'000;
// Backends that take no flows, beyond which they are only counted.
constexpr int kOthers = 5;

v1::FiveTuple::Protocol ProtocolOf(uint32_t number) {
  if (number == SLUICE_IP_UDP) return v1::FiveTuple::UDP;
  return number == SLUICE_IP_ICMP ? v1::FiveTuple::ICMP : v1::FiveTuple::TCP;
}

v1::Flow::State StateOf(FlowRecord::State state) {
  switch (state) {
    case FlowRecord::State::kEstablished:
      return v1::Flow::ESTABLISHED;
    case FlowRecord::State::kClosing:
      return v1::Flow::CLOSING;
    case FlowRecord::State::kHandshake:
      return v1::Flow::HANDSHAKE;
    case FlowRecord::State::kHalfClosed:
      return v1::Flow::HALF_CLOSED;
    case FlowRecord::State::kClosed:
      return v1::Flow::CLOSED;
    default:
      return v1::Flow::NEW;
  }
}

void SetTuple(uint32_t protocol, const sluice_address& source, uint16_t source_port, const sluice_address& destination,
              uint16_t destination_port, v1::FiveTuple* to) {
  to->set_protocol(ProtocolOf(protocol));
  to->set_source(FormatAddress(AddressOf(source)));
  to->set_source_port(SLUICE_16(source_port));
  to->set_destination(FormatAddress(AddressOf(destination)));
  to->set_destination_port(SLUICE_16(destination_port));
}

void SetFlow(const Tables& tables, const FlowRecord& from, v1::Flow* to) {
  const BackendName& name = tables.backend_names()[from.slot];
  to->set_pool(name.pool);
  to->set_backend(name.backend);
  to->set_state(StateOf(from.state));
  to->mutable_idle()->set_seconds(from.age);
  to->set_partition(from.partition);
  if (!from.session.has_value()) return;
  const SessionRecord& session = *from.session;
  const sluice_flow& flow = session.flow;
  SetTuple(flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port, to->mutable_flow());
  SetTuple(flow.protocol, session.source, session.source_port, tables.view().backends[from.slot].destination,
           session.server_port, to->mutable_translated());
  to->set_listener(tables.listener_names()[session.listener]);
}

template <typename Enum>
std::string Word(const std::string& (*name)(Enum value), Enum value) {
  std::string word = absl::AsciiStrToLower(name(value));
  std::replace(word.begin(), word.end(), '_', ' ');
  return word;
}

bool IsFull(const Controller& controller, uint32_t listener) {
  const auto loads = ReadListenerLoads(controller.engine(), *controller.tables());
  const auto load = loads.find(listener);
  return load != loads.end() && load->second.active >= load->second.max_connections;
}

// The five steps, in words.
class Steps {
 public:
  Steps(const Controller& controller, const FlowReader::Answer& answer, v1::Explanation* to)
      : controller_(controller), tables_(*controller.tables()), answer_(answer), to_(*to) {}

  void Tell() {
    Add("parse", absl::StrCat("a packet of ", Word(v1::FiveTuple::Protocol_Name, to_.flow().protocol())));
    if (answer_.listener == SLUICE_NO_LISTENER) return Add("listener", "none", to_.text());
    to_.set_listener(tables_.listener_names()[answer_.listener]);
    TellListener();
    TellConnection();
    TellSelection();
    if (answer_.verdict == SLUICE_CONTINUE && answer_.slot != SLUICE_NO_BACKEND) TellRewrite();
  }

 private:
  void Add(const std::string& name, std::string result, std::string reason = "") {
    v1::Explanation::Step& step = *to_.add_steps();
    step.set_name(name);
    step.set_result(std::move(result));
    step.set_reason(std::move(reason));
  }

  // The pool is that of the flow or, of a new one, the one that it falls to.
  void TellListener() {
    std::string pools;
    for (const v1::Listener& listener : controller_.config().listeners()) {
      if (listener.name() != to_.listener()) continue;
      pools = absl::StrCat("pool ", listener.pool());
      if (!listener.pools().empty()) pools = absl::StrCat("pools ", PoolsText(listener.pools()));
    }
    if (answer_.pool != SLUICE_NO_POOL) to_.set_pool(tables_.pool_names()[answer_.pool]);
    if (!answer_.found.empty()) to_.set_pool(to_.found(0).pool());
    Add("listener", absl::StrCat(to_.listener(), ", ", pools));
  }

  static std::string PoolsText(const google::protobuf::RepeatedPtrField<v1::WeightedPool>& pools) {
    return absl::StrJoin(pools, ", ", [](std::string* out, const v1::WeightedPool& pool) {
      absl::StrAppend(out, pool.name(), ":", pool.weight());
    });
  }

  void TellConnection() {
    if (answer_.found.empty()) return Add("connection", "none", "so it is a new flow");
    const v1::Flow& flow = to_.found(0);
    const bool closing = flow.state() == v1::Flow::CLOSING || flow.state() == v1::Flow::CLOSED;
    Add("connection",
        absl::StrCat(flow.has_flow() ? "a NAT session: " : "an entry: ", Word(v1::Flow::State_Name, flow.state()),
                     ", with ", flow.pool(), "/", flow.backend(), ", its last packet ", flow.idle().seconds(), "s ago"),
        closing ? "a SYN begins a new flow nevertheless" : "");
  }

  void TellSelection() {
    const auto name = [this](uint32_t slot) {
      const BackendName& names = tables_.backend_names()[slot];
      return absl::StrCat(names.pool, "/", names.backend);
    };
    if (answer_.slot != SLUICE_NO_BACKEND) to_.set_backend(tables_.backend_names()[answer_.slot].backend);
    std::string fresh = answer_.open ? "one that is chosen when it comes" : "none";
    const uint32_t whole = tables_.view().listeners[answer_.listener].pool;
    if (answer_.open && answer_.pool != whole)
      absl::StrAppend(&fresh, ", of pool ", tables_.pool_names()[answer_.pool]);
    if (answer_.selected != SLUICE_NO_BACKEND) fresh = name(answer_.selected);
    if (!answer_.found.empty()) return Add("select", "not asked", absl::StrCat("a new flow would go to ", fresh));
    Add("select", fresh, to_.pool().empty() ? "no pool of the listener takes flows" : WhoTakesFlows());
  }

  std::string WhoTakesFlows() const {
    const v1::PoolStatus pool = ViewInventory(controller_, to_.pool()).pools(0);
    const auto count = [&pool](v1::BackendStatus::Condition condition) {
      return std::count_if(pool.backends().begin(), pool.backends().end(),
                           [condition](const v1::BackendStatus& one) { return one.condition() == condition; });
    };
    const bool any_selected = answer_.open || answer_.selected != SLUICE_NO_BACKEND;
    const bool fails_open = any_selected && count(v1::BackendStatus::READY) == 0;
    const v1::BackendStatus::Condition taken = fails_open ? v1::BackendStatus::UNHEALTHY : v1::BackendStatus::READY;
    std::vector<std::string> others;
    for (const v1::BackendStatus& backend : pool.backends()) {
      if (backend.condition() != taken) others.push_back(absl::StrCat(backend.name(), " ", backend.reason()));
    }
    const size_t all = others.size();
    if (all > kOthers) others.resize(kOthers);
    return absl::StrCat("by ", Word(v1::Pool::Algorithm_Name, pool.algorithm()), ", of ", count(taken),
                        " that take flows", fails_open ? " though unhealthy (when_all_unhealthy: fail_open)" : "",
                        all == 0 ? "" : "; not: ", absl::StrJoin(others, ", "),
                        all > kOthers ? absl::StrCat(" and ", all - kOthers, " more") : "");
  }

  void TellRewrite() {
    const sluice_backend& backend = tables_.view().backends[answer_.slot];
    Mac mac;
    std::copy_n(std::begin(backend.destination_mac), mac.size(), mac.begin());
    std::string how = "to its MAC address";
    if (backend.forwarding == SLUICE_IPIP || backend.forwarding == SLUICE_GUE) {
      how =
          absl::StrCat(backend.forwarding == SLUICE_GUE ? "gue" : "ipip", " from ",
                       FormatAddress(AddressOf(backend.source)), " to ", FormatAddress(AddressOf(backend.destination)));
    } else if (backend.forwarding == SLUICE_NAT || backend.forwarding == SLUICE_FULL_NAT) {
      how = absl::StrCat("translated to ", FormatAddress(AddressOf(backend.destination)),
                         backend.forwarding == SLUICE_FULL_NAT ? ", from a NAT address" : "");
    }
    const std::vector<EnginePort>& ports = controller_.ports();
    const std::string port = backend.port < ports.size() ? ports[backend.port].name : absl::StrCat(backend.port);
    Add("rewrite", how,
        absl::StrCat("by port ", port, backend.vlan == 0 ? "" : absl::StrCat(" VLAN ", backend.vlan), " to ",
                     FormatMac(mac), ", ", backend.mtu, " bytes at most"));
  }

  const Controller& controller_;
  const Tables& tables_;
  const FlowReader::Answer& answer_;
  v1::Explanation& to_;
};

}  // namespace

absl::StatusOr<v1::FlowsReply> ViewFlows(const Controller& controller, const v1::FlowsRequest& request, uint64_t now) {
  const Tables* tables = controller.tables();
  if (tables == nullptr) return NoTablesYet();
  const absl::StatusOr<FlowFilter> filter =
      FlowFilter::Make(controller, request.pool(), request.backend(), request.source());
  if (!filter.ok()) return filter.status();
  const int limit = static_cast<int>(request.limit() == 0 ? kFlows : std::min(request.limit(), kFlows));
  v1::FlowsReply reply;
  const FlowReader reader(controller.engine(), tables->view(), now);
  const uint64_t next = reader.Read(request.from(), kFlowPlaces, [&](const FlowRecord& flow) {
    if (filter->Fits(flow)) SetFlow(*tables, flow, reply.add_flows());
    return reply.flows_size() < limit;
  });
  reply.set_next(next >= reader.places() ? 0 : next);
  return reply;
}

absl::StatusOr<v1::Explanation> ExplainFlow(const Controller& controller, const v1::FiveTuple& flow, uint64_t now) {
  const Tables* tables = controller.tables();
  if (tables == nullptr) return NoTablesYet();
  const absl::StatusOr<sluice_flow> parsed = ReadFlow(flow);
  if (!parsed.ok()) return parsed.status();
  FlowReader::Answer answer = FlowReader(controller.engine(), tables->view(), now).Explain(*parsed);
  if (answer.verdict == SLUICE_CONTINUE && answer.found.empty() && IsFull(controller, answer.listener)) {
    answer.verdict = SLUICE_VERDICT_listener_full;
  }
  v1::Explanation explanation;
  *explanation.mutable_flow() = flow;
  uint32_t verdict = answer.verdict;
  if (verdict == SLUICE_CONTINUE) verdict = SLUICE_VERDICT_forwarded;
  explanation.set_verdict(sluice_verdict_name(verdict));
  explanation.set_text(sluice_verdict_text(verdict));
  for (const FlowRecord& found : answer.found) SetFlow(*tables, found, explanation.add_found());
  Steps(controller, answer, &explanation).Tell();
  return explanation;
}

}  // namespace sluice
