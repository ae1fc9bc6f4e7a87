#include "config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

std::vector<std::string> Errors(const std::string& text) {
  config::Report report("f.yaml");
  ParseConfig(text, report);
  return report.Errors();
}

std::string Parsed(const std::string& text) {
  config::Report report("f.yaml");
  const v1::Config config = ParseConfig(text, report);
  EXPECT_THAT(report.Errors(), ElementsAre());
  return config.ShortDebugString();
}

TEST(ParseConfig, ReadsEveryShape) {
  EXPECT_EQ(Parsed(R"(
engine:
  workers: 2
  hash_key: "AAEC"
  tunnel_source: {ipv4: 198.51.100.2}
  interfaces:
    - {name: eth0}
    - device: "net_memif0,role=server,id=0"
      addresses: [198.51.100.2/24, "2001:db8::2/64"]
listeners:
  - {name: web, ports: [80, "8000-8099"], protocol: tcp, idle_timeout: 2m, icmp_echo: false}
pools:
- name: web
  backends:
  - name: web1
    weight: 0
)"),
            "engine { workers: 2 hash_key: \"\\000\\001\\002\" tunnel_source { ipv4: \"198.51.100.2\" } "
            "interfaces { name: \"eth0\" } interfaces { device: \"net_memif0,role=server,id=0\" "
            "addresses: \"198.51.100.2/24\" addresses: \"2001:db8::2/64\" } } "
            "listeners { name: \"web\" ports { first: 80 last: 80 } ports { first: 8000 last: 8099 } protocol: TCP "
            "idle_timeout { seconds: 120 } icmp_echo: DROP } "
            "pools { name: \"web\" backends { name: \"web1\" weight: 0 } }");
}

TEST(ParseConfig, ReadsWhatIsEmpty) {
  EXPECT_EQ(Parsed(""), "");
  EXPECT_EQ(Parsed("# nothing\n"), "");
  EXPECT_EQ(Parsed("engine:\nlisteners:\n  # - {name: web}\npools: []\n"), "");
  EXPECT_EQ(Parsed("--- {pools: []}\n...\n"), "");
  EXPECT_EQ(Parsed("\xEF\xBB\xBFpools: []\n"), "") << "a byte order mark";
}

TEST(ParseConfig, TellsWhereValuesStand) {
  config::Report report("f.yaml");
  ParseConfig("pools:\n  - name: web\n    backends:\n      - {name: w, address: 10.0.0.1}\n", report);
  EXPECT_EQ(report.Where("pools[0]"), "f.yaml:2:5");
  EXPECT_EQ(report.Where("pools[0].name"), "f.yaml:2:11");
  EXPECT_EQ(report.Where("pools[0].backends[0]"), "f.yaml:4:9");
  EXPECT_EQ(report.Where("pools[0].backends[0].address"), "f.yaml:4:28");
}

TEST(ParseConfig, PlacesFollowTheListThatWasRead) {
  config::Report report("f.yaml");
  const v1::Config config = ParseConfig("pools:\n  - web\n  - {name: b}\n", report);
  EXPECT_EQ(config.ShortDebugString(), "pools { name: \"b\" }");
  EXPECT_EQ(report.Where("pools[0].name"), "f.yaml:3:12");
}

struct Case {
  std::string text;
  std::vector<std::string> errors;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_THAT(Errors(c.text), ElementsAreArray(c.errors)) << c.text;
}

TEST(ParseConfig, RefusesUnknownAndDoubleKeys) {
  Check({
      {"lisener: []", {"f.yaml:1:1: unknown key \"lisener\"; did you mean \"listeners\"?"}},
      {"pools:\n  - {nmae: a, zzz: {deep: [1, {x: y}]}, name: b}",
       {"f.yaml:2:6: unknown key \"nmae\"; did you mean \"name\"?",
        "f.yaml:2:15: unknown key \"zzz\"; it is one of name, forwarding, algorithm, backends, maglev_table_size, "
        "gue_port, client_address, health_check, on_unhealthy, when_all_unhealthy, drain_timeout, slow_start, "
        "minimum_healthy, cross_zone, agent, hash_balance_factor"}},
      {"pools: []\npools: []",
       {"f.yaml:2:1: \"pools\" stands here a second time (first in line 1); keep one of the two"}},
      {"engine: {workers: 1, workers: x}",
       {"f.yaml:1:22: \"workers\" stands here a second time (first in line 1); keep one of the two"}},
      {"{}: 1\n[1]: 2\nfoo: 3",
       {"f.yaml:1:1: unknown key \"{...}\"; it is one of engine, listeners, pools, api, admin",
        "f.yaml:2:1: unknown key \"[...]\"; it is one of engine, listeners, pools, api, admin",
        "f.yaml:3:1: unknown key \"foo\"; it is one of engine, listeners, pools, api, admin"}},
      {"~: 1", {"f.yaml:1:1: unknown key \"\"; it is one of engine, listeners, pools, api, admin"}},
      {"<<: {pools: []}", {"f.yaml:1:1: unknown key \"<<\"; it is one of engine, listeners, pools, api, admin"}},
  });
}

TEST(ParseConfig, RefusesWrongShapes) {
  Check({
      {"web", {"f.yaml:1:1: this is not a configuration; it is one of engine, listeners, pools, api, admin"}},
      {"[1, 2]", {"f.yaml:1:1: this is not a configuration; it is one of engine, listeners, pools, api, admin"}},
      {"engine: dpdk", {"f.yaml:1:9: engine has keys of its own; write it as {type: ...}"}},
      {"engine: [1]", {"f.yaml:1:9: engine has keys of its own; write it as {type: ...}"}},
      {"pools: web", {"f.yaml:1:8: pools is a list; start each entry with \"- name:\""}},
      {"pools: {name: web}", {"f.yaml:1:8: pools is a list; start each entry with \"- name:\""}},
      {"pools: [web]", {"f.yaml:1:9: pools has keys of its own; write it as {name: ...}"}},
      {"pools: [[1]]", {"f.yaml:1:9: pools has keys of its own; write it as {name: ...}"}},
      {"pools: [~]", {"f.yaml:1:9: pools has no value; write one or remove the line"}},
      {"listeners: [{ports: 80}]", {"f.yaml:1:21: ports is a list; write [80]"}},
      {"listeners: [{ports: {first: 80}}]", {"f.yaml:1:21: ports is a list; write it in brackets: [a, b]"}},
      {"listeners: [{ports: [{first: 80}]}]", {"f.yaml:1:22: ports is one value; write it without keys of its own"}},
      {"listeners: [{ports: [[80]]}]", {"f.yaml:1:22: ports is one value; write it without brackets or dashes"}},
      {"pools: [{name: [a]}]", {"f.yaml:1:16: name is one value; write it without brackets or dashes"}},
      {"pools: [{name: {a: b}}]", {"f.yaml:1:16: name is one value; write it without keys of its own"}},
      {"pools: [{name: }]", {"f.yaml:1:16: name has no value; write one or remove the line"}},
      {"listeners: [{idle_timeout: 350, protocol: tpc}]",
       {"f.yaml:1:28: idle_timeout \"350\" is not a time without its unit; write it like 350s",
        "f.yaml:1:43: protocol \"tpc\" is not known; did you mean \"tcp\"?"}},
  });
}

TEST(ParseConfig, RefusesWhatAConfigurationDoesNotNeed) {
  Check({
      {"pools: &a []\nlisteners: *a", {"f.yaml:2:12: aliases (*name) are not followed; write the value out"}},
      {"pools: !!set []", {"f.yaml:1:8: tag \"tag:yaml.org,2002:set\" is not used here; write the value alone"}},
      {"engine: {workers: !!int 2}",
       {"f.yaml:1:19: tag \"tag:yaml.org,2002:int\" is not used here; write the value alone"}},
      {"pools: []\n---\npools: []", {"f.yaml:2:1: a second document starts here; write everything in one"}},
      {"a: " + std::string(40, '[') + std::string(40, ']'),
       {"f.yaml:1:1: unknown key \"a\"; it is one of engine, listeners, pools, api, admin",
        "f.yaml:1:35: more than 32 levels of nesting; no setting is that deep"}},
  });
}

TEST(ParseConfig, RefusesWhatIsNotText) {
  Check({
      {std::string("pools: []\nx\0", 12), {"f.yaml:2:2: control character 0x00; a configuration is plain text"}},
      // yaml-cpp would take it for the end and accept.
      {"pools: []\n\x04garbage", {"f.yaml:2:1: control character 0x04; a configuration is plain text"}},
      {"\x7f", {"f.yaml:1:1: control character 0x7f; a configuration is plain text"}},
      {"# \u00e4\u20ac \xff", {"f.yaml:1:9: byte 0xff is not UTF-8 text; save the file as UTF-8"}},
      {"\xc0\x80", {"f.yaml:1:1: byte 0xc0 is not UTF-8 text; save the file as UTF-8"}},
      {"\xe0\x80\x80", {"f.yaml:1:1: byte 0xe0 is not UTF-8 text; save the file as UTF-8"}},
      {"\xed\xa0\x80", {"f.yaml:1:1: byte 0xed is not UTF-8 text; save the file as UTF-8"}},
      {"\xf4\x90\x80\x80", {"f.yaml:1:1: byte 0xf4 is not UTF-8 text; save the file as UTF-8"}},
      {"\xe2\x82", {"f.yaml:1:1: byte 0xe2 is not UTF-8 text; save the file as UTF-8"}},
      {std::string("\xff\xfep\0", 4), {"f.yaml:1:1: byte 0xff is not UTF-8 text; save the file as UTF-8"}},
  });
}

TEST(ParseConfig, TellsWhereYamlBreaks) {
  Check({
      {"pools: [{name: a}\nlisteners: []",
       {"f.yaml:2:1: not YAML: end of sequence flow not found; check indentation (no tabs), colons, quotes and "
        "brackets up to "
        "here"}},
      {"pools:\n\t- name: a",
       {"f.yaml:2:2: not YAML: illegal block entry; check indentation (no tabs), colons, quotes and brackets up to "
        "here"}},
  });
}

TEST(ParseConfig, KeepsTheErrorsBeforeBrokenYaml) {
  const std::vector<std::string> errors = Errors("foo: 1\npools: [");
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_THAT(errors[0], HasSubstr("1:1: unknown key"));
  EXPECT_THAT(errors[1], HasSubstr("not YAML"));
}

TEST(ParseConfig, RefusesAHugeFile) {
  EXPECT_THAT(Errors(std::string(config::kMaxFileBytes + 1, ' ')),
              ElementsAre("f.yaml: larger than 64 MiB; split the configuration"));
}

TEST(ParseConfig, RefusesWhatWouldTakeMuchMemory) {
  const std::string no_end =
      "f.yaml:1:1: no end within 2 MiB from here; write large lists in lines that start with dashes";
  const std::string too_deep = ": more than 32 levels of nesting; no setting is that deep";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[", too_deep}, {"{", too_deep}, {"[\n", too_deep}, {"#", no_end}};
  for (const auto& [piece, error] : cases) {
    std::string text;
    while (text.size() < 2 * config::kMaxLookaheadBytes) text += piece;
    EXPECT_THAT(Errors(text), ElementsAre(HasSubstr(error))) << piece;
  }
  // What follows the limit is not taken for absent.
  const std::string comment = "# " + std::string(2 * config::kMaxLookaheadBytes, 'x') + "\n";
  EXPECT_THAT(Errors("pools: []\n" + comment + "lisener: []\n"), ElementsAre(HasSubstr("no end within 2 MiB")));
}

TEST(ParseConfig, RefusesTooManyElements) {
  std::string text = "engine:\n  interfaces:\n  - addresses:\n";
  for (size_t i = 0; i < config::kMaxListElements; ++i) text += "    - a\n";
  // The interface itself is the first.
  EXPECT_THAT(Errors(text), ElementsAre(absl::StrCat("f.yaml:", config::kMaxListElements + 3,
                                                     ":7: more than 2000000 list elements; split the configuration")));
}

}  // namespace
}  // namespace sluice
