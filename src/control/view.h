// What runs, in the words of runtime.proto: what the API, the command line and the metrics tell.
//
// Thread-safety: the control thread's.
#pragma once

#include <string>
#include <string_view>

#include "control/controller.h"
#include "control/runtime.pb.h"

namespace sluice {

// All of Status but what only the daemon knows: version, engine, revision, uptime, ready, and further problems.
v1::Status ViewStatus(const Controller& controller);

// What it is, does, and its health: all of it but what is counted.
v1::BackendStatus ViewBackend(const Controller& controller, const std::string& pool, const v1::Backend& backend);
v1::PortStatus ViewPort(const EnginePort& port);

// Only pool `pool` and its listeners; all when empty.
v1::Inventory ViewInventory(const Controller& controller, std::string_view pool = "");

}  // namespace sluice
