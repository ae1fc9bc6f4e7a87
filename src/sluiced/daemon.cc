#include "sluiced/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "config/endpoint.h"
#include "control/state_file.h"
#include "control/totals.h"
#include "control/view.h"
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
      probes_ready_(io_),
      tick_(io_),
      prober_(io_),
      health_({&prober_, [] { return absl::FromUnixNanos(static_cast<int64_t>(MonotonicNow())); }, absl::Now}) {}

Daemon::~Daemon() {
  reload_socket_.reset();
  admin_.reset();
  api_.reset();
  // Writes what is not written yet.
  keeper_.reset();
  controller_.reset();
  probes_.reset();
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
  const absl::StatusOr<std::shared_ptr<const v1::Config>> config = OpenWanted(*loaded);
  if (!config.ok()) return config.status();
  if (absl::Status status = OpenEngine(**config); !status.ok()) return status;
  // Stopped before it has begun to serve: an instance before us goes on as it is.
  if (absl::Status status = OpenControl(**config); !status.ok() || io_.stopped()) return status;
  // Before there are tables: where a port is taken, nothing has begun that would go on without us. Who asks already is
  // answered when they are there.
  events_ = std::make_unique<Events>(controller_.get());
  if (absl::Status status = OpenApi(); !status.ok()) return status;
  if (absl::Status status = OpenAdmin(); !status.ok()) return status;
  if (absl::Status status = controller_->Apply(*config).status(); !status.ok()) return status;
  wanted_->Serve(controller_.get());
  wanted_->SetObserver([this](const char* what, const v1::ChangeReply& reply) { events_->Changed(what, reply); });
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const v1::Config>> Daemon::OpenWanted(const LoadedConfig& file) {
  absl::StatusOr<FolderLock> lock = FolderLock::Take(options_.state_dir, "wanted.lock", "--state_dir");
  // In a folder where nothing can be written nothing can be mixed up either.
  if (absl::IsAlreadyExists(lock.status())) return lock.status();
  if (lock.ok()) state_lock_ = *std::move(lock);
  const absl::StatusOr<FoundState> found = ReadState(options_.state_dir);
  if (!found.ok()) return found.status();
  std::vector<std::string> notes = found->notes;
  keeper_ = std::make_unique<StateKeeper>(
      options_.state_dir, [this](std::function<void()> answer) { boost::asio::post(io_, std::move(answer)); });
  wanted_ = std::make_unique<Wanted>(keeper_.get());
  std::shared_ptr<const v1::Config> config = wanted_->Begin(file, found->state, &notes);
  for (const std::string& note : notes) spdlog::warn("{}", note);
  return config;
}

absl::Status Daemon::OpenApi() {
  const v1::Api& api_config = wanted_->config().api();
  const bool local = absl::StartsWith(api_config.listen(), "unix:");
  const absl::StatusOr<std::string> path =
      ParseUnixSocket(local ? api_config.listen()
                            : absl::StrCat("unix:", std::filesystem::absolute(options_.run_dir).string(), "/api.sock"));
  if (!path.ok()) return path.status();
  const std::string tcp = local ? "" : api_config.listen();
  absl::StatusOr<std::unique_ptr<ApiServer>> api =
      ApiServer::Open(io_, {*path, tcp, api_config.tls()},
                      {wanted_.get(),
                       controller_.get(),
                       events_.get(),
                       [this] { return ViewOwnStatus(); },
                       {api_config.tls().admins().begin(), api_config.tls().admins().end()}});
  if (!api.ok()) return api.status();
  api_ = *std::move(api);
  spdlog::info("api: listens at {}{}", *path, tcp.empty() ? "" : absl::StrCat(" and ", tcp));
  return absl::OkStatus();
}

absl::Status Daemon::OpenAdmin() {
  if (!wanted_->config().has_admin()) return absl::OkStatus();
  const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(wanted_->config().admin().listen());
  if (!endpoint.ok()) return endpoint.status();
  absl::StatusOr<std::unique_ptr<Admin>> admin =
      Admin::Open(io_, *endpoint, {controller_.get(), [this] { return ViewOwnStatus(); }});
  if (!admin.ok()) return admin.status();
  admin_ = *std::move(admin);
  spdlog::info("admin: http://{}/metrics", wanted_->config().admin().listen());
  return absl::OkStatus();
}

v1::Status Daemon::ViewOwnStatus() const {
  v1::Status status = ViewStatus(*controller_);
  status.set_version(options_.version);
  status.set_engine(engine_type_);
  status.set_engine_reason(engine_reason_);
  if (engine_type_ == v1::Engine::DPDK) status.set_workers(controller_->config().engine().workers());
  status.set_revision(wanted_->revision());
  status.mutable_uptime()->set_seconds(static_cast<int64_t>((MonotonicNow() - started_) / 1'000'000'000));
  status.set_ready(ready_);
  if (const absl::Status kept = wanted_->kept(); !kept.ok()) {
    status.add_problems(
        absl::StrCat("changes made over the API would be lost by a restart: ", std::string(kept.message())));
  }
  return status;
}

absl::Status Daemon::OpenEngine(const v1::Config& config) {
  std::vector<std::string> notes;
  absl::StatusOr<OpenedEngine> engine = sluice::OpenEngine(config, &notes);
  for (const std::string& note : notes) spdlog::warn("{}", note);
  if (!engine.ok()) return engine.status();
  engine_ = std::move(engine->engine);
  engine_type_ = engine->type;
  engine_reason_ = engine->reason;
  const bool fallback = config.engine().type() == v1::Engine::AUTO && engine_type_ != v1::Engine::DPDK;
  spdlog::log(fallback ? spdlog::level::warn : spdlog::level::info, "engine {}: {}",
              engine_type_ == v1::Engine::DPDK ? "dpdk" : "xdp", engine_reason_);
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
  probes_ = std::make_unique<KernelProbes>(&prober_.marked(), [this](int fd) { FollowProbes(fd); });
  control_options.probes = probes_.get();
  controller_ = std::make_unique<Controller>(control_options);
  WaitForNeighbors();
  WaitForTick();
  controller_->Prepare(config);
  const uint64_t deadline = MonotonicNow() + kPrepareNs;
  while (!controller_->settled() && MonotonicNow() < deadline && !io_.stopped()) io_.run_one_for(kTick);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> Daemon::Reload() {
  if (wanted_ == nullptr) return absl::UnavailableError("sluiced is still starting; try again");
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(options_.config);
  const absl::StatusOr<v1::ChangeReply> reply = loaded.ok() ? wanted_->Reload(*loaded) : loaded.status();
  if (!reply.ok()) {
    spdlog::error("reload refused, nothing has changed: {}", std::string(reply.status().message()));
    return reply.status();
  }
  // The file is on the disk anyway; this is what the file has replaced, and SayWhetherKept tells how it went.
  keeper_->Flush().IgnoreError();
  return reply->generation();
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

// The device owns the descriptor.
void Daemon::FollowProbes(int fd) {
  if (probes_ready_.is_open()) probes_ready_.release();
  if (fd < 0) return;
  probes_ready_.assign(fd);
  WaitForProbes();
}

void Daemon::WaitForProbes() {
  probes_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const boost::system::error_code& error) {
                             if (error) return;
                             controller_->ForwardProbes();
                             WaitForProbes();
                           });
}

void Daemon::WaitForTick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    controller_->Tick();
    if (events_ != nullptr) events_->Tick();
    SayWhenReady();
    SayWhetherKept();
    WaitForTick();
  });
}

void Daemon::SayWhenReady() {
  if (ready_ || controller_->generation() == 0 || (!controller_->settled() && MonotonicNow() - started_ < kSettleNs))
    return;
  ready_ = true;
  spdlog::info("ready generation={}", controller_->generation());
}

void Daemon::SayWhetherKept() {
  const absl::Status kept = wanted_->kept();
  if (std::exchange(kept_, kept.ok()) == kept.ok()) return;
  if (kept.ok()) return spdlog::info("changes made over the API are kept again");
  spdlog::error("changes made over the API would be lost by a restart: {}", std::string(kept.message()));
}

void Daemon::LogTotals() {
  const EngineCounters counters = engine_->ReadCounters();
  std::string line = absl::StrCat("received=", counters.received);
  for (const v1::Total& total : ReadTotals(counters)) {
    // There are many verdicts.
    const bool shown = total.value() > 0 || total.kind() == v1::Total::OTHER;
    if (shown) absl::StrAppend(&line, " ", total.name(), "=", total.value());
  }
  spdlog::info("totals: {}", line);
}

}  // namespace sluice
