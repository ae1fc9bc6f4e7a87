// What is checked in a pool's health check, and in its agent check.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_ranges.h"
#include "config/bounds.h"
#include "config/check_probes.h"
#include "config/checks.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

using Check = v1::HealthCheck;

constexpr char kBadHost[] = "host is not a name; write it like web.example or web.example:8080";
constexpr char kTlsTypes[] = "https, and grpc with tls: true";

bool IsHttp(const Check& check) {
  return check.type() == Check::HTTP || check.type() == Check::HTTPS;
}

bool HasTls(const Check& check) {
  return check.type() == Check::HTTPS || (check.type() == Check::GRPC && check.tls());
}

bool Visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

bool Talks(const Check& check) {
  return check.type() == Check::TCP || check.type() == Check::UDP;
}

// What leads to a pool.
struct Listeners {
  bool any = false;
  bool tcp = false;
};

// One check of one pool, and where it stands.
class HealthChecks {
 public:
  HealthChecks(const v1::Pool& pool, const PoolFacts& facts, const std::string& pool_path, Report& report)
      : pool_(pool),
        facts_(facts),
        check_(pool.health_check()),
        path_(absl::StrCat(pool_path, ".health_check")),
        report_(report) {}

  void Run(const Listeners& listeners) {
    if (check_.type() == Check::TYPE_UNSPECIFIED) {
      return Missing(report_, Path("type"),
                     "a health_check needs a type; add type: tcp, http, https, grpc, udp, icmp or none");
    }
    if (!Check::Type_IsValid(check_.type())) {
      return Add("type", absl::StrCat("unknown type ", static_cast<int>(check_.type()),
                                      "; use tcp, http, https, grpc, udp, icmp or none"));
    }
    CheckStrangers();
    if (check_.type() == Check::NONE) return;
    CheckTimes();
    CheckCounts();
    CheckPort(listeners.any);
    CheckVia(listeners.any);
    if (check_.has_observe()) CheckObserve(listeners);
    if (Talks(check_)) CheckTalk();
    if (IsHttp(check_)) CheckRequest();
    if (check_.type() == Check::GRPC) CheckGrpc();
    if (HasTls(check_)) CheckTls();
  }

 private:
  std::string Path(absl::string_view field) const { return absl::StrCat(path_, ".", field); }
  void Add(absl::string_view field, const std::string& text) { report_.AddError(Path(field), text); }

  // Keys that this type has no use for.
  void CheckStrangers() {
    const bool http = IsHttp(check_);
    const bool grpc = check_.type() == Check::GRPC;
    const bool tls = HasTls(check_);
    const bool any = check_.type() != Check::NONE;
    Stranger("port", check_.has_port(), any && check_.type() != Check::ICMP, "tcp, http, https, grpc and udp");
    Stranger("interval", check_.has_interval(), any, "a check");
    Stranger("fast_interval", check_.has_fast_interval(), any, "a check");
    Stranger("down_interval", check_.has_down_interval(), any, "a check");
    Stranger("timeout", check_.has_timeout(), any, "a check");
    Stranger("rise", check_.has_rise(), any, "a check");
    Stranger("fall", check_.has_fall(), any, "a check");
    Stranger("path", !check_.path().empty(), http, "http and https");
    Stranger("host", !check_.host().empty(), http || grpc, "http, https and grpc");
    Stranger("service", !check_.service().empty(), grpc, "grpc");
    Stranger("tls", check_.has_tls(), grpc, "grpc");
    Stranger("method", !check_.method().empty(), http, "http and https");
    Stranger("expect_body", !check_.expect_body().empty(), http, "http and https");
    Stranger("expect", !check_.expect().empty(), http || Talks(check_), "tcp, http, https and udp");
    Stranger("send", !check_.send().empty(), Talks(check_), "tcp and udp");
    Stranger("script", check_.script_size() > 0, check_.type() == Check::TCP, "tcp");
    Stranger("via", check_.via() != Check::BACKEND, any && check_.type() != Check::ICMP,
             "tcp, http, https, grpc and udp");
    Stranger("flap_dampening", check_.has_flap_dampening(), any, "a check");
    Stranger("observe", check_.has_observe(), any, "a check, which brings back what it has found");
    Stranger("server_name", !check_.server_name().empty(), tls, kTlsTypes);
    Stranger("ca_file", !check_.ca_file().empty(), tls, kTlsTypes);
    Stranger("insecure", check_.has_insecure(), tls, kTlsTypes);
    Stranger("certificate_file", !check_.certificate_file().empty(), tls, kTlsTypes);
    Stranger("key_file", !check_.key_file().empty(), tls, kTlsTypes);
  }
  void Stranger(absl::string_view field, bool written, bool has_use, absl::string_view whose) {
    if (written && !has_use) Add(field, absl::StrCat(field, " is for ", whose, "; remove it or set another type"));
  }

  void CheckTimes() {
    const int64_t interval = Milliseconds(check_.interval());
    CheckInterval(check_.interval(), path_, "interval", report_);
    // What is as interval by default is not a mistake of its own.
    for (const auto& [field, time] :
         {std::pair("fast_interval", &check_.fast_interval()), std::pair("down_interval", &check_.down_interval())}) {
      if (Milliseconds(*time) != interval) CheckInterval(*time, path_, field, report_);
    }
    if (Milliseconds(check_.fast_interval()) > interval) {
      Add("fast_interval", absl::StrCat("fast_interval is longer than interval, ", MillisecondsText(interval),
                                        "; make it shorter, or remove it"));
    }
    CheckAnswerTime(check_.timeout(), check_.interval(), path_, report_);
  }

  void CheckCounts() {
    for (const auto& [field, count] : {std::pair("rise", check_.rise()), std::pair("fall", check_.fall())}) {
      if (count >= 1 && count <= kMaxRiseFall) continue;
      Add(field, absl::StrCat(field, " ", count, " is out of range; choose from 1 to ", kMaxRiseFall));
    }
  }

  void CheckObserve(const Listeners& listeners) {
    const v1::Observe& observe = check_.observe();
    if (facts_.forwarding != v1::Pool::FORWARDING_UNSPECIFIED && !Translates(facts_.forwarding)) {
      return Add("observe",
                 "answers come back through this node with nat and full_nat alone; remove this, or set forwarding: nat "
                 "or full_nat");
    }
    if (!listeners.tcp) {
      return Add("observe", "no listener of tcp leads to this pool, and only flows of TCP are observed; remove this");
    }
    if (observe.failed_percent() < 1 || observe.failed_percent() > 100) {
      Add("observe.failed_percent",
          absl::StrCat("failed_percent ", observe.failed_percent(), " is out of range; choose from 1 to 100"));
    }
    if (observe.minimum_failed() < 1 || observe.minimum_failed() > kMaxMinimumFailed) {
      Add("observe.minimum_failed", absl::StrCat("minimum_failed ", observe.minimum_failed(),
                                                 " is out of range; choose from 1 to ", kMaxMinimumFailed));
    }
  }

  void CheckPort(bool has_listener) {
    if (check_.type() == Check::ICMP) return;
    if (check_.has_port()) {
      if (check_.port() >= 1 && check_.port() <= kMaxPort) return;
      return Add("port", absl::StrCat("there is no port ", check_.port(), "; ports are 1 to ", kMaxPort));
    }
    const bool all_have = std::all_of(pool_.backends().begin(), pool_.backends().end(),
                                      [](const v1::Backend& backend) { return backend.port() != 0; });
    if (has_listener || all_have || check_.via() == Check::VIP) return;
    Missing(report_, Path("port"), "no listener leads to this pool, so its health_check needs a port; add port:");
  }

  void CheckVia(bool has_listener) {
    if (!Check::Via_IsValid(check_.via())) return Add("via", "unknown via; use backend or vip");
    if (check_.via() != Check::VIP || check_.type() == Check::ICMP) return;
    if (Translates(facts_.forwarding)) {
      return Add("via",
                 "a server of a nat or full_nat pool does not have the virtual address; remove this, or set "
                 "forwarding: dsr_l2, ipip or gue");
    }
    if (has_listener) return;
    Add("via", "no listener leads to this pool, so there is no virtual address to check; add one, or set via: backend");
  }

  void CheckTalk() {
    CheckScript();
    CheckEscaped(check_.send(), path_, "send", report_);
    CheckEscaped(check_.expect(), path_, "expect", report_);
    if (check_.type() == Check::UDP && check_.send().empty()) {
      Missing(report_, Path("send"), "a check of type udp sends something that is answered; add send: 'text'");
    }
  }
  void CheckScript() {
    if (check_.script_size() == 0) return;
    if (!check_.send().empty() || !check_.expect().empty()) {
      Add("script", "a check has a script, or send and expect; write them as its first step");
    }
    if (check_.script_size() > kMaxCheckSteps) {
      Add("script",
          absl::StrCat("script has ", check_.script_size(), " steps; at most ", kMaxCheckSteps, " are possible"));
    }
    for (int i = 0; i < check_.script_size(); ++i) {
      const v1::CheckStep& step = check_.script(i);
      if (step.send().empty() && step.expect().empty()) {
        Missing(report_, At(Path("script"), i, "send"), "a step does nothing; add send: or expect:");
      }
      CheckEscaped(step.send(), path_, At("script", i, "send"), report_);
      CheckEscaped(step.expect(), path_, At("script", i, "expect"), report_);
    }
  }
  void CheckLength(absl::string_view field, const std::string& text) { CheckSentLength(text, path_, field, report_); }

  void CheckGrpc() {
    if (!Visible(check_.service())) Add("service", "service is not a name; write it like package.Service");
    if (!Visible(check_.host())) Add("host", kBadHost);
    CheckLength("service", check_.service());
    CheckLength("host", check_.host());
  }

  void CheckRequest() {
    if (check_.path()[0] != '/' || !Visible(check_.path())) {
      Add("path", "path is not one of HTTP; begin with / and write spaces and the like as %20");
    }
    if (!Visible(check_.host())) Add("host", kBadHost);
    const bool method = std::all_of(check_.method().begin(), check_.method().end(),
                                    [](char c) { return absl::ascii_isupper(static_cast<unsigned char>(c)); });
    if (!method) Add("method", absl::StrCat("\"", check_.method(), "\" is not a method; write it like GET or HEAD"));
    if (check_.method() == "HEAD" && !check_.expect_body().empty()) {
      Add("expect_body", "answers to HEAD have no body; remove this or set method: GET");
    }
    if (!ParseStatusRanges(check_.expect()).has_value()) {
      Add("expect",
          absl::StrCat("\"", check_.expect(), "\" is not a status; write it like \"200-399\" or \"200, 204\""));
    }
    for (const auto& [field, text] :
         {std::pair("path", &check_.path()), std::pair("host", &check_.host()), std::pair("method", &check_.method()),
          std::pair("expect", &check_.expect()), std::pair("expect_body", &check_.expect_body())}) {
      CheckLength(field, *text);
    }
  }

  void CheckTls() {
    if (check_.insecure() && !check_.ca_file().empty()) {
      Add("insecure", "insecure takes every certificate, whoever signed it; remove this or ca_file");
    }
    CheckLength("server_name", check_.server_name());
    if (check_.certificate_file().empty() != check_.key_file().empty()) {
      const bool key = check_.key_file().empty();
      Missing(
          report_, Path(key ? "key_file" : "certificate_file"),
          absl::StrCat("certificate_file and key_file belong together; add ", key ? "key_file" : "certificate_file"));
    }
  }

  const v1::Pool& pool_;
  const PoolFacts& facts_;
  const Check& check_;
  std::string path_;
  Report& report_;
};

void CheckAgent(const v1::AgentCheck& agent, const std::string& path, Report& report) {
  const std::string port_path = absl::StrCat(path, ".port");
  if (!agent.has_port()) {
    Missing(report, port_path, "an agent needs a port; add port: ...");
  } else if (agent.port() < 1 || agent.port() > kMaxPort) {
    report.AddError(port_path, absl::StrCat("there is no port ", agent.port(), "; ports are 1 to ", kMaxPort));
  }
  CheckInterval(agent.interval(), path, "interval", report);
  CheckAnswerTime(agent.timeout(), agent.interval(), path, report);
  CheckEscaped(agent.send(), path, "send", report);
}

// Of a pool's backends, with its agents.
double ChecksPerSecond(const v1::Pool& pool) {
  double per_second = 0;
  for (const int64_t interval : {Milliseconds(pool.health_check().interval()), Milliseconds(pool.agent().interval())}) {
    if (interval > 0) per_second += 1'000.0 * pool.backends_size() / static_cast<double>(interval);
  }
  return per_second;
}

// Keys that only a health check or an agent gives a meaning.
void CheckWithout(const v1::Pool& pool, const std::string& path, Report& report) {
  if (report.MissingIsExplained(absl::StrCat(path, ".health_check"))) return;
  if (pool.has_agent() || report.MissingIsExplained(absl::StrCat(path, ".agent"))) return;
  if (pool.on_unhealthy() != v1::Pool::KEEP) {
    report.AddError(absl::StrCat(path, ".on_unhealthy"),
                    "without a health_check or an agent no backend gets unhealthy; remove this or add one");
  }
  if (pool.when_all_unhealthy() != v1::Pool::FAIL_OPEN) {
    report.AddError(absl::StrCat(path, ".when_all_unhealthy"),
                    "without a health_check or an agent no backend gets unhealthy; remove this or add one");
  }
}

// By pool.
std::vector<Listeners> ListenersOf(const v1::Config& config, const Facts& facts) {
  std::vector<Listeners> listeners(static_cast<size_t>(config.pools_size()));
  for (int i = 0; i < config.listeners_size(); ++i) {
    for (const int pool : facts.listener_pools[static_cast<size_t>(i)]) {
      listeners[static_cast<size_t>(pool)].any = true;
      if (config.listeners(i).protocol() != v1::Listener::UDP) listeners[static_cast<size_t>(pool)].tcp = true;
    }
  }
  return listeners;
}

void CheckChoices(const v1::Pool& pool, const PoolFacts& facts, const std::string& path, Report& report) {
  if (!v1::Pool::OnUnhealthy_IsValid(pool.on_unhealthy())) {
    report.AddError(absl::StrCat(path, ".on_unhealthy"), "unknown on_unhealthy; use keep, move or reset");
  } else if (pool.on_unhealthy() == v1::Pool::RESET && facts.forwarding != v1::Pool::FORWARDING_UNSPECIFIED &&
             !Translates(facts.forwarding)) {
    report.AddError(absl::StrCat(path, ".on_unhealthy"),
                    "nobody believes a RST without the sequence numbers of its flow, which only nat and full_nat know; "
                    "use move, after which the next server resets them, or set forwarding: nat or full_nat");
  }
  if (!v1::Pool::WhenAllUnhealthy_IsValid(pool.when_all_unhealthy())) {
    report.AddError(absl::StrCat(path, ".when_all_unhealthy"),
                    "unknown when_all_unhealthy; use fail_open or fail_closed");
  }
}

}  // namespace

void CheckHealthChecks(const v1::Config& config, Report& report, const Facts& facts) {
  std::vector<Listeners> listeners = ListenersOf(config, facts);
  // A listener whose pool could not be read may be the one that leads here.
  if (report.MissingIsExplained("listeners")) std::fill(listeners.begin(), listeners.end(), Listeners{true, true});
  double per_second = 0;
  for (int i = 0; i < config.pools_size(); ++i) {
    const v1::Pool& pool = config.pools(i);
    const std::string path = At("pools", i, "");
    const PoolFacts& pool_facts = facts.pools[static_cast<size_t>(i)];
    CheckChoices(pool, pool_facts, path, report);
    if (!pool.has_health_check() || pool.health_check().type() == Check::NONE) CheckWithout(pool, path, report);
    per_second += ChecksPerSecond(pool);
    if (pool.has_agent()) CheckAgent(pool.agent(), absl::StrCat(path, ".agent"), report);
    if (!pool.has_health_check()) continue;
    HealthChecks(pool, pool_facts, path, report).Run(listeners[static_cast<size_t>(i)]);
  }
  if (per_second > kManyChecksPerSecond) {
    report.AddWarning("pools", absl::StrCat("the health checks of all pools are ", static_cast<int64_t>(per_second),
                                            " a second; above ", static_cast<int64_t>(kManyChecksPerSecond),
                                            " they may be late: raise interval"));
  }
}

}  // namespace sluice::config
