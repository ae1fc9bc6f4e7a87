// Golden packets through the engine in the kernel, by BPF_PROG_TEST_RUN on the very program that is attached to
// interfaces. In a network namespace of its own, whose two interfaces are the ports; nothing is attached to them.
//
//   port 0: golden0 ==== golden1 :port 1
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/burst.h"
#include "engine/xdp/inheritance.h"
#include "engine/xdp/kernel_path.h"
#include "tests/bpf/kernel.h"
#include "tests/packet/golden_runner.h"

namespace sluice::packet_test {
namespace {

constexpr uint32_t kPorts = 2;
constexpr uint64_t kConnections = 65536;
constexpr const char* kInterfaces[kPorts] = {"golden0", "golden1"};

class XdpGolden : public GoldenEngine {
 public:
  ~XdpGolden() override {
    if (connections_ >= 0) close(connections_);
  }

  absl::Status Open() {
    absl::StatusOr<int> made = MakeConnectionArray(uint64_t{kPorts} * buckets_);
    if (!made.ok()) return made.status();
    connections_ = *made;
    return absl::OkStatus();
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override {
    if (path_ != nullptr && path_->Fits(*tables)) return path_->Publish(std::move(tables));
    KernelPath::Options options;
    options.room = KernelRoom::For(*tables);
    options.partitions = kPorts;
    options.buckets = buckets_;
    options.connections = connections_;
    absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
    if (!path.ok()) return path.status();
    std::vector<sluice_ingress> interfaces;
    for (uint16_t port = 0; port < kPorts; port++) {
      const uint32_t ifindex = if_nametoindex(kInterfaces[port]);
      interfaces.push_back({ifindex, port, 1, port, port});
      if (absl::Status status = (*path)->SetDevice(port, static_cast<int>(ifindex)); !status.ok()) return status;
    }
    (*path)->SetIngress(interfaces);
    path_ = *std::move(path);
    return path_->Publish(std::move(tables));
  }

  std::string Unable(const Tables& tables) const override {
    return tables.view().settings->sessions != 0 ? "the kernel does not translate yet" : "";
  }

  // The verdict is the one whose counter has gone up.
  absl::StatusOr<Outcome> Process(const std::string& frame, uint16_t from) override {
    const EngineCounters before = ReadCounters();
    xdp_md context{};
    context.ingress_ifindex = if_nametoindex(kInterfaces[from]);
    uint32_t action = XDP_ABORTED;
    std::string out = RunProgram(path_->program(), frame, &action, &context);
    const EngineCounters after = ReadCounters();
    Outcome outcome;
    std::optional<uint32_t> verdict;
    for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
      if (after.verdicts[i] != before.verdicts[i]) verdict = i;
    }
    if (!verdict.has_value()) return absl::InternalError(absl::StrCat("no verdict was counted; action ", action));
    outcome.verdict = sluice_verdict_name(*verdict);
    switch (sluice_verdict_kind(*verdict)) {
      case SLUICE_KIND_TRANSMIT:
        if (action != XDP_TX && action != XDP_REDIRECT) break;
        outcome.out = std::move(out);
        outcome.by = action == XDP_TX ? from : static_cast<uint16_t>(1 - from);
        return outcome;
      case SLUICE_KIND_PASS:
        if (action != XDP_PASS || out != frame) break;
        return outcome;
      default:
        if (action != XDP_DROP) break;
        return outcome;
    }
    return absl::InternalError(absl::StrCat("verdict ", outcome.verdict, ", and action ", action));
  }

  bool Wait(std::chrono::milliseconds) override { return false; }

 private:
  EngineCounters ReadCounters() const {
    EngineCounters counters;
    path_->AddCounters(&counters);
    return counters;
  }

  const uint32_t buckets_ = BucketsFor(kConnections / kPorts);
  int connections_ = -1;
  std::unique_ptr<KernelPath> path_;
};

bool MakeInterfaces() {
  return unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up") == 0 &&
         std::system("ip link add golden0 type veth peer name golden1") == 0 &&
         std::system("ip link set golden0 up") == 0 && std::system("ip link set golden1 up") == 0;
}

}  // namespace
}  // namespace sluice::packet_test

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenEngine;
  using sluice::packet_test::GoldenKind;
  if (geteuid() != 0) {
    std::fprintf(stderr, "SKIPPED: loading a BPF program needs root\n");
    return 77;
  }
  if (!sluice::packet_test::MakeInterfaces()) {
    std::perror("a network namespace with two interfaces");
    return 1;
  }
  return sluice::packet_test::RunGoldenCases(argc, argv, "xdp", GoldenKind::kReal,
                                             []() -> absl::StatusOr<std::unique_ptr<GoldenEngine>> {
                                               auto engine = std::make_unique<sluice::packet_test::XdpGolden>();
                                               if (const absl::Status status = engine->Open(); !status.ok())
                                                 return status;
                                               return engine;
                                             });
}
