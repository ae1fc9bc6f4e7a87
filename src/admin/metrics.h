// What runs, as metrics of Prometheus. Names and labels are those of docs/operations.md.
//
// Thread-safety: pure functions.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "control/runtime.pb.h"

namespace sluice {

std::vector<prometheus::MetricFamily> MetricFamilies(const v1::Status& status, const v1::Inventory& inventory);

// The text exposition format, version 0.0.4.
inline constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
std::string MetricsText(const v1::Status& status, const v1::Inventory& inventory);

}  // namespace sluice
