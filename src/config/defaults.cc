#include "config/defaults.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace sluice::config {
namespace {

constexpr uint32_t kWorkers = 1;
constexpr uint64_t kConnections = 1'000'000;
constexpr uint32_t kMtu = 1500;
// Those of the cloud network load balancers that our users come from.
constexpr int64_t kTcpIdleSeconds = 350;
constexpr int64_t kUdpIdleSeconds = 120;
// Maglev, NSDI 2016, section 5.3.
constexpr uint32_t kMaglevTableSize = 65'537;
// IANA: gue, 6080/udp.
constexpr uint32_t kGuePort = 6080;
constexpr uint32_t kWeight = 1;

void FillEngine(v1::Engine& engine) {
  if (!engine.has_workers()) engine.set_workers(kWorkers);
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
  if (!listener.has_icmp_echo()) listener.set_icmp_echo(true);
}

void FillPool(v1::Pool& pool) {
  if (pool.forwarding() == v1::Pool::FORWARDING_UNSPECIFIED) pool.set_forwarding(v1::Pool::DSR_L2);
  if (!pool.has_maglev_table_size()) pool.set_maglev_table_size(kMaglevTableSize);
  if (pool.forwarding() == v1::Pool::GUE && !pool.has_gue_port()) pool.set_gue_port(kGuePort);
  for (v1::Backend& backend : *pool.mutable_backends()) {
    if (!backend.has_weight()) backend.set_weight(kWeight);
  }
}

}  // namespace

void FillDefaults(v1::Config& config) {
  FillEngine(*config.mutable_engine());
  for (v1::Listener& listener : *config.mutable_listeners()) FillListener(listener);
  for (v1::Pool& pool : *config.mutable_pools()) FillPool(pool);
}

}  // namespace sluice::config
