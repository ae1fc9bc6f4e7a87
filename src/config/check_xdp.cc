// What the xdp engine cannot do, and the keys that only the other one knows.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/checks.h"

namespace sluice::config {
namespace {

void CheckKeys(const v1::Engine& engine, Report& report) {
  if (engine.has_workers()) {
    report.AddError("engine.workers",
                    "workers is for the dpdk engine; with xdp each RX queue of an interface is one: remove this, and "
                    "use: ethtool -L NAME combined N");
  }
  if (engine.has_takeover_after()) {
    report.AddError("engine.takeover_after",
                    "takeover_after is for the dpdk engine, whose workers may hang; xdp has none: remove this");
  }
  if (engine.huge_pages() != v1::Engine::PREFERRED) {
    report.AddError("engine.huge_pages",
                    "huge_pages is for the dpdk engine: the kernel has the tables of xdp; remove "
                    "this");
  }
  if (engine.idle() != v1::Engine::BACK_OFF) {
    report.AddError("engine.idle", "idle is for the dpdk engine; xdp has no workers that wait: remove this");
  }
  for (int i = 0; i < engine.interfaces_size(); ++i) {
    const v1::Interface& interface = engine.interfaces(i);
    if (interface.pci().empty() && interface.device().empty()) continue;
    const char* field = interface.pci().empty() ? "device" : "pci";
    report.AddError(At("engine.interfaces", i, field),
                    "xdp needs a kernel interface; write name: eth0 in place of this, or set type: dpdk");
  }
}

// What dpdk leaves to the kernel, which it can over kernel interfaces.
void CheckStandIn(const v1::Engine& engine, Report& report) {
  const bool all_kernel = std::all_of(engine.interfaces().begin(), engine.interfaces().end(),
                                      [](const v1::Interface& interface) { return !interface.name().empty(); });
  if (!all_kernel) {
    if (engine.has_takeover_after()) {
      report.AddError("engine.takeover_after",
                      "a DPDK device has nobody who takes over; remove this, or use kernel interfaces (name)");
    }
    if (engine.shutdown() == v1::Engine::LEAVE) {
      report.AddError("engine.shutdown",
                      "a DPDK device has nobody who forwards when sluiced has ended; set shutdown: detach, or use "
                      "kernel interfaces (name)");
    }
    return;
  }
  const google::protobuf::Duration& after = engine.takeover_after();
  const int64_t ms = after.seconds() * 1000 + after.nanos() / 1'000'000;
  if (ms >= kMinTakeoverMs && ms <= kMaxTakeoverMs) return;
  report.AddError("engine.takeover_after", absl::StrCat("takeover_after of ", ms, "ms is out of range; choose from ",
                                                        kMinTakeoverMs, "ms to ", kMaxTakeoverMs / 1000, "s"));
}

}  // namespace

void CheckXdp(const v1::Config& config, Report& report) {
  const v1::Engine& engine = config.engine();
  if (engine.type() != v1::Engine::XDP) return CheckStandIn(engine, report);
  CheckKeys(engine, report);
  for (int i = 0; i < config.pools_size(); ++i) {
    if (config.pools(i).client_address() == v1::Pool::NONE) continue;
    report.AddError(At("pools", i, "client_address"),
                    absl::StrCat("pool \"", config.pools(i).name(), "\" tells servers the client's address, which the ",
                                 "xdp engine cannot; set engine.type: dpdk, or remove this"));
  }
  for (int i = 0; i < config.listeners_size(); ++i) {
    if (!config.listeners(i).reset_on_idle()) continue;
    report.AddError(At("listeners", i, "reset_on_idle"),
                    "the xdp engine sends no packets of its own, so it cannot reset idle sessions; set engine.type: "
                    "dpdk, or remove this");
  }
}

}  // namespace sluice::config
