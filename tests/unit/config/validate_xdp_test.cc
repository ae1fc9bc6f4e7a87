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

TEST(ValidateXdp, Shutdown) {
  Check("engine: {interfaces: [{name: eth0}], ",
        {
            {"shutdown: leave}", {}},
            {"type: dpdk, shutdown: detach}", {}},
            {"type: dpdk, shutdown: leave}",
             {"1:60: with dpdk nobody forwards when sluiced has ended; set shutdown: detach, or type: xdp"}},
        },
        kRest);
}

}  // namespace
}  // namespace sluice
