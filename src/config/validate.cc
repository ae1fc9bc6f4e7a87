#include "config/validate.h"

#include "config/checks.h"
#include "config/defaults.h"

namespace sluice {

void ValidateConfig(v1::Config& config, config::Report& report) {
  config::FillDefaults(config);
  config::Facts facts;
  config::CheckNatAddresses(config, report, facts);
  config::CheckListeners(config, report, facts);
  config::CheckAccess(config, report, facts);
  config::CheckPorts(config, report, facts);
  config::CheckPools(config, report, facts);
  config::CheckReferences(config, report, facts);
  config::CheckTranslation(config, report, facts);
  config::CheckHealthChecks(config, report, facts);
  config::CheckEngine(config, report, facts);
  config::CheckXdp(config, report);
  config::CheckApi(config, report);
}

}  // namespace sluice
