// What checks that may speak TLS have in common: the connection, and the handshake over it where the check has one.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <boost/asio/ssl/stream.hpp>
#include <optional>

#include "health/tcp_probe.h"

namespace sluice {

class SecureProbe : public ConnectionProbe {
 public:
  using ConnectionProbe::ConnectionProbe;

 protected:
  // What is to be said can be said now.
  virtual void Ready() = 0;
  // In the words of TLS where it is an error of it.
  void FailBy(const Error& error) override;

  bool secure() const { return tls_.has_value(); }
  // With the socket, or what is over it.
  template <typename Use>
  void WithStream(const Use& use) {
    tls_.has_value() ? use(*tls_) : use(socket_);
  }

 private:
  void Connected() override;
  bool Expect(SSL* connection);

  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
};

}  // namespace sluice
