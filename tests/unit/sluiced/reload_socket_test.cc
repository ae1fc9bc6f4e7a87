#include "sluiced/reload_socket.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <thread>
#include <vector>

#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;
using ::testing::HasSubstr;

// The daemon's side, on a thread of its own as long as the object lives.
class Server {
 public:
  Server(const std::string& run_dir, std::function<absl::StatusOr<uint32_t>()> reload,
         std::chrono::milliseconds patience = ReloadSocket::kPatience) {
    auto socket = ReloadSocket::Open(io_, run_dir, std::move(reload), patience);
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (!socket.ok()) return;
    socket_ = *std::move(socket);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Server() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    socket_.reset();
  }

 private:
  asio::io_context io_;
  std::unique_ptr<ReloadSocket> socket_;
  std::thread thread_;
};

class ReloadSocketTest : public ::testing::Test {
 protected:
  const std::string& run_dir() const { return folder_.path(); }
  std::string path() const { return run_dir() + "/reload.sock"; }

  // Counts, and answers with the count.
  std::function<absl::StatusOr<uint32_t>()> Counting() {
    return [this] { return absl::StatusOr<uint32_t>(++reloads_); };
  }

  Protocol::socket Connected() {
    Protocol::socket socket(io_);
    socket.connect(Protocol::endpoint(path()));
    return socket;
  }

  static std::string AnswerTo(Protocol::socket& socket, const std::string& request) {
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer(request), ignored);
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), ignored);
    return answer;
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  std::atomic<uint32_t> reloads_ = 0;
};

TEST_F(ReloadSocketTest, TheAnswerIsTheGeneration) {
  const Server server(run_dir(), [] { return absl::StatusOr<uint32_t>(7); });
  EXPECT_EQ(RequestReload(run_dir()).value_or(0), 7u);
}

TEST_F(ReloadSocketTest, ARefusalIsToldWholeAndAsItIs) {
  std::string words;
  for (int line = 1; line < 10'000; line++) words += "file.yaml:" + std::to_string(line) + ":1: wrong\n";
  const Server server(run_dir(), [&words] { return absl::InvalidArgumentError(words); });
  const auto answer = RequestReload(run_dir());
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().message(), words);
}

TEST_F(ReloadSocketTest, WithoutADaemonTheErrorNamesTheFolder) {
  const auto answer = RequestReload(run_dir());
  ASSERT_FALSE(answer.ok());
  EXPECT_THAT(std::string(answer.status().message()), AllOf(HasSubstr(path()), HasSubstr("--run_dir")));
}

TEST_F(ReloadSocketTest, ASecondDaemonIsRefusedAndTheFirstDoesNotNotice) {
  const Server server(run_dir(), Counting());
  const auto second = ReloadSocket::Open(io_, run_dir(), Counting());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another sluiced"));
  // The first request, not the second.
  EXPECT_EQ(RequestReload(run_dir()).value_or(0), 1u);
}

TEST_F(ReloadSocketTest, AConnectionWithoutARequestReloadsNothing) {
  const Server server(run_dir(), Counting());
  Connected().close();
  Protocol::socket half = Connected();
  asio::write(half, asio::buffer(std::string("rel")));
  half.close();
  EXPECT_EQ(RequestReload(run_dir()).value_or(0), 1u);
}

TEST_F(ReloadSocketTest, AnotherRequestIsRefused) {
  const Server server(run_dir(), Counting());
  Protocol::socket socket = Connected();
  EXPECT_THAT(AnswerTo(socket, "stop\n"), HasSubstr("not \"reload\""));
  // Longer than a request, and no end in sight: closed without a word.
  Protocol::socket endless = Connected();
  EXPECT_EQ(AnswerTo(endless, std::string(100'000, 'x')), "");
  EXPECT_EQ(reloads_, 0u);
}

TEST_F(ReloadSocketTest, AStaleSocketIsReplaced) {
  { Protocol::acceptor left(io_, Protocol::endpoint(path())); }
  ASSERT_TRUE(std::filesystem::exists(path()));
  const Server server(run_dir(), Counting());
  EXPECT_EQ(RequestReload(run_dir()).value_or(0), 1u);
}

TEST_F(ReloadSocketTest, ItGoesWithItsDaemon) {
  { const Server server(run_dir(), Counting()); }
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_FALSE(RequestReload(run_dir()).ok());
  // And makes room for the next.
  const Server server(run_dir(), Counting());
  EXPECT_TRUE(RequestReload(run_dir()).ok());
}

TEST_F(ReloadSocketTest, OnlyItsOwnerMayAsk) {
  const mode_t before = umask(0);
  const Server server(run_dir(), Counting());
  EXPECT_EQ(umask(before), 0u) << "the umask is not as it was";
  struct stat file {};
  ASSERT_EQ(stat(path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((run_dir() + "/lock").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(ReloadSocketTest, AHundredClientsAtATime) {
  const Server server(run_dir(), Counting());
  std::vector<std::thread> clients;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 100; i++) {
    clients.emplace_back([&] { answered += RequestReload(run_dir()).ok() ? 1 : 0; });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 100);
  EXPECT_EQ(reloads_, 100u);
}

TEST_F(ReloadSocketTest, ClientsThatDoNotReadKeepNobodyWaiting) {
  // More than a socket's buffers hold.
  const std::string words(8 << 20, 'w');
  constexpr std::chrono::seconds patience(60);
  const auto reload = [&] {
    return ++reloads_ < ReloadSocket::kClients ? absl::StatusOr<uint32_t>(absl::InvalidArgumentError(words))
                                               : absl::StatusOr<uint32_t>(1);
  };
  const Server server(run_dir(), reload, patience);
  std::vector<Protocol::socket> silent;
  for (size_t i = 1; i < ReloadSocket::kClients; i++) {
    silent.push_back(Connected());
    asio::write(silent.back(), asio::buffer(std::string("reload\n")));
  }
  const auto asked = std::chrono::steady_clock::now();
  EXPECT_EQ(RequestReload(run_dir()).value_or(0), 1u);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, patience / 2);
}

TEST_F(ReloadSocketTest, ClientsThatDoNothingAreGivenUp) {
  const Server server(run_dir(), Counting(), std::chrono::milliseconds(500));
  std::vector<Protocol::socket> silent;
  for (size_t i = 0; i < 2 * ReloadSocket::kClients; i++) silent.push_back(Connected());
  // Comes after all of them; a test that hangs is stopped by its runner.
  EXPECT_TRUE(RequestReload(run_dir()).ok());
  std::string nothing;
  boost::system::error_code error;
  asio::read(silent.front(), asio::dynamic_buffer(nothing), error);
  EXPECT_EQ(error, asio::error::eof);
}

TEST_F(ReloadSocketTest, ALongReloadIsNotTheClientsTime) {
  const std::string words(1 << 20, 'w');
  const Server server(
      run_dir(),
      [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2050));
        return absl::InvalidArgumentError(words);
      },
      std::chrono::seconds(2));
  EXPECT_EQ(RequestReload(run_dir()).status().message(), words);
}

TEST_F(ReloadSocketTest, APathTooLongForASocketIsAnError) {
  const std::string longer = run_dir() + "/" + std::string(100, 'd');
  const auto socket = ReloadSocket::Open(io_, longer, Counting());
  ASSERT_FALSE(socket.ok());
  EXPECT_THAT(std::string(socket.status().message()), HasSubstr("shorter --run_dir"));
  EXPECT_THAT(std::string(RequestReload(longer).status().message()), HasSubstr("shorter --run_dir"));
}

TEST_F(ReloadSocketTest, AFolderThatCannotBeWrittenIsAnErrorWithAHint) {
  // A file stands where the folder should be: root is refused as well.
  { Protocol::acceptor file(io_, Protocol::endpoint(run_dir() + "/file")); }
  const auto socket = ReloadSocket::Open(io_, run_dir() + "/file", Counting());
  ASSERT_FALSE(socket.ok());
  EXPECT_THAT(std::string(socket.status().message()), HasSubstr("--run_dir"));
}

}  // namespace
}  // namespace sluice
