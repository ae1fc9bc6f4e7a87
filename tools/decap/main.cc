// decap: takes IPIP and GUE off what reaches a backend whose kernel has no tunnel device.
#include <gflags/gflags.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "decapsulator.h"

DEFINE_string(interface, "", "the interface that tunnel packets arrive on");
DEFINE_string(address, "",
              "a local tunnel address, may be repeated or a list with commas; only packets to one of them are touched "
              "(default: every address that the interface has at the start)");
DEFINE_int32(gue_port, DECAP_GUE_PORT, "UDP port of GUE");
DEFINE_bool(stats, false, "print the counters of the decap that runs on the interface, and exit");

namespace sluice {
namespace {

absl::btree_set<Address>& GivenAddresses() {
  static absl::btree_set<Address> addresses;
  return addresses;
}

// gflags keeps only the last of a repeated flag, but shows every one to its validator.
bool CollectAddresses(const char* /*flag*/, const std::string& value) {
  const std::vector<std::string> texts = absl::StrSplit(value, ',', absl::SkipEmpty());
  for (const std::string& text : texts) {
    absl::StatusOr<Address> address = ParseAddress(text);
    if (!address.ok()) {
      std::fprintf(stderr, "decap: --address: %s\n", absl::StrCat(address.status().message()).c_str());
      return false;
    }
    GivenAddresses().insert(*address);
  }
  return true;
}

bool IsPort(const char* flag, int32_t value) {
  if (value > 0 && value <= UINT16_MAX) return true;
  std::fprintf(stderr, "decap: --%s=%d is not a port; give 1 to 65535\n", flag, value);
  return false;
}

DEFINE_validator(address, &CollectAddresses);
DEFINE_validator(gue_port, &IsPort);

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "decap: %s\n", absl::StrCat(status.message()).c_str());
  return EXIT_FAILURE;
}

int PrintCounters(const absl::StatusOr<DecapCounters>& counters) {
  if (!counters.ok()) return Fail(counters.status());
  std::printf("decap: %s\n", FormatDecapCounters(*counters).c_str());
  return EXIT_SUCCESS;
}

absl::StatusOr<std::unique_ptr<Decapsulator>> Start() {
  DecapOptions options;
  options.interface = FLAGS_interface;
  options.gue_port = static_cast<uint16_t>(FLAGS_gue_port);
  options.addresses.assign(GivenAddresses().begin(), GivenAddresses().end());
  if (options.addresses.empty()) {
    absl::StatusOr<std::vector<Address>> found = InterfaceAddresses(options.interface);
    if (!found.ok()) return found.status();
    options.addresses = *std::move(found);
  }
  return Decapsulator::Attach(options);
}

int Run() {
  // Blocked before the attach, so that a signal meanwhile is not lost and leads to the orderly end.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  absl::StatusOr<std::unique_ptr<Decapsulator>> decapsulator = Start();
  if (!decapsulator.ok()) return Fail(decapsulator.status());
  if (!(*decapsulator)->native_refusal().empty()) {
    std::fprintf(stderr, "decap: no native XDP on %s (%s), so in generic mode, which is slower\n",
                 FLAGS_interface.c_str(), (*decapsulator)->native_refusal().c_str());
  }
  std::printf("decap: ready interface=%s mode=%s\n", FLAGS_interface.c_str(), (*decapsulator)->mode().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  return PrintCounters((*decapsulator)->Counters());
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  gflags::SetUsageMessage(
      "decap --interface=eth0 [--address=192.0.2.1 ...] [--gue_port=6080] | --interface=eth0 --stats");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  if (argc > 1 || FLAGS_interface.empty()) {
    std::fprintf(stderr, "usage: %s\n", gflags::ProgramUsage());
    return EXIT_FAILURE;
  }
  if (FLAGS_stats) return sluice::PrintCounters(sluice::ReadRunningDecapCounters(FLAGS_interface));
  return sluice::Run();
}
