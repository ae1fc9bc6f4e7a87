// The engine section: ranges, tunnel sources, interfaces.
#include "validate_case.h"

namespace sluice {
namespace {

// Cases stand in line 1, from column 1.
const char kRest[] =
    "\nlisteners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
    "pools: [{name: web, forwarding: gue, backends: [{name: a, address: 10.0.0.1}]}]\n";

void CheckEngine(const std::vector<Case>& cases) {
  Check("engine: {tunnel_source: {ipv4: 10.9.9.9}, interfaces: [{name: eth0}], ", cases, kRest);
}

TEST(ValidateEngine, Ranges) {
  CheckEngine({
      {"workers: 1}", {}},
      {"workers: 64}", {}},
      {"workers: 0}", {"1:80: workers 0 is out of range; choose from 1 to 64"}},
      {"workers: 65}", {"1:80: workers 65 is out of range; choose from 1 to 64"}},
      {"max_connections: 1k}", {}},
      {"max_connections: 1G}", {}},
      {"max_connections: 999}", {"1:88: max_connections 999 is out of range; choose from 1k to 1G"}},
      {"max_connections: 1000000001}", {"1:88: max_connections 1000000001 is out of range; choose from 1k to 1G"}},
      {"hash_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}", {}},
      {"hash_key: AAAA}", {"1:81: hash_key has 3 bytes, not 32; make one with: head -c 32 /dev/urandom | base64"}},
      {"hash_key: ''}", {"1:81: hash_key has 0 bytes, not 32; make one with: head -c 32 /dev/urandom | base64"}},
      {"type: dpdk, huge_pages: required, idle: spin}", {}},
  });
}

TEST(ValidateEngine, TunnelSource) {
  const std::string before = "engine: {interfaces: [{name: eth0}], tunnel_source: ";
  Check(before,
        {
            {"{ipv4: 10.9.9.9, ipv6: '2001:db8::9'}}", {}},
            {"{ipv6: '2001:db8::9'}}",
             {"1:53: pool \"web\" (f.yaml:3:9) tunnels to IPv4 backends and needs an outer source address; add "
              "tunnel_source: {ipv4: ...} under engine, an address of this node"}},
            {"}",
             {"1:53: pool \"web\" (f.yaml:3:9) tunnels to IPv4 backends and needs an outer source address; add "
              "tunnel_source: {ipv4: ...} under engine, an address of this node"}},
            {"{ipv4: '2001:db8::9'}}", {"1:60: 2001:db8::9 is not IPv4; write it under ipv6"}},
            {"{ipv4: 10.9.9.9, ipv6: 10.9.9.9}}", {"1:76: 10.9.9.9 is not IPv6; write it under ipv4"}},
            {"{ipv4: 203.0.113.10}}", {"1:60: 203.0.113.10 is a listener's address; write an address of this node"}},
            {"{ipv4: 224.0.0.1}}",
             {"1:60: \"224.0.0.1\" is a multicast address; write the unicast address of one machine"}},
            {"{ipv4: eth0}}", {"1:60: \"eth0\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"}},
        },
        kRest);
  Check("engine: {interfaces: [{name: eth0}], tunnel_source: {ipv4: 10.9.9.9}}\npools: [{name: p, forwarding: ",
        {
            {"dsr_l2, backends: [{name: a, address: '::2'}]}]", {}},
            {"ipip, backends: [{name: a, address: '::2'}]}]",
             {"1:53: pool \"p\" (f.yaml:2:9) tunnels to IPv6 backends and needs an outer source address; add "
              "tunnel_source: {ipv6: ...} under engine, an address of this node"}},
        },
        "");
}

TEST(ValidateEngine, Interfaces) {
  Check(
      "engine: {tunnel_source: {ipv4: 10.9.9.9}, interfaces: [",
      {
          {"]}", {"1:55: the engine needs an interface; add interfaces: [{name: eth0}] under engine"}},
          {"{}]}", {"1:56: an interface needs one of name, pci and device; add one, such as name: eth0"}},
          {"{name: a, pci: '0000:3b:00.0'}]}",
           {"1:56: an interface is one of name, pci and device; keep one and remove the others"}},
          {"{name: a}, {name: b}]}", {}},
          {"{name: a}, {name: a}]}", {"1:74: \"a\" is already used by f.yaml:1:56; each interface stands here once"}},
          {"{name: abcdefghijklmnop}]}",
           {"1:63: \"abcdefghijklmnop\" cannot be an interface of this system; names have at most 15 characters, as ip "
            "link shows them"}},
          {"{name: a/b}]}",
           {"1:63: \"a/b\" cannot be an interface of this system; names have at most 15 characters, as ip link shows "
            "them"}},
          {"{name: a}, {pci: '0000:3b:00.0'}]}",
           {"1:67: kernel interfaces (name) and DPDK devices (pci, device) cannot be mixed, see f.yaml:1:56: a packet "
            "could not cross from one to the other; use one kind"}},
          {"{name: a, mtu: 9000, tap: t, addresses: [10.0.0.1/24]}]}",
           {"1:71: a kernel interface follows its own MTU; remove this, and use: ip link set dev a mtu N",
            "1:82: a kernel interface needs no tap; remove this",
            "1:96: a kernel interface keeps its own addresses; remove this, and use: ip address add 10.0.0.1/24 dev "
            "a"}},
      },
      kRest);
}

TEST(ValidateEngine, Ports) {
  Check("engine: {tunnel_source: {ipv4: 10.9.9.9}, interfaces: [",
        {
            {"{pci: '0000:3b:00.0'}, {device: 'net_memif0,id=0'}, {device: net_memif1}]}", {}},
            {"{pci: '3b:00.0'}]}",
             {"1:62: \"3b:00.0\" is not a PCI address; write it like 0000:3b:00.0, as lspci -D shows it"}},
            {"{pci: '0000:3B:00.0'}]}",
             {"1:62: \"0000:3B:00.0\" is not a PCI address; write it like 0000:3b:00.0, as lspci -D shows it"}},
            {"{pci: '0000:3b:00.0'}, {pci: '0000:3b:00.0'}]}",
             {"1:85: \"0000:3b:00.0\" is already used by f.yaml:1:56; each interface stands here once"}},
            {"{device: 'net_memif0,id=0'}, {device: 'net_memif0,id=1'}]}",
             {"1:94: \"net_memif0\" is already used by f.yaml:1:56; each interface stands here once"}},
            {"{device: 'net a'}]}",
             {"1:65: \"net a\" is not a DPDK device; write it like net_memif0,role=server,id=0, without spaces"}},
            {"{device: d, tap: t, mtu: 1280, addresses: [10.1.0.1/24, '2001:db8:1::1/64']}]}", {}},
            {"{device: d, addresses: [10.1.0.1/24]}]}",
             {"1:56: addresses need a tap to stand on; add tap: with a name for it"}},
            {"{device: d, mtu: 1279}]}", {"1:73: mtu 1279 is out of range; choose from 1280 to 9216"}},
            {"{device: d, mtu: 9217}]}", {"1:73: mtu 9217 is out of range; choose from 1280 to 9216"}},
            {"{device: d, tap: a b}]}",
             {"1:73: \"a b\" cannot be an interface of this system; names have at most 15 characters, as ip link shows "
              "them"}},
            {"{device: d, tap: t}, {device: e, tap: t}]}",
             {"1:94: \"t\" is already used by f.yaml:1:56; each interface stands here once"}},
            {"{device: d, tap: sluice1}, {pci: '0000:3b:00.0'}]}",
             {"1:83: \"sluice1\" is already used by f.yaml:1:56; each interface stands here once"}},
            {"{device: d, tap: t, addresses: [10.1.0.1, 10.1.0.1/33, 127.0.0.1/8, 203.0.113.10/24]}]}",
             {"1:88: \"10.1.0.1\" has no prefix length; write it like 198.51.100.2/24",
              "1:98: \"33\" is not a prefix length; it would be between 0 and 32",
              "1:111: \"127.0.0.1/8\" is a loopback address; write an address of this node",
              "1:124: 203.0.113.10 is a listener's address, which the kernel must never hold; remove it here"}},
            {"{device: d, tap: t, addresses: [10.1.0.1/24, 10.1.0.1/25]}]}",
             {"1:101: \"10.1.0.1\" is already used by f.yaml:1:56; each interface stands here once"}},
        },
        kRest);
}

TEST(ValidateEngine, TooManyInterfaces) {
  std::string list;
  for (int i = 0; i < 33; ++i) list += "{name: e" + std::to_string(i) + "},";
  Check("engine: {tunnel_source: {ipv4: 10.9.9.9}, interfaces: [",
        {{list + "]}", {"1:55: 33 interfaces; at most 32 are possible"}}}, kRest);
}

}  // namespace
}  // namespace sluice
