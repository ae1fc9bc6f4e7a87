// Calls of the API on their way from gRPC's threads to the control thread and back. Each is answered exactly once,
// whatever happens to the daemon meanwhile; there is a limit to how many there are at a time, beyond which they are
// refused at once.
//
// Thread-safety: Submit from any thread, Close from the control thread.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

namespace sluice {

// The words are cut where a client would refuse them: status messages travel in HTTP/2 headers, which many clients
// limit to 8 KiB.
grpc::Status ToGrpc(const absl::Status& status);

// One call under way. The control thread's, once it is submitted.
class Call {
 public:
  Call(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor)
      : context_(context), reactor_(reactor) {}

  // Request and reply are gone after the first Finish; further ones do nothing.
  void Finish(const absl::Status& status);
  bool finished() const { return reactor_ == nullptr; }
  // Whether there is nothing to be done any more: it is finished, or its client has gone or will not wait any longer,
  // which finishes it.
  bool EndIfAbandoned();

 private:
  grpc::CallbackServerContext* context_;
  grpc::ServerUnaryReactor* reactor_;
};

class CallQueue {
 public:
  using Work = std::function<void(const std::shared_ptr<Call>& call)>;

  CallQueue(boost::asio::io_context& io, size_t limit) : io_(io), limit_(limit) {}

  // Has `work` done on the control thread; it finishes the call, at once or later. A call that is abandoned before that
  // is not done.
  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context, Work work);

  // Calls that are not finished end with UNAVAILABLE, and so do those that come.
  void Close();

 private:
  // What handlers of the io_context may still look at when the queue is gone.
  struct Shared {
    std::mutex mutex;
    bool closed = false;
    // Not finished yet, as far as the queue knows.
    absl::flat_hash_set<std::shared_ptr<Call>> calls;
  };

  absl::Status Admit(const std::shared_ptr<Call>& call);
  static void Run(const std::shared_ptr<Shared>& shared, const std::shared_ptr<Call>& call, const Work& work);

  boost::asio::io_context& io_;
  const size_t limit_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace sluice
