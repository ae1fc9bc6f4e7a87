// Agent checks of a pool.
#include "validate_case.h"

namespace sluice {
namespace {

const char kHead[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
    "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}],\n";

TEST(ValidateAgent, Keys) {
  Check(
      kHead,
      {
          {"agent: {port: 9000}", {}},
          {"agent: {port: 9000, interval: 500ms, timeout: 100ms, send: 'web\\n'}", {}},
          {"agent: {}", {"4:8: an agent needs a port; add port: ..."}},
          {"agent: {port: 0}", {"4:15: there is no port 0; ports are 1 to 65535"}},
          {"agent: {port: 65536}", {"4:15: there is no port 65536; ports are 1 to 65535"}},
          {"agent: {port: 9, interval: 50ms, timeout: 20ms}",
           {"4:28: interval is out of range; choose from 100ms to 1h"}},
          {"agent: {port: 9, interval: 2h}", {"4:28: interval is out of range; choose from 100ms to 1h"}},
          {"agent: {port: 9, timeout: 5ms}", {"4:27: timeout is out of range; choose from 10ms to interval"}},
          {"agent: {port: 9, timeout: 3s}",
           {"4:27: timeout is longer than interval, 2s, and checks would be late; make one of them shorter or longer"}},
          {"agent: {port: 9, send: '\\q'}",
           {"4:24: send has an escape that is none (Unknown escape sequence: \\q); write \\\\ for a backslash"}},
          {"agent: {port: 9, rise: 2}", {"4:18: unknown key \"rise\"; it is one of port, interval, timeout, send"}},
      },
      "}]\n");
}

TEST(ValidateAgent, ItMakesBackendsUnhealthyAsAHealthCheckDoes) {
  Check(kHead,
        {
            {"on_unhealthy: move, when_all_unhealthy: fail_closed, agent: {port: 9}", {}},
            {"on_unhealthy: move",
             {"4:15: without a health_check or an agent no backend gets unhealthy; remove this or add one"}},
        },
        "}]\n");
}

TEST(ValidateAgent, TheTimeoutIsNeverLongerThanTheInterval) {
  const auto loaded = LoadConfigText(std::string(kHead) + "agent: {port: 9, interval: 400ms}}]\n", "f.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.pools(0).agent().timeout().nanos(), 400'000'000);
}

}  // namespace
}  // namespace sluice
