// What is checked of the daemon's own services: the API and the metrics.
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "config/checks.h"
#include "config/endpoint.h"

namespace sluice::config {
namespace {

void CheckTls(const v1::ApiTls& tls, Report& report) {
  const auto needs = [&report](const std::string& value, const char* field, const char* what) {
    const std::string path = absl::StrCat("api.tls.", field);
    if (value.empty()) Missing(report, path, absl::StrCat("tls needs ", field, ", ", what));
  };
  needs(tls.certificate_file(), "certificate_file", "the PEM file of this node's certificate");
  needs(tls.key_file(), "key_file", "the PEM file of its key");
  needs(tls.client_ca_file(), "client_ca_file", "the PEM file of those who sign clients' certificates");
  for (int i = 0; i < tls.admins_size(); i++) {
    if (tls.admins(i).empty()) report.AddError(At("api.tls.admins", i, ""), "an empty name; write a common name");
  }
}

void CheckApiListen(const v1::Api& api, Report& report) {
  const bool local = api.listen().empty() || absl::StartsWith(api.listen(), "unix:");
  absl::Status status;
  if (!local) {
    status = ParseEndpoint(api.listen()).status();
  } else if (!api.listen().empty()) {
    status = ParseUnixSocket(api.listen()).status();
  }
  if (!status.ok()) {
    return report.AddError(
        "api.listen", absl::StrCat(std::string(status.message()), local ? "" : ", or \"unix:/run/sluice/api.sock\""));
  }
  if (local && api.has_tls()) report.AddError("api.tls", "tls is for TCP; set listen to an address and a port");
  if (!local && !api.has_tls()) {
    Missing(report, "api.tls",
            "over TCP the API needs tls: {certificate_file: ..., key_file: ..., client_ca_file: ...}");
  }
  if (!local && api.has_tls()) CheckTls(api.tls(), report);
}

}  // namespace

void CheckApi(const v1::Config& config, Report& report) {
  if (config.has_api()) CheckApiListen(config.api(), report);
  if (!config.has_admin()) return;
  if (config.admin().listen().empty()) {
    return Missing(report, "admin.listen", "admin needs listen; add listen: \"127.0.0.1:9910\"");
  }
  const absl::Status status = ParseEndpoint(config.admin().listen()).status();
  if (!status.ok()) report.AddError("admin.listen", std::string(status.message()));
}

}  // namespace sluice::config
