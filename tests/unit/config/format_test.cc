// A configuration as YAML, and back.
#include "config/format.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "config/load.h"
#include "config/yaml.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;

v1::Config ReadBack(const std::string& yaml) {
  config::Report report("again.yaml");
  v1::Config config = ParseConfig(yaml, report);
  EXPECT_TRUE(report.ok()) << report.ToStatus() << "\n" << yaml;
  return config;
}

std::string FileJson(const v1::Config& config) {
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(FileValue(config), &json).ok());
  return json;
}

TEST(FormatTest, ShippedExamplesComeBackAsTheyWere) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_EXAMPLES)) {
    if (entry.path().extension() != ".yaml") continue;
    const absl::StatusOr<LoadedConfig> loaded = LoadConfig(entry.path());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const std::string yaml = FormatYaml(loaded->config);
    EXPECT_TRUE(MessageDifferencer::Equals(ReadBack(yaml), loaded->config)) << yaml;
    const std::string json = FileJson(loaded->config);
    EXPECT_TRUE(MessageDifferencer::Equals(ReadBack(json), loaded->config)) << json;
    examples++;
  }
  EXPECT_GE(examples, 5);
}

TEST(FormatTest, EveryFormOfAScalar) {
  v1::Config config;
  v1::Engine& engine = *config.mutable_engine();
  engine.set_type(v1::Engine::XDP);
  engine.set_workers(0);
  engine.set_max_connections(UINT64_MAX);
  engine.set_hash_key(std::string("\0\xff key", 6));
  engine.add_nat_addresses("2001:db8::/120");
  engine.mutable_takeover_after()->set_nanos(1'500'000);
  engine.add_interfaces()->set_name("0x10");
  v1::Listener& listener = *config.add_listeners();
  listener.set_name("Yes");
  listener.set_address("1:2");
  listener.mutable_idle_timeout()->set_seconds(350);
  listener.mutable_handshake_timeout()->set_nanos(500'000'000);
  listener.set_icmp_echo(v1::Listener::DROP);
  listener.set_reset_on_idle(false);
  for (const auto& [first, last] : {std::pair(80, 80), std::pair(8000, 8099)}) {
    v1::PortRange& range = *listener.add_ports();
    range.set_first(static_cast<uint32_t>(first));
    range.set_last(static_cast<uint32_t>(last));
  }
  listener.mutable_access()->add_deny("2001:db8::/32");
  listener.mutable_access()->mutable_new_connections_per_source()->set_per_second(200);
  config.mutable_api();
  const std::string yaml = FormatYaml(config);
  EXPECT_TRUE(MessageDifferencer::Equals(ReadBack(yaml), config)) << yaml;
  const std::string json = FileJson(config);
  EXPECT_TRUE(MessageDifferencer::Equals(ReadBack(json), config)) << json;
  EXPECT_THAT(json, HasSubstr(R"("type":"xdp")"));
  EXPECT_THAT(json, HasSubstr(R"("workers":0)"));
  EXPECT_THAT(json, HasSubstr(R"("reset_on_idle":false)"));
  EXPECT_THAT(json, HasSubstr(R"("max_connections":"18446744073709551615")"));
  EXPECT_THAT(yaml, HasSubstr("idle_timeout: 350s"));
  EXPECT_THAT(yaml, HasSubstr("handshake_timeout: 500ms"));
  EXPECT_THAT(yaml, HasSubstr("takeover_after: 1.5ms"));
  EXPECT_THAT(yaml, HasSubstr("ports: [80, 8000-8099]"));
  EXPECT_THAT(yaml, HasSubstr("new_connections_per_source: 200/s"));
}

TEST(FormatTest, OneLine) {
  v1::Backend backend;
  backend.set_name("web1");
  backend.set_address("10.0.1.11");
  backend.set_weight(0);
  backend.set_state(v1::Backend::DRAIN);
  EXPECT_EQ(FormatFlow(backend), R"({name: web1, address: "10.0.1.11", weight: 0, state: drain})");
}

TEST(FormatTest, WhatIsUnsetCanBeShown) {
  v1::Backend backend;
  backend.set_name("a");
  EXPECT_EQ(FormatYaml(backend), "name: a\n");
  // Weight and port tell by being there whether they were given.
  EXPECT_EQ(FormatYaml(backend, Unset::kShow), "name: a\naddress: \"\"\nstate: ready\nzone: \"\"\n");
}

}  // namespace
}  // namespace sluice
