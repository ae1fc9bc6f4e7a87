// sluicebench, the packet rate of a whole dpdk engine: a generator on one core, the balancer on another, and between
// them a device in memory (docs/performance.md).

#include <gflags/gflags.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "compare.h"
#include "config/bounds.h"
#include "config/forwarding.h"
#include "device.h"
#include "generate.h"
#include "kernel.h"
#include "measure.h"
#include "pcap.h"
#include "report.h"

DEFINE_string(engine, "dpdk", "dpdk | xdp: the program in the kernel, under BPF_PROG_TEST_RUN; needs root");
DEFINE_string(forwarding, "dsr_l2", "dsr_l2 | ipip | gue | nat | full_nat; of translated flows, clients' packets");
DEFINE_int32(family, 4, "4 | 6: IPv4 or IPv6, of clients and servers");
DEFINE_string(protocol, "tcp", "tcp | udp");
DEFINE_uint64(flows, 64'000, "flows that are established, 1 to 100,000,000");
DEFINE_uint64(room, 0, "flows that the tables have room for, --flows to 200,000,000; 0: as many as --flows");
DEFINE_string(device, "",
              "a device of DPDK that brings its own traffic, of --flows flows as --write_pcap has them, as "
              "net_pcap0,rx_pcap=FILE,infinite_rx=1; without a floor");
DEFINE_uint32(workers, 1, "of the balancer; more than one with a --device of as many queues");
DEFINE_string(write_pcap, "", "measures nothing: writes a packet of each of --flows flows to this file");
DEFINE_string(generate, "",
              "measures nothing: makes this socket, and sends packets of the smallest size to the client of net_memif "
              "that connects to it, first those that open --flows flows of --forwarding, until it goes");
DEFINE_double(new_flows, 0,
              "of all packets, the share that open a flow (of TCP with a SYN) that had not been before, 0 to 1");
DEFINE_bool(
    full_table, false,
    "new flows fill the table of flows before anything is measured, so that each further one takes the place of "
    "another; not for nat and full_nat, whose established sessions give way to none");
DEFINE_double(syn_flood, 0,
              "measures the balancer's rate also with a flood of SYNs, this share of all packets, beside the "
              "established flows, 0 to 1; in turns with the runs without it");
DEFINE_string(popularity, "uniform", "uniform | zipf: how packets are spread over the flows");
DEFINE_double(zipf_exponent, 1.1, "with --popularity=zipf: its exponent, above 1 to 10");
DEFINE_string(packet_size, "smallest",
              "bytes of a frame on the wire, up to 1518 | smallest (64, of IPv6 78, with UDP 74) | imix (7 of the "
              "smallest, 4 of 594, 1 "
              "of 1518)");
DEFINE_string(huge_pages, "preferred", "preferred | required | off: reserved ones of 2 MiB, for tables and packets");
DEFINE_double(seconds, 1, "of each run, 0.01 to 3600");
DEFINE_uint32(repetitions, 7, "runs of the balancer and of the floor, in turns, and of the generator alone; 1 to 1000");
DEFINE_string(rate, "50%",
              "that is offered while latencies are taken: Mpps, or a share of the balancer's rate, as 80%; 0: no "
              "latencies");
DEFINE_double(trial_seconds, 0.2,
              "of each trial of the search for the highest rate without loss, 0.01 to 3600 (RFC 2544 wants 60); 0: no "
              "search");
DEFINE_double(resolution, 0.01, "of that search, a share of the balancer's rate, 0.0001 to 0.5");
DEFINE_double(accepted_loss, 0, "the share of its packets that a trial may lose, 0 to 0.5; RFC 2544 allows none");
DEFINE_string(json, "",
              "file that gets the results as JSON too; - or nothing for the standard output, which then has nothing "
              "else");
DEFINE_bool(compare, false, "measures nothing: compares the two JSON files that are given");

namespace {

using sluice::bench::Settings;
using sluice::bench::Traffic;

constexpr uint64_t kMostFlows = 100'000'000;
constexpr uint16_t kLongestFrame = 1518;
// The Simple IMIX of testers: frames that hold IP packets of 40, 576 and 1,500 bytes, 7 to 4 to 1.
constexpr uint16_t kMiddleFrame = 594;

absl::Status Wrong(const std::string& flag, const std::string& words) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", words));
}

absl::StatusOr<std::vector<uint16_t>> Sizes(uint8_t protocol) {
  const uint16_t shortest = Traffic::Shortest(FLAGS_family, protocol);
  if (FLAGS_packet_size == "smallest") return std::vector<uint16_t>{shortest};
  if (FLAGS_packet_size == "imix") {
    return std::vector<uint16_t>{shortest, kMiddleFrame, shortest, kMiddleFrame, shortest, kLongestFrame,
                                 shortest, kMiddleFrame, shortest, kMiddleFrame, shortest, shortest};
  }
  uint32_t size = 0;
  if (!absl::SimpleAtoi(FLAGS_packet_size, &size) || size < shortest || size > kLongestFrame) {
    return Wrong("packet_size", absl::StrCat(FLAGS_packet_size, " is not smallest, imix or a number from ", shortest,
                                             " to ", kLongestFrame));
  }
  return std::vector<uint16_t>{static_cast<uint16_t>(size)};
}

absl::Status ReadTraffic(sluice::bench::TrafficOptions* traffic) {
  if (FLAGS_family != 4 && FLAGS_family != 6) return Wrong("family", "4 or 6");
  traffic->family = FLAGS_family;
  if (FLAGS_protocol != "tcp" && FLAGS_protocol != "udp") return Wrong("protocol", "tcp or udp");
  traffic->protocol = FLAGS_protocol == "udp" ? SLUICE_IP_UDP : SLUICE_IP_TCP;
  if (FLAGS_flows < 1 || FLAGS_flows > kMostFlows) return Wrong("flows", "1 to 100000000");
  traffic->flows = FLAGS_flows;
  if (!(FLAGS_new_flows >= 0 && FLAGS_new_flows <= 1)) return Wrong("new_flows", "0 to 1");
  traffic->new_flows = FLAGS_new_flows;
  if (FLAGS_popularity == "zipf") {
    if (!(FLAGS_zipf_exponent > 1 && FLAGS_zipf_exponent <= 10)) return Wrong("zipf_exponent", "above 1, to 10");
    traffic->zipf_exponent = FLAGS_zipf_exponent;
  } else if (FLAGS_popularity != "uniform") {
    return Wrong("popularity", "uniform or zipf");
  } else if (!gflags::GetCommandLineFlagInfoOrDie("zipf_exponent").is_default) {
    return Wrong("zipf_exponent", "is for --popularity=zipf");
  }
  absl::StatusOr<std::vector<uint16_t>> sizes = Sizes(traffic->protocol);
  if (!sizes.ok()) return sizes.status();
  traffic->sizes = *std::move(sizes);
  return absl::OkStatus();
}

absl::StatusOr<sluice::HugePages> ReadHugePages() {
  if (FLAGS_huge_pages == "preferred") return sluice::HugePages::kPreferred;
  if (FLAGS_huge_pages == "required") return sluice::HugePages::kRequired;
  if (FLAGS_huge_pages == "off") return sluice::HugePages::kOff;
  return Wrong("huge_pages", "preferred, required or off");
}

absl::Status ReadRate(Settings* settings) {
  // There is no generator.
  if (!settings->device.empty() || settings->kernel) return absl::OkStatus();
  const bool share = absl::EndsWith(FLAGS_rate, "%");
  double value = 0;
  if (!absl::SimpleAtod(absl::StripSuffix(FLAGS_rate, "%"), &value) || !(value >= 0 && value <= 1000)) {
    return Wrong("rate", "Mpps up to 1000, or a share as 80%");
  }
  if (share && value > 200) return Wrong("rate", "a share of the balancer's rate is up to 200%");
  (share ? settings->offered_share : settings->offered_mpps) = share ? value / 100 : value;
  return absl::OkStatus();
}

absl::Status ReadThroughput(Settings* settings) {
  sluice::bench::ThroughputOptions& options = settings->throughput;
  options = {FLAGS_trial_seconds, FLAGS_resolution, FLAGS_accepted_loss};
  const auto within = [](double value, double least, double most) { return value >= least && value <= most; };
  if (options.trial_seconds != 0 && !within(options.trial_seconds, 0.01, 3600)) {
    return Wrong("trial_seconds", "0.01 to 3600, or 0");
  }
  if (!within(options.resolution, 0.0001, 0.5)) return Wrong("resolution", "0.0001 to 0.5");
  if (!within(options.accepted_loss, 0, 0.5)) return Wrong("accepted_loss", "0 to 0.5");
  return absl::OkStatus();
}

// Options that say nothing where there is no generator.
absl::Status RefuseTraffic() {
  for (const char* flag : {"new_flows", "full_table", "syn_flood", "popularity", "zipf_exponent", "packet_size", "rate",
                           "trial_seconds", "resolution", "accepted_loss"}) {
    if (!gflags::GetCommandLineFlagInfoOrDie(flag).is_default) return Wrong(flag, "is for the generator, not --device");
  }
  return absl::OkStatus();
}

// Options of the dpdk engine and its generator.
absl::Status RefuseDpdk() {
  for (const char* flag : {"device", "workers", "generate", "full_table", "syn_flood", "popularity", "zipf_exponent",
                           "packet_size", "huge_pages", "rate", "trial_seconds", "resolution", "accepted_loss"}) {
    if (!gflags::GetCommandLineFlagInfoOrDie(flag).is_default) return Wrong(flag, "is for --engine=dpdk");
  }
  return absl::OkStatus();
}

absl::Status ReadFlood(Settings* settings) {
  if (!(FLAGS_syn_flood >= 0 && FLAGS_syn_flood <= 1)) return Wrong("syn_flood", "0 to 1");
  if (FLAGS_syn_flood > 0 && FLAGS_new_flows > 0) return Wrong("syn_flood", "is beside established flows alone");
  if (FLAGS_full_table && sluice::Translates(settings->forwarding)) {
    return Wrong("full_table", "is not for nat and full_nat, whose established sessions give way to none");
  }
  settings->syn_flood = FLAGS_syn_flood;
  settings->full_table = FLAGS_full_table;
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadSettings() {
  if (FLAGS_engine != "dpdk" && FLAGS_engine != "xdp") return Wrong("engine", "dpdk or xdp");
  Settings settings;
  settings.kernel = FLAGS_engine == "xdp";
  if (absl::Status status = settings.kernel ? RefuseDpdk() : absl::OkStatus(); !status.ok()) return status;
  settings.device = FLAGS_device;
  if (FLAGS_workers < 1 || FLAGS_workers > sluice::config::kMaxWorkers) {
    return Wrong("workers", absl::StrCat("1 to ", sluice::config::kMaxWorkers));
  }
  if (FLAGS_workers > 1 && FLAGS_device.empty()) return Wrong("workers", "the generator feeds one; see --device");
  settings.workers = FLAGS_workers;
  if (absl::Status status = FLAGS_device.empty() ? absl::OkStatus() : RefuseTraffic(); !status.ok()) return status;
  if (absl::Status status = ReadTraffic(&settings.traffic); !status.ok()) return status;
  if (absl::Status status = ReadRate(&settings); !status.ok()) return status;
  if (absl::Status status = ReadThroughput(&settings); !status.ok()) return status;
  if (!sluice::v1::Pool::Forwarding_Parse(absl::AsciiStrToUpper(FLAGS_forwarding), &settings.forwarding) ||
      settings.forwarding == sluice::v1::Pool::FORWARDING_UNSPECIFIED) {
    return Wrong("forwarding", "dsr_l2, ipip, gue, nat or full_nat");
  }
  if (absl::Status status = ReadFlood(&settings); !status.ok()) return status;
  absl::StatusOr<sluice::HugePages> huge_pages = ReadHugePages();
  if (!huge_pages.ok()) return huge_pages.status();
  settings.huge_pages = *huge_pages;
  if (settings.kernel) {
    settings.traffic.sizes = {sluice::bench::kKernelFrame};
    settings.throughput.trial_seconds = 0;
  }
  if (!(FLAGS_seconds >= 0.01 && FLAGS_seconds <= 3600)) return Wrong("seconds", "0.01 to 3600");
  settings.traffic.moved =
      settings.forwarding == sluice::v1::Pool::IPIP || settings.forwarding == sluice::v1::Pool::GUE;
  settings.room = FLAGS_room == 0 ? FLAGS_flows : FLAGS_room;
  if (settings.room < FLAGS_flows || settings.room > 2 * kMostFlows) return Wrong("room", "--flows to 200000000");
  settings.seconds = FLAGS_seconds;
  if (FLAGS_repetitions < 1 || FLAGS_repetitions > 1000) return Wrong("repetitions", "1 to 1000");
  settings.repetitions = FLAGS_repetitions;
  return settings;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file.is_open() || !(text << file.rdbuf())) return absl::NotFoundError(absl::StrCat(path, " can't be read"));
  return text.str();
}

absl::Status CompareFiles(int argc, char** argv) {
  if (argc != 3) return absl::InvalidArgumentError("--compare wants two files: sluicebench --compare A.json B.json");
  const absl::StatusOr<std::string> before = ReadFile(argv[1]);
  if (!before.ok()) return before.status();
  const absl::StatusOr<std::string> after = ReadFile(argv[2]);
  if (!after.ok()) return after.status();
  const absl::StatusOr<std::string> text = sluice::bench::Compare(*before, *after);
  if (!text.ok()) return text.status();
  std::cout << *text;
  return absl::OkStatus();
}

// On a terminal, over what it said before.
std::function<void(const std::string&)> ShowProgress() {
  return [terminal = isatty(STDERR_FILENO) == 1](const std::string& step) {
    if (terminal) std::cerr << "\r\033[K" << step << std::flush;
  };
}

absl::Status Measure(int argc) {
  if (argc > 1) return absl::InvalidArgumentError("options are --NAME=VALUE; --help has them");
  const absl::StatusOr<Settings> settings = ReadSettings();
  if (!settings.ok()) return settings.status();
  // Before the minutes that a measurement takes.
  std::ofstream file;
  const bool to_file = !FLAGS_json.empty() && FLAGS_json != "-";
  if (to_file) file.open(FLAGS_json);
  if (to_file && !file.is_open()) return Wrong("json", absl::StrCat(FLAGS_json, " can't be written"));
  const auto progress = ShowProgress();
  const auto measure = settings->kernel           ? sluice::bench::MeasureKernel
                       : settings->device.empty() ? sluice::bench::MeasureRate
                                                  : sluice::bench::MeasureDevice;
  const auto results = measure(*settings, progress);
  progress("");
  if (!results.ok()) return results.status();
  const std::string json = sluice::bench::Json(*settings, *results);
  if (to_file) file << json << std::flush;
  if (to_file && !file) return Wrong("json", absl::StrCat(FLAGS_json, " can't be written"));
  std::cout << (FLAGS_json == "-" ? json : sluice::bench::Text(*settings, *results));
  if (results->not_forwarded == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the rate is not that of forwarding: ", results->other_verdicts));
}

absl::Status Generate() {
  sluice::bench::GenerateOptions options{.path = FLAGS_generate};
  for (const char* flag : {"device", "packet_size", "full_table", "syn_flood", "rate", "trial_seconds", "resolution",
                           "accepted_loss", "json"}) {
    if (!gflags::GetCommandLineFlagInfoOrDie(flag).is_default) return Wrong(flag, "is not for --generate");
  }
  const absl::StatusOr<Settings> settings = ReadSettings();
  if (!settings.ok()) return settings.status();
  options.traffic = settings->traffic;
  options.handshake = sluice::Translates(settings->forwarding);
  const auto generated =
      sluice::bench::Generate(options, ShowProgress(), [] { std::cout << "flows are open" << std::endl; });
  ShowProgress()("");
  if (!generated.ok()) return generated.status();
  std::cout << generated->sent << " packets sent; "
            << absl::StrFormat("%.0f of 1023 were on their way; %.2f Mpps while undisturbed\n", generated->on_their_way,
                               generated->undisturbed_mpps);
  return absl::OkStatus();
}

absl::Status Write() {
  sluice::bench::TrafficOptions traffic;
  if (absl::Status status = ReadTraffic(&traffic); !status.ok()) return status;
  return sluice::bench::WritePcap(FLAGS_write_pcap, traffic);
}

// gflags has no strings with nothing behind their name.
void NameStandardOutput(int argc, char** argv) {
  static char json[] = "--json=-";
  for (int i = 1; i < argc; i++) {
    if (std::string_view(argv[i]) == "--json" || std::string_view(argv[i]) == "-json") argv[i] = json;
  }
}

}  // namespace

int main(int argc, char** argv) {
  NameStandardOutput(argc, argv);
  gflags::SetUsageMessage("the packet rate of a whole dpdk engine, beside the least that a balancer could do");
  gflags::SetVersionString(SLUICE_VERSION);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  const absl::Status status = FLAGS_compare               ? CompareFiles(argc, argv)
                              : !FLAGS_write_pcap.empty() ? Write()
                              : !FLAGS_generate.empty()   ? Generate()
                                                          : Measure(argc);
  if (status.ok()) return 0;
  std::cerr << "sluicebench: " << std::string(status.message()) << "\n";
  return 1;
}
