// The daemon: from a configuration file to a running balancer, and orderly down again.
//
// Thread-safety: everything runs on the thread that calls Run.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "admin/admin.h"
#include "api/server.h"
#include "config/load.h"
#include "control/controller.h"
#include "control/events.h"
#include "control/kernel_probes.h"
#include "control/state_keeper.h"
#include "control/wanted.h"
#include "engine/engine.h"
#include "health/socket_prober.h"
#include "neighbor/neighbor_table.h"
#include "sluiced/folder_lock.h"
#include "sluiced/reload_socket.h"

namespace sluice {

class Daemon {
 public:
  struct Options {
    std::string config;
    std::string state_dir;
    std::string run_dir;
    std::string version;
  };

  explicit Daemon(Options options);
  ~Daemon();

  // Starts, serves until SIGTERM or SIGINT, and stops in order. SIGHUP reloads. The status says why it could not start.
  absl::Status Run();

 private:
  absl::Status Start();
  absl::Status OpenEngine(const v1::Config& config);
  absl::StatusOr<std::shared_ptr<const v1::Config>> OpenWanted(const LoadedConfig& file);
  // Returns when next hops are known, as far as they are soon.
  absl::Status OpenControl(const v1::Config& config);
  absl::Status OpenApi();
  absl::Status OpenAdmin();
  absl::StatusOr<uint32_t> Reload();
  // What runs, and what is wrong.
  v1::Status ViewOwnStatus() const;
  void WaitForSignal();
  void WaitForNeighbors();
  void FollowProbes(int fd);
  void WaitForProbes();
  void WaitForTick();
  void SayWhenReady();
  void SayWhetherKept();
  void LogTotals();

  Options options_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  boost::asio::posix::stream_descriptor neighbors_ready_;
  boost::asio::posix::stream_descriptor probes_ready_;
  boost::asio::steady_timer tick_;
  std::unique_ptr<NeighborTable> neighbors_;
  std::unique_ptr<NextHopSource> next_hops_;
  std::unique_ptr<Engine> engine_;
  v1::Engine::Type engine_type_ = v1::Engine::AUTO;
  std::string engine_reason_;
  SocketProber prober_;
  std::unique_ptr<KernelProbes> probes_;
  // Ends its checks before the prober goes.
  HealthChecker health_;
  std::unique_ptr<Controller> controller_;
  // Until the last state is written.
  FolderLock state_lock_;
  std::unique_ptr<StateKeeper> keeper_;
  std::unique_ptr<Wanted> wanted_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<ReloadSocket> reload_socket_;
  uint64_t started_ = 0;
  bool ready_ = false;
  // The last change could be written.
  bool kept_ = true;
};

}  // namespace sluice
