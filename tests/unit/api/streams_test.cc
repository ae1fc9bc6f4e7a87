// Streams over the API's socket: what they tell, who is too slow, and how they end.
#include "api/streams.h"

#include <gmock/gmock.h>

#include "tests/unit/api/api_testbed.h"

namespace sluice {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class StreamsTest : public ApiServerTest {
 protected:
  using Reader = std::unique_ptr<grpc::ClientReader<v1::Event>>;

  // Has read BEGIN.
  Reader Watch(grpc::ClientContext* context, v1::LoadBalancer::Stub* stub) {
    Reader reader = stub->Watch(context, {});
    v1::Event begin;
    EXPECT_TRUE(reader->Read(&begin));
    EXPECT_EQ(begin.kind(), v1::Event::BEGIN);
    return reader;
  }
  // Connections of their own.
  std::unique_ptr<v1::LoadBalancer::Stub> Connect(int number) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt("test.number", number);
    return v1::LoadBalancer::NewStub(
        grpc::CreateCustomChannel("unix:" + path_, grpc::InsecureChannelCredentials(), arguments));
  }
};

TEST_F(StreamsTest, WhoWatchesHearsOfChanges) {
  grpc::ClientContext context;
  const Reader reader = Watch(&context, stub_.get());
  v1::ChangeReply reply;
  ASSERT_TRUE(SetWeight(5, &reply, kLong).ok());
  v1::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.kind(), v1::Event::CHANGE);
  EXPECT_EQ(event.text(), "change: generation=2 revision=1: ~ pools[web].backends[a].weight: 1 -> 5");
  EXPECT_EQ(event.change().revision(), 1u);
  OnControlThread([this] { events_.Tick(); });
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.kind(), v1::Event::TABLES);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(StreamsTest, WhoIsSlowIsToldWhatIsLostAndHoldsUpNobody) {
  grpc::ClientContext context;
  const Reader reader = Watch(&context, stub_.get());
  grpc::ClientContext other_context;
  const auto other_stub = Connect(1);
  const Reader other = Watch(&other_context, other_stub.get());
  constexpr uint64_t kEvents = 3 * Streams::kRoom;
  v1::ChangeReply reply;
  reply.add_changes(std::string(10'000, 'x'));
  std::thread writer([&] {
    for (uint64_t i = 0; i < kEvents; i++) {
      reply.set_generation(static_cast<uint32_t>(i));
      OnControlThread([&] { events_.Changed("apply", reply); });
    }
  });
  v1::Event event;
  uint64_t told = 0;
  // This one reads all the time.
  while (told < kEvents && other->Read(&event)) told += event.kind() == v1::Event::LOST ? event.lost() : 1;
  writer.join();
  uint64_t received = 0;
  uint64_t lost = 0;
  uint32_t last = 0;
  while (received + lost < kEvents && reader->Read(&event)) {
    if (event.kind() == v1::Event::LOST) {
      lost += event.lost();
      EXPECT_THAT(event.text(), HasSubstr("events are lost: this client reads too slowly"));
    } else {
      received++;
      last = event.change().generation();
    }
  }
  EXPECT_EQ(received + lost, kEvents);
  EXPECT_GT(lost, kEvents / 3);
  EXPECT_GE(received, Streams::kRoom);
  // The newest are those that stay.
  EXPECT_EQ(last, kEvents - 1);
  context.TryCancel();
  other_context.TryCancel();
}

TEST_F(StreamsTest, StatsComeAgainAndAgain) {
  grpc::ClientContext context;
  v1::StatsRequest request;
  request.mutable_interval()->set_nanos(1);
  const auto begin = std::chrono::steady_clock::now();
  const auto reader = stub_->Stats(&context, request);
  v1::Inventory inventory;
  for (int i = 0; i < 3; i++) {
    ASSERT_TRUE(reader->Read(&inventory));
    EXPECT_EQ(inventory.pools(0).backends_size(), 2);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(190));
  context.TryCancel();
}

TEST_F(StreamsTest, StatsOfAPoolThatIsNotThereEnd) {
  grpc::ClientContext context;
  v1::StatsRequest request;
  request.set_pool("none");
  const auto reader = stub_->Stats(&context, request);
  v1::Inventory inventory;
  EXPECT_FALSE(reader->Read(&inventory));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no pool is named \"none\"; it is one of web");
}

TEST_F(StreamsTest, ThereAreSoManyAtATime) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<v1::LoadBalancer::Stub>> stubs;
  std::vector<Reader> readers;
  for (size_t i = 0; i < Streams::kStreams; i++) {
    if (i % 32 == 0) stubs.push_back(Connect(static_cast<int>(i)));
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(Watch(contexts.back().get(), stubs.back().get()));
  }
  grpc::ClientContext context;
  const Reader reader = stub_->Watch(&context, {});
  v1::Event event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Who leaves makes room.
  contexts[0]->TryCancel();
  readers[0]->Finish();
  bool admitted = false;
  while (!admitted) {
    grpc::ClientContext again;
    const Reader next = stub_->Watch(&again, {});
    admitted = next->Read(&event);
    again.TryCancel();
  }
  for (const auto& one : contexts) one->TryCancel();
}

TEST_F(StreamsTest, TheyEndWithTheServer) {
  grpc::ClientContext context;
  const Reader reader = Watch(&context, stub_.get());
  OnControlThread([this] { server_.reset(); });
  v1::Event event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_THAT(reader->Finish().error_code(), AnyOf(grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED));
}

TEST_F(StreamsTest, FlowsAndExplanationsAreAnswered) {
  grpc::ClientContext context;
  v1::ExplainRequest request;
  v1::FiveTuple& flow = *request.mutable_flow();
  flow.set_source("192.0.2.7");
  flow.set_source_port(1000);
  flow.set_destination("203.0.113.10");
  v1::Explanation reply;
  const grpc::Status status = stub_->Explain(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("0 is not a port"));
  flow.set_destination_port(80);
  grpc::ClientContext again;
  ASSERT_TRUE(stub_->Explain(&again, request, &reply).ok());
  EXPECT_EQ(reply.listener(), "web");
  grpc::ClientContext flows_context;
  v1::FlowsReply flows;
  ASSERT_TRUE(stub_->Flows(&flows_context, {}, &flows).ok());
  EXPECT_EQ(flows.flows_size(), 0);
  grpc::ClientContext health_context;
  v1::HealthReply health;
  ASSERT_TRUE(stub_->Health(&health_context, {}, &health).ok());
  EXPECT_EQ(health.pools(0).backends(1).health().state(), v1::Health::UNCHECKED);
}

}  // namespace
}  // namespace sluice
