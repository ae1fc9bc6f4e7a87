// Ten thousand backends, each checked every second by one thread, over loopback sockets; prints the CPU time that it
// takes.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <ctime>
#include <limits>
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "health/health_checker.h"
#include "health/socket_prober.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

// A sanitizer takes several times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kBackends = 1'000;
#else
constexpr int kBackends = 10'000;
#endif

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Every address of 127.0.0.0/8, on a thread of its own: answers what looks like the end of a request.
class Servers {
 public:
  Servers() : acceptor_(io_, Tcp::endpoint(Tcp::v4(), 0)) {
    Accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Servers() {
    io_.stop();
    thread_.join();
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  void Accept() {
    acceptor_.async_accept([this](const boost::system::error_code& error, Tcp::socket peer) {
      if (!error) Answer(std::make_shared<Tcp::socket>(std::move(peer)));
      Accept();
    });
  }
  static void Answer(const std::shared_ptr<Tcp::socket>& socket) {
    auto request = std::make_shared<std::string>();
    asio::async_read_until(*socket, asio::dynamic_buffer(*request), "\r\n\r\n",
                           [socket, request](const boost::system::error_code& error, size_t) {
                             if (error) return;
                             boost::system::error_code ignored;
                             asio::write(*socket, asio::buffer(kAnswer), ignored);
                           });
  }

  static constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  asio::io_context io_;
  Tcp::acceptor acceptor_;
  std::thread thread_;
};

// Counts what it passes on.
class CountingProber : public Prober {
 public:
  explicit CountingProber(asio::io_context& io) : sockets_(io) {}
  std::unique_ptr<Probe> Start(const CheckTarget& target, Done done) override {
    return sockets_.Start(target, [this, done = std::move(done), address = target.address](const CheckResult& result) {
      outcomes[result.outcome]++;
      checks[address]++;
      if (result.outcome != CheckResult::Outcome::kPassed) last_reason = result.reason;
      done(result);
    });
  }
  // Checks of the backend that has had the fewest of so many.
  int Fewest(size_t backends) const {
    int fewest = checks.size() < backends ? 0 : std::numeric_limits<int>::max();
    for (const auto& [address, count] : checks) fewest = std::min(fewest, count);
    return fewest;
  }
  std::map<CheckResult::Outcome, int> outcomes;
  std::map<Address, int> checks;
  std::string last_reason;

 private:
  SocketProber sockets_;
};

class ManyBackendsTest : public testing::TestWithParam<CheckType> {};

TEST_P(ManyBackendsTest, AreCheckedEverySecond) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const Servers servers;
  asio::io_context io;
  CountingProber prober(io);
  HealthChecker checker({&prober, [] { return absl::FromUnixNanos(static_cast<int64_t>(MonotonicNow())); }, absl::Now});
  CheckSpec spec{.type = GetParam(),
                 .terms = {absl::Seconds(1), absl::Seconds(1), absl::Seconds(1), 2, 3},
                 .timeout = absl::Seconds(20),
                 .method = "GET",
                 .path = "/",
                 .statuses = {{200, 399}}};
  const auto shared = std::make_shared<const CheckSpec>(spec);
  std::vector<CheckedBackend> backends;
  for (int i = 0; i < kBackends; i++) {
    const absl::StatusOr<Address> address =
        ParseAddress("127.1." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250));
    backends.push_back({{"web", std::to_string(i)}, {*address, servers.port(), shared}});
  }
  checker.Watch(backends);

  const double cpu = ThreadCpuSeconds();
  const uint64_t begin = MonotonicNow();
  constexpr int kSeconds = 5;
  asio::steady_timer tick(io);
  std::function<void()> next = [&] {
    tick.expires_after(std::chrono::milliseconds(10));
    tick.async_wait([&](const boost::system::error_code&) {
      checker.Tick();
      next();
    });
  };
  next();
  io.run_for(std::chrono::seconds(kSeconds));
  const auto took_so_far = [begin] { return static_cast<double>(MonotonicNow() - begin) * 1e-9; };
  // What the machine does meanwhile may take as long again, twice.
  while (prober.Fewest(kBackends) < kSeconds - 1 && took_so_far() < 3 * kSeconds) {
    io.run_for(std::chrono::milliseconds(100));
  }
  const double used = ThreadCpuSeconds() - cpu;
  const double took = took_so_far();
  const int passed = prober.outcomes[CheckResult::Outcome::kPassed];
  std::printf("%s: %d backends, %.0f checks/s, %.2f s CPU a second, %.1f us a check\n",
              GetParam() == CheckType::kTcp ? "tcp" : "http", kBackends, passed / took, used / took,
              1e6 * used / passed);
  EXPECT_EQ(prober.outcomes[CheckResult::Outcome::kFailed], 0) << prober.last_reason;
  EXPECT_EQ(prober.outcomes[CheckResult::Outcome::kNotMade], 0) << prober.last_reason;
  EXPECT_EQ(prober.checks.size(), static_cast<size_t>(kBackends));
  for (const auto& [address, count] : prober.checks) {
    ASSERT_GE(count, kSeconds - 1) << FormatAddress(address);
    ASSERT_LE(count, took + 1) << FormatAddress(address);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ManyBackendsTest, testing::Values(CheckType::kTcp, CheckType::kHttp));

}  // namespace
}  // namespace sluice
