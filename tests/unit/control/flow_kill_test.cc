// Flows that an operator has chosen end, all others stay.
#include "control/flow_kill.h"

#include <gmock/gmock.h>

#include "control/flow_filter.h"
#include "control/flow_view.h"
#include "engine/burst.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr uint64_t kNow = uint64_t{5000} << SLUICE_TICK_SHIFT;

class FlowKillTest : public ControllerTest {
 protected:
  FlowKillTest() : buckets_(4'000) {
    engine_.connections = {{buckets_.data(), 2'000}, {buckets_.data() + 2'000, 2'000}};
    EXPECT_TRUE(controller_.Apply(Usual()).ok());
    controller_.Tick();
    for (size_t i = 0; i < buckets_.size(); i++) {
      buckets_[i].entries[i % 8] =
          sluice_entry_make(i + 1, SlotOf(i % 2 ? "a" : "b"), SLUICE_STATE_CONFIRMED, 4999 & SLUICE_TICK_MASK);
    }
  }
  uint64_t Count(const std::string& backend) {
    v1::FlowsRequest request;
    request.set_backend(backend);
    uint64_t count = 0;
    do {
      const v1::FlowsReply reply = *ViewFlows(controller_, request, kNow);
      count += static_cast<uint64_t>(reply.flows_size());
      request.set_from(reply.next());
    } while (request.from() != 0);
    return count;
  }
  uint64_t Kill(v1::KillFlowsRequest request) {
    uint64_t count = 0;
    do {
      const absl::StatusOr<KilledFlows> killed = KillFlows(controller_, request, kNow);
      EXPECT_TRUE(killed.ok()) << killed.status();
      if (!killed.ok()) return count;
      KillAgain(*killed);
      count += killed->reply.killed();
      // So many at a time as others can wait for.
      EXPECT_LE(killed->reply.killed(), 1'000u + SLUICE_BUCKET_ENTRIES);
      request.set_from(killed->reply.next());
    } while (request.from() != 0);
    return count;
  }

  std::vector<sluice_bucket> buckets_;
};

TEST_F(FlowKillTest, ByPoolAndBackend) {
  v1::KillFlowsRequest request;
  request.set_pool("web");
  request.set_backend("a");
  request.set_dry_run(true);
  EXPECT_EQ(Kill(request), 2'000u);
  EXPECT_EQ(Count("a"), 2'000u);
  request.set_dry_run(false);
  EXPECT_EQ(Kill(request), 2'000u);
  EXPECT_EQ(Count("a"), 0u);
  EXPECT_EQ(Count("b"), 2'000u);
  request.clear_backend();
  EXPECT_EQ(Kill(request), 2'000u);
  EXPECT_EQ(Kill(request), 0u);
}

TEST_F(FlowKillTest, OneByItsAddresses) {
  v1::KillFlowsRequest request;
  v1::FiveTuple& flow = *request.mutable_flow();
  flow.set_source("192.0.2.7");
  flow.set_source_port(1000);
  flow.set_destination("203.0.113.10");
  flow.set_destination_port(80);
  EXPECT_EQ(Kill(request), 0u);
  flow.set_destination_port(81);
  const absl::Status nowhere = KillFlows(controller_, request, kNow).status();
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(nowhere.message(), "no listener takes packets to 203.0.113.10 port 81; there are: web");
  flow.set_destination_port(80);
  const sluice_flow path = *ReadFlow(flow);
  const uint64_t hash = sluice_hash_flow(engine_.published->view().settings, &path);
  buckets_[2'000 + sluice_primary_bucket(hash, 2'000)].entries[2] =
      sluice_entry_make(hash, SlotOf("a"), SLUICE_STATE_CONFIRMED, 4999 & SLUICE_TICK_MASK);
  const uint64_t before = Count("a");
  EXPECT_EQ(Kill(request), 1u);
  EXPECT_EQ(Count("a"), before - 1);
  EXPECT_EQ(Kill(request), 0u);
}

TEST_F(FlowKillTest, WhatIsNotChosenIsRefused) {
  const auto refused = [this](const v1::KillFlowsRequest& request) {
    const absl::Status status = KillFlows(controller_, request, kNow).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  v1::KillFlowsRequest request;
  EXPECT_THAT(refused(request), HasSubstr("Name a pool"));
  request.set_backend("a");
  EXPECT_THAT(refused(request), HasSubstr("Name a pool"));
  request.set_source("nowhere");
  EXPECT_NE(refused(request), "");
  request.set_source("0.0.0.0/0");
  // Entries don't know their client.
  EXPECT_EQ(Kill(request), 0u);
  request.mutable_flow()->set_source("192.0.2.7");
  EXPECT_THAT(refused(request), HasSubstr("one flow alone"));
  EXPECT_EQ(Count(""), 4'000u);
}

TEST_F(FlowKillTest, WhatThereIsNotIsSaid) {
  const auto missing = [this](const std::string& pool, const std::string& backend, const std::string& source) {
    v1::KillFlowsRequest request;
    request.set_pool(pool);
    request.set_backend(backend);
    request.set_source(source);
    const absl::Status status = KillFlows(controller_, request, kNow).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(missing("none", "", ""), "no pool is named \"none\"; it is one of web");
  EXPECT_EQ(missing("web", "c", ""), "pool web has no backend \"c\"; it is one of a, b");
  EXPECT_EQ(missing("", "c", "0.0.0.0/0"), "no pool has a backend \"c\"; there are: a, b");
  EXPECT_EQ(Count(""), 4'000u);
}

}  // namespace
}  // namespace sluice
