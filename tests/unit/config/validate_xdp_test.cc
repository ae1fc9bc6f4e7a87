// What the xdp engine cannot do.
#include "validate_case.h"

namespace sluice {
namespace {

// Cases stand in line 1, from column 1.
const char kRest[] =
    "\nlisteners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
    "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]}]\n";

TEST(ValidateXdp, Keys) {
  Check("engine: {type: xdp, interfaces: [{name: eth0}], ",
        {
            {"max_connections: 4M}", {}},
            {"shutdown: leave}", {}},
            {"shutdown: detach}", {}},
            {"workers: 1}",
             {"1:58: workers is for the dpdk engine; with xdp each RX queue of an interface is one: remove this, and "
              "use: ethtool -L NAME combined N"}},
            {"huge_pages: required}",
             {"1:61: huge_pages is for the dpdk engine: the kernel has the tables of xdp; remove this"}},
            {"takeover_after: 1s}",
             {"1:65: takeover_after is for the dpdk engine, whose workers may hang; xdp has none: remove this"}},
            {"idle: spin}", {"1:55: idle is for the dpdk engine; xdp has no workers that wait: remove this"}},
        },
        kRest);
}

TEST(ValidateXdp, Interfaces) {
  Check("engine: {type: xdp, interfaces: [",
        {
            {"{name: eth0}, {name: eth1}]}", {}},
            {"{pci: '0000:3b:00.0'}]}",
             {"1:40: xdp needs a kernel interface; write name: eth0 in place of this, or set type: dpdk"}},
            {"{device: net_null0}]}",
             {"1:43: xdp needs a kernel interface; write name: eth0 in place of this, or set type: dpdk"}},
        },
        kRest);
}

TEST(ValidateXdp, Translation) {
  const std::string head =
      "engine: {type: xdp, interfaces: [{name: eth0}], nat_addresses: [198.51.100.64]}\n"
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web";
  Check(head + "}]\npools: [{name: web, backends: [{name: a, address: 10.0.0.1}], ",
        {
            {"forwarding: nat}]", {}},
            {"forwarding: full_nat}]", {}},
            {"forwarding: full_nat, client_address: toa}]",
             {"3:101: pool \"web\" tells servers the client's address, which the xdp engine cannot; set engine.type: "
              "dpdk, or remove this"}},
        },
        "\n");
  Check(head + ", ",
        {
            {"reset_on_idle: false}]", {}},
            {"reset_on_idle: true}]",
             {"2:102: the xdp engine sends no packets of its own, so it cannot reset idle sessions; set engine.type: "
              "dpdk, or remove this"}},
        },
        "\npools: [{name: web, forwarding: nat, backends: [{name: a, address: 10.0.0.1}]}]\n");
}

TEST(ValidateXdp, StandIn) {
  Check("engine: {interfaces: [",
        {
            {"{name: eth0}], shutdown: leave, takeover_after: 100ms}", {}},
            {"{name: eth0}], type: dpdk, shutdown: leave}", {}},
            {"{device: net_null0}], shutdown: detach}", {}},
            {"{device: net_null0}], takeover_after: 60s}",
             {"1:61: a DPDK device has nobody who takes over; remove this, or use kernel interfaces (name)"}},
            {"{name: eth0}], takeover_after: 60s}", {}},
            {"{device: net_null0}], shutdown: leave}",
             {"1:55: a DPDK device has nobody who forwards when sluiced has ended; set shutdown: detach, or use kernel "
              "interfaces (name)"}},
            {"{name: eth0}], takeover_after: 99ms}",
             {"1:54: takeover_after of 99ms is out of range; choose from 100ms to 60s"}},
            {"{name: eth0}], takeover_after: 61s}",
             {"1:54: takeover_after of 61000ms is out of range; choose from 100ms to 60s"}},
        },
        kRest);
}

}  // namespace
}  // namespace sluice
