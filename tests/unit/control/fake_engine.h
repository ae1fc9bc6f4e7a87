// An engine that takes what it is given, and says what the test wants it to.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "engine/burst.h"
#include "engine/engine.h"
#include "sluice/session_records.h"

namespace sluice {

class FakeEngine : public Engine {
 public:
  absl::Status Publish(std::shared_ptr<const Tables> tables) override {
    publishes++;
    if (!answer.ok()) return answer;
    published = std::move(tables);
    return absl::OkStatus();
  }
  EngineCounters ReadCounters() override { return counters; }
  std::vector<EnginePort> ports() override { return engine_ports; }
  void Sweep() override { sweeps++; }
  const Occupancy& occupancy() const override { return swept; }
  // Swept together.
  const SessionOccupancy& session_occupancy() const override {
    sessions.sweeps = swept.sweeps;
    return sessions;
  }
  const std::vector<Partition>& partitions() const override { return connections; }
  const std::vector<SessionPartition>& session_partitions() const override { return nat_sessions; }
  void SetLatencies(absl::Span<const BackendLatency> told) override { latencies = {told.begin(), told.end()}; }
  void Announce(absl::Span<const Address> addresses) override {
    for (const Address& address : addresses) announced.push_back(FormatAddress(address));
  }
  bool Send(absl::Span<const uint8_t> frame, uint16_t port) override {
    if (full) return false;
    sent.push_back({{frame.begin(), frame.end()}, port});
    return true;
  }
  EngineNews Poll() override { return std::exchange(news, {}); }
  void Close() override {}

  absl::Status answer;
  std::vector<BackendLatency> latencies;
  EngineCounters counters;
  std::shared_ptr<const Tables> published;
  std::vector<EnginePort> engine_ports = {{"eth0", Mac{2, 0, 0, 0, 0, 1}, 1500, true, 11, "fake"},
                                          {"eth1", Mac{2, 0, 0, 0, 0, 2}, 1500, true, 12, "fake"}};
  Occupancy swept;
  mutable SessionOccupancy sessions{0, 0, std::vector<uint32_t>(SLUICE_BACKENDS),
                                    std::vector<uint32_t>(SLUICE_BACKENDS), std::vector<uint32_t>(SLUICE_LISTENERS)};
  std::vector<Partition> connections;
  std::vector<SessionPartition> nat_sessions;
  EngineNews news;
  std::vector<std::string> announced;
  // Frames, and from which port.
  std::vector<std::pair<std::vector<uint8_t>, uint16_t>> sent;
  // No room for frames.
  bool full = false;
  uint32_t publishes = 0;
  uint32_t sweeps = 0;
};

}  // namespace sluice
