// Answers of the API as sluicectl shows them.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "api/api.pb.h"
#include "config/endpoint.h"
#include "tools/sluicectl/output.h"

namespace sluice {

enum class Columns {
  // What there is and whether it takes flows.
  kPlain,
  // Counters since the start of sluiced as well.
  kStats,
  // Counters are of one second.
  kRate,
};

std::string ShowStatus(const v1::Status& status, Format format);
std::string ShowInventory(const v1::Inventory& inventory, Columns columns, Format format);
std::string ShowHealth(const v1::Inventory& inventory, Format format);
std::string ShowFlows(const std::vector<v1::Flow>& flows, Format format);
// How many were killed, or would be.
std::string ShowKilled(const v1::KillFlowsReply& reply, bool dry_run, Format format);
std::string ShowExplanation(const v1::Explanation& explanation, Format format);
// One of many.
std::string ShowEvent(const v1::Event& event, Format format);
std::string ShowConfig(const v1::Config& config, Format format);
// What has changed, or would: lines, then the generation.
std::string ShowChange(const v1::ChangeReply& reply, Format format);

// Only the listeners at that address and port, and their pools.
v1::Inventory InventoryAt(const v1::Inventory& inventory, const Endpoint& at);

// Counters of `after` less those of `before`, by the second. Who was not there before has none.
v1::Inventory Rate(const v1::Inventory& before, const v1::Inventory& after, double seconds);

}  // namespace sluice
