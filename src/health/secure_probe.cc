#include "health/secure_probe.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "health/tls_context.h"

namespace sluice {

namespace asio = boost::asio;

void SecureProbe::Connected() {
  if (spec().tls == nullptr) return Ready();
  tls_.emplace(socket_, spec().tls->context());
  if (!Expect(tls_->native_handle())) return NotMade("out of memory for TLS");
  WaitFor("TLS handshake");
  tls_->async_handshake(asio::ssl::stream_base::client, Then([this](size_t) { Ready(); }));
}

// Whose certificate is expected.
bool SecureProbe::Expect(SSL* connection) {
  const std::string& name = spec().tls->options().server_name;
  if (!name.empty() && SSL_set_tlsext_host_name(connection, name.c_str()) != 1) return false;
  if (spec().tls->options().insecure) return true;
  if (!name.empty()) return SSL_set1_host(connection, name.c_str()) == 1;
  const std::string address = FormatAddress(target().asked());
  return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), address.c_str()) == 1;
}

void SecureProbe::FailBy(const Error& error) {
  if (!tls_.has_value() || error.category() != asio::error::get_ssl_category()) return ConnectionProbe::FailBy(error);
  const auto verified = SSL_get_verify_result(tls_->native_handle());
  const bool refused = verified != X509_V_OK && !spec().tls->options().insecure;
  Fail(absl::StrCat("TLS: ", refused ? X509_verify_cert_error_string(verified) : error.message().c_str()));
}

}  // namespace sluice
