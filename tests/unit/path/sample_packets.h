// One packet of every kind that the path has a branch for: where random tests start from.
#pragma once

#include <string>
#include <vector>

#include "tests/packet/notation.h"

namespace sluice::path_test {

inline const std::vector<std::string>& SamplePackets() {
  static const std::vector<std::string>* const kPackets = [] {
    const std::string v4 = "ipv4(src=192.0.2.7, dst=203.0.113.10)";
    const std::string v6 = "ipv6(src=2001:db8:f::7, dst=2001:db8::10)";
    auto* packets = new std::vector<std::string>;
    for (const std::string& text : {
             "eth/" + v4 + "/tcp(syn)",
             "eth/" + v4 + "/tcp(ack, psh)/payload(9)",
             "eth/" + v4 + "/tcp(fin, ack)/pad(6)",
             "eth/vlan(10)/" + v4 + "/udp/payload(11)",
             "eth/qinq(5)/vlan(10)/" + v4 + "/udp/payload(1)",
             "eth/vlan(1)/vlan(2)/vlan(3)/" + v4 + "/udp",
             std::string(
                 "eth/ipv4(src=192.0.2.7, dst=203.0.113.10, options=9404000001010101)/tcp(ack, options=01010101)"),
             std::string("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, mf, id=77)/slice(0, 64)/udp/payload(100)"),
             std::string("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, frag=64, id=77)/slice(64, 44)/udp/payload(100)"),
             std::string("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, frag=8, id=77)/slice(8, 44)/tcp/payload(100)"),
             "eth/" + v4 + "/icmp(type=8, id=1, seq=2)/payload(20)",
             "eth/" + v4 +
                 "/icmp(type=3, code=4, mtu=1400)/slice(0, 36)/ipv4(src=203.0.113.10, dst=192.0.2.7)/"
                 "tcp(sport=80, dport=40000)/payload(100)",
             "eth/" + v4 + "/icmp(type=11)/ipv4(src=203.0.113.99, dst=192.0.2.7)/udp(sport=53, dport=40000)",
             "eth/" + v4 + "/icmp(type=13)/payload(12)",
             "eth/" + v4 + "/ipv4(src=1.2.3.4, dst=5.6.7.8)/tcp",
             "eth/" + v6 + "/tcp(syn)",
             "eth/" + v6 + "/udp/payload(3)",
             "eth/" + v6 + "/hopopts(16)/dstopts/tcp(rst)",
             "eth/" + v6 + "/hopopts/routing(24)/ah(24)/mobility/frag6(id=5)/dstopts/udp/payload(4)",
             "eth/" + v6 + "/frag6(more, id=9)/slice(0, 48)/dstopts/udp/payload(100)",
             "eth/" + v6 + "/frag6(at=48, id=9)/slice(48, 64)/dstopts/udp/payload(100)",
             "eth/" + v6 + "/frag6(at=8, id=9)/slice(8, 64)/tcp/payload(100)",
             "eth/" + v6 + "/icmp6(type=128, id=1, seq=2)/payload(20)",
             "eth/" + v6 +
                 "/icmp6(type=2, mtu=1280)/slice(0, 60)/ipv6(src=2001:db8::10, dst=2001:db8:f::7)/"
                 "tcp(sport=80, dport=40000)/payload(100)",
             "eth/" + v6 + "/icmp6(type=1)/ipv6(src=2001:db8::10, dst=2001:db8:f::7)/dstopts/udp(sport=53, dport=4)",
             std::string("eth/ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8::10, "
                         "mac=02:00:00:00:00:aa)"),
             std::string("eth/ipv6(src=fe80::1, dst=fe80::2, hop=255)/na(target=2001:db8::10, flags=0x60000000)"),
             std::string("eth/arp(sip=203.0.113.1, tip=203.0.113.10)"),
             std::string("eth/arp(op=2, sip=203.0.113.1, tip=203.0.113.10)"),
             std::string("eth(type=0x88cc)/payload(50)"),
         }) {
      packets->push_back(packet_test::Packet(text));
    }
    return packets;
  }();
  return *kPackets;
}

}  // namespace sluice::path_test
