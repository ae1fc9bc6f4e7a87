// Checks over TCP: the connection that all of them begin with, and the check `tcp`, which may send and expect bytes,
// step by step.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <vector>

#include "health/marked_sockets.h"
#include "health/socket_probe.h"

namespace sluice {

class ConnectionProbe : public SocketProbe {
 public:
  ConnectionProbe(boost::asio::io_context& io, MarkedSockets* marked, CheckTarget target, Prober::Done done)
      : SocketProbe(io, std::move(target), std::move(done)), socket_(io), marked_(marked) {}

 protected:
  void Open() override;
  void Close() override;
  virtual void Connected() = 0;

  boost::asio::ip::tcp::socket socket_;

 private:
  MarkedSockets* marked_;
};

class TcpProbe : public ConnectionProbe {
 public:
  using ConnectionProbe::ConnectionProbe;

 private:
  void Connected() override;
  void FailBy(const Error& error) override;
  const CheckStep& step() const { return script_[step_]; }
  std::string WhichStep() const;
  void Say();
  void Listen();
  void Look(size_t before);
  void StepDone();

  std::vector<CheckStep> script_;
  size_t step_ = 0;
  uint64_t sent_ = 0;
  uint64_t read_ = 0;
  std::array<char, 4096> piece_;
  // What has come and was not expected yet.
  std::string answer_;
};

}  // namespace sluice
