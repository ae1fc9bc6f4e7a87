// Any bytes as a configuration file: an error with words, or a configuration that is still valid when validated again
// and does not change by it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/load.h"
#include "config/validate.h"

namespace {

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<sluice::LoadedConfig> loaded = sluice::LoadConfigText(text, "f");
  if (!loaded.ok()) {
    Require(!loaded.status().message().empty());
    return 0;
  }
  sluice::v1::Config again = loaded->config;
  sluice::config::Report report;
  sluice::ValidateConfig(again, report);
  Require(report.ok());
  Require(again.SerializeAsString() == loaded->config.SerializeAsString());
  return 0;
}
