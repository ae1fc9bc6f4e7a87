// What the xdp engine cannot do, and the keys that only the other one knows.
#include <string>

#include "absl/strings/str_cat.h"
#include "config/checks.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

void CheckKeys(const v1::Engine& engine, Report& report) {
  if (engine.has_workers()) {
    report.AddError("engine.workers",
                    "workers is for the dpdk engine; with xdp each RX queue of an interface is one: remove this, and "
                    "use: ethtool -L NAME combined N");
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

}  // namespace

void CheckXdp(const v1::Config& config, Report& report, const Facts& facts) {
  const v1::Engine& engine = config.engine();
  if (engine.type() != v1::Engine::XDP) {
    if (engine.shutdown() == v1::Engine::LEAVE && engine.type() == v1::Engine::DPDK) {
      report.AddError("engine.shutdown",
                      "with dpdk nobody forwards when sluiced has ended; set shutdown: detach, or type: xdp");
    }
    return;
  }
  CheckKeys(engine, report);
  for (int i = 0; i < config.pools_size(); ++i) {
    if (!Translates(facts.pools[static_cast<size_t>(i)].forwarding)) continue;
    report.AddError(
        At("pools", i, "forwarding"),
        absl::StrCat("pool \"", config.pools(i).name(), "\" translates, which the xdp engine does not; set ",
                     "engine.type: dpdk, or forwarding: dsr_l2, ipip or gue"));
  }
}

}  // namespace sluice::config
