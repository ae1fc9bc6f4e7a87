// A builder's input that changes at random, and what of that the builder is told: all kinds of pools and listeners,
// with backends that come, go and come back.
//
// Thread-safety: none.
#pragma once

#include <array>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {

inline constexpr char kChangingConfig[] = R"(
engine:
  interfaces: [{name: eth0}, {name: eth1}]
  tunnel_source: {ipv4: 198.51.100.2, ipv6: "2001:db8:1::2"}
  nat_addresses: [198.51.100.64/30]
listeners:
  - {name: web, address: 203.0.113.10, ports: [80, 443], protocol: tcp, pool: direct, affinity: source_ip}
  - {name: dns, address: 203.0.113.53, ports: [53], protocol: tcp_udp, pool: turns, idle_timeout: 30s,
     access: {deny: [192.0.2.0/24]}}
  - {name: few, address: 203.0.113.10, ports: ["8000-8099"], protocol: tcp, pool: least, max_connections: 1000}
  - {name: split, address: 203.0.113.11, ports: [80], protocol: tcp, pools: [{name: direct, weight: 9}, {name: tunnel, weight: 1}]}
  - {name: canary, address: "2001:db8::10", ports: [80], protocol: tcp, pools: [{name: tunnel, weight: 3}, {name: closed, weight: 2}]}
  - {name: nat, address: 203.0.113.12, ports: [80], protocol: tcp, pool: nat}
  - {name: full, address: 203.0.113.13, ports: [80, 81], protocol: tcp, pool: full}
pools:
  - {name: direct, forwarding: dsr_l2, maglev_table_size: 251, health_check: {type: tcp}}
  - {name: turns, forwarding: dsr_l2, algorithm: round_robin, maglev_table_size: 251, on_unhealthy: move, health_check: {type: tcp}}
  - {name: least, forwarding: ipip, algorithm: least_connections, maglev_table_size: 251, health_check: {type: tcp}}
  - {name: tunnel, forwarding: gue, maglev_table_size: 251, hash_balance_factor: 150, on_unhealthy: move, health_check: {type: tcp}}
  - {name: closed, forwarding: ipip, algorithm: source_hash, maglev_table_size: 251, when_all_unhealthy: fail_closed, health_check: {type: tcp}}
  - {name: nat, forwarding: nat, maglev_table_size: 251, on_unhealthy: reset, health_check: {type: tcp}}
  - {name: full, forwarding: full_nat, algorithm: least_time, maglev_table_size: 251, on_unhealthy: reset, health_check: {type: tcp}}
)";

class ChangingWorld {
 public:
  explicit ChangingWorld(uint32_t seed) : random_(seed) {
    input_.Load(kChangingConfig);
    config_ = std::make_unique<v1::Config>(input_.config);
    for (v1::Pool& pool : *config_->mutable_pools()) {
      for (int i = 0; i < 4; i++) Add(pool);
    }
  }

  BuildInput told() const {
    BuildInput input = read();
    input.change = all_ ? nullptr : &change_;
    return input;
  }
  BuildInput read() const {
    return {config_.get(), input_.hash_key, &input_.next_hops, input_.ports, &input_.unhealthy};
  }
  bool all() const { return all_; }
  void Built() {
    change_ = {};
    before_.clear();
    all_ = false;
  }

  void Change() {
    v1::Pool& pool = *config_->mutable_pools(Below(config_->pools_size()));
    if (Below(50) == 0) return ChangeAll(pool);
    if (pool.backends_size() == 0) return Add(pool);
    v1::Backend& backend = *pool.mutable_backends(Below(pool.backends_size()));
    switch (Below(9)) {
      case 0:
        if (pool.backends_size() < 8) Add(pool);
        break;
      case 1:
        if (Below(2) == 0) pool.mutable_backends()->DeleteSubrange(Below(pool.backends_size()), 1);
        break;
      case 2:
        backend.set_weight(static_cast<uint32_t>(Below(4)));
        break;
      case 3:
        backend.set_state(static_cast<v1::Backend::State>(
            std::array{v1::Backend::READY, v1::Backend::DRAIN, v1::Backend::DISABLED}[static_cast<size_t>(Below(3))]));
        break;
      case 4:
        backend.set_max_connections(static_cast<uint32_t>(Below(2) * 100));
        break;
      case 5:
        ChangeNextHop(TestInput::At(backend.address()));
        return;
      default:
        if (input_.unhealthy[pool.name()].erase(backend.name()) == 0) {
          input_.unhealthy[pool.name()].insert(backend.name());
        }
        break;
    }
    change_.pools.insert(pool.name());
  }

  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }

 private:
  // Of few names and addresses, so that backends come back; some are in several pools.
  void Add(v1::Pool& pool) {
    change_.pools.insert(pool.name());
    const std::string name = absl::StrCat("b", Below(10));
    const std::string address = absl::StrCat("10.0.0.", 1 + Below(20));
    v1::Backend* backend = AddBackend(pool, name, address);
    if (backend == nullptr) return;
    backend->set_state(v1::Backend::READY);
    if (pool.forwarding() == v1::Pool::NAT && Below(2) == 0) backend->set_port(8080);
    const Address at = TestInput::At(address);
    if (input_.next_hops.contains(at)) return;
    input_.Resolve(address);
    change_.next_hops.insert(at);
  }

  void ChangeNextHop(const Address& address) {
    change_.next_hops.insert(address);
    if (Below(3) == 0 && input_.next_hops.erase(address) > 0) return;
    input_.next_hops[address] = {.port = static_cast<uint16_t>(Below(2)),
                                 .destination = {2, 0, 0, 0, 2, static_cast<uint8_t>(Below(9))},
                                 .mtu = static_cast<uint16_t>(1400 + Below(3))};
  }

  // What nobody has to tell, or what is told by `all`.
  void ChangeAll(v1::Pool& pool) {
    switch (Below(4)) {
      case 0:
        // Another object: noticed, as the one before is there until the build.
        before_.push_back(std::exchange(config_, std::make_unique<v1::Config>(*config_)));
        config_->mutable_listeners(Below(config_->listeners_size()))
            ->mutable_idle_timeout()
            ->set_seconds(10 + Below(9));
        return;
      case 1:
        // So are ports.
        input_.ports[1].mtu = static_cast<uint16_t>(1500 + Below(3));
        return;
      case 2:
        config_->mutable_pools()->SwapElements(Below(config_->pools_size()), Below(config_->pools_size()));
        break;
      default:
        if (pool.forwarding() == v1::Pool::IPIP || pool.forwarding() == v1::Pool::GUE) {
          pool.set_forwarding(pool.forwarding() == v1::Pool::IPIP ? v1::Pool::GUE : v1::Pool::IPIP);
        }
        break;
    }
    all_ = true;
  }

  std::mt19937 random_;
  TestInput input_;
  std::unique_ptr<v1::Config> config_;
  std::vector<std::unique_ptr<v1::Config>> before_;
  InputChange change_;
  bool all_ = true;
};

}  // namespace sluice
