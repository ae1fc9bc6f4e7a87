// What sluicectl does: its verbs, over the API.
//
// Thread-safety: none; one call after the other, each blocks.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "api/api.grpc.pb.h"
#include "tools/sluicectl/views.h"

namespace sluice {

// How a command ends; docs/operations.md has the same.
enum class Exit {
  kDone = 0,
  // Refused: nothing has changed.
  kRefused = 1,
  // The command line is not understood.
  kUsage = 2,
  // No sluiced answers, or not in time, or its answer could not be written: what became of the change is not known.
  kUnreachable = 3,
  // The change runs, but would be lost by a restart.
  kNotKept = 4,
  // `diff` has found differences.
  kDiffers = 5,
};

// A flag of the command line, as main has it.
struct Flag {
  std::string name;
  // Whether it is there or not; else it has a value.
  bool is_switch = false;
  std::string otherwise;
  // What it is for, after the verbs that it belongs to: "list, health: again every --interval".
  std::string help;
};
using Flags = std::vector<Flag>;

// What --help says.
std::string UsageText(const Flags& flags);
// For bash: `source <(sluicectl completion)`.
std::string CompletionText(const Flags& flags);

class Client {
 public:
  struct Options {
    // As gRPC has it: "unix:/run/sluice/api.sock", "192.0.2.1:9443".
    std::string api;
    // Over TCP: PEM text, and the name that the server's certificate has to be for when that is not the address.
    std::string ca;
    std::string certificate;
    std::string key;
    std::string server_name;
    // For each call.
    absl::Duration timeout;
    Format format = Format::kTable;
    v1::ChangeOptions change;
    // list
    Columns columns = Columns::kPlain;
    // Reading verbs are repeated, with so much between; zero: they are not.
    absl::Duration watch;
    // flows list, flows kill
    std::string source;
    // flows list
    size_t limit = 1'000;
    // flows get, flows kill, explain
    std::string protocol = "tcp";
    // completion
    Flags flags;
    // The names of those that were given: one that says nothing to the verb is refused.
    std::vector<std::string> given;
    // backend add
    uint32_t weight = 1;
    uint32_t port = 0;
    // backend remove: drain it first, and wait so long for its flows to end; zero: remove it at once.
    absl::Duration drain;
  };

  // Output goes to `out`, everything else to `err`.
  Client(Options options, std::ostream& out, std::ostream& err);

  // A verb and its arguments.
  Exit Run(const std::vector<std::string>& words);

 private:
  using Words = std::vector<std::string>;
  using Stub = v1::LoadBalancer::Stub;
  friend std::string UsageText(const Flags& flags);
  friend std::string CompletionText(const Flags& flags);
  template <typename Request, typename Reply>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext* context, const Request& request, Reply* reply);
  struct Verb;
  static const std::vector<Verb>& Verbs();

  Exit RunVerb(const Words& words);
  // What is wrong with the flags that were given; empty: nothing.
  std::string WrongFlag(const Verb& verb) const;
  Exit Check(const Words& arguments);
  Exit Diff(const Words& arguments);
  Exit Apply(const Words& arguments);
  Exit Rollback(const Words& arguments);
  Exit Export(const Words& arguments);
  Exit Status(const Words& arguments);
  Exit List(const Words& arguments);
  Exit Health(const Words& arguments);
  Exit ListFlows(const Words& arguments);
  Exit GetFlow(const Words& arguments);
  Exit KillFlows(const Words& arguments);
  Exit Explain(const Words& arguments);
  Exit Watch(const Words& arguments);
  Exit Completion(const Words& arguments);
  Exit AddBackend(const Words& arguments);
  Exit RemoveBackend(const Words& arguments);
  Exit Drain(const Words& arguments);
  Exit Ready(const Words& arguments);
  Exit Disable(const Words& arguments);
  Exit SetWeight(const Words& arguments);

  template <typename Request, typename Reply>
  Exit Call(Method<Request, Reply> method, const Request& request, Reply* reply);
  template <typename Request>
  Exit Change(Method<Request, v1::ChangeReply> method, const Request& request);
  Exit SetState(const Words& arguments, v1::Backend::State state);
  Exit Update(const v1::UpdateBackendRequest& request);
  Exit ApplyFile(const std::string& file, bool dry_run, v1::ChangeReply* reply);
  Exit ReadInventory(const Words& arguments, v1::Inventory* inventory);
  Exit ReadFiveTuple(const Words& arguments, v1::FiveTuple* flow);
  static bool SplitBackend(const std::string& text, std::string* pool, std::string* backend);
  Exit WaitForFlows(const std::string& pool, const std::string& backend);
  Exit Usage(const std::string& words);
  Exit NoFlow();
  Exit Fail(const grpc::Status& status);
  void Print(const std::string& text);

  Options options_;
  std::ostream& out_;
  std::ostream& err_;
  std::unique_ptr<Stub> stub_;
};

template <typename Request, typename Reply>
Exit Client::Call(Method<Request, Reply> method, const Request& request, Reply* reply) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  const grpc::Status status = (stub_.get()->*method)(&context, request, reply);
  return status.ok() ? Exit::kDone : Fail(status);
}

}  // namespace sluice
