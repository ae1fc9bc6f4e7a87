#include "api/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
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
#include "api/tls_files.h"

namespace sluice {
namespace {

// Of all connections together.
constexpr size_t kMemoryBytes = size_t{256} << 20;
constexpr int kThreads = 8;
constexpr std::chrono::seconds kShutdown(1);
// For a handshake, and from one look at the certificates' files to the next.
constexpr int kHandshakeMs = 5'000;
constexpr unsigned kCertificateSeconds = 1;

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

std::shared_ptr<grpc::ServerCredentials> Credentials(const v1::ApiTls& tls) {
  namespace tls_api = grpc::experimental;
  tls_api::TlsServerCredentialsOptions options(std::make_shared<tls_api::FileWatcherCertificateProvider>(
      tls.key_file(), tls.certificate_file(), tls.client_ca_file(), kCertificateSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return tls_api::TlsServerCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Open(boost::asio::io_context& io, const Options& options,
                                                           ApiService::Backing backing) {
  auto server = std::unique_ptr<ApiServer>(new ApiServer(io, std::move(backing)));
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

absl::Status ApiServer::Listen(const Options& options) {
  const std::string& path = options.path;
  if (absl::Status status = CheckFree(path); !status.ok()) return status;
  if (!options.tcp.empty()) {
    if (absl::Status status = CheckTlsFiles(options.tls); !status.ok()) return status;
  }
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
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(ApiService::kCalls));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  // Two processes would share a port otherwise.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(absl::StrCat("unix:", path), grpc::InsecureServerCredentials());
  int port = 1;
  if (!options.tcp.empty()) builder.AddListeningPort(options.tcp, Credentials(options.tls), &port);
  builder.RegisterService(&service_);
  // For owner and group.
  const mode_t before = umask(0117);
  errno = 0;
  server_ = builder.BuildAndStart();
  const int reason = errno;
  umask(before);
  if (server_ != nullptr) return absl::OkStatus();
  if (port == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the API cannot be served at ", options.tcp,
                                                      "; is the address this machine's, and its port free? Else set "
                                                      "another api.listen"));
  }
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
