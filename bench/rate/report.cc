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

namespace sluice::bench {
namespace {

struct Figure {
  double median = 0;
  double min = 0;
  double max = 0;
};

Figure FigureOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

template <typename Of>
Figure FigureOf(const std::vector<Run>& runs, Of of) {
  std::vector<double> values;
  for (const Run& run : runs) values.push_back(std::invoke(of, run));
  return FigureOf(std::move(values));
}

double NsPerPacket(const Run& run) {
  return run.packets == 0 ? 0 : run.seconds * 1e9 / static_cast<double>(run.packets);
}

// What every report has, by its name in JSON. Ratios are of the two runs of one repetition.
struct Figures {
  explicit Figures(const Results& results)
      : mpps(FigureOf(results.balancer, &Run::mpps)),
        ns(FigureOf(results.balancer, NsPerPacket)),
        floor_mpps(FigureOf(results.floor, &Run::mpps)),
        floor_ns(FigureOf(results.floor, NsPerPacket)),
        generator_mpps(FigureOf(results.generator, &Run::mpps)),
        batch(FigureOf(results.balancer, [](const Run& run) { return run.batch; })),
        floor_batch(FigureOf(results.floor, [](const Run& run) { return run.batch; })) {
    std::vector<double> ratios;
    for (size_t i = 0; i < results.balancer.size(); i++) {
      const double floor = results.floor[i].mpps();
      ratios.push_back(floor > 0 ? results.balancer[i].mpps() / floor : 0);
      sent += results.balancer[i].sent;
      lost += results.balancer[i].lost;
    }
    ratio = FigureOf(ratios);
  }

  double loss() const { return sent == 0 ? 0 : static_cast<double>(lost) / static_cast<double>(sent); }

  Figure mpps, ns, floor_mpps, floor_ns, generator_mpps, batch, floor_batch, ratio;
  uint64_t sent = 0;
  uint64_t lost = 0;
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

std::string Popularity(const Settings& settings) {
  const double exponent = settings.traffic.zipf_exponent;
  return exponent == 0 ? "uniform" : absl::StrCat("zipf ", exponent);
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
  Add(object, "engine", std::string("dpdk"));
  Add(object, "device", std::string("net_ring"));
  Add(object, "forwarding", Forwarding(settings));
  Add(object, "family", settings.traffic.family);
  Add(object, "flows", static_cast<double>(settings.traffic.flows));
  Add(object, "room", static_cast<double>(settings.room));
  Add(object, "new_flows", settings.traffic.new_flows);
  Add(object, "packet_sizes", absl::StrJoin(settings.traffic.sizes, ","));
  Add(object, "popularity", Popularity(settings));
  Add(object, "seconds", settings.seconds);
  Add(object, "repetitions", settings.repetitions);
  Add(object, "cpu", CpuModel());
}

std::string Line(const std::string& name, const char* unit, const Figure& figure) {
  return absl::StrFormat("%-22s %8.2f %-6s (%.2f to %.2f)\n", name, figure.median, unit, figure.min, figure.max);
}

}  // namespace

std::string Text(const Settings& settings, const Results& results) {
  const Figures figures(results);
  std::string text = absl::StrFormat(
      "%s, IPv%d, %d flows (%s), new flows %g, frames of %s bytes, dpdk engine with one worker over net_ring\n"
      "median of %d runs of %g s (min to max); balancer on CPU %d, generator on CPU %d: %s\n\n",
      Forwarding(settings), settings.traffic.family, settings.traffic.flows, Popularity(settings),
      settings.traffic.new_flows, absl::StrJoin(settings.traffic.sizes, ","), settings.repetitions, settings.seconds,
      results.balancer_cpu, results.generator_cpu, CpuModel());
  absl::StrAppend(&text, Line("balancer", "Mpps", figures.mpps), Line("", "ns", figures.ns),
                  Line("floor", "Mpps", figures.floor_mpps), Line("", "ns", figures.floor_ns),
                  Line("balancer to floor", "", figures.ratio), Line("generator alone", "Mpps", figures.generator_mpps),
                  Line("batch of the balancer", "of 32", figures.batch),
                  Line("batch of the floor", "of 32", figures.floor_batch));
  absl::StrAppendFormat(&text, "%-22s %8.6f %%     (%d of %d packets)\n", "loss", figures.loss() * 100, figures.lost,
                        figures.sent);
  absl::StrAppendFormat(&text, "%-22s %8.1f MiB   (%.1f bytes a flow that has room); the process in all %.1f MiB\n",
                        "tables of flows", static_cast<double>(results.table_bytes) / (1 << 20),
                        static_cast<double>(results.table_bytes) / static_cast<double>(settings.room),
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
  Add(object, "floor_mpps", figures.floor_mpps);
  Add(object, "floor_ns_per_packet", figures.floor_ns);
  Add(object, "ratio_to_floor", figures.ratio);
  Add(object, "generator_mpps", figures.generator_mpps);
  Add(object, "batch", figures.batch);
  Add(object, "floor_batch", figures.floor_batch);
  Add(object, "sent", static_cast<double>(figures.sent));
  Add(object, "lost", static_cast<double>(figures.lost));
  Add(object, "loss", figures.loss());
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
