// The check `grpc` against gRPC's own health service, and against what is none.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <fstream>
#include <sstream>

#include "health/tls_context.h"
#include "tests/unit/health/prober_testbed.h"
#include "tests/unit/health/test_certificate.h"
#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

constexpr char kHttpOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

std::string ReadFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class GrpcProbeTest : public ProberTest {
 protected:
  // A server with the standard health service; returns the port.
  uint16_t Serve(const std::shared_ptr<grpc::ServerCredentials>& credentials = grpc::InsecureServerCredentials(),
                 bool with_health = true, const std::string& address = "127.0.0.1:0") {
    grpc::EnableDefaultHealthCheckService(with_health);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address, credentials, &port);
    // A server without any service does not start.
    builder.RegisterAsyncGenericService(&nothing_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
    return static_cast<uint16_t>(port);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown();
    if (queue_ == nullptr) return;
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }
  void SetServing(const std::string& service, bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(service, serving);
  }
  static CheckSpec Grpc(const std::string& service = "") {
    CheckSpec spec = Spec(CheckType::kGrpc);
    spec.service = service;
    return spec;
  }
  static CheckSpec Tls(TlsContext::Options options) {
    CheckSpec spec = Grpc();
    options.http2 = true;
    const absl::StatusOr<std::shared_ptr<const TlsContext>> tls = TlsContext::Create(options);
    EXPECT_TRUE(tls.ok()) << tls.status();
    if (tls.ok()) spec.tls = *tls;
    return spec;
  }
  static std::shared_ptr<grpc::ServerCredentials> Credentials(const TestCertificate& files,
                                                              const std::string& clients = "") {
    grpc::SslServerCredentialsOptions options(clients.empty()
                                                  ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                  : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = clients;
    options.pem_key_cert_pairs.push_back({ReadFile(files.key), ReadFile(files.certificate)});
    return grpc::SslServerCredentials(options);
  }

  TemporaryFolder folder_;
  grpc::AsyncGenericService nothing_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GrpcProbeTest, TheServersStatusDecides) {
  const uint16_t port = Serve();
  EXPECT_THAT(Check(Grpc(), port), Is(Outcome::kPassed, "answered SERVING"));
  SetServing("shop.Cart", true);
  EXPECT_THAT(Check(Grpc("shop.Cart"), port), Is(Outcome::kPassed, "answered SERVING"));
  SetServing("shop.Cart", false);
  EXPECT_THAT(Check(Grpc("shop.Cart"), port), Is(Outcome::kFailed, "answered NOT_SERVING; expected SERVING"));
  EXPECT_THAT(Check(Grpc(), port), Is(Outcome::kPassed, "answered SERVING"));
  EXPECT_THAT(Check(Grpc("nobody"), port),
              Is(Outcome::kFailed, "answered NOT_FOUND: the server has no service \"nobody\""));
}

TEST_F(GrpcProbeTest, Ipv6) {
  EXPECT_THAT(Check(Grpc(), Serve(grpc::InsecureServerCredentials(), true, "[::1]:0"), "::1"),
              Is(Outcome::kPassed, "answered SERVING"));
}

TEST_F(GrpcProbeTest, NobodyThereOrNoAnswerFails) {
  EXPECT_THAT(Check(Grpc(), ClosedPort()), Is(Outcome::kFailed, "refused"));
  CheckSpec spec = Grpc();
  spec.timeout = kShort;
  const CheckResult result = Check(spec, Listen(Hang()));
  EXPECT_THAT(result, Is(Outcome::kFailed, "no answer within 300ms"));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(GrpcProbeTest, WhatIsNotGrpcFails) {
  EXPECT_THAT(Check(Grpc(), Listen(Answer(kHttpOk))), Is(Outcome::kFailed, "answered UNKNOWN, or not in gRPC"));
  EXPECT_THAT(Check(Grpc(), Listen([](const Socket& socket) { socket->close(); })),
              Is(Outcome::kFailed, "UNAVAILABLE: closed, or not answered in gRPC"));
}

TEST_F(GrpcProbeTest, AnEndlessOrADrippingAnswerEnds) {
  CheckSpec spec = Grpc();
  EXPECT_EQ(Check(spec, Listen(Drip(std::string(4'000, 'x'), std::chrono::milliseconds(0)))).outcome, Outcome::kFailed);
  spec.timeout = kShort;
  // The frame of settings, and from there one byte at a time of a frame that says that it is long.
  const std::string start("\0\0\0\4\0\0\0\0\0", 9);
  const CheckResult result = Check(spec, Listen([this, start](const Socket& socket) {
                                     boost::asio::write(*socket, boost::asio::buffer(start));
                                     Drip(std::string(1, '\0'), std::chrono::milliseconds(20))(socket);
                                   }));
  EXPECT_EQ(result.outcome, Outcome::kFailed);
  EXPECT_LT(result.duration, kSoon) << result.reason;
}

TEST_F(GrpcProbeTest, OverTls) {
  const TestCertificate files = MakeCertificate(folder_.path(), "web", "DNS:web.example");
  const uint16_t port = Serve(Credentials(files));
  EXPECT_THAT(Check(Tls({.server_name = "web.example", .ca_file = files.certificate}), port),
              Is(Outcome::kPassed, "answered SERVING"));
  EXPECT_THAT(Check(Tls({.insecure = true}), port), Is(Outcome::kPassed, "answered SERVING"));
  EXPECT_THAT(Check(Tls({.server_name = "other.example", .ca_file = files.certificate}), port),
              Is(Outcome::kFailed, "TLS: hostname mismatch"));
  EXPECT_EQ(Check(Grpc(), port).outcome, Outcome::kFailed);
}

TEST_F(GrpcProbeTest, AnExpiredCertificateFails) {
  const TestCertificate files = MakeCertificate(folder_.path(), "old", "DNS:web.example", -60);
  EXPECT_THAT(Check(Tls({.server_name = "web.example", .ca_file = files.certificate}), Serve(Credentials(files))),
              Is(Outcome::kFailed, "TLS: certificate has expired"));
}

TEST_F(GrpcProbeTest, AServerMayWantACertificate) {
  const TestCertificate files = MakeCertificate(folder_.path(), "web", "DNS:web.example");
  const TestCertificate ours = MakeCertificate(folder_.path(), "checker", "DNS:checker.example");
  const uint16_t port = Serve(Credentials(files, ReadFile(ours.certificate)));
  EXPECT_EQ(Check(Tls({.insecure = true}), port).outcome, Outcome::kFailed);
  EXPECT_THAT(Check(Tls({.insecure = true, .certificate_file = ours.certificate, .key_file = ours.key}), port),
              Is(Outcome::kPassed, "answered SERVING"));
}

TEST_F(GrpcProbeTest, NothingIsLeftBehindByManyAtATime) {
  const uint16_t port = Serve();
  const auto count = [](const char* folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  };
  ASSERT_THAT(Check(Grpc(), port), Is(Outcome::kPassed, ""));
  const auto descriptors = count("/proc/self/fd");
  const CheckTarget target{*ParseAddress("127.0.0.1"), port, std::make_shared<const CheckSpec>(Grpc())};
  const CheckTarget hanging{*ParseAddress("127.0.0.1"), Listen(Hang()), target.spec};
  int passed = 0;
  std::vector<std::unique_ptr<Probe>> probes;
  for (int i = 0; i < 200; i++) {
    probes.push_back(prober_.Start(
        target, [&passed](const CheckResult& result) { passed += result.outcome == Outcome::kPassed ? 1 : 0; }));
    probes.push_back(prober_.Start(hanging, [](const CheckResult&) { ADD_FAILURE(); }));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((passed < 200 || held_.size() < 200) && std::chrono::steady_clock::now() < deadline) {
    io_.run_one_for(std::chrono::seconds(1));
  }
  EXPECT_EQ(passed, 200);
  // gRPC's own and ours, however many checks there are.
  EXPECT_LT(count("/proc/self/task"), 40);
  probes.clear();
  held_.clear();
  while (count("/proc/self/fd") > descriptors + 5 && std::chrono::steady_clock::now() < deadline) {
    io_.run_one_for(std::chrono::milliseconds(20));
  }
  EXPECT_LE(count("/proc/self/fd"), descriptors + 5);
}

}  // namespace
}  // namespace sluice
