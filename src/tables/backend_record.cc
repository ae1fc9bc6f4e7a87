#include "tables/backend_record.h"

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "config/forwarding.h"
#include "sluice/rewrite.h"

namespace sluice {
namespace {

sluice_forwarding Forwarding(const v1::Pool& pool) {
  switch (pool.forwarding()) {
    case v1::Pool::IPIP:
      return SLUICE_IPIP;
    case v1::Pool::GUE:
      return SLUICE_GUE;
    case v1::Pool::NAT:
      return SLUICE_NAT;
    case v1::Pool::FULL_NAT:
      return SLUICE_FULL_NAT;
    default:
      return SLUICE_DSR_L2;
  }
}

void SetNextHop(const BackendNextHop& hop, absl::Span<const PortDescription> ports, sluice_backend& record) {
  std::copy(hop.destination.begin(), hop.destination.end(), record.destination_mac);
  std::copy(hop.source.begin(), hop.source.end(), record.source_mac);
  record.vlan = hop.vlan;
  record.port = hop.port;
  record.mtu = std::min(hop.mtu, ports[hop.port].mtu);
  record.flags |= SLUICE_BACKEND_NEXT_HOP;
}

absl::Status SetTunnel(const DesiredFront& front, const DesiredBackend& backend, const v1::Pool& pool,
                       sluice_backend& record) {
  const bool ipv4 = backend.address.IsIpv4();
  const std::optional<Address>& source = ipv4 ? front.ipv4_source : front.ipv6_source;
  if (!source.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("backend \"", backend.config->name(), "\" of pool \"", pool.name(),
                                                   "\" needs an outer source address; set engine.tunnel_source.",
                                                   ipv4 ? "ipv4" : "ipv6"));
  }
  std::memcpy(&record.source, source->bytes.data(), source->bytes.size());
  record.outer_length = ipv4 ? SLUICE_IPV4_BYTES : SLUICE_IPV6_BYTES;
  if (ipv4) {
    record.outer_sum = sluice_outer_sum(record.source.words[3], record.destination.words[3]);
  } else {
    record.flags |= SLUICE_BACKEND_OUTER_IPV6;
  }
  if (record.forwarding == SLUICE_GUE) {
    record.outer_length += SLUICE_UDP_BYTES + SLUICE_GUE_BYTES;
    record.service_port = SLUICE_16(pool.gue_port());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<sluice_backend> MakeBackendRecord(const DesiredFront& front, const BackendPool& pool,
                                                 const DesiredBackend& backend,
                                                 absl::Span<const PortDescription> ports) {
  sluice_backend record{};
  record.pool = pool.index;
  record.idle = pool.idle;
  record.flags = SLUICE_BACKEND_LIVE | (backend.unhealthy ? SLUICE_BACKEND_UNHEALTHY : 0);
  record.forwarding = static_cast<uint8_t>(Forwarding(*pool.config));
  std::memcpy(&record.destination, backend.address.bytes.data(), backend.address.bytes.size());
  if (backend.next_hop.has_value()) SetNextHop(*backend.next_hop, ports, record);
  if (Translates(*pool.config)) {
    record.service_port = SLUICE_16(backend.port);
    if (!backend.address.IsIpv4()) record.flags |= SLUICE_BACKEND_OUTER_IPV6;
    const v1::Pool::ClientAddress told = pool.config->client_address();
    if (told == v1::Pool::PROXY_V2) record.flags |= SLUICE_BACKEND_PROXY;
    if (told == v1::Pool::TOA) record.flags |= SLUICE_BACKEND_TOA;
    return record;
  }
  if (record.forwarding == SLUICE_DSR_L2) return record;
  const absl::Status status = SetTunnel(front, backend, *pool.config, record);
  if (!status.ok()) return status;
  return record;
}

}  // namespace sluice
