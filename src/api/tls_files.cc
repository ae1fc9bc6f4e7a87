#include "api/tls_files.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

absl::Status Unusable(const std::string& file, const char* as) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_peek_last_error(), text.data(), text.size());
  ERR_clear_error();
  return absl::FailedPreconditionError(
      absl::StrCat("api.tls: ", file, " cannot be used as ", as, " (", text.data(), "); it has to be a PEM file"));
}

}  // namespace

absl::Status CheckTlsFiles(const v1::ApiTls& tls) {
  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, Free> context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError("no TLS to be had");
  if (SSL_CTX_use_certificate_chain_file(context.get(), tls.certificate_file().c_str()) != 1) {
    return Unusable(tls.certificate_file(), "certificate_file");
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), tls.key_file().c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return Unusable(tls.key_file(), "key_file, the key of the certificate");
  }
  if (SSL_CTX_load_verify_locations(context.get(), tls.client_ca_file().c_str(), nullptr) != 1) {
    return Unusable(tls.client_ca_file(), "client_ca_file");
  }
  return absl::OkStatus();
}

}  // namespace sluice
