#include "api/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Of all connections together.
constexpr size_t kMemoryBytes = size_t{256} << 20;
constexpr int kThreads = 8;
constexpr std::chrono::seconds kShutdown(1);

// What gRPC finds worth saying about a client's bytes is no news for the log.
void LogGrpc(gpr_log_func_args* entry) {
  spdlog::debug("grpc: {}", entry->message);
}

// gRPC would take the socket of whoever serves there.
absl::Status CheckFree(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return absl::OkStatus();
  if (!S_ISSOCK(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a socket; remove it, or set another api.listen"));
  }
  const int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (peer < 0) return absl::ErrnoToStatus(errno, "no socket to be had");
  const absl::Cleanup closer = [peer] { close(peer); };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  if (connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("another process serves the API at ", path, "; stop it, or set another api.listen"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Open(boost::asio::io_context& io, const std::string& path,
                                                           ApiService::Backing backing) {
  auto server = std::unique_ptr<ApiServer>(new ApiServer(io, std::move(backing)));
  if (absl::Status status = server->Listen(path); !status.ok()) return status;
  return server;
}

absl::Status ApiServer::Listen(const std::string& path) {
  if (absl::Status status = CheckFree(path); !status.ok()) return status;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  gpr_set_log_function(&LogGrpc);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ResourceQuota quota("api");
  quota.Resize(kMemoryBytes);
  quota.SetMaxThreads(kThreads);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(CallQueue::kCalls));
  builder.AddListeningPort(absl::StrCat("unix:", path), grpc::InsecureServerCredentials());
  builder.RegisterService(&service_);
  // For owner and group.
  const mode_t before = umask(0117);
  errno = 0;
  server_ = builder.BuildAndStart();
  const int reason = errno;
  umask(before);
  if (server_ != nullptr) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the API cannot be served at ", path, " (", std::strerror(reason),
                                                  "); give a writable folder in api.listen or --run_dir"));
}

ApiServer::~ApiServer() {
  service_.Close();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + kShutdown);
  server_->Wait();
}

}  // namespace sluice
