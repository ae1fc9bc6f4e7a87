// Checks by sockets of this node, through its kernel, to the backend's own address, or by the way of clients' packets
// (marked_sockets.h).
//
// Thread-safety: the thread that runs the io_context. Probes that it has started end before it.
#pragma once

#include <boost/asio/io_context.hpp>

#include "health/grpc_calls.h"
#include "health/icmp_socket.h"
#include "health/marked_sockets.h"
#include "health/prober.h"

namespace sluice {

class SocketProber : public Prober {
 public:
  // `io` outlives the prober.
  explicit SocketProber(boost::asio::io_context& io)
      : io_(io), grpc_(io), icmp4_(io, /*ipv4=*/true), icmp6_(io, /*ipv4=*/false) {}

  std::unique_ptr<Probe> Start(const CheckTarget& target, Done done) override;
  // For who forwards their packets.
  MarkedSockets& marked() { return marked_; }

 private:
  boost::asio::io_context& io_;
  MarkedSockets marked_;
  GrpcCalls grpc_;
  IcmpSocket icmp4_;
  IcmpSocket icmp6_;
};

}  // namespace sluice
