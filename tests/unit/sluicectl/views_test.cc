// What sluicectl prints stays as it is: one file of golden/ for each form of each answer. To make them anew, after a
// look at each difference: SLUICE_WRITE_GOLDEN=1.
#include "tools/sluicectl/views.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace sluice {
namespace {

constexpr char kStatus[] = R"(
  version: "0.1.0" engine: DPDK engine_reason: "type is auto, and dpdk starts over AF_XDP" workers: 2
  ports {name: "eth0" mode: "af_xdp copy" mac: "02:00:00:00:00:01" mtu: 1500 link_up: true}
  ports {name: "sluice0" mode: "net_ixgbe" mac: "02:00:00:00:00:02" mtu: 9000}
  generation: 7 revision: 3 uptime {seconds: 3725} ready: true packets: 1200 bytes: 76800
  totals {name: "forwarded" kind: TRANSMIT text: "forwarded to a backend" value: 1190}
  totals {name: "no_listener" kind: DROP text: "virtual address, but no listener on that protocol and port" value: 10}
  totals {name: "no_backend" kind: DROP text: "the pool has no backend that can take flows"}
  totals {name: "transmit_full" text: "forwarded, but the device's queue was full" value: 2}
  active_flows: 42 sessions: 5
  by_worker {packets: 700 bytes: 44800} by_worker {worker: 1 packets: 500 bytes: 32000 dropped: 10}
  build {count: 7 sum {nanos: 7000000} last {nanos: 1000000}} publish {count: 7 sum {nanos: 70000} last {nanos: 9000}}
  problems: "port sluice0 has no link; look at its cable, or set it up"
  problems: "backend web/web3: no next hop: 10.0.1.13 does not answer"
)";

constexpr char kInventory[] = R"(
  generation: 7
  listeners {name: "web" address: "203.0.113.10" ports {first: 80 last: 80} ports {first: 8000 last: 8099}
             protocol: TCP pool: "web"
             traffic {packets: 1000 bytes: 64000 new_flows: 50} answers {packets: 900 bytes: 900000}}
  listeners {name: "dns6" address: "2001:db8::53" ports {first: 53 last: 53} protocol: TCP_UDP pool: "dns"
             traffic {packets: 7 bytes: 700 new_flows: 7} answers {} max_connections: 1000 active_flows: 37}
  listeners {name: "canary" address: "203.0.113.11" ports {first: 80 last: 80} protocol: TCP
             pools {name: "web" weight: 90} pools {name: "checked" weight: 10}
             traffic {packets: 5 bytes: 500 new_flows: 1} answers {}}
  pools {name: "web" forwarding: NAT
    backends {name: "web1" address: "10.0.1.11" port: 8080 weight: 10 active_flows: 40 closed_flows: 3
              traffic {packets: 600 bytes: 38400 new_flows: 30} answers {packets: 540 bytes: 540000}
              answered_flows: 29 failed_flows: 1
              health {state: HEALTHY since {seconds: 1700000000} reason: "answered 200 OK"
                      last {outcome: PASSED reason: "answered 200 OK" duration {nanos: 2345678} at {seconds: 1700000042}}}}
    backends {name: "web2" address: "10.0.1.12" weight: 1 wanted: DRAIN condition: DRAIN reason: "drained" active_flows: 2
              traffic {packets: 400 bytes: 25600 new_flows: 20} answers {packets: 360 bytes: 360000}}
    backends {name: "web3" address: "10.0.1.13" weight: 1 condition: NO_NEXT_HOP reason: "no next hop: 10.0.1.13 does not answer"}}
  pools {name: "checked" forwarding: DSR_L2
    backends {name: "c1" address: "10.0.1.14" weight: 1 condition: UNHEALTHY reason: "unhealthy: connection refused"
              health {state: UNHEALTHY since {seconds: 1700000001} reason: "connection refused"
                      last {outcome: FAILED reason: "connection refused" duration {seconds: 1} at {seconds: 1700000043}}}}}
  pools {name: "dns" forwarding: DSR_L2
    backends {name: "ns1" address: "2001:db8::11" port: 5353 weight: 1 wanted: DISABLED condition: DISABLED reason: "disabled"}}
)";

constexpr char kChange[] = R"(
  generation: 8 revision: 4 changes: "~ pools[web].backends[web1].weight: 1 -> 5" changes: "- pools[web].backends[web2]"
  warnings: "pools[0]: doubtful" took { nanos: 4200000 }
)";

template <typename Message>
Message Parse(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = std::string(SLUICE_GOLDEN) + "/" + name;
  if (std::getenv("SLUICE_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ostringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

struct Form {
  Format format;
  const char* suffix;
};
constexpr Form kForms[] = {
    {Format::kTable, "table"}, {Format::kCsv, "csv"}, {Format::kJson, "json"}, {Format::kYaml, "yaml"}};

TEST(ViewsTest, Status) {
  for (const Form& form : kForms) {
    ExpectGolden(std::string("status.") + form.suffix, ShowStatus(Parse<v1::Status>(kStatus), form.format));
  }
}

TEST(ViewsTest, Inventory) {
  const auto inventory = Parse<v1::Inventory>(kInventory);
  for (const Form& form : kForms) {
    ExpectGolden(std::string("list.") + form.suffix, ShowInventory(inventory, Columns::kPlain, form.format));
    ExpectGolden(std::string("health.") + form.suffix, ShowHealth(inventory, form.format));
  }
  ExpectGolden("list_stats.table", ShowInventory(inventory, Columns::kStats, Format::kTable));
  ExpectGolden("list_stats.csv", ShowInventory(inventory, Columns::kStats, Format::kCsv));
}

TEST(ViewsTest, Rates) {
  const auto before = Parse<v1::Inventory>(kInventory);
  auto after = before;
  after.mutable_listeners(0)->mutable_traffic()->set_packets(1500);
  v1::BackendStatus& web1 = *after.mutable_pools(0)->mutable_backends(0);
  web1.mutable_traffic()->set_bytes(38400 + 4000);
  web1.mutable_answers()->set_packets(540 + 7);
  // Not there before, or counted anew: no rate yet.
  after.mutable_pools(0)->mutable_backends(1)->set_name("new");
  after.mutable_listeners(1)->mutable_traffic()->set_packets(1);
  const v1::Inventory rate = Rate(before, after, 2.0);
  EXPECT_EQ(rate.listeners(0).traffic().packets(), 250u);
  EXPECT_EQ(rate.listeners(1).traffic().packets(), 0u);
  EXPECT_EQ(rate.pools(0).backends(0).traffic().bytes(), 2000u);
  EXPECT_EQ(rate.pools(0).backends(0).answers().packets(), 4u);
  EXPECT_EQ(rate.pools(0).backends(1).traffic().packets(), 0u);
  ExpectGolden("list_rate.table", ShowInventory(rate, Columns::kRate, Format::kTable));
}

constexpr char kFlows[] = R"(
  flows {pool: "web" backend: "web1" state: ESTABLISHED idle {seconds: 4} partition: 1}
  flows {pool: "nat" backend: "n1" state: HALF_CLOSED idle {seconds: 17} listener: "shop"
         flow {protocol: TCP source: "2001:db8::7" source_port: 40000 destination: "2001:db8::10" destination_port: 443}
         translated {protocol: TCP source: "198.51.100.64" source_port: 1025 destination: "10.0.1.21"
                     destination_port: 8443}}
  flows {pool: "nat" backend: "n2" state: ESTABLISHED listener: "ping"
         flow {protocol: ICMP source: "192.0.2.7" source_port: 9 destination: "203.0.113.10"}
         translated {protocol: ICMP source: "192.0.2.7" source_port: 9 destination: "10.0.1.22"}}
)";

constexpr char kExplanation[] = R"(
  flow {source: "192.0.2.7" source_port: 40000 destination: "203.0.113.10" destination_port: 80}
  verdict: "forwarded" text: "forwarded to a backend" listener: "web" pool: "web" backend: "web1"
  steps {name: "parse" result: "a packet of tcp"} steps {name: "listener" result: "web, pool web"}
  steps {name: "connection" result: "none" reason: "so it is a new flow"}
  steps {name: "select" result: "web/web1" reason: "by maglev, of 2 that take flows; not: web3 drained"}
  steps {name: "rewrite" result: "to its MAC address" reason: "by port eth0 to 02:00:00:00:09:01, 1500 bytes at most"}
)";

TEST(ViewsTest, FlowsAndExplanations) {
  const auto reply = Parse<v1::FlowsReply>(kFlows);
  const std::vector<v1::Flow> flows(reply.flows().begin(), reply.flows().end());
  const auto explanation = Parse<v1::Explanation>(kExplanation);
  for (const Form& form : kForms) {
    ExpectGolden(std::string("flows.") + form.suffix, ShowFlows(flows, form.format));
    ExpectGolden(std::string("explain.") + form.suffix, ShowExplanation(explanation, form.format));
  }
}

TEST(ViewsTest, KilledFlows) {
  const auto reply = Parse<v1::KillFlowsReply>("killed: 1234");
  for (const Form& form : kForms)
    ExpectGolden(std::string("killed.") + form.suffix, ShowKilled(reply, false, form.format));
  EXPECT_EQ(ShowKilled(reply, true, Format::kTable), "dry run, nothing was done: killed=1234\n");
}

TEST(ViewsTest, Events) {
  const auto event = Parse<v1::Event>(R"(
      kind: BACKEND at {seconds: 1700000000} text: "backend web/web1: unhealthy, unhealthy: connection refused"
      generation: 7 pool: "web" backend {name: "web1" condition: UNHEALTHY}
  )");
  for (const Form& form : kForms) ExpectGolden(std::string("watch.") + form.suffix, ShowEvent(event, form.format));
  // A line an event.
  EXPECT_EQ(ShowEvent(event, Format::kJson).find('\n'), ShowEvent(event, Format::kJson).size() - 1);
}

TEST(ViewsTest, ListenersAtAnAddressAndPort) {
  const auto inventory = Parse<v1::Inventory>(kInventory);
  v1::Inventory at = InventoryAt(inventory, *ParseEndpoint("203.0.113.10:8050"));
  ASSERT_EQ(at.listeners_size(), 1);
  EXPECT_EQ(at.listeners(0).name(), "web");
  ASSERT_EQ(at.pools_size(), 1);
  EXPECT_EQ(at.pools(0).name(), "web");
  EXPECT_EQ(InventoryAt(inventory, *ParseEndpoint("[2001:db8::53]:53")).pools(0).name(), "dns");
  EXPECT_EQ(InventoryAt(inventory, *ParseEndpoint("203.0.113.11:80")).pools_size(), 2);
  EXPECT_EQ(InventoryAt(inventory, *ParseEndpoint("203.0.113.10:81")).listeners_size(), 0);
  EXPECT_EQ(InventoryAt(inventory, *ParseEndpoint("203.0.113.12:80")).listeners_size(), 0);
}

TEST(ViewsTest, Changes) {
  auto reply = Parse<v1::ChangeReply>(kChange);
  for (const Form& form : kForms) ExpectGolden(std::string("change.") + form.suffix, ShowChange(reply, form.format));
  reply.set_dry_run(true);
  reply.clear_took();
  reply.clear_changes();
  EXPECT_EQ(ShowChange(reply, Format::kTable), "nothing changes\ndry run, nothing was done: generation=8 revision=4\n");
}

}  // namespace
}  // namespace sluice
