// A controller over an engine, next hops and health checks that do what a test says.
//
// Thread-safety: as of a struct.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/load.h"
#include "control/controller.h"
#include "control/view.h"
#include "tests/unit/control/fake_engine.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"

namespace sluice {

inline constexpr char kEngine[] =
    "engine: {interfaces: [{name: eth0}, {name: eth1}], tunnel_source: {ipv4: 198.51.100.2}}\n";
inline constexpr char kListener[] =
    "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n";
inline constexpr char kPool[] =
    "pools: [{name: web, backends: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2}]}]\n";
inline constexpr char kPoolWithoutB[] = "pools: [{name: web, backends: [{name: a, address: 10.0.1.1}]}]\n";

inline Address At(const std::string& text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  EXPECT_TRUE(address.ok());
  return *address;
}

inline v1::Config Load(const std::string& yaml) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(yaml, "test.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->config : v1::Config();
}

inline v1::Config Usual() {
  return Load(std::string(kEngine) + kListener + kPool);
}
inline v1::Config WithoutB() {
  return Load(std::string(kEngine) + kListener + kPoolWithoutB);
}

class ControllerTest : public testing::Test {
 protected:
  ControllerTest() : controller_({&engine_, &next_hops_, &health_, {1, 2, 3}, [this] { return prober_.now; }}) {
    engine_.swept.flows_of_slot.resize(SLUICE_BACKENDS);
    next_hops_.Resolve(At("10.0.1.1"), Hop(1));
    next_hops_.Resolve(At("10.0.1.2"), Hop(2));
  }

  static NextHop Hop(uint8_t mac, int ifindex = 11) {
    NextHop hop;
    hop.ifindex = ifindex;
    hop.source = {2, 0, 0, 0, 0, 1};
    hop.destination = {2, 0, 0, 0, 9, mac};
    hop.mtu = 1500;
    return hop;
  }
  uint32_t SlotOf(const std::string& name) const {
    const std::vector<BackendName>& names = engine_.published->backend_names();
    for (uint32_t i = 0; i < names.size(); i++) {
      if (names[i].backend == name) return i;
    }
    return SLUICE_NO_BACKEND;
  }
  const sluice_backend& Backend(const std::string& name) const {
    return engine_.published->view().backends[SlotOf(name)];
  }
  bool HasNextHop(const std::string& name) const { return Backend(name).flags & SLUICE_BACKEND_NEXT_HOP; }
  void Apply(const v1::Config& config) {
    const absl::StatusOr<uint32_t> generation = controller_.Apply(config);
    ASSERT_TRUE(generation.ok()) << generation.status();
    controller_.Tick();
  }
  // Seconds of ticks, in which each check ends at once; those of `down_` fail.
  void Run(int seconds) {
    for (int tick = 0; tick < 100 * seconds; tick++) {
      prober_.now += absl::Milliseconds(10);
      controller_.Tick();
      prober_.EndAll([this](const CheckTarget& target) { return !down_.contains(FormatAddress(target.address)); });
    }
    controller_.Tick();
  }
  void EndOfSweep() {
    engine_.swept.sweeps++;
    controller_.Tick();
  }

  FakeEngine engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  std::set<std::string> down_;
  HealthChecker health_{prober_.Options()};
  Controller controller_;
};

inline constexpr char kA[] = "{name: a, address: 10.0.1.1}";
inline constexpr char kB[] = "{name: b, address: 10.0.1.2}";

// Who gets how much of the first listener's pool, and how its backends are said to be.
class ControllerSharesTest : public ControllerTest {
 protected:
  ControllerSharesTest() {
    next_hops_.Resolve(At("10.0.1.3"), Hop(3));
    // Of none that has traffic.
    engine_.counters.listeners.resize(8);
    engine_.counters.backends.resize(64);
  }

  // Percent of the places, by backend.
  std::map<std::string, uint32_t> Shares() const {
    const sluice_tables& view = engine_.published->view();
    const sluice_pool& pool = view.pools[view.listeners[0].pool];
    std::map<std::string, uint32_t> counts;
    for (uint32_t i = 0; i < pool.size; i++) {
      counts[engine_.published->backend_names()[view.maglev[pool.offset + i]].backend]++;
    }
    for (auto& [name, count] : counts) count = (count * 100 + pool.size / 2) / pool.size;
    return counts;
  }
  v1::BackendStatus StatusOf(const std::string& name) const {
    const v1::Inventory inventory = ViewInventory(controller_, "");
    for (const v1::BackendStatus& backend : inventory.pools(0).backends()) {
      if (backend.name() == name) return backend;
    }
    return {};
  }
  bool Live(const std::string& name) const {
    return SlotOf(name) != SLUICE_NO_BACKEND && Backend(name).flags & SLUICE_BACKEND_LIVE;
  }
};

}  // namespace sluice
