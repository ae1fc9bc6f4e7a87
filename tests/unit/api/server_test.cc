// The API over its socket: a real gRPC client, and a control thread over an engine that does what the test says.
#include "api/server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "control/state_file.h"
#include "tests/unit/api/api_testbed.h"

namespace sluice {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(ApiServerTest, AChangeIsAnsweredWhenItIsKept) {
  for (uint32_t weight = 2; weight < 30; weight++) {
    v1::ChangeReply reply;
    const grpc::Status status = SetWeight(weight, &reply, kLong);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(reply.generation(), weight);
    const v1::StoredState kept = ReadState(folder_.path())->state;
    ASSERT_EQ(kept.wanted().changes_size(), 1);
    EXPECT_EQ(kept.wanted().changes(0).weight(), weight);
  }
}

TEST_F(ApiServerTest, WhatCannotBeKeptIsToldAsThat) {
  // Nobody, not even root, writes a file where a folder is.
  ASSERT_EQ(mkdir((folder_.path() + "/wanted.new").c_str(), 0700), 0);
  v1::ChangeReply reply;
  const grpc::Status status = SetWeight(5, &reply, kLong);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(status.error_message(), HasSubstr("generation 2 runs, but would be lost by a restart"));
  EXPECT_EQ(Weight(), 5u);
}

TEST_F(ApiServerTest, GetListAndStatus) {
  v1::ChangeReply changed;
  ASSERT_TRUE(SetWeight(5, &changed, kLong).ok());
  grpc::ClientContext get_context;
  v1::GetReply got;
  ASSERT_TRUE(stub_->Get(&get_context, {}, &got).ok());
  EXPECT_EQ(got.config().pools(0).backends(0).weight(), 5u);
  EXPECT_EQ(got.generation(), 2u);
  EXPECT_EQ(got.revision(), 1u);
  EXPECT_FALSE(got.applied());
  EXPECT_THAT(got.changed_backends(), ElementsAre("web/a"));
  grpc::ClientContext list_context;
  v1::Inventory inventory;
  v1::ListRequest list;
  list.set_pool("none");
  const grpc::Status nowhere = stub_->List(&list_context, list, &inventory);
  EXPECT_EQ(nowhere.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(nowhere.error_message(), "no pool is named \"none\"; it is one of web");
  grpc::ClientContext status_context;
  v1::Status status;
  ASSERT_TRUE(stub_->GetStatus(&status_context, {}, &status).ok());
  EXPECT_EQ(status.ports_size(), 2);
}

TEST_F(ApiServerTest, ConfigurationsWithMistakesAreRefusedWithTheirPlaces) {
  grpc::ClientContext context;
  v1::ApplyRequest request;
  v1::ChangeReply reply;
  for (int i = 0; i < 200; i++) request.mutable_config()->add_pools()->set_name(std::string(100, '?'));
  const grpc::Status status = stub_->Apply(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("pools[0].name: "));
  // No longer than a header may be.
  EXPECT_LT(status.error_message().size(), 5'000u);
  EXPECT_THAT(status.error_message(), HasSubstr("... and more"));
}

TEST_F(ApiServerTest, WhoHasGivenUpChangesNothing) {
  v1::ChangeReply reply;
  bool undone = false;
  // The server's clock for a call begins when it has come, so it may end a moment after the client's; on a busy machine
  // a longer one.
  for (uint32_t attempt = 0; attempt < 20 && !undone; attempt++) {
    std::promise<void> hold;
    std::atomic<bool> holding = false;
    boost::asio::post(io_, [&] {
      holding = true;
      hold.get_future().wait();
    });
    while (!holding) std::this_thread::yield();
    const uint32_t weight = 10 + attempt;
    EXPECT_EQ(SetWeight(weight, &reply, std::chrono::milliseconds(50)).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    std::this_thread::sleep_for(std::chrono::milliseconds(10) * attempt);
    hold.set_value();
    undone = Weight() != weight;
  }
  EXPECT_TRUE(undone);
  ASSERT_TRUE(SetWeight(7, &reply, kLong).ok());
  EXPECT_EQ(Weight(), 7u);
}

TEST_F(ApiServerTest, ManyAtOnceAreAllAnswered) {
  std::atomic<int> done = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> clients;
  for (uint32_t i = 0; i < 16; i++) {
    clients.emplace_back([&, i] {
      for (uint32_t j = 0; j < 50; j++) {
        v1::ChangeReply reply;
        const grpc::Status status = SetWeight(2 + i * 50 + j, &reply, kLong);
        if (status.ok()) done++;
        if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) refused++;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(done + refused, 800);
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(ReadState(folder_.path())->state.revision(), 800u);
}

TEST_F(ApiServerTest, CallsUnderWayEndWithTheServer) {
  std::promise<void> hold;
  std::atomic<bool> holding = false;
  boost::asio::post(io_, [&] {
    holding = true;
    hold.get_future().wait();
    // As the daemon ends: what is queued behind this is not done any more.
    server_.reset();
  });
  while (!holding) std::this_thread::yield();
  std::vector<std::future<grpc::StatusCode>> calls;
  for (int i = 0; i < 8; i++) {
    calls.push_back(std::async(std::launch::async, [this] {
      v1::ChangeReply reply;
      return SetWeight(9, &reply, kLong).error_code();
    }));
  }
  hold.set_value();
  // Those that gRPC had not handed over yet, it cancels by itself.
  for (std::future<grpc::StatusCode>& call : calls) {
    EXPECT_THAT(call.get(), AnyOf(grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED));
  }
  EXPECT_EQ(Weight(), 1u);
  // The socket has gone with it.
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(ApiServerTest, TheSocketIsForOwnerAndGroup) {
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
}

TEST_F(ApiServerTest, WhoServesThereAlreadyIsLeftAlone) {
  const absl::Status status = Open().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another process serves the API at"));
  v1::ChangeReply reply;
  EXPECT_TRUE(SetWeight(3, &reply, kLong).ok());
}

TEST_F(ApiServerTest, WhereItCannotServe) {
  path_ = folder_.path() + "/file";
  std::ofstream(path_) << "something";
  EXPECT_THAT(std::string(Open().status().message()), HasSubstr("is not a socket"));
  // Below a file there is no folder to be had.
  path_ += "/api.sock";
  EXPECT_THAT(std::string(Open().status().message()), HasSubstr("cannot be served"));
}

TEST_F(ApiServerTest, WhatAKilledOneLeftIsTakenAway) {
  path_ = folder_.path() + "/left.sock";
  const int left = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(left, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  close(left);
  const absl::StatusOr<std::unique_ptr<ApiServer>> again = Open();
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(ApiServerTest, NonsenseOnTheSocketHurtsNobody) {
  for (size_t i = 0; i < 50; i++) {
    const int peer = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
    ASSERT_EQ(connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    // Every other one begins as HTTP/2 does.
    std::string bytes = i % 2 == 0 ? "" : "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (size_t j = 0; j < 5'000; j++) bytes.push_back(static_cast<char>((i * 7919 + j * j * 31) >> 3));
    EXPECT_NE(send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
    close(peer);
  }
  v1::ChangeReply reply;
  EXPECT_TRUE(SetWeight(3, &reply, kLong).ok());
}

}  // namespace
}  // namespace sluice
