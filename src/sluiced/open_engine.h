// From the engine section of the configuration to an engine.
//
// Thread-safety: the control thread's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/sluice.pb.h"
#include "engine/engine.h"

namespace sluice {

struct OpenedEngine {
  std::unique_ptr<Engine> engine;
  // Never auto.
  v1::Engine::Type type = v1::Engine::AUTO;
  // Why that one, in words for the user.
  std::string reason;
};

// `config` is validated. With type auto: dpdk, and where that can't be, xdp. When neither can be, the error says why of
// both. Notes are for the log.
absl::StatusOr<OpenedEngine> OpenEngine(const v1::Config& config, std::vector<std::string>* notes);

}  // namespace sluice
