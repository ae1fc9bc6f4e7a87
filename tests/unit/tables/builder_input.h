// A builder's input that a test changes step by step: a configuration as text, next hops, ports.
//
// Thread-safety: as of a struct.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "config/load.h"
#include "gtest/gtest.h"
#include "tables/builder.h"

namespace sluice {

struct TestInput {
  v1::Config config;
  std::array<uint8_t, 32> hash_key{1, 2, 3, 4, 5};
  absl::flat_hash_map<Address, BackendNextHop> next_hops;
  std::vector<PortDescription> ports{{Mac{2, 0, 0, 0, 0, 1}, 1500}, {Mac{2, 0, 0, 0, 0, 2}, 9000}};
  BackendNames unhealthy;

  BuildInput input() const { return {&config, hash_key, &next_hops, ports, &unhealthy}; }

  static Address At(const std::string& text) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    EXPECT_TRUE(address.ok()) << address.status();
    return address.value_or(Address());
  }

  // Validated, with defaults; a mistake in `yaml` fails the test.
  void Load(const std::string& yaml) {
    absl::StatusOr<LoadedConfig> loaded = LoadConfigText(yaml, "test.yaml");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    config = std::move(loaded->config);
  }

  // By port 0, to a MAC address that has the address's last byte.
  void Resolve(const std::string& address) {
    const Address at = At(address);
    next_hops[at] = {
        .port = 0, .source = {2, 0, 0, 0, 0, 1}, .destination = {2, 0, 0, 0, 1, at.bytes[15]}, .mtu = 1500};
  }
  void ResolveAll() {
    for (const v1::Pool& pool : config.pools()) {
      for (const v1::Backend& backend : pool.backends()) Resolve(backend.address());
    }
  }

  std::shared_ptr<const Tables> Build(Builder& builder) const {
    absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(input());
    EXPECT_TRUE(tables.ok()) << tables.status();
    return tables.ok() ? *tables : nullptr;
  }
};

// Of weight 1. Null where the pool has one of that name or address.
inline v1::Backend* AddBackend(v1::Pool& pool, const std::string& name, const std::string& address) {
  for (const v1::Backend& other : pool.backends()) {
    if (other.name() == name || other.address() == address) return nullptr;
  }
  v1::Backend& backend = *pool.add_backends();
  backend.set_name(name);
  backend.set_address(address);
  backend.set_weight(1);
  return &backend;
}

// The slot of a backend, or SLUICE_NO_BACKEND.
inline uint32_t SlotOf(const Tables& tables, const std::string& pool, const std::string& backend) {
  for (uint32_t i = 0; i < tables.backend_slots(); i++) {
    if (tables.backend_names()[i].pool == pool && tables.backend_names()[i].backend == backend) return i;
  }
  return SLUICE_NO_BACKEND;
}

inline uint32_t ListenerOf(const Tables& tables, const std::string& name) {
  for (uint32_t i = 0; i < tables.listener_count(); i++) {
    if (tables.listener_names()[i] == name) return i;
  }
  return SLUICE_NO_LISTENER;
}

// The pool that a listener leads to.
inline const sluice_pool& PoolOf(const Tables& tables, const std::string& listener) {
  return tables.view().pools[tables.view().listeners[ListenerOf(tables, listener)].pool];
}

}  // namespace sluice
