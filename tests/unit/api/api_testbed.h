// The API over its socket: a real gRPC client, and a control thread over an engine that does what the test says.
//
// Thread-safety: a fixture's; the controller and all beside it are the control thread's.
#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/server.h"
#include "config/load.h"
#include "control/view.h"
#include "tests/unit/control/fake_engine.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"
#include "tests/unit/temporary_folder.h"

namespace sluice {

inline constexpr char kFile[] = R"(
engine: {interfaces: [{name: eth0}]}
listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]
pools: [{name: web, backends: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2}]}]
)";

class ApiServerTest : public testing::Test {
 protected:
  ApiServerTest() {
    engine_.swept.flows_of_slot.resize(SLUICE_BACKENDS);
    std::vector<std::string> notes;
    const LoadedConfig file = *LoadConfigText(kFile, "f.yaml");
    EXPECT_TRUE(controller_.Apply(wanted_.Begin(file, {}, &notes)).ok());
    wanted_.Serve(&controller_);
    wanted_.SetObserver([this](const char* what, const v1::ChangeReply& reply) { events_.Changed(what, reply); });
    absl::StatusOr<std::unique_ptr<ApiServer>> server = Open();
    EXPECT_TRUE(server.ok()) << server.status();
    if (server.ok()) server_ = *std::move(server);
    stub_ = v1::LoadBalancer::NewStub(grpc::CreateChannel("unix:" + path_, grpc::InsecureChannelCredentials()));
  }
  ~ApiServerTest() override {
    work_.reset();
    io_.stop();
    control_.join();
    server_.reset();
  }

  absl::StatusOr<std::unique_ptr<ApiServer>> Open() {
    return ApiServer::Open(io_, {path_, "", {}},
                           {&wanted_, &controller_, &events_, [this] { return ViewStatus(controller_); }, {}});
  }
  // Done by the control thread.
  void OnControlThread(const std::function<void()>& work) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  grpc::Status SetWeight(uint32_t weight, v1::ChangeReply* reply, std::chrono::milliseconds patience) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    v1::UpdateBackendRequest request;
    request.set_pool("web");
    request.set_backend("a");
    request.set_weight(weight);
    return stub_->UpdateBackend(&context, request, reply);
  }
  uint32_t Weight() {
    uint32_t weight = 0;
    OnControlThread([&] { weight = controller_.config().pools(0).backends(0).weight(); });
    return weight;
  }

  static constexpr std::chrono::seconds kLong{20};
  TemporaryFolder folder_;
  std::string path_ = folder_.path() + "/api.sock";
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ = boost::asio::make_work_guard(io_);
  FakeEngine engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  StateKeeper keeper_{folder_.path(),
                      [this](std::function<void()> answer) { boost::asio::post(io_, std::move(answer)); }};
  Controller controller_{{&engine_, &next_hops_, &health_, {1, 2, 3}}};
  Wanted wanted_{&keeper_};
  Events events_{&controller_};
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<v1::LoadBalancer::Stub> stub_;
  std::thread control_{[this] { io_.run(); }};
};

}  // namespace sluice
