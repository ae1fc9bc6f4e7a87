#include "tables/hash_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<FlowHashKey> DeriveFlowHashKey(absl::Span<const uint8_t> key) {
  if (key.size() != kHashKeySize) {
    return absl::InvalidArgumentError(
        absl::StrCat("the hash key has ", key.size(), " bytes; it needs ", kHashKeySize, ", as `openssl rand 32`"));
  }
  EVP_KDF* hkdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = hkdf == nullptr ? nullptr : EVP_KDF_CTX_new(hkdf);
  const absl::Cleanup free = [&] {
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(hkdf);
  };
  // OpenSSL's parameters are not const, and neither are these.
  std::string digest = "SHA256";
  std::string info = "sluice flow hash 1";
  std::array<uint8_t, kHashKeySize> secret;
  std::copy(key.begin(), key.end(), secret.begin());
  const std::array<OSSL_PARAM, 4> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()), OSSL_PARAM_construct_end()};
  std::array<uint8_t, sizeof(FlowHashKey)> bytes;
  if (context == nullptr || EVP_KDF_derive(context, bytes.data(), bytes.size(), parameters.data()) != 1) {
    return absl::InternalError("libcrypto does not compute HKDF; check its configuration and providers");
  }
  FlowHashKey words{};
  for (size_t i = 0; i < bytes.size(); i++) words[i / 4] |= uint32_t{bytes[i]} << i % 4 * 8;
  return words;
}

}  // namespace sluice
