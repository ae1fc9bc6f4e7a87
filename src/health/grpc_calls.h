// Calls of the standard gRPC health service over connections that are there already, one thread for all of them.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace sluice {

// How a call ended: the text of its gRPC status code, "OK" when it was answered, and then the serving status.
struct GrpcAnswer {
  std::string code;
  std::string serving;
};

class GrpcCalls {
 public:
  // `io` outlives the calls.
  explicit GrpcCalls(boost::asio::io_context& io);
  ~GrpcCalls();

  using Done = std::function<void(const GrpcAnswer&)>;
  // A call under way. It has to be cancelled, or to have ended, before GrpcCalls goes.
  class Call;
  // Asks for `service` over `descriptor`, a connected stream that does not block, which is closed in the end. `done` is
  // called once by the io_context, also when the call is cancelled.
  std::shared_ptr<Call> Check(int descriptor, const std::string& authority, const std::string& service, Done done);
  static void Cancel(Call& call);

 private:
  struct Queue;

  void Drain();

  boost::asio::io_context& io_;
  std::unique_ptr<Queue> queue_;
  // From the first call on.
  std::thread thread_;
};

}  // namespace sluice
