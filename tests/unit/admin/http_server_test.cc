// The HTTP server, by clients that behave and others.
#include "admin/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <vector>

namespace sluice {
namespace {

using boost::asio::ip::tcp;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    // A port that is free: somebody else's may be anywhere.
    for (uint16_t port = 20'000; server_ == nullptr && port < 20'200; port++) {
      endpoint_ = {*ParseAddress("127.0.0.1"), port};
      absl::StatusOr<std::unique_ptr<HttpServer>> server = Open();
      if (server.ok()) server_ = *std::move(server);
    }
    EXPECT_NE(server_, nullptr);
  }

  absl::StatusOr<std::unique_ptr<HttpServer>> Open() {
    return HttpServer::Open(io_, endpoint_, [this](const std::string& path, HttpServer::Done done) {
      asked_.push_back(path);
      if (path == "/later") {
        later_.push_back(std::move(done));
      } else {
        done({path == "/none" ? 404U : 200U, "text/plain", "the answer\n"});
      }
    });
  }
  tcp::socket Connect() {
    tcp::socket socket(io_);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), endpoint_.port});
    return socket;
  }
  // What the server says to these bytes until it closes.
  std::string Ask(const std::string& bytes, bool hang_up = false) {
    tcp::socket socket = Connect();
    boost::system::error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
    if (hang_up) socket.shutdown(tcp::socket::shutdown_send, ignored);
    return ReadAll(socket);
  }
  std::string ReadAll(tcp::socket& socket) {
    std::string text;
    bool ended = false;
    boost::asio::async_read(socket, boost::asio::dynamic_buffer(text),
                            [&](const boost::system::error_code&, size_t) { ended = true; });
    RunUntil([&] { return ended; });
    return text;
  }
  void RunUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    io_.restart();
    while (!condition() && std::chrono::steady_clock::now() < deadline) io_.run_one_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }

  boost::asio::io_context io_;
  Endpoint endpoint_;
  std::vector<std::string> asked_;
  std::vector<HttpServer::Done> later_;
  std::unique_ptr<HttpServer> server_;
};

constexpr char kClose[] = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

TEST_F(HttpServerTest, AnswersAndCloses) {
  const std::string answer = Ask(std::string("GET /metrics?x=1") + kClose);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n\r\nthe answer\n"));
  EXPECT_THAT(asked_, ElementsAre("/metrics"));
  EXPECT_THAT(Ask(std::string("GET /none") + kClose), StartsWith("HTTP/1.1 404 "));
}

TEST_F(HttpServerTest, KeepsAConnectionForFurtherRequests) {
  const std::string answer =
      Ask(std::string("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c") + kClose);
  EXPECT_THAT(asked_, ElementsAre("/a", "/b", "/c"));
  EXPECT_EQ(answer.substr(answer.size() - 11), "the answer\n");
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  const std::string answer = Ask(std::string("HEAD /a") + kClose);
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n"));
  EXPECT_EQ(answer.find("the answer"), std::string::npos);
}

TEST_F(HttpServerTest, OtherMethodsAndBodiesAreRefused) {
  EXPECT_THAT(Ask(std::string("DELETE /a") + kClose), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nbody"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(asked_, ElementsAre());
}

TEST_F(HttpServerTest, NonsenseHurtsNobody) {
  EXPECT_THAT(Ask("\x16\x03\x01\x02 this is TLS\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET /" + std::string(100'000, 'a') + kClose), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\n" + std::string(100'000, 'a') + ": b\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  Ask("GET / HT", true);
  Ask("", true);
  EXPECT_THAT(Ask(std::string("GET /a") + kClose), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, AnAnswerMayComeLater) {
  tcp::socket socket = Connect();
  boost::asio::write(socket, boost::asio::buffer(std::string("GET /later") + kClose));
  RunUntil([&] { return later_.size() == 1; });
  EXPECT_THAT(Ask(std::string("GET /a") + kClose), StartsWith("HTTP/1.1 200 "));
  later_[0]({503, "text/plain", "late\n"});
  const std::string answer = ReadAll(socket);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("late\n"));
}

TEST_F(HttpServerTest, WhoAsksAndLeavesIsForgotten) {
  {
    tcp::socket socket = Connect();
    boost::asio::write(socket, boost::asio::buffer(std::string("GET /later") + kClose));
    RunUntil([&] { return later_.size() == 1; });
  }
  later_[0]({200, "text/plain", std::string(10'000'000, 'x')});
  later_.clear();
  EXPECT_THAT(Ask(std::string("GET /a") + kClose), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, MoreThanItServesAtATimeWait) {
  std::list<tcp::socket> silent;
  for (size_t i = 0; i < HttpServer::kConnections; i++) silent.push_back(Connect());
  tcp::socket waiting = Connect();
  boost::asio::write(waiting, boost::asio::buffer(std::string("GET /waits") + kClose));
  io_.restart();
  io_.poll();
  EXPECT_THAT(asked_, ElementsAre());
  silent.pop_front();
  EXPECT_THAT(ReadAll(waiting), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, APortThatIsTaken) {
  EXPECT_THAT(std::string(Open().status().message()), HasSubstr("Address already in use); set another admin.listen"));
  endpoint_.address = *ParseAddress("203.0.113.77");
  EXPECT_FALSE(Open().ok());
}

TEST_F(HttpServerTest, GoesWhileSomebodyWaits) {
  tcp::socket socket = Connect();
  boost::asio::write(socket, boost::asio::buffer(std::string("GET /later") + kClose));
  RunUntil([&] { return later_.size() == 1; });
  server_.reset();
  later_[0]({200, "text/plain", "anyway\n"});
  EXPECT_THAT(ReadAll(socket), HasSubstr("anyway"));
}

}  // namespace
}  // namespace sluice
