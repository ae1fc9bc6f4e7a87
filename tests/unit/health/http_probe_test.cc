#include <boost/asio/ssl.hpp>

#include "health/tls_context.h"
#include "tests/unit/health/prober_testbed.h"
#include "tests/unit/health/test_certificate.h"
#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
namespace ssl = boost::asio::ssl;

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhealth";

class HttpProbeTest : public ProberTest {
 protected:
  // A server whose context is `context`, which answers each request with `answer`.
  uint16_t ListenTls(ssl::context& context, const std::string& answer) {
    return Listen([&context, answer, this](const Socket& socket) {
      auto stream = std::make_shared<ssl::stream<Tcp::socket>>(std::move(*socket), context);
      stream->async_handshake(ssl::stream_base::server, [stream, answer, this](const boost::system::error_code& error) {
        if (error) return;
        const char* name = SSL_get_servername(stream->native_handle(), TLSEXT_NAMETYPE_host_name);
        server_names_.push_back(name != nullptr ? name : "");
        auto request = std::make_shared<std::string>();
        boost::asio::async_read_until(*stream, boost::asio::dynamic_buffer(*request), "\r\n\r\n",
                                      [stream, request, answer](const boost::system::error_code&, size_t) {
                                        boost::system::error_code ignored;
                                        boost::asio::write(*stream, boost::asio::buffer(answer), ignored);
                                      });
      });
    });
  }
  static void Use(const TestCertificate& files, ssl::context& context) {
    context.use_certificate_chain_file(files.certificate);
    context.use_private_key_file(files.key, ssl::context::pem);
  }
  CheckSpec Https(const TlsContext::Options& options) {
    CheckSpec spec = Spec(CheckType::kHttps);
    const absl::StatusOr<std::shared_ptr<const TlsContext>> tls = TlsContext::Create(options);
    EXPECT_TRUE(tls.ok()) << tls.status();
    if (tls.ok()) spec.tls = *tls;
    return spec;
  }

  TemporaryFolder folder_;
  std::vector<std::string> server_names_;
};

TEST_F(HttpProbeTest, AsksAsItIsTold) {
  CheckSpec spec = Spec(CheckType::kHttp);
  spec.method = "OPTIONS";
  spec.path = "/health?deep=1";
  spec.host = "web.example";
  EXPECT_THAT(Check(spec, Listen(Answer(kOk))), Is(Outcome::kPassed, "answered 200 OK"));
  EXPECT_THAT(requests_.back(), StartsWith("OPTIONS /health?deep=1 HTTP/1.1\r\nHost: web.example\r\n"));
  EXPECT_THAT(requests_.back(), HasSubstr("\r\nConnection: close\r\n"));
  spec.host.clear();
  const uint16_t port = Listen(Answer(kOk));
  Check(spec, port);
  EXPECT_THAT(requests_.back(), HasSubstr("\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n"));
}

TEST_F(HttpProbeTest, TheStatusDecides) {
  CheckSpec spec = Spec(CheckType::kHttp);
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.0 302 Moved\r\n\r\n"))), Is(Outcome::kPassed, "answered 302 Found"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 503 of its own\r\n\r\n"))),
              Is(Outcome::kFailed, "answered 503 Service Unavailable; expected 200-399"));
  spec.statuses = {{401, 401}, {503, 503}};
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 503 no\r\n\r\n"))), Is(Outcome::kPassed, "answered 503"));
}

TEST_F(HttpProbeTest, WhatIsNotHttpFails) {
  const CheckSpec spec = Spec(CheckType::kHttp);
  EXPECT_THAT(Check(spec, Listen(Answer("220 mail.example ESMTP\r\n"))), Is(Outcome::kFailed, "bad version"));
  EXPECT_THAT(Check(spec, Listen(Answer(""))), Is(Outcome::kFailed, "closed without an answer"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 2"))), Is(Outcome::kFailed, "partial message"));
  EXPECT_THAT(Check(Spec(CheckType::kHttp, kShort), Listen(Hang())), Is(Outcome::kFailed, "no answer within 300ms"));
  EXPECT_THAT(Check(spec, ClosedPort()), Is(Outcome::kFailed, "refused"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"))),
              Is(Outcome::kFailed, "header limit exceeded"));
}

TEST_F(HttpProbeTest, ABodyIsExpected) {
  CheckSpec spec = Spec(CheckType::kHttp);
  spec.expect_body = "health";
  EXPECT_THAT(Check(spec, Listen(Answer(kOk))), Is(Outcome::kPassed, "answered 200 with the expected text"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\n\r\nall in good health"))), Is(Outcome::kPassed, "text"));
  EXPECT_THAT(
      Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhea\r\n3\r\nlth\r\n"))),
      Is(Outcome::kPassed, "text"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick"))),
              Is(Outcome::kFailed, "not in its body of 4 bytes"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))),
              Is(Outcome::kFailed, "not in its body of 0 bytes"));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nsick"))),
              Is(Outcome::kFailed, ""));
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nhealth"))),
              Is(Outcome::kFailed, "answered 500"));
}

TEST_F(HttpProbeTest, ABodyOfAnySizeCostsNoMoreThanItsBeginning) {
  CheckSpec spec = Spec(CheckType::kHttp);
  spec.expect_body = "health";
  // It says that a gigabyte will come, and begins.
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
  EXPECT_THAT(Check(spec, Listen(Answer(head + "health", /*close=*/false))), Is(Outcome::kPassed, "text"));
  const CheckResult result = Check(spec, Listen(Answer(head + std::string(100'000, 'x'), /*close=*/false)));
  EXPECT_THAT(result, Is(Outcome::kFailed, "not in the first 6"));
  EXPECT_LT(result.duration, kSoon);
}

TEST_F(HttpProbeTest, OneByteAtATimeEndsAtTheTimeout) {
  CheckSpec spec = Spec(CheckType::kHttp, kShort);
  spec.expect_body = "health";
  for (const std::string& start : {std::string(), std::string("HTTP/1.1 200 OK\r\n\r\n")}) {
    const CheckResult result = Check(spec, Listen([this, start](const Socket& socket) {
                                       boost::asio::write(*socket, boost::asio::buffer(start));
                                       Drip("H", std::chrono::milliseconds(20))(socket);
                                     }));
    EXPECT_EQ(result.outcome, Outcome::kFailed);
    EXPECT_LT(result.duration, kSoon) << result.reason;
  }
}

TEST_F(HttpProbeTest, TheAnswerToHeadHasNoBody) {
  CheckSpec spec = Spec(CheckType::kHttp);
  spec.method = "HEAD";
  EXPECT_THAT(Check(spec, Listen(Answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"))), Is(Outcome::kPassed, "200"));
}

TEST_F(HttpProbeTest, TlsWithTheRightNamePasses) {
  const TestCertificate files = MakeCertificate(folder_.path(), "web", "DNS:web.example");
  ssl::context server(ssl::context::tls_server);
  Use(files, server);
  const uint16_t port = ListenTls(server, kOk);
  EXPECT_THAT(Check(Https({.server_name = "web.example", .ca_file = files.certificate}), port),
              Is(Outcome::kPassed, "answered 200 OK"));
  EXPECT_EQ(server_names_.back(), "web.example");
  EXPECT_THAT(Check(Https({.server_name = "other.example", .ca_file = files.certificate}), port),
              Is(Outcome::kFailed, "TLS: hostname mismatch"));
  EXPECT_THAT(Check(Https({.ca_file = files.certificate}), port), Is(Outcome::kFailed, "TLS: IP address mismatch"));
  EXPECT_THAT(Check(Https({.server_name = "web.example"}), port), Is(Outcome::kFailed, "TLS: self-signed certificate"));
  EXPECT_THAT(Check(Https({.server_name = "other.example", .insecure = true}), port), Is(Outcome::kPassed, "200"));
}

TEST_F(HttpProbeTest, TlsToAnAddress) {
  const TestCertificate files = MakeCertificate(folder_.path(), "ip", "IP:127.0.0.1");
  ssl::context server(ssl::context::tls_server);
  Use(files, server);
  EXPECT_THAT(Check(Https({.ca_file = files.certificate}), ListenTls(server, kOk)), Is(Outcome::kPassed, "200"));
  EXPECT_EQ(server_names_.back(), "");
}

TEST_F(HttpProbeTest, AnExpiredCertificateFails) {
  const TestCertificate files = MakeCertificate(folder_.path(), "old", "DNS:web.example", -60);
  ssl::context server(ssl::context::tls_server);
  Use(files, server);
  EXPECT_THAT(Check(Https({.server_name = "web.example", .ca_file = files.certificate}), ListenTls(server, kOk)),
              Is(Outcome::kFailed, "TLS: certificate has expired"));
}

TEST_F(HttpProbeTest, AServerMayWantACertificate) {
  const TestCertificate files = MakeCertificate(folder_.path(), "web", "DNS:web.example");
  const TestCertificate ours = MakeCertificate(folder_.path(), "checker", "DNS:checker.example");
  ssl::context server(ssl::context::tls_server);
  Use(files, server);
  server.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  server.load_verify_file(ours.certificate);
  const uint16_t port = ListenTls(server, kOk);
  EXPECT_EQ(Check(Https({.insecure = true}), port).outcome, Outcome::kFailed);
  EXPECT_THAT(Check(Https({.insecure = true, .certificate_file = ours.certificate, .key_file = ours.key}), port),
              Is(Outcome::kPassed, "200"));
}

TEST_F(HttpProbeTest, WhatIsNotTlsFails) {
  CheckSpec spec = Https({.insecure = true});
  spec.timeout = kShort;
  EXPECT_THAT(Check(spec, Listen(Answer(kOk))), Is(Outcome::kFailed, ""));
  EXPECT_THAT(Check(spec, Listen(Hang())), Is(Outcome::kFailed, "no TLS handshake within 300ms"));
}

TEST_F(HttpProbeTest, FilesThatCannotBeUsedAreNamed) {
  const TestCertificate files = MakeCertificate(folder_.path(), "web", "DNS:web.example");
  const auto refused = [](const TlsContext::Options& options) {
    return std::string(TlsContext::Create(options).status().message());
  };
  EXPECT_THAT(refused({.ca_file = "/nowhere/ca.pem"}),
              HasSubstr("health_check.ca_file: /nowhere/ca.pem cannot be used (No such file"));
  EXPECT_THAT(refused({.certificate_file = "/nowhere/own.pem"}), HasSubstr("health_check.certificate_file: /nowhere"));
  EXPECT_THAT(refused({.certificate_file = files.certificate, .key_file = "/nowhere/own.key"}),
              HasSubstr("health_check.key_file: /nowhere"));
  EXPECT_THAT(refused({.ca_file = files.key}), HasSubstr("health_check.ca_file: "));
  const TestCertificate other = MakeCertificate(folder_.path(), "other", "DNS:other.example");
  EXPECT_THAT(refused({.certificate_file = files.certificate, .key_file = other.key}),
              HasSubstr("health_check.key_file: "));
}

}  // namespace
}  // namespace sluice
