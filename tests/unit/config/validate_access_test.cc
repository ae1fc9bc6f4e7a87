// Who may open flows of a listener.
#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/validate.h"
#include "validate_case.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The lists stand in line 2, behind 81 columns.
const char kBefore[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "listeners: [{name: w, address: 203.0.113.10, ports: [80], protocol: tcp, pool: p, access: {";
const char kAfter[] = "}}]\npools: [{name: p, backends: [{name: a, address: 10.0.0.1}]}]\n";

TEST(ValidateAccess, Prefixes) {
  Check(kBefore,
        {
            {"", {}},
            {"allow: [0.0.0.0/0], deny: [192.0.2.0/24, 192.0.2.7, '2001:db8::/32', '::1']", {}},
            {"allow: [10.0.0.0/8, 10.0.0.0/8, 10.0.0.0/9], deny: [10.0.0.0/10]", {}},
            {"deny: [0.0.0.0/0, 224.0.0.0/4, 127.0.0.0/8, 'fe80::/10']", {}},
            {"deny: [192.0.2.7/24]",
             {"2:99: \"192.0.2.7/24\" is not the start of a prefix; write 192.0.2.0/24, or 192.0.2.7 for this one "
              "address"}},
            {"allow: [0.0.0.0/0], deny: ['2001:db8::1/32']",
             {"2:119: \"2001:db8::1/32\" is not the start of a prefix; write 2001:db8::/32, or 2001:db8::1 for this "
              "one address"}},
            {"deny: [192.0.2.0/33]", {"2:99: \"33\" is not a prefix length; it would be between 0 and 32"}},
            {"deny: [web]", {"2:99: \"web\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"}},
            {"deny: [10.0.0.0/8], allow: [10.0.0.0/8]",
             {"2:99: 10.0.0.0/8 stands in allow too (f.yaml:2:120); keep one of the two"}},
            {"deny: [192.0.2.7], allow: [192.0.2.7/32]",
             {"2:99: 192.0.2.7 stands in allow too (f.yaml:2:119); keep one of the two"}},
            {"on_refused: reject", {"2:104: on_refused \"reject\" is not known; did you mean \"reset\"?"}},
            {"new_connections_per_source: 200/s", {}},
            {"new_connections_per_source: 1M/s", {}},
            {"new_connections_per_source: 200",
             {"2:120: new_connections_per_source \"200\" is not a rate; write it like 200/s or 10k/s"}},
            {"new_connections_per_source: 0/s",
             {"2:120: new_connections_per_source of 0/s is out of range; choose from 1/s to 1000000/s, or remove this "
              "for any number"}},
            {"new_connections_per_source: 1000001/s",
             {"2:120: new_connections_per_source of 1000001/s is out of range; choose from 1/s to 1000000/s, or remove "
              "this for any number"}},
            {"deny: 10.0.0.0/8", {"2:98: deny is a list; write [10.0.0.0/8]"}},
        },
        kAfter);
}

TEST(ValidateAccess, WhoAdmitsNobody) {
  const auto warnings = [](const std::string& address, const std::string& access) {
    const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(
        absl::StrCat("engine: {interfaces: [{name: eth0}], tunnel_source: {ipv4: 198.51.100.2}}\n",
                     "listeners: [{name: w, address: '", address, "', ports: [80], protocol: tcp, pool: p, access: ",
                     access, "}]\npools: [{name: p, forwarding: ipip, backends: [{name: a, address: 10.0.0.1}]}]\n"),
        "f.yaml");
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? loaded->warnings : std::vector<std::string>();
  };
  EXPECT_THAT(warnings("2001:db8::10", "{allow: [10.0.0.0/8]}"),
              ElementsAre("f.yaml:2:101: listener \"w\" is IPv6 and allows no IPv6 prefix, so nobody is admitted; add "
                          "\"::/0\" or narrower ones"));
  EXPECT_THAT(warnings("203.0.113.10", "{allow: ['2001:db8::/32']}"),
              ElementsAre("f.yaml:2:101: listener \"w\" is IPv4 and allows no IPv4 prefix, so nobody is admitted; add "
                          "0.0.0.0/0 or narrower ones"));
  EXPECT_THAT(warnings("2001:db8::10", "{allow: [10.0.0.0/8, '2001:db8::/32']}"), IsEmpty());
  EXPECT_THAT(warnings("2001:db8::10", "{deny: [10.0.0.0/8]}"), IsEmpty());
}

TEST(ValidateAccess, NotMoreThanTheTablesHold) {
  v1::Config config;
  for (int i = 0; i < 2; i++) {
    v1::Access& access = *config.add_listeners()->mutable_access();
    for (size_t j = 0; j < config::kMaxAccessPrefixes / 2; j++) access.add_deny("10.0.0.0/8");
  }
  const auto complains = [](v1::Config copy) {
    config::Report report;
    ValidateConfig(copy, report);
    const std::vector<std::string> errors = report.Errors();
    return std::count(errors.begin(), errors.end(),
                      "listeners[1].access: the access lists hold more than 1000000 prefixes up to here; join "
                      "neighbours to shorter prefixes") == 1;
  };
  EXPECT_FALSE(complains(config));
  config.mutable_listeners(0)->mutable_access()->add_allow("10.0.0.0/9");
  EXPECT_TRUE(complains(config));
}

TEST(ValidateAccess, OverTheApi) {
  v1::Config config;
  config.add_listeners()->mutable_access()->set_on_refused(static_cast<v1::Access::OnRefused>(7));
  config::Report report;
  ValidateConfig(config, report);
  EXPECT_THAT(report.Errors(), testing::Contains("listeners[0].access.on_refused: unknown value 7; use drop or reset"));
}

}  // namespace
}  // namespace sluice
