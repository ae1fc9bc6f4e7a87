// What the builder is given, made to measure: pools of backends with next hops, and listeners.
//
// Thread-safety: as of a container.
#pragma once

#include <array>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tables/builder.h"

namespace sluice::bench {

struct BuilderInput {
  v1::Config config;
  std::array<uint8_t, 32> hash_key{};
  absl::flat_hash_map<Address, BackendNextHop> next_hops;
  std::array<PortDescription, 1> ports{{{Mac{2}, 1500}}};
  BackendNames unhealthy;
  // What ChangeHealth changes.
  InputChange change{{"pool1"}, {}};

  BuildInput input() const { return {&config, hash_key, &next_hops, ports, &unhealthy}; }
  BuildInput changed_input() const { return {&config, hash_key, &next_hops, ports, &unhealthy, &change}; }

  // "pool1", "pool2", ... with backends "backend0", "backend1", ... At most 1,024 of them.
  void AddPool(int backends) {
    v1::Pool& pool = *config.add_pools();
    const int index = config.pools_size();
    pool.set_name(absl::StrCat("pool", index));
    pool.set_forwarding(v1::Pool::DSR_L2);
    pool.set_maglev_table_size(65537);
    for (int i = 0; i < backends; i++) {
      v1::Backend& backend = *pool.add_backends();
      backend.set_name(absl::StrCat("backend", i));
      const int number = index * 1024 + i;
      backend.set_address(absl::StrCat("10.", number >> 16, ".", number >> 8 & 255, ".", number & 255));
      backend.set_weight(1);
      next_hops[ParseAddress(backend.address()).value()] = {.mtu = 1500};
    }
  }

  void AddListener(int index, const std::string& pool) {
    v1::Listener& listener = *config.add_listeners();
    listener.set_name(absl::StrCat("listener", index));
    listener.set_address(absl::StrCat("192.168.", index / 256, ".", index % 256));
    listener.set_protocol(v1::Listener::TCP);
    listener.set_pool(pool);
    listener.mutable_idle_timeout()->set_seconds(350);
    for (const uint32_t port : {80, 443}) {
      v1::PortRange& range = *listener.add_ports();
      range.set_first(port);
      range.set_last(port);
    }
  }

  // So many pools, each with a listener.
  void AddServices(int pools, int backends) {
    for (int i = 0; i < pools; i++) {
      AddPool(backends);
      AddListener(i, absl::StrCat("pool", i + 1));
    }
  }

  // The next verdict about the first backend of the first pool, which is the other one than before.
  void ChangeHealth() {
    if (!unhealthy.empty()) return unhealthy.clear();
    unhealthy["pool1"].insert("backend0");
  }
};

}  // namespace sluice::bench
