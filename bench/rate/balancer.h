// The dpdk engine as sluiced runs it, over one device: a listener of each family over 64 servers that
// the device's link reaches.
//
// Thread-safety: the control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "config/sluice.pb.h"
#include "engine/engine.h"
#include "tables/builder.h"

namespace sluice::bench {

struct BalancerOptions {
  std::string device;
  uint32_t workers = 1;
  v1::Pool::Forwarding forwarding = v1::Pool::DSR_L2;
  // Of the listeners: SLUICE_IP_TCP or SLUICE_IP_UDP.
  uint8_t protocol = 0;
  // Room for so many flows of each worker, at 12 bytes each; or for as many sessions where packets are translated.
  uint64_t room = 0;
  HugePages huge_pages = HugePages::kPreferred;
  // Packets that the device keeps for itself.
  uint64_t kept_packets = 0;
  // Room for the longest frames in a tunnel.
  uint16_t mtu = 1600;
};

class Balancer {
 public:
  static constexpr uint32_t kServers = 64;

  // Its workers run. `notes` gets sentences for people.
  static absl::StatusOr<std::unique_ptr<Balancer>> Start(const BalancerOptions& options,
                                                         std::vector<std::string>* notes);

  EngineCounters ReadCounters() { return engine_->ReadCounters(); }
  // Of all flows, and of what translated ones have besides.
  uint64_t table_bytes() const;

 private:
  absl::Status Publish(const BalancerOptions& options);

  Builder builder_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace sluice::bench
