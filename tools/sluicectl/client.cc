#include "tools/sluicectl/client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "config/endpoint.h"
#include "config/load.h"
#include "tools/sluicectl/verbs.h"

namespace sluice {
namespace {

// As much as a configuration may have, and more than any inventory.
constexpr int kMessageBytes = 256 << 20;
constexpr int kHeaderBytes = 256 << 10;
constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr absl::Duration kTellFlows = absl::Seconds(1);
constexpr absl::Duration kRateInterval = absl::Seconds(1);

std::shared_ptr<grpc::Channel> Connect(const Client::Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kHeaderBytes);
  if (options.ca.empty()) {
    return grpc::CreateCustomChannel(options.api, grpc::InsecureChannelCredentials(), arguments);
  }
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  return grpc::CreateCustomChannel(options.api, grpc::SslCredentials({options.ca, options.key, options.certificate}),
                                   arguments);
}

}  // namespace

Client::Client(Options options, std::ostream& out, std::ostream& err)
    : options_(std::move(options)), out_(out), err_(err), stub_(v1::LoadBalancer::NewStub(Connect(options_))) {}

Exit Client::Run(const std::vector<std::string>& words) {
  const Exit exit = RunVerb(words);
  if (out_ || exit == Exit::kUsage) return exit;
  err_ << "sluicectl: the answer cannot be written; is there room for it?\n";
  return exit == Exit::kDone ? Exit::kUnreachable : exit;
}

Exit Client::RunVerb(const Words& words) {
  const auto found = std::find_if(Verbs().begin(), Verbs().end(), [&words](const Verb& verb) {
    return words.size() >= verb.words.size() && std::equal(verb.words.begin(), verb.words.end(), words.begin());
  });
  if (found == Verbs().end()) {
    return Usage(words.empty() ? "a verb is missing" : absl::StrCat("\"", absl::StrJoin(words, " "), "\" is no verb"));
  }
  const Words arguments(words.begin() + static_cast<std::ptrdiff_t>(found->words.size()), words.end());
  if (arguments.size() > found->arguments.size() || arguments.size() + found->optional < found->arguments.size()) {
    const std::string takes = found->arguments.empty() ? "no argument" : absl::StrJoin(found->arguments, " ");
    return Usage(absl::StrCat(found->name(), " takes ", takes));
  }
  if (const std::string wrong = WrongFlag(*found); !wrong.empty()) return Usage(wrong);
  while (true) {
    const Exit exit = (this->*found->run)(arguments);
    if (exit != Exit::kDone || options_.watch == absl::ZeroDuration() || !out_) return exit;
    Print("\n");
    absl::SleepFor(options_.watch);
  }
}

std::string Client::WrongFlag(const Verb& verb) const {
  const auto is_given = [this](const std::string& flag) {
    return std::find(options_.given.begin(), options_.given.end(), flag) != options_.given.end();
  };
  const auto written = [](const std::string& flag) { return absl::StrCat(flag.size() == 1 ? "-" : "--", flag); };
  const std::vector<std::string> known = verb.all_flags();
  for (const std::string& flag : options_.given) {
    if (std::find(known.begin(), known.end(), flag) == known.end()) {
      return absl::StrCat(written(flag), " is not for ", verb.name());
    }
  }
  for (const auto& [flag, of] : {std::pair("interval", "watch"), {"drain_timeout", "wait"}}) {
    if (is_given(flag) && !is_given(of)) return absl::StrCat(written(flag), " says nothing without ", written(of));
  }
  if (is_given("stats") && is_given("rate")) return "it is either --stats or --rate";
  return "";
}

Exit Client::Completion(const Words&) {
  Print(CompletionText(options_.flags));
  return Exit::kDone;
}

// "POOL/NAME".
bool Client::SplitBackend(const std::string& text, std::string* pool, std::string* backend) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size()) return false;
  *pool = text.substr(0, slash);
  *backend = text.substr(slash + 1);
  return true;
}

Exit Client::Usage(const std::string& words) {
  err_ << "sluicectl: " << words << "; see sluicectl --help\n";
  return Exit::kUsage;
}

void Client::Print(const std::string& text) {
  out_ << text << std::flush;
}

Exit Client::Fail(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
      err_ << "sluicectl: no sluiced answers at " << options_.api << " (" << status.error_message()
           << "); is it running, with this api.listen or --run_dir, and may you open its socket?\n";
      return Exit::kUnreachable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      err_ << "sluicectl: no answer within " << absl::FormatDuration(options_.timeout)
           << "; look at sluicectl status, or give more --timeout\n";
      return Exit::kUnreachable;
    case grpc::StatusCode::DATA_LOSS:
      err_ << "sluicectl: " << status.error_message() << "\n";
      return Exit::kNotKept;
    default:
      err_ << "sluicectl: " << status.error_message() << "\n";
      return Exit::kRefused;
  }
}

template <typename Request>
Exit Client::Change(Method<Request, v1::ChangeReply> method, const Request& request) {
  v1::ChangeReply reply;
  const Exit exit = Call(method, request, &reply);
  if (exit != Exit::kDone) return exit;
  for (const std::string& warning : reply.warnings()) err_ << "warning: " << warning << "\n";
  Print(ShowChange(reply, options_.format));
  return exit;
}

Exit Client::Check(const Words& arguments) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(arguments[0]);
  if (!loaded.ok()) {
    err_ << std::string(loaded.status().message()) << "\n";
    return Exit::kRefused;
  }
  for (const std::string& warning : loaded->warnings) err_ << "warning: " << warning << "\n";
  Print(absl::StrCat(arguments[0], ": valid, ", loaded->config.listeners_size(), " listeners, ",
                     loaded->config.pools_size(), " pools\n"));
  return Exit::kDone;
}

Exit Client::ApplyFile(const std::string& file, bool dry_run, v1::ChangeReply* reply) {
  // Here already: mistakes then have their line.
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(file == "-" ? "/dev/stdin" : file);
  if (!loaded.ok()) {
    err_ << std::string(loaded.status().message()) << "\n";
    return Exit::kRefused;
  }
  v1::ApplyRequest request;
  *request.mutable_config() = loaded->config;
  *request.mutable_options() = options_.change;
  if (dry_run) request.mutable_options()->set_dry_run(true);
  const Exit exit = Call(&Stub::Apply, request, reply);
  for (const std::string& warning : reply->warnings()) err_ << "warning: " << warning << "\n";
  return exit;
}

Exit Client::Diff(const Words& arguments) {
  v1::ChangeReply reply;
  if (const Exit exit = ApplyFile(arguments[0], true, &reply); exit != Exit::kDone) return exit;
  Print(ShowChange(reply, options_.format));
  return reply.changes().empty() ? Exit::kDone : Exit::kDiffers;
}

Exit Client::Apply(const Words& arguments) {
  v1::ChangeReply reply;
  if (const Exit exit = ApplyFile(arguments[0], false, &reply); exit != Exit::kDone) return exit;
  Print(ShowChange(reply, options_.format));
  return Exit::kDone;
}

Exit Client::Rollback(const Words&) {
  v1::RollbackRequest request;
  *request.mutable_options() = options_.change;
  return Change(&Stub::Rollback, request);
}

Exit Client::Export(const Words&) {
  if (options_.format == Format::kCsv) return Usage("-o csv is not for export, which is no table");
  v1::GetReply reply;
  if (const Exit exit = Call(&Stub::Get, v1::GetRequest(), &reply); exit != Exit::kDone) return exit;
  Print(ShowConfig(reply.config(), options_.format));
  return Exit::kDone;
}

Exit Client::Status(const Words&) {
  v1::Status status;
  if (const Exit exit = Call(&Stub::GetStatus, v1::GetStatusRequest(), &status); exit != Exit::kDone) return exit;
  Print(ShowStatus(status, options_.format));
  return Exit::kDone;
}

Exit Client::ReadInventory(const Words& arguments, v1::Inventory* inventory) {
  v1::ListRequest request;
  if (!arguments.empty()) request.set_pool(arguments[0]);
  inventory->Clear();
  return Call(&Stub::List, request, inventory);
}

Exit Client::List(const Words& arguments) {
  // As `ipvsadm -L -t 203.0.113.10:80`; no pool has such a name.
  const bool at = !arguments.empty() && ParseEndpoint(arguments[0]).ok();
  const Words pool = at ? Words() : arguments;
  v1::Inventory inventory;
  const absl::Time begin = absl::Now();
  if (const Exit exit = ReadInventory(pool, &inventory); exit != Exit::kDone) return exit;
  if (options_.columns == Columns::kRate) {
    absl::SleepFor(kRateInterval);
    const v1::Inventory before = std::exchange(inventory, {});
    if (const Exit exit = ReadInventory(pool, &inventory); exit != Exit::kDone) return exit;
    inventory = Rate(before, inventory, absl::ToDoubleSeconds(absl::Now() - begin));
  }
  if (at) inventory = InventoryAt(inventory, *ParseEndpoint(arguments[0]));
  if (at && inventory.listeners().empty()) {
    err_ << "sluicectl: no listener is at " << arguments[0] << "; sluicectl list shows all\n";
    return Exit::kRefused;
  }
  Print(ShowInventory(inventory, options_.columns, options_.format));
  return Exit::kDone;
}

Exit Client::Health(const Words& arguments) {
  v1::Inventory inventory;
  if (const Exit exit = ReadInventory(arguments, &inventory); exit != Exit::kDone) return exit;
  Print(ShowHealth(inventory, options_.format));
  return Exit::kDone;
}

Exit Client::AddBackend(const Words& arguments) {
  v1::AddBackendRequest request;
  v1::Backend& backend = *request.mutable_backend();
  if (!SplitBackend(arguments[0], request.mutable_pool(), backend.mutable_name())) {
    return Usage(absl::StrCat("\"", arguments[0], "\" is not POOL/NAME"));
  }
  backend.set_address(arguments[1]);
  backend.set_weight(options_.weight);
  if (options_.port != 0) backend.set_port(options_.port);
  *request.mutable_options() = options_.change;
  return Change(&Stub::AddBackend, request);
}

Exit Client::RemoveBackend(const Words& arguments) {
  v1::RemoveBackendRequest request;
  if (!SplitBackend(arguments[0], request.mutable_pool(), request.mutable_backend())) {
    return Usage(absl::StrCat("\"", arguments[0], "\" is not POOL/NAME"));
  }
  *request.mutable_options() = options_.change;
  if (options_.drain > absl::ZeroDuration() && !options_.change.dry_run()) {
    v1::UpdateBackendRequest drain;
    drain.set_pool(request.pool());
    drain.set_backend(request.backend());
    drain.set_state(v1::Backend::DRAIN);
    *drain.mutable_options() = options_.change;
    v1::ChangeReply drained;
    if (const Exit exit = Call(&Stub::UpdateBackend, drain, &drained); exit != Exit::kDone) return exit;
    if (const Exit exit = WaitForFlows(request.pool(), request.backend()); exit != Exit::kDone) return exit;
    // It was that before it was drained.
    request.mutable_options()->clear_revision();
  }
  return Change(&Stub::RemoveBackend, request);
}

// Its flows are counted about once a second: none is believed only after a count that began after it was drained.
Exit Client::WaitForFlows(const std::string& pool, const std::string& backend) {
  constexpr absl::Duration kCounted = absl::Seconds(3);
  const absl::Time begin = absl::Now();
  absl::Time told = begin;
  while (true) {
    v1::Inventory inventory;
    if (const Exit exit = ReadInventory({pool}, &inventory); exit != Exit::kDone) return exit;
    uint64_t flows = 0;
    for (const v1::BackendStatus& one : inventory.pools(0).backends()) {
      if (one.name() == backend) flows = one.active_flows();
    }
    const absl::Duration waited = absl::Now() - begin;
    if (flows == 0 && waited >= std::min(kCounted, options_.drain)) return Exit::kDone;
    if (waited >= options_.drain) {
      err_ << "warning: " << pool << "/" << backend << " still has " << flows << " flows; it is removed with them\n";
      return Exit::kDone;
    }
    if (absl::Now() - told >= kTellFlows && flows > 0) {
      err_ << pool << "/" << backend << " has " << flows << (flows == 1 ? " flow" : " flows") << " left\n";
      told = absl::Now();
    }
    absl::SleepFor(kPoll);
  }
}

Exit Client::Update(const v1::UpdateBackendRequest& request) {
  return Change(&Stub::UpdateBackend, request);
}

Exit Client::SetState(const Words& arguments, v1::Backend::State state) {
  v1::UpdateBackendRequest request;
  if (!SplitBackend(arguments[0], request.mutable_pool(), request.mutable_backend())) {
    return Usage(absl::StrCat("\"", arguments[0], "\" is not POOL/NAME"));
  }
  request.set_state(state);
  *request.mutable_options() = options_.change;
  return Update(request);
}

Exit Client::Drain(const Words& arguments) {
  return SetState(arguments, v1::Backend::DRAIN);
}
Exit Client::Ready(const Words& arguments) {
  return SetState(arguments, v1::Backend::READY);
}
Exit Client::Disable(const Words& arguments) {
  return SetState(arguments, v1::Backend::DISABLED);
}

Exit Client::SetWeight(const Words& arguments) {
  v1::UpdateBackendRequest request;
  uint32_t weight = 0;
  if (!SplitBackend(arguments[0], request.mutable_pool(), request.mutable_backend())) {
    return Usage(absl::StrCat("\"", arguments[0], "\" is not POOL/NAME"));
  }
  if (!absl::SimpleAtoi(arguments[1], &weight)) return Usage(absl::StrCat("\"", arguments[1], "\" is no weight"));
  request.set_weight(weight);
  *request.mutable_options() = options_.change;
  return Update(request);
}

}  // namespace sluice
