// sluiced, the load balancer's daemon.

#include <gflags/gflags.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>

#include "config/load.h"
#include "engine/xdp/xdp_engine.h"
#include "sluiced/daemon.h"
#include "sluiced/log.h"
#include "sluiced/reload_socket.h"

DEFINE_string(config, "/etc/sluice/sluice.yaml", "the configuration file");
DEFINE_string(state_dir, "/var/lib/sluice",
              "folder for what is kept over restarts: the hash key, changes made over the API");
DEFINE_string(run_dir, "/run/sluice", "folder for the sockets by which --reload and sluicectl find the running daemon");
DEFINE_bool(check, false, "check the configuration file, say all that is wrong with it, and exit 0 or 1");
DEFINE_bool(
    detach, false,
    "take off what an ended sluiced has left forwarding in the kernel, on the interfaces of the file; exit 0 or "
    "1");
DEFINE_bool(reload, false, "have the running daemon read its file again; exit 0 when every worker runs it, else 1");

DECLARE_bool(help);

namespace {

// What is wrong with them together; null: nothing.
const char* WrongFlags() {
  if (int{FLAGS_check} + int{FLAGS_reload} + int{FLAGS_detach} > 1) {
    return "--check, --reload and --detach are three things to do; give one of them";
  }
  // Files would lie in the root folder.
  if (FLAGS_run_dir.empty() || FLAGS_state_dir.empty()) return "--run_dir and --state_dir have to name a folder";
  return nullptr;
}

int Check() {
  const absl::StatusOr<sluice::LoadedConfig> loaded = sluice::LoadConfig(FLAGS_config);
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", std::string(loaded.status().message()).c_str());
    return 1;
  }
  for (const std::string& warning : loaded->warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  std::printf("%s: valid, %d listeners, %d pools\n", FLAGS_config.c_str(), loaded->config.listeners_size(),
              loaded->config.pools_size());
  return 0;
}

int Reload() {
  const absl::StatusOr<uint32_t> generation = sluice::RequestReload(FLAGS_run_dir);
  if (!generation.ok()) {
    std::fprintf(stderr, "sluiced: reload failed: %s\n", std::string(generation.status().message()).c_str());
    return 1;
  }
  std::printf("generation=%u\n", *generation);
  return 0;
}

int Detach() {
  const absl::StatusOr<sluice::LoadedConfig> loaded = sluice::LoadConfig(FLAGS_config);
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", std::string(loaded.status().message()).c_str());
    return 1;
  }
  int result = 0;
  for (const sluice::v1::Interface& interface : loaded->config.engine().interfaces()) {
    if (interface.name().empty()) continue;
    const absl::StatusOr<bool> removed = sluice::RemoveXdp(interface.name());
    if (removed.ok()) {
      std::printf("%s: %s\n", interface.name().c_str(), *removed ? "detached" : "nothing of sluiced is there");
      continue;
    }
    std::fprintf(stderr, "sluiced: %s\n", std::string(removed.status().message()).c_str());
    result = 1;
  }
  return result;
}

int Serve() {
  // Who reads the log may go; traffic goes on.
  std::signal(SIGPIPE, SIG_IGN);
  sluice::OpenLog();
  sluice::Daemon::Options options{FLAGS_config, FLAGS_state_dir, FLAGS_run_dir, SLUICE_VERSION};
  sluice::Daemon daemon(std::move(options));
  const absl::Status status = daemon.Run();
  if (status.ok()) return 0;
  spdlog::error("{}", std::string(status.message()));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  gflags::SetUsageMessage("the Sluice load balancer\n\n  sluiced --config=FILE [--check | --reload | --detach]");
  gflags::SetVersionString(SLUICE_VERSION);
  gflags::ParseCommandLineNonHelpFlags(&argc, &argv, true);
  if (FLAGS_help) {
    // Those of this file alone.
    gflags::ShowUsageWithFlagsRestrict(argv[0], "sluiced/main.cc");
    return 0;
  }
  gflags::HandleCommandLineHelpFlags();
  if (argc > 1) {
    std::fprintf(stderr, "sluiced: \"%s\" is not a flag; see sluiced --help\n", argv[1]);
    return 1;
  }
  if (const char* wrong = WrongFlags(); wrong != nullptr) {
    std::fprintf(stderr, "sluiced: %s; see sluiced --help\n", wrong);
    return 1;
  }
  if (FLAGS_check) return Check();
  if (FLAGS_reload) return Reload();
  if (FLAGS_detach) return Detach();
  return Serve();
}
