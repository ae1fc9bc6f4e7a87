#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/bounds.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LoadConfig, LoadsEveryExample) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_EXAMPLES)) {
    if (entry.path().extension() != ".yaml") continue;
    names.push_back(entry.path().filename());
    const absl::StatusOr<LoadedConfig> loaded = LoadConfig(entry.path());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_THAT(loaded->warnings, ElementsAre());
    EXPECT_GE(loaded->config.listeners_size(), 2) << "both families";
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"dsr_l2.yaml", "ipip.yaml", "gue.yaml", "nat.yaml", "full_nat.yaml"}));
}

TEST(LoadConfig, SaysWhyAFileCannotBeRead) {
  const absl::Status missing = LoadConfig("no/such/file.yaml").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("cannot read the configuration no/such/file.yaml"));
  const absl::Status folder = LoadConfig(SLUICE_EXAMPLES).status();
  EXPECT_EQ(folder.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(folder.message()), HasSubstr("is a folder"));
  // Endless: must be given up at the limit.
  const absl::Status endless = LoadConfig("/dev/zero").status();
  EXPECT_EQ(std::string(endless.message()), "/dev/zero: larger than 64 MiB; split the configuration");
}

TEST(LoadConfig, TellsReadingAndMeaningInOneGo) {
  const absl::Status status = LoadConfigText(R"(lisener: []
engine:
  workers: 65
  interfaces: [{name: eth0}]
listeners:
  - {name: web, address: 203.0.113.300, ports: [80], protocol: tcp, pool: web}
pools:
  - {name: web, forwarding: dsr, backends: [{name: a, address: 10.0.0.1}]}
)",
                                             "f.yaml")
                                  .status();
  EXPECT_EQ(std::string(status.message()),
            "f.yaml:1:1: unknown key \"lisener\"; did you mean \"listeners\"?\n"
            "f.yaml:3:12: workers 65 is out of range; choose from 1 to 64\n"
            "f.yaml:6:26: \"203.0.113.300\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10\n"
            "f.yaml:8:29: forwarding \"dsr\" is not known; it is one of dsr_l2, ipip, gue, nat, full_nat");
}

TEST(LoadConfig, DoesNotBlameTheUserForWhatItCouldNotRead) {
  const auto message = [](const std::string& text) {
    return std::string(LoadConfigText(text, "f.yaml").status().message());
  };
  // No "needs a name", no "no pool is named web", no "needs an interface".
  EXPECT_EQ(message("engine: {interface: [{name: eth0}]}\n"
                    "listeners: [{name: w, address: 1.2.3.4, ports: [x], protocol: tcp, pool: web}]\n"
                    "pools: [{nmae: web}]"),
            "f.yaml:1:10: unknown key \"interface\"; did you mean \"interfaces\"?\n"
            "f.yaml:2:49: ports \"x\" is not a port or a range of ports; write it like 80 or 8000-8099\n"
            "f.yaml:3:10: unknown key \"nmae\"; did you mean \"name\"?");
  // Whatever the way of forwarding was meant to be, it may be one that these keys are for.
  EXPECT_EQ(message("engine: {interfaces: [{name: eth0}], nat_addresses: 198.51.100.7, max_sessions: 0}\n"
                    "listeners:\n"
                    "- {name: w, address: 1.2.3.4, ports: [80], protocol: tcp, pool: web, closed_timeout: 5s}\n"
                    "pools:\n"
                    "- name: web\n"
                    "  forwarding: natt\n"
                    "  gue_port: 6080\n"
                    "  backends: [{name: a, address: 10.0.0.1, port: 1}, {name: b, address: 10.0.0.1, port: 2}]\n"
                    "- {name: n, forwarding: nat, backends: [{name: a, address: 10.0.0.1}]}\n"
                    "- {name: f, forwarding: full_nat, backends: [{name: a, address: 10.0.0.1}]}\n"),
            "f.yaml:1:53: nat_addresses is a list; write [198.51.100.7]\n"
            "f.yaml:1:81: max_sessions 0 leaves no session to pool \"n\" (f.yaml:9:3), which translates; remove it for "
            "as many as max_connections, or choose from 1k to 1G\n"
            "f.yaml:6:15: forwarding \"natt\" is not known; did you mean \"nat\"?");
  EXPECT_EQ(message("listeners:\n  - {name: w"),
            "f.yaml:2:13: not YAML: end of map flow not found; check indentation (no tabs), colons, quotes and "
            "brackets up to here");
}

TEST(LoadConfig, AnEmptyFileSaysWhatToWrite) {
  EXPECT_EQ(std::string(LoadConfigText("", "f.yaml").status().message()),
            "f.yaml:1:1: the engine needs an interface; add interfaces: [{name: eth0}] under engine");
}

TEST(LoadConfig, KeepsAHundredErrors) {
  std::string text = "engine: {interfaces: [{name: eth0}]}\nlisteners:\n";
  for (int i = 0; i < 150; ++i) text += "  - {naem: x}\n";
  const std::string message(LoadConfigText(text, "f.yaml").status().message());
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), static_cast<long>(config::kMaxErrorLines));
  EXPECT_TRUE(message.ends_with("f.yaml: 50 more errors")) << message.substr(message.size() - 200);
}

TEST(LoadConfig, Warns) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(R"(
engine: {interfaces: [{name: eth0}]}
pools:
  - {name: empty}
  - {name: idle, backends: [{name: a, address: 10.0.0.1, weight: 0}]}
)",
                                                             "f.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->warnings,
              ElementsAre("f.yaml:4:5: pool \"empty\" has no backends; its packets are dropped",
                          "f.yaml:4:5: pool \"empty\" is used by no listener",
                          "f.yaml:5:5: pool \"idle\" takes no new flows; no backend is ready and has a weight",
                          "f.yaml:5:5: pool \"idle\" is used by no listener"));
}

}  // namespace
}  // namespace sluice
