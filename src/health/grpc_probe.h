// The check `grpc`: the standard health service of gRPC (grpc.health.v1.Health/Check), with TLS where it is wanted.
//
// The connection, its TLS and its errors are those of `https`; gRPC gets a stream that is ready.
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>

#include "health/grpc_calls.h"
#include "health/secure_probe.h"

namespace sluice {

class GrpcProbe : public SecureProbe {
 public:
  // `calls` outlives the probe.
  GrpcProbe(boost::asio::io_context& io, MarkedSockets* marked, GrpcCalls* calls, CheckTarget target, Prober::Done done)
      : SecureProbe(io, marked, std::move(target), std::move(done)), calls_(calls), ours_(io) {}

 private:
  using Piece = std::array<char, 4096>;

  void Ready() override;
  void Close() override;
  void Ask(int descriptor);
  void Answered(const GrpcAnswer& answer);
  void AskThroughTls();
  void ToServer();
  void FromServer();

  GrpcCalls* calls_;
  std::shared_ptr<GrpcCalls::Call> call_;
  // With TLS: our end of the stream that gRPC has the other end of.
  boost::asio::local::stream_protocol::socket ours_;
  Piece to_server_;
  Piece from_server_;
  // How the server's side of it ended.
  Error broken_;
};

}  // namespace sluice
