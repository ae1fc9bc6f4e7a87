#include "health/grpc_calls.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel_posix.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "health/check.h"
#include "health/grpc_health.grpc.pb.h"

namespace sluice {
namespace {

namespace health = grpc::health::v1;

const char* CodeName(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return "OK";
    case grpc::StatusCode::CANCELLED:
      return "CANCELLED";
    case grpc::StatusCode::INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::NOT_FOUND:
      return "NOT_FOUND";
    case grpc::StatusCode::ALREADY_EXISTS:
      return "ALREADY_EXISTS";
    case grpc::StatusCode::PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case grpc::StatusCode::UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case grpc::StatusCode::FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case grpc::StatusCode::ABORTED:
      return "ABORTED";
    case grpc::StatusCode::OUT_OF_RANGE:
      return "OUT_OF_RANGE";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case grpc::StatusCode::INTERNAL:
      return "INTERNAL";
    case grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::StatusCode::DATA_LOSS:
      return "DATA_LOSS";
    default:
      return "UNKNOWN";
  }
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswer);
  arguments.SetUserAgentPrefix("sluice-health-check");
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // No larger windows for servers that send much.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return arguments;
}

}  // namespace

class GrpcCalls::Call {
 public:
  Call(int descriptor, const std::string& authority, Done done)
      : stub_(health::Health::NewStub(grpc::CreateCustomInsecureChannelFromFd(authority, descriptor, Arguments()))),
        done_(std::move(done)) {}

  void Start(const std::string& service, grpc::CompletionQueue* queue, void* tag) {
    health::HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub_->AsyncCheck(&context_, request, queue);
    reader_->Finish(&response_, &status_, tag);
  }
  void Cancel() { context_.TryCancel(); }
  void End() {
    const Done done = std::exchange(done_, nullptr);
    done({CodeName(status_.error_code()),
          // A number that the standard does not have has no name.
          health::HealthCheckResponse::ServingStatus_Name(response_.status())});
  }

 private:
  std::unique_ptr<health::Health::Stub> stub_;
  Done done_;
  grpc::ClientContext context_;
  health::HealthCheckResponse response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<health::HealthCheckResponse>> reader_;
};

struct GrpcCalls::Queue {
  grpc::CompletionQueue queue;
};

GrpcCalls::GrpcCalls(boost::asio::io_context& io) : io_(io) {}

GrpcCalls::~GrpcCalls() {
  if (queue_ == nullptr) return;
  queue_->queue.Shutdown();
  thread_.join();
}

std::shared_ptr<GrpcCalls::Call> GrpcCalls::Check(int descriptor, const std::string& authority,
                                                  const std::string& service, Done done) {
  if (queue_ == nullptr) {
    queue_ = std::make_unique<Queue>();
    thread_ = std::thread([this] { Drain(); });
  }
  auto call = std::make_shared<Call>(descriptor, authority, std::move(done));
  call->Start(service, &queue_->queue, new std::shared_ptr<Call>(call));
  return call;
}

void GrpcCalls::Cancel(Call& call) {
  call.Cancel();
}

void GrpcCalls::Drain() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->queue.Next(&tag, &ok)) {
    const std::unique_ptr<std::shared_ptr<Call>> ended(static_cast<std::shared_ptr<Call>*>(tag));
    boost::asio::post(io_, [call = std::move(*ended)] { call->End(); });
  }
}

}  // namespace sluice
