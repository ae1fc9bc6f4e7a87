#include "report.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "figure.h"

namespace sluice::bench {
namespace {

double NsPerPacket(const Run& run) {
  return run.packets == 0 ? 0 : run.seconds * 1e9 / static_cast<double>(run.packets);
}

double CyclesOfNs(const Results& results) {
  return static_cast<double>(results.tsc_hz) / 1e9;
}

struct Loss {
  uint64_t sent = 0;
  uint64_t lost = 0;

  double share() const { return sent == 0 ? 0 : static_cast<double>(lost) / static_cast<double>(sent); }
};

Loss LossOf(const std::vector<Run>& runs) {
  Loss loss;
  for (const Run& run : runs) {
    loss.sent += run.sent;
    loss.lost += run.lost;
  }
  return loss;
}

// What every report has, by its name in JSON. Ratios are of the two runs of one repetition.
struct Figures {
  explicit Figures(const Results& results)
      : mpps(FigureOf(results.balancer, &Run::mpps)),
        ns(FigureOf(results.balancer, NsPerPacket)),
        cycles(ns.Times(CyclesOfNs(results))),
        floor_mpps(FigureOf(results.floor, &Run::mpps)),
        floor_ns(FigureOf(results.floor, NsPerPacket)),
        floor_cycles(floor_ns.Times(CyclesOfNs(results))),
        generator_mpps(FigureOf(results.generator, &Run::mpps)),
        batch(FigureOf(results.balancer, [](const Run& run) { return run.batch; })),
        floor_batch(FigureOf(results.floor, [](const Run& run) { return run.batch; })) {
    std::vector<double> ratios;
    for (size_t i = 0; i < results.floor.size(); i++) {
      const double floor = results.floor[i].mpps();
      ratios.push_back(floor > 0 ? results.balancer[i].mpps() / floor : 0);
    }
    ratio = FigureOf(ratios);
    offered_mpps = FigureOf(results.balancer_offered, &Run::offered_mpps);
    for (size_t i = 0; i < std::size(kPercentiles); i++) {
      const auto of = [i](const Run& run) { return run.latency_ns[i]; };
      latency[i] = {FigureOf(results.balancer_offered, of), FigureOf(results.floor_offered, of)};
    }
    flooded_mpps = FigureOf(results.balancer_flooded, &Run::mpps);
    std::vector<double> flooded;
    for (size_t i = 0; i < results.balancer_flooded.size(); i++) {
      const double alone = results.balancer[i].mpps();
      flooded.push_back(alone > 0 ? results.balancer_flooded[i].mpps() / alone : 0);
    }
    flooded_ratio = FigureOf(flooded);
    throughput = {FigureOf(results.balancer_throughput, &Throughput::mpps),
                  FigureOf(results.floor_throughput, &Throughput::mpps)};
    offered_loss_balancer = LossOf(results.balancer_offered);
    offered_loss_floor = LossOf(results.floor_offered);
    loss = LossOf(results.balancer);
  }

  struct Sides {
    Figure balancer, floor;
  };
  Figure mpps, ns, cycles, floor_mpps, floor_ns, floor_cycles, generator_mpps, batch, floor_batch, ratio;
  Figure flooded_mpps, flooded_ratio;
  Sides throughput;
  // At the offered rate.
  Figure offered_mpps;
  std::array<Sides, std::size(kPercentiles)> latency;
  Loss offered_loss_balancer, offered_loss_floor;
  Loss loss;
};

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string Forwarding(const Settings& settings) {
  return absl::AsciiStrToLower(v1::Pool::Forwarding_Name(settings.forwarding));
}

std::string Protocol(const Settings& settings) {
  return settings.traffic.protocol == SLUICE_IP_UDP ? "udp" : "tcp";
}

std::string Popularity(const Settings& settings) {
  const double exponent = settings.traffic.zipf_exponent;
  return exponent == 0 ? "uniform" : absl::StrCat("zipf ", exponent);
}

std::string Device(const Settings& settings) {
  if (settings.kernel) return "BPF_PROG_TEST_RUN";
  return settings.device.empty() ? "net_ring" : settings.device;
}

std::string HugePagesText(const Settings& settings) {
  if (settings.huge_pages == HugePages::kOff) return "off";
  return settings.huge_pages == HugePages::kRequired ? "required" : "preferred";
}

using Object = google::protobuf::Struct;

void Add(Object& object, const std::string& name, double value) {
  (*object.mutable_fields())[name].set_number_value(value);
}

void Add(Object& object, const std::string& name, const std::string& value) {
  (*object.mutable_fields())[name].set_string_value(value);
}

void Add(Object& object, const std::string& name, const Figure& figure) {
  Add(object, name, figure.median);
  Add(object, name + "_min", figure.min);
  Add(object, name + "_max", figure.max);
}

void AddSettings(Object& object, const Settings& settings) {
  Add(object, "engine", std::string(settings.kernel ? "xdp" : "dpdk"));
  Add(object, "device", Device(settings));
  Add(object, "workers", settings.workers);
  Add(object, "forwarding", Forwarding(settings));
  Add(object, "family", settings.traffic.family);
  Add(object, "protocol", Protocol(settings));
  Add(object, "flows", static_cast<double>(settings.traffic.flows));
  Add(object, "room", static_cast<double>(settings.room));
  Add(object, "huge_pages", HugePagesText(settings));
  if (settings.device.empty()) {
    Add(object, "new_flows", settings.traffic.new_flows);
    Add(object, "full_table", std::string(settings.full_table ? "yes" : "no"));
    Add(object, "packet_sizes", absl::StrJoin(settings.traffic.sizes, ","));
    Add(object, "popularity", Popularity(settings));
  }
  if (settings.offered_mpps > 0) Add(object, "rate", absl::StrCat(settings.offered_mpps));
  if (settings.offered_share > 0) Add(object, "rate", absl::StrCat(settings.offered_share * 100, "%"));
  Add(object, "seconds", settings.seconds);
  Add(object, "repetitions", settings.repetitions);
  Add(object, "cpu", CpuModel());
}

std::string Line(const std::string& name, const std::string& unit, const Figure& figure) {
  return absl::StrFormat("%-22s %8.2f %-6s (%.2f to %.2f)\n", name, figure.median, unit, figure.min, figure.max);
}

std::string TrafficText(const Settings& settings, const Results& results) {
  return absl::StrFormat(
      "flows %s, share of new ones %g, frames of %s bytes; balancer on CPU %d, generator on CPU %d\n",
      Popularity(settings), settings.traffic.new_flows, absl::StrJoin(settings.traffic.sizes, ","),
      results.balancer_cpu, results.generator_cpu);
}

std::string FloorText(const Settings& settings, const Figures& figures) {
  const std::string text =
      absl::StrCat(Line("floor", "Mpps", figures.floor_mpps), Line("", "ns", figures.floor_ns),
                   Line("", "cycles", figures.floor_cycles), Line("balancer to floor", "", figures.ratio));
  if (settings.kernel) return text;
  const std::string full = absl::StrCat("of ", SLUICE_BURST);
  return absl::StrCat(text, Line("generator alone", "Mpps", figures.generator_mpps),
                      Line("batch of the balancer", full, figures.batch),
                      Line("batch of the floor", full, figures.floor_batch));
}

std::string GaveWayText(const Results& results) {
  return absl::StrFormat(
      "new flows' entries: %d in place of none, %d of another new one's, %d of an established flow's; %d found no "
      "place\n",
      results.gave_way[SLUICE_VICTIM_EMPTY] + results.gave_way[SLUICE_VICTIM_EXPIRED],
      results.gave_way[SLUICE_VICTIM_NEW], results.gave_way[SLUICE_VICTIM_CONFIRMED],
      results.gave_way[SLUICE_VICTIM_NONE]);
}

std::string LossText(const char* name, const Loss& loss) {
  return absl::StrFormat("%-22s %8.6f %%     (%d of %d packets)\n", name, loss.share() * 100, loss.lost, loss.sent);
}

std::string FloodText(const Settings& settings, const Results& results, const Figures& figures) {
  const double established = 1 - settings.syn_flood;
  std::string text = absl::StrCat("\n", Line("with a flood of SYNs", "Mpps", figures.flooded_mpps),
                                  Line("  established flows", "Mpps", figures.flooded_mpps.Times(established)),
                                  Line("  to without it", "", figures.flooded_ratio));
  absl::StrAppendFormat(&text, "  %g %% of all packets were SYNs of new flows\n", settings.syn_flood * 100);
  return absl::StrCat(text, GaveWayText(results));
}

std::string LatencyText(const Figures& figures) {
  std::string text = absl::StrCat("\n", Line("offered", "Mpps", figures.offered_mpps));
  for (size_t i = 0; i < std::size(kPercentiles); i++) {
    absl::StrAppend(&text,
                    Line(absl::StrCat("latency ", kPercentiles[i].name), "us", figures.latency[i].balancer.Times(1e-3)),
                    Line("  floor's", "us", figures.latency[i].floor.Times(1e-3)));
  }
  return absl::StrCat(text, LossText("loss", figures.offered_loss_balancer),
                      LossText("  floor's", figures.offered_loss_floor));
}

std::string ThroughputText(const Settings& settings, const Results& results, const Figures& figures) {
  std::string text = absl::StrCat("\n", Line("rate without loss", "Mpps", figures.throughput.balancer),
                                  Line("  floor's", "Mpps", figures.throughput.floor));
  absl::StrAppendFormat(&text, "  by RFC 2544: trials of %g s, in steps of %g %%, loss of %g %% accepted\n",
                        settings.throughput.trial_seconds, settings.throughput.resolution * 100,
                        settings.throughput.accepted_loss * 100);
  for (const auto* side : {&results.balancer_throughput, &results.floor_throughput}) {
    const auto limited = std::count_if(side->begin(), side->end(),
                                       [](const Throughput& found) { return found.generator_was_the_limit; });
    if (limited == 0) continue;
    absl::StrAppendFormat(&text, "  in %d of %d searches of the %s the generator had no more to offer\n", limited,
                          side->size(), side == &results.floor_throughput ? "floor" : "balancer");
  }
  return text;
}

void AddThroughput(Object& object, const Settings& settings, const Results& results, const Figures& figures) {
  Add(object, "throughput_mpps", figures.throughput.balancer);
  Add(object, "floor_throughput_mpps", figures.throughput.floor);
  Add(object, "trial_seconds", settings.throughput.trial_seconds);
  Add(object, "resolution", settings.throughput.resolution);
  Add(object, "accepted_loss", settings.throughput.accepted_loss);
  const auto limited = [](const Throughput& found) { return found.generator_was_the_limit; };
  Add(object, "throughput_limited_by_generator",
      static_cast<double>(
          std::count_if(results.balancer_throughput.begin(), results.balancer_throughput.end(), limited)));
}

void AddLatencies(Object& object, const Figures& figures) {
  Add(object, "offered_mpps", figures.offered_mpps);
  for (size_t i = 0; i < std::size(kPercentiles); i++) {
    const std::string name = absl::StrReplaceAll(absl::StrCat("latency_", kPercentiles[i].name, "_ns"), {{".", "_"}});
    Add(object, name, figures.latency[i].balancer);
    Add(object, absl::StrCat("floor_", name), figures.latency[i].floor);
  }
  Add(object, "offered_loss", figures.offered_loss_balancer.share());
  Add(object, "floor_offered_loss", figures.offered_loss_floor.share());
}

}  // namespace

std::string Text(const Settings& settings, const Results& results) {
  const Figures figures(results);
  std::string text = absl::StrFormat(
      "%s, IPv%d, %d %s flows, %s engine over %s, %s, %s\n", Forwarding(settings), settings.traffic.family,
      settings.traffic.flows, absl::AsciiStrToUpper(Protocol(settings)), settings.kernel ? "xdp" : "dpdk",
      Device(settings), settings.workers == 1 ? "one worker" : absl::StrCat(settings.workers, " workers"), CpuModel());
  if (settings.device.empty()) absl::StrAppend(&text, TrafficText(settings, results));
  absl::StrAppendFormat(&text, "median of %d runs of %g s (min to max)\n\n", settings.repetitions, settings.seconds);
  absl::StrAppend(&text, Line("balancer", "Mpps", figures.mpps), Line("", "ns", figures.ns),
                  Line("", "cycles", figures.cycles));
  if (settings.device.empty()) absl::StrAppend(&text, FloorText(settings, figures));
  absl::StrAppend(&text, LossText("loss", figures.loss));
  if (settings.traffic.new_flows > 0 && !settings.kernel) absl::StrAppend(&text, GaveWayText(results));
  if (!results.balancer_flooded.empty()) absl::StrAppend(&text, FloodText(settings, results, figures));
  if (!results.balancer_throughput.empty()) absl::StrAppend(&text, ThroughputText(settings, results, figures));
  if (!results.balancer_offered.empty()) absl::StrAppend(&text, LatencyText(figures));
  absl::StrAppendFormat(
      &text, "\n%-22s %8.1f MiB   (%.1f bytes a flow that has room); the process in all %.1f MiB\n", "tables of flows",
      static_cast<double>(results.table_bytes) / (1 << 20),
      static_cast<double>(results.table_bytes) / static_cast<double>(settings.workers * settings.room),
      static_cast<double>(results.resident_bytes) / (1 << 20));
  for (const std::string& note : results.notes) absl::StrAppend(&text, "note: ", note, "\n");
  return text;
}

std::string Json(const Settings& settings, const Results& results) {
  const Figures figures(results);
  Object object;
  AddSettings(object, settings);
  Add(object, "mpps", figures.mpps);
  Add(object, "ns_per_packet", figures.ns);
  Add(object, "cycles_per_packet", figures.cycles);
  if (settings.device.empty()) {
    Add(object, "floor_mpps", figures.floor_mpps);
    Add(object, "floor_ns_per_packet", figures.floor_ns);
    Add(object, "floor_cycles_per_packet", figures.floor_cycles);
    Add(object, "ratio_to_floor", figures.ratio);
  }
  if (settings.device.empty() && !settings.kernel) {
    Add(object, "generator_mpps", figures.generator_mpps);
    Add(object, "batch", figures.batch);
    Add(object, "floor_batch", figures.floor_batch);
  }
  Add(object, "sent", static_cast<double>(figures.loss.sent));
  Add(object, "lost", static_cast<double>(figures.loss.lost));
  Add(object, "loss", figures.loss.share());
  if (!results.balancer_flooded.empty()) {
    Add(object, "syn_flood", settings.syn_flood);
    Add(object, "flooded_mpps", figures.flooded_mpps);
    Add(object, "flooded_established_mpps", figures.flooded_mpps.Times(1 - settings.syn_flood));
    Add(object, "flooded_ratio", figures.flooded_ratio);
  }
  if (settings.device.empty() && !settings.kernel) {
    Add(object, "new_in_place_of_new", static_cast<double>(results.gave_way[SLUICE_VICTIM_NEW]));
    Add(object, "new_in_place_of_established", static_cast<double>(results.gave_way[SLUICE_VICTIM_CONFIRMED]));
    Add(object, "new_without_a_place", static_cast<double>(results.gave_way[SLUICE_VICTIM_NONE]));
  }
  if (!results.balancer_throughput.empty()) AddThroughput(object, settings, results, figures);
  if (!results.balancer_offered.empty()) AddLatencies(object, figures);
  Add(object, "not_forwarded", static_cast<double>(results.not_forwarded));
  Add(object, "table_bytes", static_cast<double>(results.table_bytes));
  Add(object, "resident_bytes", static_cast<double>(results.resident_bytes));
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(object, &text, options).ok()) return "";
  return text;
}

}  // namespace sluice::bench
