// Whatever happens to a controller, and in whatever order: the tables that it has published last are those that follow
// from what it knows, though it builds only what has changed.
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/unit/control/controller_testbed.h"
#include "tests/unit/tables/described_tables.h"

namespace sluice {
namespace {

constexpr int kBackends = 4;

constexpr char kPools[] = R"(
listeners:
  - {name: plain, address: 203.0.113.10, ports: [80], protocol: tcp, pool: plain}
  - {name: slow, address: 203.0.113.11, ports: [80], protocol: tcp, pool: slow}
  - {name: split, address: 203.0.113.12, ports: [80], protocol: tcp, pools: [{name: plain, weight: 1}, {name: drained, weight: 2}]}
pools:
  - {name: plain, maglev_table_size: 251, health_check: {type: tcp, interval: 1s}}
  - {name: slow, maglev_table_size: 251, health_check: {type: tcp, interval: 1s}, slow_start: 20s}
  - {name: drained, maglev_table_size: 251, health_check: {type: tcp, interval: 1s}, drain_timeout: 5s, on_unhealthy: move}
)";

class ControllerIncrementalTest : public ControllerTest, public testing::WithParamInterface<uint32_t> {
 protected:
  ControllerIncrementalTest() : random_(GetParam()) {
    config_ = Load(std::string(kEngine) + kPools);
    for (v1::Pool& pool : *config_.mutable_pools()) {
      for (int i = 0; i < kBackends; i++) Add(pool, i);
    }
    for (int i = 1; i <= 3 * kBackends; i++) next_hops_.Resolve(AddressOf(i), Hop(static_cast<uint8_t>(i)));
  }

  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }
  static Address AddressOf(int i) { return At(absl::StrCat("10.0.1.", i)); }

  // Neighbours have addresses in common.
  void Add(v1::Pool& pool, int i) {
    v1::Backend& backend = *pool.add_backends();
    backend.set_name(absl::StrCat("b", i));
    backend.set_address(absl::StrCat("10.0.1.", 1 + i + (pool.name() == "plain" ? 0 : 2)));
    backend.set_weight(1);
    backend.set_state(v1::Backend::READY);
    backend.set_backup(pool.name() == "slow" && i == 3);
  }

  void ChangeConfig() {
    v1::Config config = config_;
    v1::Pool& pool = *config.mutable_pools(Below(config.pools_size()));
    v1::Backend& backend = *pool.mutable_backends(Below(pool.backends_size()));
    switch (Below(4)) {
      case 0:
        backend.set_state(backend.state() == v1::Backend::READY ? v1::Backend::DRAIN : v1::Backend::READY);
        break;
      case 1:
        backend.set_weight(static_cast<uint32_t>(1 + Below(3)));
        break;
      case 2:
        if (pool.backends_size() > 2) pool.mutable_backends()->RemoveLast();
        break;
      default:
        if (pool.backends_size() < kBackends) Add(pool, pool.backends_size());
        break;
    }
    if (controller_.Apply(config).ok()) config_ = config;
  }

  void Happen() {
    const Address address = AddressOf(1 + Below(6));
    switch (Below(8)) {
      case 0:
        return ChangeConfig();
      case 1:
        return next_hops_.Resolve(address, Hop(static_cast<uint8_t>(Below(9)), 11 + Below(2)));
      case 2:
        return next_hops_.Fail(address, "as the test says");
      case 3:
        engine_.answer = Below(2) == 0 ? absl::OkStatus() : absl::InternalError("as the test says");
        return;
      case 4:
        for (uint32_t slot = 0; slot < 64; slot++) engine_.swept.flows_of_slot[slot] = static_cast<uint32_t>(Below(2));
        return EndOfSweep();
      default:
        if (down_.erase(FormatAddress(address)) == 0) down_.insert(FormatAddress(address));
    }
  }

  // A second or two, in steps.
  void Pass() {
    const int ticks = Below(200);
    for (int tick = 0; tick < ticks; tick++) {
      prober_.now += absl::Milliseconds(10);
      controller_.Tick();
      prober_.EndAll([this](const CheckTarget& target) { return !down_.contains(FormatAddress(target.address)); });
    }
  }

  // What the controller knows, made by a builder of no memory.
  std::shared_ptr<const Tables> FromNothing() const {
    absl::flat_hash_map<Address, BackendNextHop> next_hops;
    for (int i = 1; i <= 3 * kBackends; i++) {
      const Resolution found = next_hops_.Find(AddressOf(i));
      if (!found.resolved()) continue;
      const NextHop& hop = found.next_hop;
      next_hops[AddressOf(i)] = {static_cast<uint16_t>(hop.ifindex - 11), hop.vlan, hop.source, hop.destination,
                                 hop.mtu};
    }
    std::vector<PortDescription> ports;
    for (const EnginePort& port : engine_.engine_ports) ports.push_back({port.mac, port.mtu});
    const std::array<uint8_t, 32> key = {1, 2, 3};
    Builder builder;
    const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(
        {&controller_.effective().config(), key, &next_hops, ports, &controller_.backend_states().unhealthy()});
    EXPECT_TRUE(tables.ok()) << tables.status();
    return tables.ok() ? *tables : nullptr;
  }

  std::mt19937 random_;
  v1::Config config_;
};

TEST_P(ControllerIncrementalTest, PublishesWhatItKnows) {
  Apply(config_);
  for (int step = 0; step < 400; step++) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), ", step ", step));
    for (int i = Below(4); i >= 0; i--) Happen();
    Pass();
    // What could not be published is, once it can be.
    engine_.answer = absl::OkStatus();
    EndOfSweep();
    ASSERT_FALSE(controller_.behind());
    const std::shared_ptr<const Tables> expected = FromNothing();
    ASSERT_NE(expected, nullptr);
    ASSERT_EQ(Describe(*engine_.published), Describe(*expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ControllerIncrementalTest, testing::Values(1, 2, 3));

}  // namespace
}  // namespace sluice
