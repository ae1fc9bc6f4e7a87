#include "api/service.h"

#include <grpc/grpc_security_constants.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "config/bounds.h"
#include "config/validate.h"
#include "control/flow_kill.h"
#include "control/flow_view.h"
#include "control/not_found.h"
#include "control/view.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kStatsInterval(1'000);
constexpr std::chrono::milliseconds kShortestInterval(100);
constexpr std::chrono::seconds kLongestInterval(3'600);

// Longer than a worker has a packet in its hands, unless it hangs.
constexpr std::chrono::milliseconds kPacketTime(20);
// Room for every valid one.
constexpr size_t kChangeBytes = 4'096;

// At once, without a look at anything.
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

absl::Status MayOnlyLook() {
  return absl::PermissionDeniedError(
      "this client may look and change nothing; its certificate's common name is not in api.tls.admins");
}

std::string WhichFlows(const v1::KillFlowsRequest& request) {
  if (request.has_flow()) {
    return absl::StrCat(", from ", request.flow().source(), " port ", request.flow().source_port(), " to ",
                        request.flow().destination(), " port ", request.flow().destination_port());
  }
  std::string words;
  if (!request.pool().empty()) absl::StrAppend(&words, ", of pool ", request.pool());
  if (!request.backend().empty()) absl::StrAppend(&words, ", with backend ", request.backend());
  if (!request.source().empty()) absl::StrAppend(&words, ", of clients in ", request.source());
  return words;
}

// Of all pools, or of one that has to be there.
absl::StatusOr<v1::Inventory> InventoryOf(const Controller& controller, const std::string& pool) {
  v1::Inventory inventory = ViewInventory(controller, pool);
  if (!pool.empty() && inventory.pools().empty()) return NoPool(controller.config(), pool);
  return inventory;
}

}  // namespace

bool ApiService::MayChange(const grpc::CallbackServerContext& context) const {
  if (absl::StartsWith(context.peer(), "unix:")) return true;
  for (const grpc::string_ref& name : context.auth_context()->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME)) {
    const std::string text(name.data(), name.size());
    if (std::find(backing_.admins.begin(), backing_.admins.end(), text) != backing_.admins.end()) return true;
  }
  return false;
}

grpc::ServerUnaryReactor* ApiService::Change(grpc::CallbackServerContext* context, v1::ChangeReply* reply,
                                             std::function<Changed(Wanted& wanted)> change) {
  if (!MayChange(*context)) return Refuse(context, MayOnlyLook());
  return queue_.Submit(context, [this, reply, change = std::move(change)](const std::shared_ptr<Call>& call) {
    batch_->MakeAll();
    AnswerWhenKept(*backing_.wanted, call, reply, change(*backing_.wanted));
  });
}

grpc::ServerUnaryReactor* ApiService::ChangeBackend(grpc::CallbackServerContext* context, v1::ChangeReply* reply,
                                                    BackendEdit edit, size_t bytes) {
  if (!MayChange(*context)) return Refuse(context, MayOnlyLook());
  if (bytes > kChangeBytes) {
    return Refuse(context, absl::InvalidArgumentError(
                               absl::StrCat("a change of a backend of ", bytes, " bytes, where none needs more than ",
                                            kChangeBytes, "; use at most ", config::kMaxNameBytes, " in a name")));
  }
  return changes_.Submit(context, [this, reply, edit = std::move(edit)](const std::shared_ptr<Call>& call) {
    batch_->Add(call, reply, edit);
  });
}

grpc::ServerUnaryReactor* ApiService::Apply(grpc::CallbackServerContext* context, const v1::ApplyRequest* request,
                                            v1::ChangeReply* reply) {
  // Here already: large configurations need not hold up the control thread to be refused.
  v1::Config config = request->config();
  config::Report report;
  ValidateConfig(config, report);
  if (!report.ok()) return Refuse(context, report.ToStatus());
  return Change(context, reply, [request, config = std::move(config)](Wanted& wanted) {
    return wanted.Apply(config, request->options());
  });
}

grpc::ServerUnaryReactor* ApiService::Rollback(grpc::CallbackServerContext* context, const v1::RollbackRequest* request,
                                               v1::ChangeReply* reply) {
  return Change(context, reply, [request](Wanted& wanted) { return wanted.Rollback(request->options()); });
}

grpc::ServerUnaryReactor* ApiService::AddBackend(grpc::CallbackServerContext* context,
                                                 const v1::AddBackendRequest* request, v1::ChangeReply* reply) {
  BackendEdit edit = EditOf(request->pool(), request->backend().name(), request->options());
  *edit.change.mutable_added() = request->backend();
  return ChangeBackend(context, reply, std::move(edit), request->ByteSizeLong());
}

grpc::ServerUnaryReactor* ApiService::RemoveBackend(grpc::CallbackServerContext* context,
                                                    const v1::RemoveBackendRequest* request, v1::ChangeReply* reply) {
  BackendEdit edit = EditOf(request->pool(), request->backend(), request->options());
  edit.change.set_removed(true);
  return ChangeBackend(context, reply, std::move(edit), request->ByteSizeLong());
}

grpc::ServerUnaryReactor* ApiService::UpdateBackend(grpc::CallbackServerContext* context,
                                                    const v1::UpdateBackendRequest* request, v1::ChangeReply* reply) {
  BackendEdit edit = EditOf(request->pool(), request->backend(), request->options());
  if (request->has_weight()) edit.change.set_weight(request->weight());
  if (request->has_state()) edit.change.set_state(request->state());
  return ChangeBackend(context, reply, std::move(edit), request->ByteSizeLong());
}

grpc::ServerUnaryReactor* ApiService::Get(grpc::CallbackServerContext* context, const v1::GetRequest*,
                                          v1::GetReply* reply) {
  return queue_.Submit(context, [this, reply, whole = MayChange(*context)](const std::shared_ptr<Call>& call) {
    const Wanted& wanted = *backing_.wanted;
    *reply->mutable_config() = wanted.config();
    // Who knows it can aim at one bucket of the connection tables.
    if (!whole) reply->mutable_config()->mutable_engine()->clear_hash_key();
    reply->set_generation(backing_.controller->generation());
    reply->set_revision(wanted.revision());
    reply->set_applied(wanted.applied());
    for (const v1::BackendChange& change : wanted.changes()) {
      reply->add_changed_backends(absl::StrCat(change.pool(), "/", change.name()));
    }
    call->Finish(absl::OkStatus());
  });
}

grpc::ServerUnaryReactor* ApiService::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                                v1::Status* reply) {
  return queue_.Submit(context, [this, reply](const std::shared_ptr<Call>& call) {
    *reply = backing_.status();
    call->Finish(absl::OkStatus());
  });
}

grpc::ServerUnaryReactor* ApiService::List(grpc::CallbackServerContext* context, const v1::ListRequest* request,
                                           v1::Inventory* reply) {
  return queue_.Submit(context, [this, request, reply](const std::shared_ptr<Call>& call) {
    absl::StatusOr<v1::Inventory> inventory = InventoryOf(*backing_.controller, request->pool());
    if (inventory.ok()) *reply = *std::move(inventory);
    call->Finish(inventory.status());
  });
}

grpc::ServerUnaryReactor* ApiService::Health(grpc::CallbackServerContext* context, const v1::HealthRequest* request,
                                             v1::HealthReply* reply) {
  return queue_.Submit(context, [this, request, reply](const std::shared_ptr<Call>& call) {
    const Controller& controller = *backing_.controller;
    reply->set_generation(controller.generation());
    for (const v1::Pool& pool : controller.config().pools()) {
      if (!request->pool().empty() && request->pool() != pool.name()) continue;
      v1::PoolStatus& to = *reply->add_pools();
      to.set_name(pool.name());
      to.set_forwarding(pool.forwarding());
      to.set_algorithm(pool.algorithm());
      for (const v1::Backend& backend : pool.backends()) {
        *to.add_backends() = ViewBackend(controller, pool.name(), backend);
      }
    }
    const bool found = request->pool().empty() || reply->pools_size() > 0;
    call->Finish(found ? absl::OkStatus() : NoPool(controller.config(), request->pool()));
  });
}

grpc::ServerWriteReactor<v1::Inventory>* ApiService::Stats(grpc::CallbackServerContext*,
                                                           const v1::StatsRequest* request) {
  std::chrono::milliseconds interval = kStatsInterval;
  if (request->has_interval()) {
    interval = std::chrono::seconds(std::clamp<int64_t>(request->interval().seconds(), 0, kLongestInterval.count()));
    interval += std::chrono::milliseconds(request->interval().nanos() / 1'000'000);
    interval = std::max(interval, kShortestInterval);
  }
  return streams_.Stats(interval, [this, pool = request->pool()] { return InventoryOf(*backing_.controller, pool); });
}

grpc::ServerWriteReactor<v1::Event>* ApiService::Watch(grpc::CallbackServerContext*, const v1::WatchRequest*) {
  return streams_.Watch();
}

grpc::ServerUnaryReactor* ApiService::Flows(grpc::CallbackServerContext* context, const v1::FlowsRequest* request,
                                            v1::FlowsReply* reply) {
  return queue_.Submit(context, [this, request, reply](const std::shared_ptr<Call>& call) {
    absl::StatusOr<v1::FlowsReply> flows = ViewFlows(*backing_.controller, *request, MonotonicNow());
    if (flows.ok()) *reply = *std::move(flows);
    call->Finish(flows.status());
  });
}

// Answered when no worker has a packet in its hands any more that came before.
grpc::ServerUnaryReactor* ApiService::KillFlows(grpc::CallbackServerContext* context,
                                                const v1::KillFlowsRequest* request, v1::KillFlowsReply* reply) {
  if (!MayChange(*context)) return Refuse(context, MayOnlyLook());
  return queue_.Submit(context, [this, request, reply](const std::shared_ptr<Call>& call) {
    absl::StatusOr<KilledFlows> killed = sluice::KillFlows(*backing_.controller, *request, MonotonicNow());
    if (killed.ok()) *reply = killed->reply;
    if (!killed.ok() || killed->flows.empty()) return call->Finish(killed.status());
    spdlog::info("flows killed: {}{}", killed->flows.size(), WhichFlows(*request));
    const auto timer = std::make_shared<boost::asio::steady_timer>(io_, kPacketTime);
    timer->async_wait([timer, call, killed = *std::move(killed)](const boost::system::error_code&) {
      // Else all of this is gone.
      if (call->finished()) return;
      KillAgain(killed);
      call->Finish(absl::OkStatus());
    });
  });
}

grpc::ServerUnaryReactor* ApiService::Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                              v1::Explanation* reply) {
  return queue_.Submit(context, [this, request, reply](const std::shared_ptr<Call>& call) {
    absl::StatusOr<v1::Explanation> explanation = ExplainFlow(*backing_.controller, request->flow(), MonotonicNow());
    if (explanation.ok()) *reply = *std::move(explanation);
    call->Finish(explanation.status());
  });
}

}  // namespace sluice
