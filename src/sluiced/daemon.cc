#include "sluiced/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "sluiced/hash_key.h"
#include "sluiced/open_engine.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kTick(10);
// How long "ready" waits for neighbours to answer.
constexpr uint64_t kSettleNs = 3'000'000'000;
// How long the first tables wait for next hops: long enough for those that answer at all.
constexpr uint64_t kPrepareNs = 500'000'000;

// To what it may be raised to: each health check under way is a socket.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Daemon::Daemon(Options options)
    : options_(std::move(options)),
      signals_(io_),
      neighbors_ready_(io_),
      tick_(io_),
      prober_(io_),
      health_({&prober_, [] { return absl::FromUnixNanos(static_cast<int64_t>(MonotonicNow())); }, absl::Now}) {}

Daemon::~Daemon() {
  reload_socket_.reset();
  controller_.reset();
  if (engine_ != nullptr) engine_->Close();
  // The table owns the descriptor.
  if (neighbors_ready_.is_open()) neighbors_ready_.release();
}

absl::Status Daemon::Run() {
  if (absl::Status status = Start(); !status.ok()) return status;
  io_.run();
  LogTotals();
  spdlog::info("stopping");
  return absl::OkStatus();
}

absl::Status Daemon::Start() {
  started_ = MonotonicNow();
  RaiseDescriptorLimit();
  // First: a signal while it starts is answered when it has started, and leaves nothing half open.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) signals_.add(signal);
  WaitForSignal();
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(options_.config);
  if (!loaded.ok()) return loaded.status();
  for (const std::string& warning : loaded->warnings) spdlog::warn("{}", warning);
  // Before anything is taken: a second daemon must not disturb the first.
  absl::StatusOr<std::unique_ptr<ReloadSocket>> socket =
      ReloadSocket::Open(io_, options_.run_dir, [this] { return Reload(); });
  if (!socket.ok()) return socket.status();
  reload_socket_ = *std::move(socket);
  if (absl::Status status = OpenEngine(loaded->config); !status.ok()) return status;
  return OpenControl(loaded->config);
}

absl::Status Daemon::OpenEngine(const v1::Config& config) {
  std::vector<std::string> notes;
  absl::StatusOr<std::unique_ptr<Engine>> engine = sluice::OpenEngine(config, &notes);
  for (const std::string& note : notes) spdlog::warn("{}", note);
  if (!engine.ok()) return engine.status();
  engine_ = *std::move(engine);
  for (const EnginePort& port : engine_->ports()) {
    spdlog::info("port {}: {}, MAC {}, MTU {}, link {}", port.name, port.mode, FormatMac(port.mac), port.mtu,
                 port.link_up ? "up" : "down");
  }
  return absl::OkStatus();
}

absl::Status Daemon::OpenControl(const v1::Config& config) {
  absl::StatusOr<std::array<uint8_t, 32>> key = FindHashKey(config.engine().hash_key(), options_.state_dir);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::unique_ptr<NeighborTable>> neighbors = NeighborTable::Open();
  if (!neighbors.ok()) return neighbors.status();
  neighbors_ = *std::move(neighbors);
  neighbors_ready_.assign(neighbors_->fd());
  next_hops_ = std::make_unique<KernelNextHops>(neighbors_.get());
  Controller::Options control_options;
  control_options.engine = engine_.get();
  control_options.next_hops = next_hops_.get();
  control_options.health = &health_;
  control_options.hash_key = *key;
  controller_ = std::make_unique<Controller>(control_options);
  WaitForNeighbors();
  WaitForTick();
  controller_->Prepare(config);
  const uint64_t deadline = MonotonicNow() + kPrepareNs;
  while (!controller_->settled() && MonotonicNow() < deadline && !io_.stopped()) io_.run_one_for(kTick);
  // Stopped before it has begun to serve: an instance before us goes on as it is.
  if (io_.stopped()) return absl::OkStatus();
  return controller_->Apply(config).status();
}

absl::StatusOr<uint32_t> Daemon::Reload() {
  if (controller_ == nullptr) return absl::UnavailableError("sluiced is still starting; try again");
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(options_.config);
  absl::StatusOr<uint32_t> generation = loaded.ok() ? controller_->Apply(loaded->config) : loaded.status();
  if (!generation.ok()) {
    spdlog::error("reload refused, nothing has changed: {}", std::string(generation.status().message()));
    return generation;
  }
  for (const std::string& warning : loaded->warnings) spdlog::warn("{}", warning);
  spdlog::info("reload: generation={}", *generation);
  return generation;
}

void Daemon::WaitForSignal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal != SIGHUP) {
      io_.stop();
      return;
    }
    // The answer is in the log.
    Reload().IgnoreError();
    WaitForSignal();
  });
}

void Daemon::WaitForNeighbors() {
  neighbors_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                              [this](const boost::system::error_code& error) {
                                if (error) return;
                                neighbors_->Process(absl::FromUnixNanos(static_cast<int64_t>(MonotonicNow())));
                                WaitForNeighbors();
                              });
}

void Daemon::WaitForTick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    controller_->Tick();
    SayWhenReady();
    WaitForTick();
  });
}

void Daemon::SayWhenReady() {
  if (ready_ || controller_->generation() == 0 || (!controller_->settled() && MonotonicNow() - started_ < kSettleNs))
    return;
  ready_ = true;
  spdlog::info("ready generation={}", controller_->generation());
}

void Daemon::LogTotals() {
  const EngineCounters counters = engine_->ReadCounters();
  std::string reasons;
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    if (counters.verdicts[i] > 0) absl::StrAppend(&reasons, " ", sluice_verdict_name(i), "=", counters.verdicts[i]);
  }
  spdlog::info(
      "totals: received={}{} transmit_full={} port_receive_dropped={} port_transmit_dropped={} kernel_dropped={} "
      "sessions_opened={} sessions_expired={} sessions_evicted={} ports_taken_early={} answers_elsewhere={} "
      "resets_sent={} proxy_acknowledged={} toa_left_out={}",
      counters.received, reasons, counters.transmit_full, counters.port_receive_dropped, counters.port_transmit_dropped,
      counters.kernel_dropped, counters.sessions.opened, counters.sessions.expired,
      counters.sessions.evicted_closed + counters.sessions.evicted_handshake, counters.sessions.ports_taken_early,
      counters.sessions.answers_elsewhere, counters.sessions.resets, counters.sessions.proxy_acknowledged,
      counters.sessions.toa_left_out);
}

}  // namespace sluice
