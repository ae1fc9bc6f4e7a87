// sluice.v1.LoadBalancer on the controller.
//
// Thread-safety: gRPC calls it from its own threads; all work is done on the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/api.grpc.pb.h"
#include "api/call_queue.h"
#include "api/change_batch.h"
#include "api/streams.h"
#include "control/controller.h"
#include "control/events.h"
#include "control/wanted.h"

namespace sluice {

class ApiService : public v1::LoadBalancer::CallbackService {
 public:
  struct Backing {
    // All three outlive the service.
    Wanted* wanted = nullptr;
    const Controller* controller = nullptr;
    Events* events = nullptr;
    // What the daemon tells of itself and the controller.
    std::function<v1::Status()> status;
    // Common names of the clients over TCP that may change things.
    std::vector<std::string> admins;
  };

  // Calls under way at a time: changes of backends, which are small and made together, and all others.
  static constexpr size_t kChanges = 512;
  static constexpr size_t kCalls = 64;

  ApiService(boost::asio::io_context& io, Backing backing)
      : io_(io),
        queue_(io, kCalls),
        changes_(io, kChanges),
        batch_(std::make_shared<ChangeBatch>(io, backing.wanted)),
        streams_(io, backing.events),
        backing_(std::move(backing)) {}

  // For the control thread: no call is under way afterwards, and none is taken.
  void Close() {
    queue_.Close();
    changes_.Close();
    streams_.Close();
  }

  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext* context, const v1::ApplyRequest* request,
                                  v1::ChangeReply* reply) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context, const v1::RollbackRequest* request,
                                     v1::ChangeReply* reply) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::GetReply* reply) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                      v1::Status* reply) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const v1::ListRequest* request,
                                 v1::Inventory* reply) override;
  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context, const v1::HealthRequest* request,
                                   v1::HealthReply* reply) override;
  grpc::ServerWriteReactor<v1::Inventory>* Stats(grpc::CallbackServerContext* context,
                                                 const v1::StatsRequest* request) override;
  grpc::ServerWriteReactor<v1::Event>* Watch(grpc::CallbackServerContext* context,
                                             const v1::WatchRequest* request) override;
  grpc::ServerUnaryReactor* Flows(grpc::CallbackServerContext* context, const v1::FlowsRequest* request,
                                  v1::FlowsReply* reply) override;
  grpc::ServerUnaryReactor* KillFlows(grpc::CallbackServerContext* context, const v1::KillFlowsRequest* request,
                                      v1::KillFlowsReply* reply) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                    v1::Explanation* reply) override;
  grpc::ServerUnaryReactor* AddBackend(grpc::CallbackServerContext* context, const v1::AddBackendRequest* request,
                                       v1::ChangeReply* reply) override;
  grpc::ServerUnaryReactor* RemoveBackend(grpc::CallbackServerContext* context, const v1::RemoveBackendRequest* request,
                                          v1::ChangeReply* reply) override;
  grpc::ServerUnaryReactor* UpdateBackend(grpc::CallbackServerContext* context, const v1::UpdateBackendRequest* request,
                                          v1::ChangeReply* reply) override;

 private:
  // Over the Unix socket everybody who may open it.
  bool MayChange(const grpc::CallbackServerContext& context) const;

  using Changed = absl::StatusOr<v1::ChangeReply>;
  grpc::ServerUnaryReactor* Change(grpc::CallbackServerContext* context, v1::ChangeReply* reply,
                                   std::function<Changed(Wanted& wanted)> change);
  // `bytes` is what the request takes.
  grpc::ServerUnaryReactor* ChangeBackend(grpc::CallbackServerContext* context, v1::ChangeReply* reply,
                                          BackendEdit edit, size_t bytes);

  boost::asio::io_context& io_;
  CallQueue queue_;
  CallQueue changes_;
  std::shared_ptr<ChangeBatch> batch_;
  Streams streams_;
  Backing backing_;
};

}  // namespace sluice
