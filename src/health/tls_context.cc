#include "health/tls_context.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

namespace ssl = boost::asio::ssl;

// As ALPN has it: its length, and the name.
constexpr std::array<unsigned char, 3> kHttp2 = {2, 'h', '2'};

absl::Status Unusable(const std::string& what, const std::string& file, const boost::system::error_code& error) {
  // OpenSSL has no words for a file that is not there.
  const std::string reason = access(file.c_str(), R_OK) == 0 ? error.message() : std::strerror(errno);
  return absl::InvalidArgumentError(
      absl::StrCat("health_check.", what, ": ", file, " cannot be used (", reason, "); give a PEM file"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(const Options& options) {
  const std::shared_ptr<TlsContext> tls(new TlsContext(options));
  ssl::context& context = tls->context_;
  boost::system::error_code error;
  context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                      ssl::context::no_tlsv1_1);
  context.set_verify_mode(options.insecure ? ssl::verify_none : ssl::verify_peer, error);
  if (options.http2 && SSL_CTX_set_alpn_protos(context.native_handle(), kHttp2.data(), kHttp2.size()) != 0) {
    return absl::ResourceExhaustedError("out of memory for TLS");
  }
  if (!options.insecure && options.ca_file.empty()) context.set_default_verify_paths(error);
  if (!options.ca_file.empty() && context.load_verify_file(options.ca_file, error)) {
    return Unusable("ca_file", options.ca_file, error);
  }
  if (!options.certificate_file.empty() && context.use_certificate_chain_file(options.certificate_file, error)) {
    return Unusable("certificate_file", options.certificate_file, error);
  }
  if (!options.key_file.empty() && context.use_private_key_file(options.key_file, ssl::context::pem, error)) {
    return Unusable("key_file", options.key_file, error);
  }
  return tls;
}

}  // namespace sluice
