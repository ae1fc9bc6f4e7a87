#include "config/defaults.h"

#include <algorithm>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "config/bounds.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

constexpr uint32_t kWorkers = 1;
constexpr uint64_t kConnections = 1'000'000;
constexpr uint32_t kMtu = 1500;
// Longer than a worker sleeps or the kernel lets it wait for its core, shorter than TCP waits before it sends again.
constexpr int32_t kTakeoverNanos = 200'000'000;
// Those of the cloud network load balancers that our users come from.
constexpr int64_t kTcpIdleSeconds = 350;
constexpr int64_t kUdpIdleSeconds = 120;
// Longer than the pauses between a client's first SYNs, 1, 2, 4, 8 and 16 s (RFC 6298).
constexpr int64_t kHandshakeSeconds = 30;
constexpr int64_t kHalfClosedSeconds = 120;
// As long as TIME-WAIT lasts in Linux: a port that comes back sooner may meet a server that still waits.
constexpr int64_t kClosedSeconds = 60;
// Maglev, NSDI 2016, section 5.3.
constexpr uint32_t kMaglevTableSize = 65'537;
// IANA: gue, 6080/udp.
constexpr uint32_t kGuePort = 6080;
constexpr uint32_t kWeight = 1;
constexpr int64_t kCheckIntervalSeconds = 2;
constexpr int64_t kCheckTimeoutSeconds = 1;
constexpr uint32_t kRise = 2;
constexpr uint32_t kFall = 3;
constexpr uint32_t kFailedPercent = 50;
// More than chance makes of a busy client that is cut off, or of a port scan by hand.
constexpr uint32_t kMinimumFailed = 20;

// Required: the forwarding of every pool is filled.
void FillSessions(v1::Config& config) {
  v1::Engine& engine = *config.mutable_engine();
  if (engine.has_max_sessions()) return;
  const bool translates =
      std::any_of(config.pools().begin(), config.pools().end(), [](const auto& pool) { return Translates(pool); });
  // Not out of range because max_connections is: that is one mistake.
  engine.set_max_sessions(translates ? std::clamp(engine.max_connections(), kMinSessions, kMaxSessions) : 0);
}

// Over kernel interfaces the kernel has their packets first.
bool HasWorkersToStandInFor(const v1::Engine& engine) {
  return engine.type() != v1::Engine::XDP && std::all_of(engine.interfaces().begin(), engine.interfaces().end(),
                                                         [](const auto& one) { return !one.name().empty(); });
}

void FillEngine(v1::Engine& engine) {
  if (!engine.has_workers() && engine.type() != v1::Engine::XDP) engine.set_workers(kWorkers);
  if (!engine.has_takeover_after() && HasWorkersToStandInFor(engine)) {
    engine.mutable_takeover_after()->set_nanos(kTakeoverNanos);
  }
  if (!engine.has_max_connections()) engine.set_max_connections(kConnections);
  for (int i = 0; i < engine.interfaces_size(); ++i) {
    v1::Interface& interface = *engine.mutable_interfaces(i);
    const bool is_port = !interface.pci().empty() || !interface.device().empty();
    if (is_port && !interface.has_mtu()) interface.set_mtu(kMtu);
    if (!interface.pci().empty() && interface.tap().empty()) interface.set_tap(absl::StrCat("sluice", i));
  }
}

void FillListener(v1::Listener& listener) {
  if (!listener.has_idle_timeout()) {
    const bool only_udp = listener.protocol() == v1::Listener::UDP;
    listener.mutable_idle_timeout()->set_seconds(only_udp ? kUdpIdleSeconds : kTcpIdleSeconds);
  }
  if (!listener.has_icmp_echo()) listener.set_icmp_echo(v1::Listener::ANSWER);
  for (v1::WeightedPool& pool : *listener.mutable_pools()) {
    if (!pool.has_weight()) pool.set_weight(kWeight);
  }
}

// Of a listener whose pools forward by nat or full_nat.
void FillSessionKeys(v1::Listener& listener) {
  if (listener.protocol() != v1::Listener::TCP && listener.protocol() != v1::Listener::TCP_UDP) return;
  if (!listener.has_handshake_timeout()) listener.mutable_handshake_timeout()->set_seconds(kHandshakeSeconds);
  if (!listener.has_half_closed_timeout()) listener.mutable_half_closed_timeout()->set_seconds(kHalfClosedSeconds);
  if (!listener.has_closed_timeout()) listener.mutable_closed_timeout()->set_seconds(kClosedSeconds);
  if (!listener.has_reset_on_idle()) listener.set_reset_on_idle(false);
}

bool AsksByHttp(const v1::HealthCheck& check) {
  return check.type() == v1::HealthCheck::HTTP || check.type() == v1::HealthCheck::HTTPS;
}

void FillRequest(v1::HealthCheck& check) {
  if (check.path().empty()) check.set_path("/");
  if (check.method().empty()) check.set_method("GET");
  if (check.expect().empty()) check.set_expect("200-399");
}

void FillTls(v1::HealthCheck& check) {
  if (!check.has_insecure()) check.set_insecure(false);
  // An address is not a name, and no SNI (RFC 6066).
  const std::string name = check.host().substr(0, check.host().find(':'));
  if (check.server_name().empty() && !ParseAddress(name).ok()) check.set_server_name(name);
}

void FillTimeout(const google::protobuf::Duration& interval, google::protobuf::Duration& timeout) {
  timeout.set_seconds(kCheckTimeoutSeconds);
  if (interval.seconds() < kCheckTimeoutSeconds) timeout = interval;
}

// Who fails while its checks pass would else be back after each `rise`.
void FillObserve(v1::HealthCheck& check) {
  v1::Observe& observe = *check.mutable_observe();
  if (!observe.has_failed_percent()) observe.set_failed_percent(kFailedPercent);
  if (!observe.has_minimum_failed()) observe.set_minimum_failed(kMinimumFailed);
  if (!check.has_flap_dampening()) check.set_flap_dampening(true);
}

void FillHealthCheck(v1::HealthCheck& check) {
  if (check.type() == v1::HealthCheck::NONE || check.type() == v1::HealthCheck::TYPE_UNSPECIFIED) return;
  if (!check.has_interval()) check.mutable_interval()->set_seconds(kCheckIntervalSeconds);
  if (!check.has_fast_interval()) *check.mutable_fast_interval() = check.interval();
  if (!check.has_down_interval()) *check.mutable_down_interval() = check.interval();
  if (!check.has_timeout()) FillTimeout(check.interval(), *check.mutable_timeout());
  if (!check.has_rise()) check.set_rise(kRise);
  if (!check.has_fall()) check.set_fall(kFall);
  if (check.has_observe()) FillObserve(check);
  if (AsksByHttp(check)) FillRequest(check);
  if (check.type() == v1::HealthCheck::GRPC && !check.has_tls()) check.set_tls(false);
  if (check.type() == v1::HealthCheck::HTTPS || check.tls()) FillTls(check);
}

void FillAgent(v1::AgentCheck& agent) {
  if (!agent.has_interval()) agent.mutable_interval()->set_seconds(kCheckIntervalSeconds);
  if (!agent.has_timeout()) FillTimeout(agent.interval(), *agent.mutable_timeout());
}

void FillPool(v1::Pool& pool) {
  if (pool.forwarding() == v1::Pool::FORWARDING_UNSPECIFIED) pool.set_forwarding(v1::Pool::DSR_L2);
  if (!pool.has_maglev_table_size()) pool.set_maglev_table_size(kMaglevTableSize);
  if (pool.forwarding() == v1::Pool::GUE && !pool.has_gue_port()) pool.set_gue_port(kGuePort);
  if (pool.has_health_check()) FillHealthCheck(*pool.mutable_health_check());
  if (pool.has_agent()) FillAgent(*pool.mutable_agent());
  for (v1::Backend& backend : *pool.mutable_backends()) FillDefaults(backend);
}

}  // namespace

void FillDefaults(v1::Backend& backend) {
  if (!backend.has_weight()) backend.set_weight(kWeight);
}

void FillDefaults(v1::Config& config) {
  FillEngine(*config.mutable_engine());
  // Whether it translates, by name; of pools with the same name the first counts, as in CheckNames().
  absl::flat_hash_map<absl::string_view, bool> translates;
  for (v1::Pool& pool : *config.mutable_pools()) {
    FillPool(pool);
    translates.emplace(pool.name(), Translates(pool));
  }
  for (v1::Listener& listener : *config.mutable_listeners()) {
    FillListener(listener);
    // All of several pools agree.
    const auto pool = translates.find(listener.pools().empty() ? listener.pool() : listener.pools(0).name());
    if (pool != translates.end() && pool->second) FillSessionKeys(listener);
  }
  FillSessions(config);
}

}  // namespace sluice::config
