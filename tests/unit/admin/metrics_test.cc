// Messages of what runs, as Prometheus reads them.
#include "admin/metrics.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kStatus[] = R"(
  version: "0.1.0" engine: DPDK workers: 2
  ports {name: "eth0" mode: "af_xdp copy" mtu: 1500 link_up: true} ports {name: "eth1" mode: "x"}
  generation: 7 revision: 3 uptime {seconds: 65 nanos: 500000000} ready: true packets: 1200 bytes: 76800
  totals {name: "forwarded" kind: TRANSMIT value: 1190} totals {name: "no_listener" kind: DROP value: 10}
  totals {name: "transmit_full" text: "the queue was full" value: 2}
  by_worker {packets: 700 bytes: 44800} by_worker {worker: 1 packets: 500 bytes: 32000 dropped: 10}
  active_flows: 42 build {count: 7 sum {nanos: 250000000}} problems: "something"
)";
constexpr char kInventory[] = R"(
  listeners {name: "canary" pools {name: "web" weight: 9} pools {name: "next" weight: 1} traffic {packets: 5}}
  listeners {name: "web" pool: "web" traffic {packets: 1000 bytes: 64000 new_flows: 50} answers {packets: 9}
             max_connections: 1000 active_flows: 37}
  listeners {name: "free" pool: "empty"}
  pools {name: "web"
    backends {name: "a" weight: 10 active_flows: 40 closed_flows: 3 answered_flows: 30 failed_flows: 5
              health {state: HEALTHY last {duration {nanos: 2500000}}} traffic {packets: 18446744073709551615}}
    backends {name: "b" weight: 1 condition: DRAIN answers {bytes: 77}}}
  pools {name: "empty"}
)";

std::string Text() {
  v1::Status status;
  v1::Inventory inventory;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kStatus, &status));
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kInventory, &inventory));
  return MetricsText(status, inventory);
}

TEST(MetricsTest, EachNumberHasItsPlace) {
  const std::string text = Text();
  for (const char* line : {
           R"(sluice_build_info{version="0.1.0",engine="dpdk"} 1)",
           "sluice_uptime_seconds 65.5",
           "# HELP sluice_transmit_full_total The queue was full.",
           "sluice_ready 1",
           "sluice_generation 7",
           "sluice_revision 3",
           "sluice_problems 1",
           "sluice_workers 2",
           "sluice_build_duration_seconds_count 7",
           "sluice_build_duration_seconds_sum 0.25",
           "sluice_flows 42",
           "sluice_received_packets_total 1200",
           R"(sluice_packets_total{kind="transmit",verdict="forwarded"} 1190)",
           R"(sluice_packets_total{kind="drop",verdict="no_listener"} 10)",
           "sluice_transmit_full_total 2",
           R"(sluice_worker_received_packets_total{worker="0"} 700)",
           R"(sluice_worker_received_bytes_total{worker="1"} 32000)",
           R"(sluice_worker_dropped_packets_total{worker="1"} 10)",
           R"(sluice_port_up{port="eth0",mode="af_xdp copy"} 1)",
           R"(sluice_port_up{port="eth1",mode="x"} 0)",
           R"(sluice_port_mtu_bytes{port="eth0"} 1500)",
           R"(sluice_listener_packets_total{listener="web",pool="web"} 1000)",
           R"(sluice_listener_packets_total{listener="canary",pool=""} 5)",
           R"(sluice_listener_pool_weight{listener="canary",pool="next"} 1)",
           R"(sluice_listener_new_flows_total{listener="web",pool="web"} 50)",
           R"(sluice_listener_answer_packets_total{listener="web",pool="web"} 9)",
           R"(sluice_listener_flows{listener="web",pool="web"} 37)",
           R"(sluice_listener_max_connections{listener="web",pool="web"} 1000)",
           R"(sluice_backend_weight{pool="web",backend="a"} 10)",
           R"(sluice_backend_takes_flows{pool="web",backend="a"} 1)",
           R"(sluice_backend_takes_flows{pool="web",backend="b"} 0)",
           R"(sluice_backend_healthy{pool="web",backend="a"} 1)",
           R"(sluice_backend_check_duration_seconds{pool="web",backend="a"} 0.0025)",
           R"(sluice_backend_flows{pool="web",backend="a"} 40)",
           R"(sluice_backend_closed_flows{pool="web",backend="a"} 3)",
           R"(sluice_backend_answer_bytes_total{pool="web",backend="b"} 77)",
           R"(sluice_backend_answered_flows_total{pool="web",backend="a"} 30)",
           R"(sluice_backend_failed_flows_total{pool="web",backend="a"} 5)",
           R"(sluice_pool_backends{pool="web",condition="ready"} 1)",
           R"(sluice_pool_backends{pool="web",condition="drain"} 1)",
           R"(sluice_pool_backends{pool="empty",condition="ready"} 0)",
       }) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
  }
}

TEST(MetricsTest, FamiliesAreOneEachWithWordsAndAType) {
  std::set<std::string> helps;
  std::set<std::string> types;
  std::istringstream lines(Text());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash;
    std::string kind;
    std::string name;
    words >> hash >> kind >> name;
    if (hash != "#") continue;
    EXPECT_TRUE((kind == "HELP" ? helps : types).insert(name).second) << line;
    std::string rest;
    EXPECT_TRUE(words >> rest) << line;
  }
  EXPECT_EQ(helps, types);
  EXPECT_GT(types.size(), 25u);
  EXPECT_THAT(Text(), Not(HasSubstr("sluice_backend_healthy{pool=\"web\",backend=\"b\"}")));
  EXPECT_THAT(Text(), Not(HasSubstr("sluice_listener_max_connections{listener=\"free\"")));
  EXPECT_THAT(Text(), Not(HasSubstr("sluice_backend_failed_flows_total{pool=\"web\",backend=\"b\"}")));
}

}  // namespace
}  // namespace sluice
