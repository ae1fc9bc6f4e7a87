#include "control/probe_forwarder.h"

#include "sluice/hash.h"
#include "tables/backend_record.h"

namespace sluice {
namespace {

std::optional<Address> ReadAddress(const std::string& text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  return address.ok() ? std::optional<Address>(*address) : std::nullopt;
}

}  // namespace

void ProbeForwarder::Follow(const v1::Config& config) {
  pools_.clear();
  for (const v1::Pool& pool : config.pools()) {
    if (pool.health_check().via() == v1::HealthCheck::VIP) pools_.emplace(pool.name(), &pool);
  }
  ipv4_source_ = ReadAddress(config.engine().tunnel_source().ipv4());
  ipv6_source_ = ReadAddress(config.engine().tunnel_source().ipv6());
}

// The record in the tables is not asked: who is disabled, or gives its flows up, has none.
void ProbeForwarder::Forward(const ProbePacket& probe, const BackendNextHop& hop,
                             absl::Span<const PortDescription> ports, const sluice_settings& settings) const {
  const auto pool = pools_.find(probe.pool);
  if (pool == pools_.end()) return;
  DesiredFront front;
  front.ipv4_source = ipv4_source_;
  front.ipv6_source = ipv6_source_;
  const v1::Backend config;
  const DesiredBackend backend{.config = &config, .address = probe.backend, .next_hop = hop};
  const absl::StatusOr<sluice_backend> record = MakeBackendRecord(front, {.config = pool->second}, backend, ports);
  if (!record.ok()) return;
  const uint64_t hash = sluice_hash_flow(&settings, &probe.packet.parsed.flow);
  const std::optional<std::vector<uint8_t>> frame = FrameToBackend(probe.packet, *record, hash);
  if (frame.has_value()) engine_->Send(*frame, hop.port);
}

}  // namespace sluice
