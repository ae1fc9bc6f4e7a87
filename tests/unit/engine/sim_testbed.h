// A sim engine with one port and room for 64 sessions, whose time is a tick that the test moves.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/sim/sim_engine.h"
#include "gtest/gtest.h"
#include "tests/packet/notation.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {

class SimTest : public testing::Test {
 protected:
  SimTest() {
    SimOptions options;
    options.max_sessions = 64;
    options.clock = [this] { return uint64_t{tick_} << SLUICE_TICK_SHIFT; };
    options.ports.push_back(
        {.name = "sim", .mac = TestInput().ports[0].mac, .mtu = 1500, .link_up = true, .mode = "sim"});
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    if (!engine.ok()) std::abort();
    engine_ = *std::move(engine);
  }

  // A configuration whose next hops are all known.
  void Publish(const std::string& yaml) {
    TestInput input;
    input.Load(yaml);
    input.ResolveAll();
    ASSERT_TRUE(engine_->Publish(input.Build(builder_)).ok());
  }

  // Of one packet, in the notation of golden cases.
  sluice_verdict Receive(const std::string& text) {
    const std::string bytes = packet_test::Packet(text);
    const std::vector<SimPacket> packets{{{bytes.begin(), bytes.end()}, 0}};
    return engine_->Receive(packets)[0].verdict;
  }

  uint32_t tick_ = 1000;
  std::unique_ptr<SimEngine> engine_;

 private:
  Builder builder_;
};

}  // namespace sluice
