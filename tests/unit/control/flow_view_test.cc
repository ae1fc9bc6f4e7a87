// Flows, and what would become of a packet, in words.
#include "control/flow_view.h"

#include <gmock/gmock.h>

#include "control/flow_filter.h"
#include "engine/sim/sim_engine.h"
#include "sluice/hash.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr uint64_t kNow = uint64_t{5000} << SLUICE_TICK_SHIFT;

class FlowViewTest : public ControllerTest {
 protected:
  FlowViewTest() : buckets_(64) {
    engine_.connections = {{buckets_.data(), 32}, {buckets_.data() + 32, 32}};
    EXPECT_TRUE(controller_.Apply(Usual()).ok());
    controller_.Tick();
  }
  static v1::FiveTuple Tuple(const std::string& source, uint32_t source_port, const std::string& destination,
                             uint32_t destination_port) {
    v1::FiveTuple flow;
    flow.set_source(source);
    flow.set_source_port(source_port);
    flow.set_destination(destination);
    flow.set_destination_port(destination_port);
    return flow;
  }
  // An entry at any place.
  void Insert(size_t bucket, size_t at, const std::string& backend, uint32_t state) {
    buckets_[bucket].entries[at] =
        sluice_entry_make(bucket * 8 + at + 1, SlotOf(backend), state, 4999 & SLUICE_TICK_MASK);
  }
  v1::FlowsReply Flows(const v1::FlowsRequest& request) { return *ViewFlows(controller_, request, kNow); }
  v1::Explanation Explain(const v1::FiveTuple& flow) { return *ExplainFlow(controller_, flow, kNow); }

  std::vector<sluice_bucket> buckets_;
};

TEST_F(FlowViewTest, ListsByPoolAndBackendUpToALimit) {
  for (size_t bucket = 0; bucket < 64; bucket++)
    Insert(bucket, bucket % 8, bucket % 2 ? "a" : "b", SLUICE_STATE_CONFIRMED);
  v1::FlowsRequest request;
  EXPECT_EQ(Flows(request).flows_size(), 64);
  EXPECT_EQ(Flows(request).next(), 0u);
  request.set_pool("none");
  EXPECT_EQ(ViewFlows(controller_, request, kNow).status().code(), absl::StatusCode::kNotFound);
  request.set_pool("web");
  request.set_backend("a");
  request.set_limit(10);
  int seen = 0;
  do {
    const v1::FlowsReply reply = Flows(request);
    EXPECT_LE(reply.flows_size(), 10);
    for (const v1::Flow& flow : reply.flows()) {
      EXPECT_EQ(flow.backend(), "a");
      EXPECT_EQ(flow.state(), v1::Flow::ESTABLISHED);
      EXPECT_EQ(flow.idle().seconds(), 2);
      EXPECT_FALSE(flow.has_flow());
      seen++;
    }
    request.set_from(reply.next());
  } while (request.from() != 0);
  EXPECT_EQ(seen, 32);
  // Entries don't know their client.
  request.set_source("0.0.0.0/0");
  EXPECT_EQ(Flows(request).flows_size(), 0);
  request.set_source("nowhere");
  EXPECT_FALSE(ViewFlows(controller_, request, kNow).ok());
}

TEST_F(FlowViewTest, ExplainsAFlow) {
  const v1::FiveTuple flow = Tuple("192.0.2.7", 1000, "203.0.113.10", 80);
  v1::Explanation explanation = Explain(flow);
  EXPECT_EQ(explanation.verdict(), "forwarded");
  EXPECT_EQ(explanation.listener(), "web");
  EXPECT_EQ(explanation.pool(), "web");
  ASSERT_EQ(explanation.steps_size(), 5);
  EXPECT_EQ(explanation.steps(2).reason(), "so it is a new flow");
  EXPECT_EQ(explanation.steps(3).result(), "web/" + explanation.backend());
  EXPECT_EQ(explanation.steps(3).reason(), "by maglev, of 2 that take flows");
  EXPECT_EQ(explanation.steps(4).result(), "to its MAC address");
  EXPECT_THAT(explanation.steps(4).reason(), HasSubstr("by port eth0 to 02:00:00:00:09:0"));
  // The other one has an entry of it.
  const std::string other = explanation.backend() == "a" ? "b" : "a";
  const sluice_flow path = *ReadFlow(flow);
  const uint64_t hash = sluice_hash_flow(engine_.published->view().settings, &path);
  buckets_[32 + sluice_primary_bucket(hash, 32)].entries[2] =
      sluice_entry_make(hash, SlotOf(other), SLUICE_STATE_CLOSING, 4999 & SLUICE_TICK_MASK);
  explanation = Explain(flow);
  EXPECT_EQ(explanation.backend(), other);
  ASSERT_EQ(explanation.found_size(), 1);
  EXPECT_EQ(explanation.found(0).partition(), 1u);
  EXPECT_EQ(explanation.steps(2).result(), "an entry: closing, with web/" + other + ", its last packet 2s ago");
  EXPECT_EQ(explanation.steps(2).reason(), "a SYN begins a new flow nevertheless");
  EXPECT_EQ(explanation.steps(3).result(), "not asked");
}

TEST_F(FlowViewTest, ExplainsWhichPoolAFlowFallsTo) {
  constexpr char kPools[] =
      "pools: [{name: blue, backends: [{name: a, address: 10.0.1.1}]}, {name: green, algorithm: round_robin, backends: "
      "[{name: b, address: 10.0.1.2}]}]\n";
  const auto use = [&](int blue, int green) {
    const v1::Config config = Load(absl::StrCat(
        kEngine,
        "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pools: [{name: blue, weight: ",
        blue, "}, {name: green, weight: ", green, "}]}]\n", kPools));
    EXPECT_TRUE(controller_.Apply(config).ok());
    controller_.Tick();
  };
  const v1::FiveTuple flow = Tuple("192.0.2.7", 1000, "203.0.113.10", 80);
  use(1, 0);
  v1::Explanation explanation = Explain(flow);
  EXPECT_EQ(explanation.verdict(), "forwarded");
  EXPECT_EQ(explanation.pool(), "blue");
  EXPECT_EQ(explanation.backend(), "a");
  EXPECT_EQ(explanation.steps(1).result(), "web, pools blue:1, green:0");
  EXPECT_EQ(explanation.steps(3).result(), "blue/a");
  EXPECT_EQ(explanation.steps(3).reason(), "by maglev, of 1 that take flows");
  // By its turn, whenever it comes.
  use(0, 1);
  explanation = Explain(flow);
  EXPECT_EQ(explanation.pool(), "green");
  EXPECT_EQ(explanation.steps(3).result(), "one that is chosen when it comes, of pool green");
  // What is there stays.
  const sluice_flow path = *ReadFlow(flow);
  const uint64_t hash = sluice_hash_flow(engine_.published->view().settings, &path);
  buckets_[sluice_primary_bucket(hash, 32)].entries[2] =
      sluice_entry_make(hash, SlotOf("a"), SLUICE_STATE_CONFIRMED, 4999 & SLUICE_TICK_MASK);
  explanation = Explain(flow);
  EXPECT_EQ(explanation.pool(), "blue");
  EXPECT_EQ(explanation.backend(), "a");
  EXPECT_EQ(explanation.steps(3).reason(), "a new flow would go to one that is chosen when it comes, of pool green");
  // Nobody is left who has a weight.
  next_hops_.Fail(At("10.0.1.2"), "no answer");
  controller_.Tick();
  explanation = Explain(Tuple("192.0.2.7", 1001, "203.0.113.10", 80));
  EXPECT_EQ(explanation.verdict(), "no_backend");
  EXPECT_EQ(explanation.pool(), "");
  EXPECT_EQ(explanation.steps(3).reason(), "no pool of the listener takes flows");
}

TEST_F(FlowViewTest, ExplainsWhyNot) {
  v1::Explanation explanation = Explain(Tuple("192.0.2.7", 1000, "203.0.113.10", 81));
  EXPECT_EQ(explanation.verdict(), "no_listener");
  EXPECT_EQ(explanation.steps_size(), 2);
  explanation = Explain(Tuple("2001:db8::7", 1000, "2001:db8::10", 80));
  EXPECT_EQ(explanation.verdict(), "pass_not_virtual");
  next_hops_.Fail(At("10.0.1.1"), "no answer");
  controller_.Tick();
  explanation = Explain(Tuple("192.0.2.7", 1000, "203.0.113.10", 80));
  EXPECT_EQ(explanation.backend(), "b");
  EXPECT_EQ(explanation.steps(3).reason(), "by maglev, of 1 that take flows; not: a no next hop: no answer");
}

TEST_F(FlowViewTest, ExplainsThatTheListenerIsFull) {
  v1::Config config = Usual();
  config.mutable_listeners(0)->set_max_connections(40);
  ASSERT_TRUE(controller_.Apply(config).ok());
  engine_.swept.active_of_slot.resize(SLUICE_BACKENDS);
  engine_.swept.active_of_slot[SlotOf("a")] = 30;
  engine_.swept.active_of_slot[SlotOf("b")] = 9;
  const v1::FiveTuple flow = Tuple("192.0.2.7", 1000, "203.0.113.10", 80);
  EXPECT_EQ(Explain(flow).verdict(), "forwarded");
  engine_.swept.active_of_slot[SlotOf("b")] = 10;
  EXPECT_EQ(Explain(flow).verdict(), "listener_full");
}

TEST_F(FlowViewTest, WhatIsNoFlowIsToldAsThat) {
  const auto refused = [this](const v1::FiveTuple& flow) {
    return std::string(ExplainFlow(controller_, flow, kNow).status().message());
  };
  EXPECT_THAT(refused(Tuple("192.0.2.7", 1000, "2001:db8::1", 80)), HasSubstr("different IP versions"));
  EXPECT_THAT(refused(Tuple("192.0.2.7", 0, "203.0.113.10", 80)), HasSubstr("0 is not a port"));
  EXPECT_THAT(refused(Tuple("192.0.2.7", 70000, "203.0.113.10", 80)), HasSubstr("70000 is not a port"));
  v1::FiveTuple unknown = Tuple("192.0.2.7", 1000, "203.0.113.10", 80);
  unknown.set_protocol(static_cast<v1::FiveTuple::Protocol>(99));
  EXPECT_THAT(refused(unknown), HasSubstr("unknown protocol 99; use tcp, udp or icmp"));
  EXPECT_NE(refused(Tuple("", 1000, "203.0.113.10", 80)), "");
  v1::FiveTuple ping = Tuple("192.0.2.7", 0, "203.0.113.10", 0);
  ping.set_protocol(v1::FiveTuple::ICMP);
  EXPECT_EQ(Explain(ping).verdict(), "no_listener");
}

}  // namespace
}  // namespace sluice
