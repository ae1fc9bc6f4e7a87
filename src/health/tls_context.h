// What https checks (and grpc ones over TLS) of one pool have in common: whom they believe, and who they are.
//
// Thread-safety: const access from one thread at a time (OpenSSL counts references in it).
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

class TlsContext {
 public:
  struct Options {
    // SNI, and the name that the certificate has to be for. Empty: no SNI, and the certificate has to be for the
    // backend's address.
    std::string server_name;
    // PEM; empty: the system's.
    std::string ca_file;
    // Any certificate will do.
    bool insecure = false;
    // The client's, PEM; both or none.
    std::string certificate_file;
    std::string key_file;
    // Offers HTTP/2, as gRPC has to.
    bool http2 = false;
  };

  // Reads the files. The error names the one that cannot be used.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(const Options& options);

  const Options& options() const { return options_; }
  boost::asio::ssl::context& context() const { return context_; }

 private:
  explicit TlsContext(Options options) : options_(std::move(options)) {}

  Options options_;
  // Streams are made of it, which counts as a change.
  mutable boost::asio::ssl::context context_{boost::asio::ssl::context::tls_client};
};

}  // namespace sluice
