// More changes than can be made one by one: they are made together, or refused at once.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/state_file.h"
#include "tests/unit/api/api_testbed.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// Calls under way, each over one of some connections.
class Flood {
 public:
  Flood(const std::string& path, size_t connections) {
    for (size_t i = 0; i < connections; i++) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(v1::LoadBalancer::NewStub(
          grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  struct Call {
    grpc::ClientContext context;
    v1::UpdateBackendRequest request;
    v1::ChangeReply reply;
    grpc::Status status;
    std::atomic<bool> done = false;
  };

  void Start(uint32_t weight) {
    Call& call = calls_.emplace_back();
    call.request.set_pool("web");
    call.request.set_backend("a");
    call.request.set_weight(weight);
    call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stubs_[calls_.size() % stubs_.size()]->async()->UpdateBackend(&call.context, &call.request, &call.reply,
                                                                  [this, &call](grpc::Status status) {
                                                                    call.status = std::move(status);
                                                                    call.done = true;
                                                                    done_++;
                                                                  });
  }
  void WaitFor(size_t count) const {
    while (done_ < count) std::this_thread::yield();
  }
  void WaitForAll() const { WaitFor(calls_.size()); }
  std::deque<Call>& calls() { return calls_; }
  size_t Count(grpc::StatusCode code) const {
    return static_cast<size_t>(std::count_if(calls_.begin(), calls_.end(), [code](const Call& call) {
      return call.done && call.status.error_code() == code;
    }));
  }

 private:
  std::vector<std::unique_ptr<v1::LoadBalancer::Stub>> stubs_;
  std::deque<Call> calls_;
  std::atomic<size_t> done_ = 0;
};

class ApiFloodTest : public ApiServerTest {
 protected:
  // The control thread does nothing else until Release.
  void Hold() {
    hold_ = {};
    std::promise<void> holding;
    boost::asio::post(io_, [this, &holding] {
      holding.set_value();
      hold_.get_future().wait();
    });
    holding.get_future().wait();
  }
  void Release() { hold_.set_value(); }

 private:
  std::promise<void> hold_;
};

TEST_F(ApiFloodTest, ChangesAreMadeTogetherAndEachHasItsOwnRevision) {
  constexpr uint32_t kMany = 10'000;
  Flood flood(path_, 4);
  Hold();
  for (uint32_t i = 0; i < kMany; i++) flood.Start(1 + i % 1'000);
  Release();
  flood.WaitForAll();
  ASSERT_EQ(flood.Count(grpc::StatusCode::OK), kMany);
  const Flood::Call* newest = &flood.calls().front();
  for (const Flood::Call& call : flood.calls()) {
    if (call.reply.revision() >= newest->reply.revision()) newest = &call;
  }
  EXPECT_EQ(Weight(), newest->request.weight());
  EXPECT_EQ(ReadState(folder_.path())->state.revision(), newest->reply.revision());
  // Each connection has 64 under way: as many of them are made together as have come, up to the limit. One by one it
  // would be as many as changes.
  OnControlThread([&] { EXPECT_LT(engine_.publishes, newest->reply.revision() / 2); });
}

TEST_F(ApiFloodTest, WhatIsTooManyIsRefusedAtOnceAndTheRestIsMade) {
  constexpr size_t kTooMany = 64;
  constexpr size_t kAll = ApiService::kChanges + kTooMany;
  Flood flood(path_, 9);
  Hold();
  for (uint32_t i = 0; i < kAll; i++) flood.Start(2 + i);
  // Nothing can be made meanwhile.
  flood.WaitFor(kTooMany);
  EXPECT_EQ(flood.Count(grpc::StatusCode::RESOURCE_EXHAUSTED), kTooMany);
  // Who only looks is not refused for it.
  grpc::ClientContext context;
  v1::GetReply got;
  std::future<grpc::Status> look =
      std::async(std::launch::async, [&] { return stub_->Get(&context, v1::GetRequest(), &got); });
  Release();
  EXPECT_TRUE(look.get().ok());
  flood.WaitForAll();
  EXPECT_EQ(flood.Count(grpc::StatusCode::OK), ApiService::kChanges);
  for (const Flood::Call& call : flood.calls()) {
    if (call.status.ok()) continue;
    EXPECT_THAT(call.status.error_message(),
                HasSubstr("512 calls of this kind are under way already; wait for answers"));
  }
  OnControlThread([&] { EXPECT_LE(engine_.publishes, 1 + kAll / ChangeBatch::kTogether + 2); });
  // There is room again.
  v1::ChangeReply reply;
  EXPECT_TRUE(SetWeight(1, &reply, kLong).ok());
}

TEST_F(ApiFloodTest, WhoHangsUpInTheMiddleTakesNobodyAlong) {
  Flood stays(path_, 1);
  auto leaves = std::make_unique<Flood>(path_, 1);
  Hold();
  for (uint32_t i = 0; i < 50; i++) {
    stays.Start(100 + i);
    leaves->Start(200 + i);
  }
  for (Flood::Call& call : leaves->calls()) call.context.TryCancel();
  leaves->WaitForAll();
  Release();
  stays.WaitForAll();
  EXPECT_EQ(stays.Count(grpc::StatusCode::OK), 50u);
  EXPECT_EQ(leaves->Count(grpc::StatusCode::CANCELLED), 50u);
  v1::ChangeReply reply;
  EXPECT_TRUE(SetWeight(7, &reply, kLong).ok());
  EXPECT_EQ(Weight(), 7u);
}

TEST_F(ApiFloodTest, WhatIsTooLongIsRefusedWithoutALook) {
  const std::string name(1'000'000, 'x');
  Hold();
  grpc::ClientContext context;
  v1::RemoveBackendRequest request;
  request.set_pool(name);
  v1::ChangeReply reply;
  const grpc::Status status = stub_->RemoveBackend(&context, request, &reply);
  Release();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("use at most 63 in a name"));
}

}  // namespace
}  // namespace sluice
