// Backups, zones, slow start, drains and limits of a pool.
#include "validate_case.h"

namespace sluice {
namespace {

const char kHead[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
    "pools: [{name: web, backends: [{name: a, address: 10.0.0.1, zone: b}, {name: c, address: 10.0.0.2, backup: "
    "true}],\n";

TEST(ValidateRoles, Times) {
  Check(kHead,
        {
            {"drain_timeout: 300s, slow_start: 30s, minimum_healthy: 2", {}},
            {"drain_timeout: 500ms", {"4:16: drain_timeout is out of range; choose from 1s to 24h"}},
            {"drain_timeout: 25h", {"4:16: drain_timeout is out of range; choose from 1s to 24h"}},
            {"slow_start: 0s", {"4:13: slow_start is out of range; choose from 1s to 1h"}},
            {"slow_start: 3601s", {"4:13: slow_start is out of range; choose from 1s to 1h"}},
            {"minimum_healthy: 0", {"4:18: minimum_healthy is out of range; choose from 1 to 1000000"}},
        },
        "}]\n");
}

TEST(ValidateRoles, Limits) {
  Check(
      kHead,
      {
          {"hash_balance_factor: 125", {}},
          {"algorithm: source_hash, hash_balance_factor: 1000", {}},
          {"hash_balance_factor: 100",
           {"4:22: hash_balance_factor is out of range; choose from 101 to 1000, percent of a backend's share"}},
          {"hash_balance_factor: 1001",
           {"4:22: hash_balance_factor is out of range; choose from 101 to 1000, percent of a backend's share"}},
          {"algorithm: random, hash_balance_factor: 125",
           {"4:41: hash_balance_factor is for algorithms that go by a hash; remove it, or use maglev or source_hash"}},
      },
      "}]\n");
  Check(
      "engine: {interfaces: [{name: eth0}]}\n"
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
      "pools: [{name: web, backends: [{name: a, address: 10.0.0.1, ",
      {
          {"max_connections: 1", {}},
          {"max_connections: 16777215", {}},
          {"max_connections: 0",
           {"3:78: max_connections is out of range; choose from 1 to 16777215, or leave it out for no limit"}},
          {"max_connections: 16777216",
           {"3:78: max_connections is out of range; choose from 1 to 16777215, or leave it out for no limit"}},
      },
      "}]}]\n");
}

TEST(ValidateRoles, LimitsOfListeners) {
  const auto list = [](const std::string& web, const std::string& others) {
    return "engine: {interfaces: [{name: eth0}]}\nlisteners:\n"
           "- {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web" +
           web + "}\n" + others +
           "pools: [{name: web, backends: [{name: a, address: 10.0.0.1}]}, {name: own, backends: [{name: a, address: "
           "10.0.0.1}]}]\n";
  };
  const std::string own = "- {name: tls, address: 203.0.113.10, ports: [443], protocol: tcp, pool: own}\n";
  const std::string range = "3:94: max_connections is out of range; choose from 1 to 1G, or leave it out for no limit";
  Check("",
        {
            {list(", max_connections: 1", own), {}},
            {list(", max_connections: 1G", own), {}},
            {list(", max_connections: 0", own), {range}},
            {list(", max_connections: 1000000001", own), {range}},
        },
        "");
  const std::string shared = "- {name: tls, address: 203.0.113.10, ports: [443], protocol: tcp, pool: web";
  const std::string split =
      "- {name: tls, address: 203.0.113.10, ports: [443], protocol: tcp, pools: [{name: own}, {name: web}], ";
  // So that no pool is without a listener.
  const std::string third = "- {name: third, address: 203.0.113.10, ports: [444], protocol: tcp, pool: own}\n";
  const std::string rest =
      " counts all flows of its pool \"web\", and listener \"web\" (f.yaml:3:3) opens some there too; for its own "
      "alone "
      "give listener \"tls\" a pool of its own, it may have the same backends";
  const std::vector<Case> cases = {
      {list("", shared + ", max_connections: 5}\n" + third),
       {"f.yaml:4:95: max_connections of listener \"tls\"" + rest}},
      {list("", split + "max_connections: 5}\n"), {"f.yaml:4:119: max_connections of listener \"tls\"" + rest}},
      {list(", max_connections: 5", shared + "}\n" + third),
       {"f.yaml:3:94: max_connections of listener \"web\" counts all flows of its pool \"web\", and listener \"tls\" "
        "(f.yaml:4:3) opens some there too; for its own alone give listener \"web\" a pool of its own, it may have the "
        "same backends"}},
  };
  for (const Case& one : cases) {
    const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(one.text, "f.yaml");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->warnings, one.errors) << one.text;
  }
}

TEST(ValidateRoles, Zones) {
  Check(kHead,
        {
            {"cross_zone: always", {}},
            {"cross_zone: never", {"4:13: this node has no zone to compare with; add zone: to engine, or remove this"}},
        },
        "}]\n");
  Check(
      "engine: {interfaces: [{name: eth0}], zone: a}\n",
      {
          {"pools: [{name: web, cross_zone: prefer_local, minimum_healthy: 2, backends: [{name: a, address: 10.0.0.1, "
           "zone: a}]}]\n",
           {}},
          {"pools: [{name: web, minimum_healthy: 2, backends: [{name: a, address: 10.0.0.1}]}]\n",
           {"2:38: minimum_healthy has nobody to call: no backend has backup: true, and cross_zone is not "
            "prefer_local; add one, or remove this"}},
          {"pools: [{name: web, backends: [{name: a, address: 10.0.0.1, zone: 'b b'}]}]\n",
           {"2:67: \"b b\" is not a name; use letters, digits, \"_\", \".\" and \"-\""}},
      },
      "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n");
}

}  // namespace
}  // namespace sluice
