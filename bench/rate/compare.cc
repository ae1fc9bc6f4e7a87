#include "compare.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::bench {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

// What must agree for figures to be comparable, and where they do not, what it is.
constexpr const char* kSettings[] = {"engine",        "device",     "forwarding", "family",        "protocol",
                                     "flows",         "room",       "new_flows",  "full_table",    "syn_flood",
                                     "packet_sizes",  "popularity", "rate",       "trial_seconds", "resolution",
                                     "accepted_loss", "huge_pages", "seconds",    "repetitions",   "cpu"};
constexpr const char* kFigures[] = {"mpps",
                                    "ns_per_packet",
                                    "cycles_per_packet",
                                    "floor_mpps",
                                    "floor_ns_per_packet",
                                    "floor_cycles_per_packet",
                                    "ratio_to_floor",
                                    "generator_mpps",
                                    "batch",
                                    "floor_batch",
                                    "loss",
                                    "flooded_mpps",
                                    "flooded_established_mpps",
                                    "flooded_ratio",
                                    "new_in_place_of_established",
                                    "throughput_mpps",
                                    "floor_throughput_mpps",
                                    "offered_mpps",
                                    "latency_p50_ns",
                                    "floor_latency_p50_ns",
                                    "latency_p90_ns",
                                    "floor_latency_p90_ns",
                                    "latency_p99_ns",
                                    "floor_latency_p99_ns",
                                    "latency_p99_9_ns",
                                    "floor_latency_p99_9_ns",
                                    "latency_p99_99_ns",
                                    "floor_latency_p99_99_ns",
                                    "latency_max_ns",
                                    "floor_latency_max_ns",
                                    "offered_loss",
                                    "floor_offered_loss",
                                    "table_bytes",
                                    "resident_bytes"};

absl::StatusOr<Struct> Parse(const std::string& text) {
  Struct object;
  if (!google::protobuf::util::JsonStringToMessage(text, &object).ok() || !object.fields().contains("mpps")) {
    return absl::InvalidArgumentError("not what `sluicebench --json=FILE` writes");
  }
  return object;
}

std::string TextOf(const Struct& object, const std::string& name) {
  const auto found = object.fields().find(name);
  if (found == object.fields().end()) return "unknown";
  const Value& value = found->second;
  return value.has_number_value() ? absl::StrCat(value.number_value()) : value.string_value();
}

double NumberOf(const Struct& object, const std::string& name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? 0 : found->second.number_value();
}

// With how far the runs lay apart, where that is known.
std::string FigureText(const Struct& object, const std::string& name) {
  const std::string median = absl::StrFormat("%.6g", NumberOf(object, name));
  if (!object.fields().contains(name + "_min")) return median;
  return absl::StrFormat("%s (%.6g to %.6g)", median, NumberOf(object, name + "_min"), NumberOf(object, name + "_max"));
}

}  // namespace

absl::StatusOr<std::string> Compare(const std::string& before, const std::string& after) {
  const absl::StatusOr<Struct> first = Parse(before);
  if (!first.ok()) return absl::InvalidArgumentError(absl::StrCat("the first file is ", first.status().message()));
  const absl::StatusOr<Struct> second = Parse(after);
  if (!second.ok()) return absl::InvalidArgumentError(absl::StrCat("the second file is ", second.status().message()));
  std::string text;
  for (const char* name : kSettings) {
    const std::string one = TextOf(*first, name);
    const std::string other = TextOf(*second, name);
    if (one != other) absl::StrAppend(&text, "differs: ", name, " ", one, ", ", other, "\n");
  }
  for (const char* name : kFigures) {
    if (!first->fields().contains(name) && !second->fields().contains(name)) continue;
    const double one = NumberOf(*first, name);
    const std::string share = one == 0 ? "-" : absl::StrFormat("%.1f %%", NumberOf(*second, name) / one * 100);
    absl::StrAppendFormat(&text, "%-26s %-32s %-32s %s\n", name, FigureText(*first, name), FigureText(*second, name),
                          share);
  }
  return text;
}

}  // namespace sluice::bench
