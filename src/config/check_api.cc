// What is checked of the daemon's own services: the API and the metrics.
#include <string>

#include "absl/status/statusor.h"
#include "config/checks.h"
#include "config/endpoint.h"

namespace sluice::config {

void CheckApi(const v1::Config& config, Report& report) {
  if (config.has_api() && !config.api().listen().empty()) {
    const absl::Status status = ParseUnixSocket(config.api().listen()).status();
    if (!status.ok()) report.AddError("api.listen", std::string(status.message()));
  }
  if (!config.has_admin()) return;
  if (config.admin().listen().empty()) {
    return Missing(report, "admin.listen", "admin needs listen; add listen: \"127.0.0.1:9910\"");
  }
  const absl::Status status = ParseEndpoint(config.admin().listen()).status();
  if (!status.ok()) report.AddError("admin.listen", std::string(status.message()));
}

}  // namespace sluice::config
