// Where the API is served: a Unix socket, for its owner and group, and over TCP to clients with a certificate. With
// server reflection and the standard health service (grpc.health.v1), so that generic clients and probes work.
//
// Thread-safety: the control thread's.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "api/service.h"

namespace sluice {

class ApiServer {
 public:
  // The largest message of a client: a configuration as large as a file may be.
  static constexpr int kMessageBytes = 64 << 20;

  struct Options {
    // Of the Unix socket.
    std::string path;
    // Over TCP as well, when it is not empty: "192.0.2.1:9443". Its files are read again when they change.
    std::string tcp;
    v1::ApiTls tls;
  };

  // Errors: another process serves there; the path cannot be written; the certificate cannot be used.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Open(boost::asio::io_context& io, const Options& options,
                                                         ApiService::Backing backing);
  // Ends what is under way with UNAVAILABLE and takes the socket away.
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

 private:
  ApiServer(boost::asio::io_context& io, ApiService::Backing backing) : service_(io, std::move(backing)) {}
  absl::Status Listen(const Options& options);

  ApiService service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice
