#include "control/check_targets.h"

#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "health/tls_context.h"

namespace sluice {
namespace {

absl::Duration Time(const google::protobuf::Duration& time) {
  return absl::Seconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

CheckType TypeOf(const v1::HealthCheck& check) {
  switch (check.type()) {
    case v1::HealthCheck::HTTP:
      return CheckType::kHttp;
    case v1::HealthCheck::HTTPS:
      return CheckType::kHttps;
    case v1::HealthCheck::GRPC:
      return CheckType::kGrpc;
    case v1::HealthCheck::UDP:
      return CheckType::kUdp;
    case v1::HealthCheck::ICMP:
      return CheckType::kIcmp;
    default:
      return CheckType::kTcp;
  }
}

absl::Status ReadTls(const v1::HealthCheck& check, CheckSpec& spec) {
  const bool grpc = spec.type == CheckType::kGrpc;
  if (spec.type != CheckType::kHttps && !(grpc && check.tls())) return absl::OkStatus();
  TlsContext::Options options;
  options.http2 = grpc;
  options.server_name = check.server_name();
  options.ca_file = check.ca_file();
  options.insecure = check.insecure();
  options.certificate_file = check.certificate_file();
  options.key_file = check.key_file();
  const absl::StatusOr<std::shared_ptr<const TlsContext>> tls = TlsContext::Create(options);
  if (tls.ok()) spec.tls = *tls;
  return tls.status();
}

absl::StatusOr<std::shared_ptr<const CheckSpec>> ReadSpec(const v1::HealthCheck& check) {
  auto spec = std::make_shared<CheckSpec>();
  spec->type = TypeOf(check);
  spec->terms = {Time(check.interval()), Time(check.fast_interval()), Time(check.down_interval()), check.rise(),
                 check.fall(),           check.flap_dampening()};
  if (check.has_observe()) {
    spec->terms.observe = {check.observe().failed_percent(), check.observe().minimum_failed()};
  }
  spec->timeout = Time(check.timeout());
  spec->method = check.method();
  spec->path = check.path();
  spec->host = check.host();
  spec->service = check.service();
  spec->expect_body = check.expect_body();
  if (spec->type == CheckType::kHttp || spec->type == CheckType::kHttps) {
    spec->expected_statuses = check.expect();
    spec->statuses = ParseStatusRanges(check.expect()).value_or(std::vector<StatusRange>());
  } else if (!absl::CUnescape(check.send(), &spec->send) || !absl::CUnescape(check.expect(), &spec->expect)) {
    return absl::InvalidArgumentError("health_check: send or expect has an escape that is none");
  }
  for (const v1::CheckStep& step : check.script()) {
    CheckStep& to = spec->script.emplace_back();
    if (absl::CUnescape(step.send(), &to.send) && absl::CUnescape(step.expect(), &to.expect)) continue;
    return absl::InvalidArgumentError("health_check: its script has an escape that is none");
  }
  if (absl::Status status = ReadTls(check, *spec); !status.ok()) return status;
  return spec;
}

uint16_t PortOf(const v1::HealthCheck& check, const v1::Backend& backend, uint32_t listener_port) {
  if (check.type() == v1::HealthCheck::ICMP) return 0;
  const bool has_own = backend.port() != 0 && check.via() != v1::HealthCheck::VIP;
  const uint32_t own = has_own ? backend.port() : listener_port;
  return static_cast<uint16_t>(check.has_port() ? check.port() : own);
}

// A server that is without the virtual address and forwards packets sends them back here, where another backend would
// answer: so they have no hop left by then. Tunnels take one off, and the engine none off without a tunnel: so behind a
// tunnel there is one for a server that has the address in a container.
constexpr uint8_t kDirectHops = 1;
constexpr uint8_t kTunnelHops = 3;

std::optional<VirtualTarget> ReadVia(const v1::Pool& pool, const v1::Listener* listener) {
  if (pool.health_check().via() != v1::HealthCheck::VIP || listener == nullptr) return std::nullopt;
  const uint8_t hops = pool.forwarding() == v1::Pool::DSR_L2 ? kDirectHops : kTunnelHops;
  return VirtualTarget{ParseAddress(listener->address()).value_or(Address()), pool.name(), hops};
}

// One answer changes what counts by itself; that its agent cannot be reached is told after a few.
constexpr uint32_t kAgentRise = 1;
constexpr uint32_t kAgentFall = 3;

std::shared_ptr<const CheckSpec> ReadAgentSpec(const v1::AgentCheck& agent) {
  auto spec = std::make_shared<CheckSpec>();
  spec->type = CheckType::kAgent;
  const absl::Duration interval = Time(agent.interval());
  spec->terms = {interval, interval, interval, kAgentRise, kAgentFall, /*flap_dampening=*/false};
  spec->timeout = Time(agent.timeout());
  // It is validated, and has no escape that is none.
  static_cast<void>(absl::CUnescape(agent.send(), &spec->send));
  return spec;
}

}  // namespace

std::vector<CheckedBackend> ReadAgentTargets(const v1::Config& config) {
  std::vector<CheckedBackend> targets;
  for (const v1::Pool& pool : config.pools()) {
    if (!pool.has_agent()) continue;
    const std::shared_ptr<const CheckSpec> spec = ReadAgentSpec(pool.agent());
    for (const v1::Backend& backend : pool.backends()) {
      const Address address = ParseAddress(backend.address()).value_or(Address());
      targets.push_back({{pool.name(), backend.name()}, {address, static_cast<uint16_t>(pool.agent().port()), spec}});
    }
  }
  return targets;
}

absl::StatusOr<std::vector<CheckedBackend>> ReadCheckTargets(const v1::Config& config) {
  // Of each pool.
  absl::flat_hash_map<absl::string_view, const v1::Listener*> first_listeners;
  for (const v1::Listener& listener : config.listeners()) {
    if (listener.ports_size() == 0) continue;
    if (!listener.pool().empty()) first_listeners.try_emplace(listener.pool(), &listener);
    for (const v1::WeightedPool& pool : listener.pools()) first_listeners.try_emplace(pool.name(), &listener);
  }
  std::vector<CheckedBackend> targets;
  for (const v1::Pool& pool : config.pools()) {
    const v1::HealthCheck& check = pool.health_check();
    if (!pool.has_health_check() || check.type() == v1::HealthCheck::NONE) continue;
    const absl::StatusOr<std::shared_ptr<const CheckSpec>> spec = ReadSpec(check);
    if (!spec.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("pool \"", pool.name(), "\": ", std::string(spec.status().message())));
    }
    const auto found = first_listeners.find(pool.name());
    const v1::Listener* listener = found == first_listeners.end() ? nullptr : found->second;
    const std::optional<VirtualTarget> via = ReadVia(pool, listener);
    for (const v1::Backend& backend : pool.backends()) {
      const absl::StatusOr<Address> address = ParseAddress(backend.address());
      if (!address.ok()) return address.status();
      const uint16_t at = PortOf(check, backend, listener == nullptr ? 0 : listener->ports(0).first());
      targets.push_back({{pool.name(), backend.name()}, {*address, at, *spec, via}});
    }
  }
  return targets;
}

}  // namespace sluice
