#include "sluiced/open_engine.h"

#include <algorithm>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/xdp/xdp_engine.h"

namespace sluice {
namespace {

HugePages HugePagesOf(const v1::Engine& engine) {
  switch (engine.huge_pages()) {
    case v1::Engine::OFF:
      return HugePages::kOff;
    case v1::Engine::REQUIRED:
      return HugePages::kRequired;
    default:
      return HugePages::kPreferred;
  }
}

// Those of this network namespace; the kernel's defaults when it does not tell.
template <typename Options>
void ReadKernelPorts(Options* options) {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  uint16_t first = 0;
  uint16_t last = 0;
  if (!(file >> first >> last) || first == 0 || first > last) return;
  options->kernel_first_port = first;
  options->kernel_last_port = last;
}

// Never 0.
uint64_t PortSeed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random() | 1;
}

absl::StatusOr<DpdkOptions> DpdkOptionsOf(const v1::Engine& engine) {
  DpdkOptions options;
  options.workers = engine.workers();
  options.max_connections = engine.max_connections();
  options.max_sessions = engine.max_sessions();
  ReadKernelPorts(&options);
  options.port_seed = PortSeed();
  options.huge_pages = HugePagesOf(engine);
  options.spin = engine.idle() == v1::Engine::SPIN;
  const google::protobuf::Duration& takeover = engine.takeover_after();
  options.takeover_after =
      static_cast<uint64_t>(takeover.seconds()) * 1'000'000'000 + static_cast<uint64_t>(takeover.nanos());
  options.leave = engine.shutdown() != v1::Engine::DETACH;
  for (const v1::Interface& interface : engine.interfaces()) {
    DpdkOptions::Interface port;
    port.name = interface.name();
    port.pci = interface.pci();
    port.device = interface.device();
    port.tap = interface.tap();
    port.mtu = static_cast<uint16_t>(interface.mtu());
    for (const std::string& text : interface.addresses()) {
      absl::StatusOr<Prefix> prefix = ParsePrefix(text);
      if (!prefix.ok()) return prefix.status();
      port.addresses.push_back(*prefix);
    }
    options.interfaces.push_back(std::move(port));
  }
  return options;
}

XdpOptions XdpOptionsOf(const v1::Engine& engine) {
  XdpOptions options;
  for (const v1::Interface& interface : engine.interfaces()) options.interfaces.push_back(interface.name());
  options.max_connections = engine.max_connections();
  options.max_sessions = engine.max_sessions();
  ReadKernelPorts(&options);
  options.port_seed = PortSeed();
  options.leave = engine.shutdown() != v1::Engine::DETACH;
  return options;
}

absl::StatusOr<OpenedEngine> Opened(absl::StatusOr<std::unique_ptr<Engine>> engine, v1::Engine::Type type,
                                    const std::string& reason) {
  if (!engine.ok()) return engine.status();
  return OpenedEngine{*std::move(engine), type, reason};
}

absl::StatusOr<OpenedEngine> OpenDpdk(const v1::Engine& engine, const std::string& reason,
                                      std::vector<std::string>* notes) {
  absl::StatusOr<DpdkOptions> options = DpdkOptionsOf(engine);
  if (!options.ok()) return options.status();
  return Opened(OpenDpdkEngine(*options, notes), v1::Engine::DPDK, reason);
}

absl::StatusOr<OpenedEngine> OpenXdp(const v1::Engine& engine, const std::string& reason,
                                     std::vector<std::string>* notes) {
  return Opened(OpenXdpEngine(XdpOptionsOf(engine), notes), v1::Engine::XDP, reason);
}

bool OnKernelInterfaces(const v1::Engine& engine) {
  return std::all_of(engine.interfaces().begin(), engine.interfaces().end(),
                     [](const v1::Interface& one) { return !one.name().empty(); });
}

// What keeps the xdp engine from serving in dpdk's place (config/check_xdp.cc says why); empty when nothing does. Who
// requires huge pages wants to hear that there are none.
std::string WhyNotXdp(const v1::Config& config) {
  const v1::Engine& engine = config.engine();
  if (engine.huge_pages() == v1::Engine::REQUIRED) return "engine.huge_pages is required";
  if (!OnKernelInterfaces(engine)) return "it needs kernel interfaces (name)";
  for (const v1::Pool& pool : config.pools()) {
    if (pool.client_address() != v1::Pool::NONE) return absl::StrCat("pool \"", pool.name(), "\" has client_address");
  }
  for (const v1::Listener& listener : config.listeners()) {
    if (listener.reset_on_idle()) return absl::StrCat("listener \"", listener.name(), "\" has reset_on_idle");
  }
  return "";
}

absl::StatusOr<OpenedEngine> Choose(const v1::Config& config, std::vector<std::string>* notes) {
  const v1::Engine& engine = config.engine();
  const char* over = OnKernelInterfaces(engine) ? "over AF_XDP" : "on DPDK devices";
  absl::StatusOr<OpenedEngine> dpdk = OpenDpdk(engine, absl::StrCat("type is auto, and dpdk starts ", over), notes);
  if (dpdk.ok()) return dpdk;
  const std::string words(dpdk.status().message());
  if (const std::string why = WhyNotXdp(config); !why.empty()) {
    return absl::Status(dpdk.status().code(), absl::StrCat(words, " (and xdp cannot take dpdk's place: ", why, ")"));
  }
  absl::StatusOr<OpenedEngine> xdp =
      OpenXdp(engine,
              absl::StrCat("type is auto, and dpdk does not start here: ", words,
                           "; each queue of an interface is a worker of xdp, whatever engine.workers says"),
              notes);
  if (xdp.ok()) return xdp;
  const std::string others(xdp.status().message());
  // Most often both fail for the same reason.
  if (others == words) return dpdk;
  return absl::Status(dpdk.status().code(), absl::StrCat(words, " (and xdp does not start either: ", others, ")"));
}

}  // namespace

absl::StatusOr<OpenedEngine> OpenEngine(const v1::Config& config, std::vector<std::string>* notes) {
  const v1::Engine& engine = config.engine();
  if (engine.type() == v1::Engine::XDP) return OpenXdp(engine, "engine.type says so", notes);
  if (engine.type() == v1::Engine::DPDK) return OpenDpdk(engine, "engine.type says so", notes);
  return Choose(config, notes);
}

}  // namespace sluice
