// Workers with their partitions over hand-made tables: a test sends packets in the notation and looks at what became of
// them, and at the entries.
//
//   10.0.0.1  .. client        203.0.113.10, 2001:db8::10  tcp 80 and udp 53 -> pool 0: slots 1, 2 (1 preferred)
//                              203.0.113.11                tcp 80            -> pool 1: slot 5
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/burst.h"
#include "sluice/hash.h"
#include "tests/packet/notation.h"
#include "tests/unit/engine/hand_tables.h"

namespace sluice {

// A verdict reads as its name when a comparison fails.
inline std::string NameOf(uint8_t verdict) {
  return sluice_verdict_name(verdict);
}

struct Outcome {
  std::string verdict;
  // The frame as it is now, transmitted or not.
  std::string bytes;
  uint16_t egress = 0;
  // Last byte of the destination MAC: the slot of a backend.
  uint32_t slot() const { return static_cast<uint8_t>(bytes.at(5)); }
};

class BurstTest : public testing::Test {
 protected:
  static constexpr uint16_t kIdle = 100;
  static constexpr uint64_t kTickNs = uint64_t{1} << SLUICE_TICK_SHIFT;

  explicit BurstTest(uint32_t workers = 2, uint32_t buckets = 64) {
    for (uint32_t i = 0; i < workers; i++) memory_.emplace_back(buckets);
    std::vector<Partition> partitions;
    for (std::vector<sluice_bucket>& memory : memory_) {
      sources_.emplace_back(SLUICE_SOURCE_LINES);
      partitions.push_back({memory.data(), static_cast<uint32_t>(memory.size()), sources_.back().data()});
    }
    for (uint32_t i = 0; i < workers; i++) {
      absl::StatusOr<BurstPath> path = BurstPath::Create(partitions);
      EXPECT_TRUE(path.ok()) << path.status();
      paths_.push_back(*std::move(path));
    }
    tables_.AddPool(1);
    tables_.AddPool(5);
    for (const char* address : {"203.0.113.10", "203.0.113.11", "2001:db8::10"}) tables_.AddVirtual(address);
    for (const char* address : {"203.0.113.10", "2001:db8::10"}) {
      tables_.AddListener(address, SLUICE_IP_TCP, 80, 0, kIdle);
      tables_.AddListener(address, SLUICE_IP_UDP, 53, 0, kIdle);
    }
    tables_.AddListener("203.0.113.11", SLUICE_IP_TCP, 80, 1, kIdle);
    tables_.AddBackend(1, 0, kIdle);
    tables_.AddBackend(2, 0, kIdle);
    tables_.AddBackend(5, 1, kIdle);
  }

  // One burst of packets in the notation, on one worker.
  std::vector<Outcome> Send(const std::vector<std::string>& texts, uint32_t worker = 0) {
    std::vector<std::vector<uint8_t>> buffers;
    std::vector<Frame> frames;
    for (const std::string& text : texts) {
      const std::string packet = packet_test::Packet(text);
      std::vector<uint8_t>& buffer = buffers.emplace_back(headroom_ + packet.size() + tailroom_);
      std::copy(packet.begin(), packet.end(), buffer.begin() + headroom_);
      Frame& frame = frames.emplace_back();
      frame.data = buffer.data() + headroom_;
      frame.length = static_cast<uint32_t>(packet.size());
      frame.headroom = headroom_;
      frame.tailroom = tailroom_;
    }
    paths_[worker].Process(tables_.view(), now_, 1, worker, frames.data(), static_cast<uint32_t>(frames.size()));
    std::vector<Outcome> outcomes;
    for (const Frame& frame : frames) {
      outcomes.push_back({NameOf(frame.verdict), std::string(frame.data, frame.data + frame.length), frame.egress});
    }
    return outcomes;
  }
  Outcome SendOne(const std::string& text, uint32_t worker = 0) { return Send({text}, worker)[0]; }

  static std::string Tcp(uint32_t port, const std::string& flags) {
    return "eth/ipv4(src=10.0.0.1, dst=203.0.113.10)/tcp(sport=" + std::to_string(port) + ", dport=80, " + flags + ")";
  }
  static std::string Udp(uint32_t port) {
    return "eth/ipv4(src=10.0.0.1, dst=203.0.113.10)/udp(sport=" + std::to_string(port) + ", dport=53)";
  }
  // A datagram of 208 bytes of UDP in two fragments.
  static std::string FirstFragment(uint32_t port, uint32_t id) {
    return "eth/ipv4(src=10.0.0.1, dst=203.0.113.10, mf, id=" + std::to_string(id) +
           ")/slice(0, 104)/udp(sport=" + std::to_string(port) + ", dport=53)/payload(200)";
  }
  static std::string LaterFragment(uint32_t port, uint32_t id) {
    return "eth/ipv4(src=10.0.0.1, dst=203.0.113.10, frag=104, id=" + std::to_string(id) +
           ")/slice(104, 104)/udp(sport=" + std::to_string(port) + ", dport=53)/payload(200)";
  }
  // That a packet of Tcp(port) has died on its way back to the client.
  static std::string IcmpError(uint32_t port) {
    return "eth/ipv4(src=192.0.2.254, dst=203.0.113.10)/icmp(type=3, code=4, mtu=1400)/slice(0, 28)/"
           "ipv4(src=203.0.113.10, dst=10.0.0.1)/tcp(sport=80, dport=" +
           std::to_string(port) + ")";
  }

  // All entries of a worker's partition that are not empty.
  std::vector<uint64_t> Entries(uint32_t worker = 0) const {
    std::vector<uint64_t> entries;
    for (const sluice_bucket& bucket : memory_[worker]) {
      std::copy_if(std::begin(bucket.entries), std::end(bucket.entries), std::back_inserter(entries),
                   [](uint64_t entry) { return !sluice_entry_is_empty(entry); });
    }
    return entries;
  }
  const WorkerCounters& counters(uint32_t worker = 0) const { return paths_[worker].counters(); }
  const sluice_traffic& BackendTraffic(uint32_t slot, uint32_t worker = 0) const {
    return counters(worker).backends.As<sluice_traffic>()[slot];
  }
  const sluice_traffic& ListenerTraffic(uint32_t listener, uint32_t worker = 0) const {
    return counters(worker).listeners.As<sluice_traffic>()[listener];
  }

  HandTables tables_;
  std::vector<std::vector<sluice_bucket>> memory_;
  std::vector<std::vector<sluice_source_line>> sources_;
  std::vector<BurstPath> paths_;
  uint64_t now_ = 5000 * kTickNs;
  uint16_t headroom_ = SLUICE_HEADROOM;
  uint16_t tailroom_ = SLUICE_TAILROOM;
};

}  // namespace sluice
