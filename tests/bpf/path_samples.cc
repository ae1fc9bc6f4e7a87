#include "path_samples.h"

#include "absl/strings/str_cat.h"
#include "path_tables.h"

namespace sluice::path_test {
namespace {

const char* const kTags[] = {"eth", "eth/vlan(7)", "eth/qinq(100)/vlan(7)"};
const char* const kHead4 = "/ipv4(src=198.51.100.7, dst=203.0.113.10, tos=0xb9";
const char* const kHead6 = "/ipv6(src=2001:db8:7::7, dst=2001:db8:10::10, tos=0xb9";
const std::string kIpv4 = absl::StrCat("eth", kHead4, ")/");
const std::string kIpv6 = absl::StrCat("eth", kHead6, ")/");
// What an ICMP error quotes: a packet that left the virtual address.
const char* const kQuoted4 = "/ipv4(src=203.0.113.10, dst=198.51.100.7)/";
const char* const kQuoted6 = "/ipv6(src=2001:db8:10::10, dst=2001:db8:7::7)/";
const char* const kSolicitation = "/ipv6(src=2001:db8:7::7, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8:10::10";

sluice_verdict VerdictOf(uint32_t pool) {
  return pool == kNoNextHop ? SLUICE_VERDICT_no_next_hop
         : pool == kEmpty   ? SLUICE_VERDICT_no_backend
                            : SLUICE_VERDICT_forwarded;
}

// Every family, depth of tags, pool and protocol; the TCP flow goes on, ends, and comes again.
void AddFlows(std::vector<Sample>& all) {
  for (const bool ipv4 : {true, false}) {
    for (const char* tag : kTags) {
      for (uint32_t pool = 0; pool < kPools; pool++) {
        const std::string ip = absl::StrCat(tag, ipv4 ? kHead4 : kHead6, ")/");
        const uint32_t port = kFirstPort + pool;
        all.push_back({absl::StrCat(ip, "udp(dport=", port, ")/payload(17)"), VerdictOf(pool)});
        for (const char* flags : {"syn", "ack", "fin, ack", "syn"}) {
          all.push_back({absl::StrCat(ip, "tcp(dport=", port, ", ", flags, ")/payload(40)"), VerdictOf(pool), true});
        }
        const bool small = pool == kDsrSmall || pool == kIpipSmall;
        all.push_back({absl::StrCat(ip, "udp(sport=2001, dport=", port, ")/payload(700)"),
                       small ? SLUICE_VERDICT_replied_too_big : VerdictOf(pool)});
        all.push_back({absl::StrCat(ip, ipv4 ? "icmp(type=3, code=4)" : "icmp6(type=2)", ipv4 ? kQuoted4 : kQuoted6,
                                    "udp(sport=", port, ", dport=40000)"),
                       VerdictOf(pool), true});
      }
    }
  }
}

void AddFragments(std::vector<Sample>& all) {
  for (uint32_t pool : {kDsr, kIpipOver4, kGueOver6}) {
    const std::string udp = absl::StrCat("/udp(dport=", kFirstPort + pool, ")/payload(56)");
    const std::string ipv4 = absl::StrCat("eth", kHead4, ", id=7");
    all.push_back({absl::StrCat(ipv4, ", mf)/slice(0, 32)", udp), SLUICE_VERDICT_forwarded});
    all.push_back({absl::StrCat(ipv4, ", frag=32)/slice(32, 32)", udp), SLUICE_VERDICT_forwarded, true});
    all.push_back({absl::StrCat(kIpv6, "frag6(more, id=7)/slice(0, 32)", udp), SLUICE_VERDICT_forwarded});
    all.push_back({absl::StrCat(kIpv6, "frag6(at=32, id=7)/slice(32, 32)", udp), SLUICE_VERDICT_forwarded, true});
  }
  all.push_back({kIpv6 + "frag6(at=32, id=9)/payload(32)", SLUICE_VERDICT_unknown_fragment});
  all.push_back({absl::StrCat("eth", kHead4, ", mf)/slice(0, 8)/tcp(syn)"), SLUICE_VERDICT_tiny_fragment});
  all.push_back({absl::StrCat("eth", kHead4, ", frag=8)/slice(8, 12)/tcp(syn)"), SLUICE_VERDICT_tiny_fragment});
  all.push_back({kIpv6 + "frag6(id=7)/tcp(dport=8003, syn)", SLUICE_VERDICT_forwarded});
}

void AddOptions(std::vector<Sample>& all) {
  const std::string tcp = "tcp(dport=8003, syn)/payload(9)";
  for (size_t words : {1u, 5u, 10u}) {
    all.push_back(
        {absl::StrCat("eth", kHead4, ", options=", std::string(words * 8, '1'), ")/", tcp), SLUICE_VERDICT_forwarded});
  }
  all.push_back({kIpv6 + "hopopts/routing(24)/ah(24)/dstopts(32)/" + tcp, SLUICE_VERDICT_forwarded});
  std::string chain = kIpv6;
  for (int depth = 1; depth <= SLUICE_EXTENSION_HEADERS + 1; depth++) {
    chain += "dstopts/";
    all.push_back(
        {chain + tcp, depth <= SLUICE_EXTENSION_HEADERS ? SLUICE_VERDICT_forwarded : SLUICE_VERDICT_extension_depth});
  }
  all.push_back({kIpv6 + "hopopts(1024)/" + tcp, SLUICE_VERDICT_forwarded});
  all.push_back({kIpv6 + "hopopts(1032)/" + tcp, SLUICE_VERDICT_extension_depth});
  all.push_back({absl::StrCat("eth", kHead4, ", ttl=1)/", tcp), SLUICE_VERDICT_ttl_expired});
  all.push_back({absl::StrCat("eth", kHead6, ", hop=1)/", tcp), SLUICE_VERDICT_ttl_expired});
  all.push_back({kIpv4 + "tcp(dport=9009, syn)", SLUICE_VERDICT_forwarded});
  all.push_back({kIpv6 + "tcp(dport=9100, syn)", SLUICE_VERDICT_forwarded});
  all.push_back({kIpv6 + "tcp(dport=9010, syn)", SLUICE_VERDICT_no_listener});
}

void AddIcmp(std::vector<Sample>& all) {
  for (const char* tag : kTags) {
    all.push_back({absl::StrCat(tag, kHead4, ")/icmp(type=8, id=7, seq=1)/payload(31)"), SLUICE_VERDICT_replied_echo});
    all.push_back(
        {absl::StrCat(tag, kHead6, ")/icmp6(type=128, id=7, seq=1)/payload(31)"), SLUICE_VERDICT_replied_echo});
  }
  for (const bool ipv4 : {true, false}) {
    const std::string error = ipv4 ? kIpv4 + "icmp(type=3, code=1)" : kIpv6 + "icmp6(type=1, code=1)";
    const std::string quoted = ipv4 ? kQuoted4 : kQuoted6;
    const std::string own = ipv4 ? kHead4 : kHead6;
    const std::string tcp = "tcp(sport=8000, dport=40000, ack)";
    all.push_back({error + quoted + tcp, SLUICE_VERDICT_forwarded});
    all.push_back(
        {absl::StrCat(error, "/slice(0, ", ipv4 ? 27 : 47, ")", quoted, tcp), SLUICE_VERDICT_truncated_quote});
    all.push_back({error + own + ")/" + tcp, SLUICE_VERDICT_unusable_quote});
    all.push_back({error + quoted + "udp(sport=8006, dport=40000)/payload(560)", SLUICE_VERDICT_too_big});
    all.push_back({ipv4 ? kIpv4 + "icmp(type=5)" : kIpv6 + "icmp6(type=137)", SLUICE_VERDICT_unsupported_icmp});
  }
  all.push_back({kIpv6 + "icmp6(type=3)" + kQuoted6 + "hopopts/dstopts(24)/tcp(sport=8000, dport=40000)",
                 SLUICE_VERDICT_forwarded});
  all.push_back({"eth/ipv4(src=198.51.100.7, dst=203.0.113.11)/icmp(type=8)", SLUICE_VERDICT_echo_off});
}

void AddNeighbors(std::vector<Sample>& all) {
  for (const char* tag : kTags) {
    const std::string arp = absl::StrCat(tag, "/arp(sip=198.51.100.7, tip=203.0.113.");
    all.push_back({arp + "10)/pad(18)", SLUICE_VERDICT_replied_arp});
    all.push_back({arp + "11)/pad(18)", SLUICE_VERDICT_pass_not_virtual});
    all.push_back({arp + "12)/pad(18)", SLUICE_VERDICT_pass_not_virtual});
    all.push_back({absl::StrCat(tag, kSolicitation, ", mac=02:00:00:00:00:aa)"), SLUICE_VERDICT_replied_neighbor});
    all.push_back({absl::StrCat(tag, "/ipv6(src=::, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8:10::10)"),
                   SLUICE_VERDICT_replied_neighbor});
  }
  all.push_back({"eth/arp(sip=203.0.113.10, tip=203.0.113.10)", SLUICE_VERDICT_address_conflict});
}

void AddRefused(std::vector<Sample>& all) {
  for (const bool ipv4 : {true, false}) {
    for (const char* tag : kTags) {
      const std::string denied = absl::StrCat(
          tag, ipv4 ? "/ipv4(src=198.51.100.40, dst=203.0.113.10" : "/ipv6(src=2001:db8:7::28, dst=2001:db8:10::10");
      const std::string admitted = absl::StrCat(tag, ipv4 ? kHead4 : kHead6);
      for (const char* l4 : {"tcp(dport=9300, syn)", "tcp(dport=9300, ack)/payload(9)", "udp(dport=9300)/payload(9)"}) {
        all.push_back({absl::StrCat(denied, ")/", l4), SLUICE_VERDICT_source_denied});
        all.push_back({absl::StrCat(admitted, ")/", l4), SLUICE_VERDICT_forwarded});
      }
      for (const char* l4 :
           {"tcp(dport=9301, seq=77, syn, options=020405b4)", "tcp(dport=9301, seq=5, acknr=9, ack)/payload(700)",
            "tcp(dport=9301, syn)/payload(40)/pad(9)", "udp(dport=9301)/payload(9)", "udp(dport=9301)/payload(1400)"}) {
        all.push_back({absl::StrCat(denied, ")/", l4), SLUICE_VERDICT_replied_source_denied});
        all.push_back({absl::StrCat(admitted, ")/", l4), SLUICE_VERDICT_forwarded});
      }
      all.push_back({absl::StrCat(denied, ")/tcp(dport=9301, rst)"), SLUICE_VERDICT_source_denied});
    }
  }
  all.push_back({"eth/ipv4(src=198.51.100.40, dst=203.0.113.10, options=0101010101010101)/tcp(dport=9301, syn)",
                 SLUICE_VERDICT_replied_source_denied});
  all.push_back({"eth/ipv6(src=2001:db8:7::28, dst=2001:db8:10::10)/hopopts/dstopts(24)/tcp(dport=9301, syn)",
                 SLUICE_VERDICT_replied_source_denied});
}

// Flows of one source each, and one too many; sources have one listener each of a family and protocol.
void AddOverRate(std::vector<Sample>& all) {
  for (const bool ipv4 : {true, false}) {
    int source = 60;
    for (const char* l4 : {"tcp(dport=9302, syn, sport=", "udp(dport=9302, sport=", "tcp(dport=9303, syn, sport=",
                           "udp(dport=9303, sport="}) {
      const bool tells = std::string_view(l4).find("9303") != std::string_view::npos;
      source++;
      const std::string ip = ipv4 ? absl::StrCat("eth/ipv4(src=198.51.100.", source, ", dst=203.0.113.10)/")
                                  : absl::StrCat("eth/ipv6(src=2001:db8:", source, "::7, dst=2001:db8:10::10)/");
      all.push_back({absl::StrCat(ip, l4, "1)"), SLUICE_VERDICT_forwarded, true});
      for (int port = 2; port < 6; port++) {
        all.push_back({absl::StrCat(ip, l4, port, ")"),
                       tells ? SLUICE_VERDICT_replied_source_over_rate : SLUICE_VERDICT_source_over_rate, true});
      }
    }
  }
}

// Of listeners that are full from the start.
void AddOverLimit(std::vector<Sample>& all) {
  for (const bool ipv4 : {true, false}) {
    const std::string ip = ipv4 ? kIpv4 : kIpv6;
    for (const char* l4 : {"tcp(dport=9304, syn)", "udp(dport=9304)/payload(9)"}) {
      all.push_back({ip + l4, SLUICE_VERDICT_listener_full});
    }
    for (const char* l4 : {"tcp(dport=9305, syn, options=020405b4)", "udp(dport=9305)/payload(9)"}) {
      all.push_back({ip + l4, SLUICE_VERDICT_replied_listener_full});
    }
    for (const char* flags : {"ack", "fin, ack"}) {
      all.push_back({absl::StrCat(ip, "tcp(dport=9305, ", flags, ")/payload(9)"), SLUICE_VERDICT_forwarded, true});
    }
  }
}

void AddOthers(std::vector<Sample>& all) {
  all.push_back({"eth/ipv4(src=198.51.100.7, dst=203.0.113.12)/tcp(syn)", SLUICE_VERDICT_pass_not_virtual});
  all.push_back({kIpv4 + "tcp(dport=2, syn)", SLUICE_VERDICT_no_listener});
  all.push_back({"eth/ipv4(src=127.0.0.1, dst=203.0.113.10)/tcp(dport=8000, syn)", SLUICE_VERDICT_bad_source});
  all.push_back({"eth/ipv6(src=2001:db8:10::10, dst=2001:db8:10::10)/udp(dport=8000)", SLUICE_VERDICT_bad_source});
  all.push_back({kIpv4 + "tcp(sport=0, dport=8000, syn)", SLUICE_VERDICT_zero_port});
  all.push_back({kIpv4 + "tcp(dport=8000, syn, fin)", SLUICE_VERDICT_malformed_tcp});
  all.push_back({kIpv4 + "udp(dport=8000, len=99)/payload(3)", SLUICE_VERDICT_malformed_udp});
  all.push_back({absl::StrCat("eth", kHead4, ", proto=47)/payload(40)"), SLUICE_VERDICT_unsupported_protocol});
  all.push_back({absl::StrCat("eth", kHead6, ", next=47)/payload(40)"), SLUICE_VERDICT_unsupported_protocol});
  all.push_back({absl::StrCat("eth", kHead4, ", version=6)/tcp(syn)"), SLUICE_VERDICT_malformed_ip});
  all.push_back(
      {"eth/vlan(1)/vlan(2)/vlan(3)/arp(sip=198.51.100.7, tip=203.0.113.10)", SLUICE_VERDICT_pass_vlan_depth});
  all.push_back({"eth(type=0x88cc)/payload(46)", SLUICE_VERDICT_pass_not_ip});
  all.push_back({kIpv4 + "tcp(dport=8000, syn)/pad(12)", SLUICE_VERDICT_forwarded});
  all.push_back({kIpv6 + "tcp(dport=8002, syn)/pad(12)", SLUICE_VERDICT_forwarded});
}

}  // namespace

std::vector<Sample> Samples() {
  std::vector<Sample> all;
  AddFlows(all);
  AddFragments(all);
  AddOptions(all);
  AddIcmp(all);
  AddNeighbors(all);
  AddRefused(all);
  AddOverLimit(all);
  AddOverRate(all);
  AddOthers(all);
  return all;
}

}  // namespace sluice::path_test
