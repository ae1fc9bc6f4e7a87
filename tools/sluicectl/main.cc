// sluicectl, the command line of a running sluiced.

#include <gflags/gflags.h>
#include <grpc/support/log.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tools/sluicectl/client.h"

DEFINE_string(api, "unix:/run/sluice/api.sock", "where sluiced serves its API");
DEFINE_string(ca_file, "", "over TCP: PEM of who has signed the server's certificate");
DEFINE_string(certificate_file, "", "over TCP: PEM of this client's certificate");
DEFINE_string(key_file, "", "over TCP: PEM of its key");
DEFINE_string(server_name, "", "over TCP: the name that the server's certificate is for, where that is not the host");
DEFINE_string(o, "table", "form of the answer: table, json, yaml or csv");
DEFINE_bool(watch, false, "verbs that read: again every --interval, until Ctrl-C");
DEFINE_string(interval, "1s", "of --watch");
DEFINE_bool(stats, false, "list: traffic since the start of sluiced");
DEFINE_bool(rate, false, "list: traffic by the second");
DEFINE_bool(dry_run, false, "verbs that change something: only say what would change");
DEFINE_int64(revision, -1, "verbs that change something: only if it is still that revision");
DEFINE_uint32(weight, 1, "backend add: its share of new flows");
DEFINE_uint32(port, 0, "backend add: port on the server, with nat and full_nat; 0: the listener's");
DEFINE_bool(wait, false, "backend remove: drain it first, until its flows have ended or --drain_timeout is over");
DEFINE_string(drain_timeout, "30s", "of --wait");
DEFINE_string(timeout, "30s", "for an answer");
DEFINE_string(source, "", "flows list, flows kill: only of clients in this prefix, which only NAT sessions know");
DEFINE_uint64(limit, 1000, "flows list: so many at most");
DEFINE_string(protocol, "tcp", "explain, flows get, flows kill: tcp, udp or icmp");
DECLARE_bool(help);

// What gflags calls when it does not know a flag or its value; exported, but in none of its headers.
namespace google {
extern void (*gflags_exitfunc)(int);
}  // namespace google

namespace {

[[noreturn]] void ExitWithUsage(int) {
  std::exit(static_cast<int>(sluice::Exit::kUsage));
}

// False, and says so, unless it is a time above zero.
bool ReadTime(const char* flag, const std::string& text, absl::Duration* time) {
  if (absl::ParseDuration(text, time) && *time > absl::ZeroDuration() && *time <= absl::Hours(24 * 365)) return true;
  std::fprintf(stderr, "sluicectl: --%s=%s is not a time; write it like 30s or 500ms\n", flag, text.c_str());
  return false;
}

bool ReadFile(const char* flag, const std::string& path, std::string* text) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  *text = content.str();
  if (!file.fail() && !text->empty()) return true;
  std::fprintf(stderr, "sluicectl: --%s=%s cannot be read; over TCP it has to be a PEM file\n", flag, path.c_str());
  return false;
}

// Over a Unix socket there is nothing to read.
bool ReadCertificates(sluice::Client::Options* options) {
  if (options->api.rfind("unix:", 0) == 0) return true;
  if (FLAGS_ca_file.empty() || FLAGS_certificate_file.empty() || FLAGS_key_file.empty()) {
    std::fprintf(stderr,
                 "sluicectl: --api=%s would be over TCP, which takes --ca_file, --certificate_file and --key_file; a "
                 "socket of this machine is --api=unix:/run/sluice/api.sock\n",
                 options->api.c_str());
    return false;
  }
  options->server_name = FLAGS_server_name;
  return ReadFile("ca_file", FLAGS_ca_file, &options->ca) &&
         ReadFile("certificate_file", FLAGS_certificate_file, &options->certificate) &&
         ReadFile("key_file", FLAGS_key_file, &options->key);
}

// Those of this file, by name; which of them are on the command line goes to `given`.
sluice::Flags ReadFlags(std::vector<std::string>* given) {
  std::vector<gflags::CommandLineFlagInfo> all;
  gflags::GetAllFlags(&all);
  sluice::Flags flags;
  for (const gflags::CommandLineFlagInfo& flag : all) {
    const bool other = flag.filename.find("sluicectl/main.cc") == std::string::npos;
    if (other && flag.name != "help") continue;
    if (!flag.is_default) given->push_back(flag.name);
    const bool is_switch = flag.type == "bool";
    // -1: none.
    const bool shown = !is_switch && flag.default_value != "-1";
    flags.push_back({flag.name, is_switch, shown ? flag.default_value : "", other ? "this" : flag.description});
  }
  return flags;
}

bool ReadOptions(sluice::Client::Options* options) {
  options->api = FLAGS_api;
  if (!ReadCertificates(options)) return false;
  const absl::StatusOr<sluice::Format> format = sluice::ParseFormat(FLAGS_o);
  if (!format.ok()) {
    std::fprintf(stderr, "sluicectl: %s\n", std::string(format.status().message()).c_str());
    return false;
  }
  options->format = *format;
  absl::Duration watch;
  absl::Duration drain;
  if (!ReadTime("timeout", FLAGS_timeout, &options->timeout) || !ReadTime("interval", FLAGS_interval, &watch) ||
      !ReadTime("drain_timeout", FLAGS_drain_timeout, &drain)) {
    return false;
  }
  if (FLAGS_watch) options->watch = watch;
  if (FLAGS_wait) options->drain = drain;
  options->change.set_dry_run(FLAGS_dry_run);
  if (FLAGS_revision >= 0) options->change.set_revision(static_cast<uint64_t>(FLAGS_revision));
  options->columns = FLAGS_rate    ? sluice::Columns::kRate
                     : FLAGS_stats ? sluice::Columns::kStats
                                   : sluice::Columns::kPlain;
  options->weight = FLAGS_weight;
  options->port = FLAGS_port;
  options->source = FLAGS_source;
  options->limit = FLAGS_limit;
  options->protocol = FLAGS_protocol;
  options->flags = ReadFlags(&options->given);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  gflags::SetVersionString(SLUICE_VERSION);
  google::gflags_exitfunc = ExitWithUsage;
  gflags::ParseCommandLineNonHelpFlags(&argc, &argv, true);
  if (FLAGS_help) {
    std::vector<std::string> given;
    std::fputs(sluice::UsageText(ReadFlags(&given)).c_str(), stdout);
    return 0;
  }
  google::gflags_exitfunc = std::exit;
  gflags::HandleCommandLineHelpFlags();
  // A reader that goes away ends it without a word.
  std::signal(SIGPIPE, SIG_DFL);
  // What is wrong is in the answer.
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function([](gpr_log_func_args*) {});
  sluice::Client::Options options;
  if (!ReadOptions(&options)) return static_cast<int>(sluice::Exit::kUsage);
  sluice::Client client(std::move(options), std::cout, std::cerr);
  return static_cast<int>(client.Run({argv + 1, argv + argc}));
}
