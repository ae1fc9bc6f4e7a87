#include "engine/dpdk/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// lcore 0 floats over all CPUs; workers take the last ones.
std::string LcoreMap(uint32_t workers, const std::vector<int>& cpus) {
  std::string map = absl::StrCat("0@(", absl::StrJoin(cpus, ","), ")");
  for (uint32_t i = 0; i < workers; i++) {
    absl::StrAppend(&map, ",", i + 1, "@(", cpus[cpus.size() - 1 - i % cpus.size()], ")");
  }
  return map;
}

uint64_t FreeHugePages() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  uint64_t pages = 0;
  file >> pages;
  return pages;
}

absl::StatusOr<bool> UseHugePages(const EalOptions& options, std::vector<std::string>* notes) {
  if (options.huge_pages == HugePages::kOff) return false;
  const uint64_t needed = options.memory_mib / 2 + 1;
  const uint64_t free = FreeHugePages();
  if (free >= needed) return true;
  const std::string hint = absl::StrCat("reserve them with `sysctl -w vm.nr_hugepages=", needed, "` or more");
  if (options.huge_pages == HugePages::kRequired) {
    return absl::ResourceExhaustedError(
        absl::StrCat("engine.huge_pages is required, but ", free, " of ", needed, " huge pages are free; ", hint));
  }
  notes->push_back(absl::StrCat(
      "no huge pages for packet memory (", free, " free, ", needed,
      " needed): the TLB will miss more often, which costs a few ns a packet at small tables and tens at large ones; ",
      hint));
  return false;
}

std::vector<std::string> Arguments(const EalOptions& options, bool huge, const std::vector<int>& cpus) {
  std::vector<std::string> arguments = {"sluiced", "--no-telemetry", "--log-level=warning",
                                        absl::StrCat("--lcores=", LcoreMap(options.workers, cpus))};
  // Either leaves no file behind and shares nothing with other DPDK programs.
  if (huge) {
    arguments.push_back("--in-memory");
  } else {
    arguments.push_back("--no-shconf");
    arguments.push_back("--no-huge");
    arguments.push_back("-m");
    arguments.push_back(absl::StrCat(options.memory_mib));
  }
  if (options.single_file) arguments.push_back("--single-file-segments");
  if (options.pci.empty()) arguments.push_back("--no-pci");
  for (const std::string& address : options.pci) {
    arguments.push_back("-a");
    arguments.push_back(address);
  }
  return arguments;
}

absl::Status Initialise(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(arguments.size()), argv.data()) >= 0) return absl::OkStatus();
  const std::string reason = rte_strerror(rte_errno);
  if (rte_errno == EACCES || rte_errno == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat("DPDK has no permission to start (", reason, "); run as root"));
  }
  return absl::InternalError(absl::StrCat("DPDK does not start: ", reason, "; its own words are in the lines above"));
}

}  // namespace

absl::Status StartEal(const EalOptions& options, std::vector<std::string>* notes) {
  static uint32_t started_workers = 0;
  if (started_workers != 0) {
    if (options.workers <= started_workers) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("DPDK runs with ", started_workers,
                                                      " workers in this process; restart to have ", options.workers));
  }
  const absl::StatusOr<bool> huge = UseHugePages(options, notes);
  if (!huge.ok()) return huge.status();
  const std::vector<int> cpus = AllowedCpus();
  if (options.workers > cpus.size()) {
    notes->push_back(
        absl::StrCat(options.workers, " workers share ", cpus.size(), " CPUs: they will be slower than fewer"));
  }
  const absl::Status status = Initialise(Arguments(options, *huge, cpus));
  if (status.ok()) started_workers = options.workers;
  return status;
}

}  // namespace sluice
