// The sim engine with somebody who looks at every generation that is published: no slot may go to another backend while
// an entry still names it.
//
// Thread-safety: one thread.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/sim/sim_engine.h"

namespace sluice::sim_test {

class WatchedEngine : public Engine {
 public:
  explicit WatchedEngine(std::unique_ptr<SimEngine> engine) : engine_(std::move(engine)) {}

  absl::Status Publish(std::shared_ptr<const Tables> tables) override {
    for (uint32_t slot = 0; slot < tables->backend_slots(); slot++) {
      const BackendName& name = tables->backend_names()[slot];
      if (name.backend.empty()) continue;
      std::string& owner = owners_[slot];
      const std::string next = name.backend;
      if (!owner.empty() && owner != next) {
        slots_reused_++;
        EXPECT_EQ(EntriesOf(slot), 0u) << "slot " << slot << " of " << owner << " goes to " << next;
        const uint64_t packets = engine_->ReadCounters().backends[slot].packets;
        earlier_[owner] += packets - taken_over_[slot];
        taken_over_[slot] = packets;
      }
      owner = next;
    }
    tables_ = tables;
    return engine_->Publish(std::move(tables));
  }
  EngineCounters ReadCounters() override { return engine_->ReadCounters(); }
  std::vector<EnginePort> ports() override { return engine_->ports(); }
  void Sweep() override { engine_->Sweep(); }
  const Occupancy& occupancy() const override { return engine_->occupancy(); }
  const SessionOccupancy& session_occupancy() const override { return engine_->session_occupancy(); }
  const std::vector<Partition>& partitions() const override { return engine_->partitions(); }
  const std::vector<SessionPartition>& session_partitions() const override { return engine_->session_partitions(); }
  void SetLatencies(absl::Span<const BackendLatency> latencies) override { engine_->SetLatencies(latencies); }
  void Announce(absl::Span<const Address> addresses) override { engine_->Announce(addresses); }
  bool Send(absl::Span<const uint8_t> frame, uint16_t port) override { return engine_->Send(frame, port); }
  EngineNews Poll() override { return engine_->Poll(); }
  void Close() override { engine_->Close(); }

  SimEngine& sim() { return *engine_; }
  const Tables& tables() const { return *tables_; }
  uint32_t slots_reused() const { return slots_reused_; }

  // What the counters say each backend was sent, by name, which no two share; a slot's counters go on when it changes
  // hands.
  std::map<std::string, uint64_t> PacketsByBackend() {
    std::map<std::string, uint64_t> packets = earlier_;
    const EngineCounters counters = engine_->ReadCounters();
    for (const auto& [slot, owner] : owners_) packets[owner] += counters.backends[slot].packets - taken_over_[slot];
    std::erase_if(packets, [](const auto& entry) { return entry.second == 0; });
    return packets;
  }

  // Entries that are not empty; all, or those of one slot.
  uint32_t EntriesOf(uint32_t slot) const {
    return Count([slot](uint64_t entry) { return sluice_entry_slot(entry) == slot; });
  }
  uint32_t Entries() const {
    return Count([](uint64_t) { return true; });
  }

 private:
  template <typename Which>
  uint32_t Count(Which which) const {
    uint32_t count = 0;
    for (const Partition& partition : engine_->partitions()) {
      for (uint32_t i = 0; i < partition.count; i++) {
        for (const uint64_t entry : partition.buckets[i].entries)
          count += !sluice_entry_is_empty(entry) && which(entry);
      }
    }
    return count;
  }

  std::unique_ptr<SimEngine> engine_;
  std::shared_ptr<const Tables> tables_;
  // The last backend of each slot.
  std::map<uint32_t, std::string> owners_;
  // Packets of earlier owners: by name, and by slot.
  std::map<std::string, uint64_t> earlier_;
  std::map<uint32_t, uint64_t> taken_over_;
  uint32_t slots_reused_ = 0;
};

}  // namespace sluice::sim_test
