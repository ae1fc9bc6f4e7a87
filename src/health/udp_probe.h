// The check `udp`: one datagram, and what comes back. An ICMP error (nobody listens there) is a failure.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <boost/asio/ip/udp.hpp>

#include "health/marked_sockets.h"
#include "health/socket_probe.h"

namespace sluice {

class UdpProbe : public SocketProbe {
 public:
  UdpProbe(boost::asio::io_context& io, MarkedSockets* marked, CheckTarget target, Prober::Done done)
      : SocketProbe(io, std::move(target), std::move(done)), socket_(io), marked_(marked) {}

 private:
  void Open() override;
  void Close() override;
  void Receive();

  boost::asio::ip::udp::socket socket_;
  MarkedSockets* marked_;
  // A longer answer is cut off.
  std::array<char, 4096> answer_;
};

}  // namespace sluice
