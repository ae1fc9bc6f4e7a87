// Sends packets of checks to their backends as the path sends clients' packets: by the pool's way of forwarding,
// whether the backend takes flows or not.
//
// Thread-safety: the control thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "control/probe_packets.h"
#include "engine/engine.h"
#include "tables/builder.h"
#include "tables/desired.h"

namespace sluice {

class ProbeForwarder {
 public:
  // `engine` outlives it.
  explicit ProbeForwarder(Engine* engine) : engine_(engine) {}

  // From now on; `config` is validated, and outlives it or the next call.
  void Follow(const v1::Config& config);

  // `hop` and `ports` are what the tables are built from. What cannot be sent is lost, as on a link.
  void Forward(const ProbePacket& probe, const BackendNextHop& hop, absl::Span<const PortDescription> ports,
               const sluice_settings& settings) const;

 private:
  Engine* engine_;
  absl::flat_hash_map<std::string, const v1::Pool*> pools_;
  std::optional<Address> ipv4_source_;
  std::optional<Address> ipv6_source_;
};

}  // namespace sluice
