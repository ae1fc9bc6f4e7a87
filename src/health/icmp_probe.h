// The check `icmp`: an echo request, and its reply.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include "health/icmp_socket.h"
#include "health/socket_probe.h"

namespace sluice {

class IcmpProbe : public SocketProbe {
 public:
  // `socket`, of the target's family, outlives the probe.
  IcmpProbe(boost::asio::io_context& io, IcmpSocket* socket, CheckTarget target, Prober::Done done)
      : SocketProbe(io, std::move(target), std::move(done)), socket_(socket) {}

 private:
  void Open() override;
  void Close() override { socket_->Forget(nonce_); }

  IcmpSocket* socket_;
  EchoNonce nonce_{};
};

}  // namespace sluice
