// Verbs that look at single flows, and at what happens.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/endpoint.h"
#include "tools/sluicectl/client.h"

namespace sluice {
namespace {

bool ParseProtocol(const std::string& text, v1::FiveTuple::Protocol* protocol) {
  for (const auto& [name, value] :
       {std::pair("tcp", v1::FiveTuple::TCP), {"udp", v1::FiveTuple::UDP}, {"icmp", v1::FiveTuple::ICMP}}) {
    if (text != name) continue;
    *protocol = value;
    return true;
  }
  return false;
}

}  // namespace

// SRC DST, each an address and a port; of pings addresses alone, and an identifier at the source where it matters.
Exit Client::ReadFiveTuple(const Words& arguments, v1::FiveTuple* flow) {
  v1::FiveTuple::Protocol protocol = v1::FiveTuple::TCP;
  if (!ParseProtocol(options_.protocol, &protocol)) {
    return Usage(absl::StrCat("--protocol=", options_.protocol, " is not known; use tcp, udp or icmp"));
  }
  flow->set_protocol(protocol);
  for (size_t i = 0; i < 2; i++) {
    Endpoint endpoint;
    const absl::StatusOr<Address> alone = ParseAddress(arguments[i]);
    if (protocol == v1::FiveTuple::ICMP && alone.ok()) {
      endpoint.address = *alone;
    } else {
      const absl::StatusOr<Endpoint> parsed = ParseEndpoint(arguments[i]);
      if (!parsed.ok()) return Usage(std::string(parsed.status().message()));
      endpoint = *parsed;
    }
    const std::string address = FormatAddress(endpoint.address);
    (i == 0 ? flow->mutable_source() : flow->mutable_destination())->assign(address);
    i == 0 ? flow->set_source_port(endpoint.port) : flow->set_destination_port(endpoint.port);
  }
  return Exit::kDone;
}

Exit Client::ListFlows(const Words& arguments) {
  v1::FlowsRequest request;
  if (!arguments.empty() && !SplitBackend(arguments[0], request.mutable_pool(), request.mutable_backend())) {
    request.set_pool(arguments[0]);
  }
  request.set_source(options_.source);
  std::vector<v1::Flow> flows;
  while (true) {
    request.set_limit(static_cast<uint32_t>(std::min<size_t>(options_.limit - flows.size(), UINT32_MAX)));
    v1::FlowsReply reply;
    if (const Exit exit = Call(&Stub::Flows, request, &reply); exit != Exit::kDone) return exit;
    // The last place read may have had more than were asked for.
    for (const v1::Flow& flow : reply.flows()) {
      if (flows.size() < options_.limit) flows.push_back(flow);
    }
    request.set_from(reply.next());
    if (reply.next() == 0 || flows.size() >= options_.limit) break;
  }
  Print(ShowFlows(flows, options_.format));
  if (request.from() != 0) err_ << "there may be more; --limit=" << options_.limit << " are shown\n";
  return Exit::kDone;
}

Exit Client::NoFlow() {
  err_ << "sluicectl: there is no such flow; sluicectl explain tells where a new one would go\n";
  return Exit::kRefused;
}

Exit Client::GetFlow(const Words& arguments) {
  v1::ExplainRequest request;
  if (const Exit exit = ReadFiveTuple(arguments, request.mutable_flow()); exit != Exit::kDone) return exit;
  v1::Explanation reply;
  if (const Exit exit = Call(&Stub::Explain, request, &reply); exit != Exit::kDone) return exit;
  if (reply.found().empty()) return NoFlow();
  Print(ShowFlows({reply.found().begin(), reply.found().end()}, options_.format));
  return Exit::kDone;
}

Exit Client::KillFlows(const Words& arguments) {
  v1::KillFlowsRequest request;
  request.set_dry_run(options_.change.dry_run());
  request.set_source(options_.source);
  if (arguments.size() == 2) {
    if (const Exit exit = ReadFiveTuple(arguments, request.mutable_flow()); exit != Exit::kDone) return exit;
  } else if (arguments.empty() && options_.source.empty()) {
    return Usage("flows kill takes POOL, POOL/NAME, SRC DST, or --source=PREFIX");
  } else if (!arguments.empty() && !SplitBackend(arguments[0], request.mutable_pool(), request.mutable_backend())) {
    request.set_pool(arguments[0]);
  }
  v1::KillFlowsReply all;
  do {
    v1::KillFlowsReply reply;
    if (const Exit exit = Call(&Stub::KillFlows, request, &reply); exit != Exit::kDone) return exit;
    all.set_killed(all.killed() + reply.killed());
    request.set_from(reply.next());
  } while (request.from() != 0);
  if (request.has_flow() && all.killed() == 0) return NoFlow();
  Print(ShowKilled(all, request.dry_run(), options_.format));
  return Exit::kDone;
}

Exit Client::Explain(const Words& arguments) {
  v1::ExplainRequest request;
  if (const Exit exit = ReadFiveTuple(arguments, request.mutable_flow()); exit != Exit::kDone) return exit;
  v1::Explanation reply;
  if (const Exit exit = Call(&Stub::Explain, request, &reply); exit != Exit::kDone) return exit;
  Print(ShowExplanation(reply, options_.format));
  return Exit::kDone;
}

// Until it is interrupted, it cannot be written, or sluiced stops.
Exit Client::Watch(const Words&) {
  grpc::ClientContext context;
  const std::unique_ptr<grpc::ClientReader<v1::Event>> reader = stub_->Watch(&context, v1::WatchRequest());
  v1::Event event;
  while (reader->Read(&event)) {
    Print(ShowEvent(event, options_.format));
    if (out_) continue;
    context.TryCancel();
    reader->Finish();
    return Exit::kDone;
  }
  return Fail(reader->Finish());
}

}  // namespace sluice
