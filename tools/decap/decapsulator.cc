#include "decapsulator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "decap.skel.h"

namespace sluice {
namespace {

constexpr char kProgramName[] = "decap";
constexpr char kCounterMapName[] = "decap_counters";
constexpr uint32_t kMaxProgramMaps = 16;

constexpr const char* kResultNames[] = {
#define DECAP_NAME(name, dropped) #name,
    DECAP_RESULTS(DECAP_NAME)
#undef DECAP_NAME
};

absl::Status KernelError(const std::string& what, int error) {
  std::string text = absl::StrCat(what, ": ", std::strerror(error));
  if (error == EPERM || error == EACCES) return absl::PermissionDeniedError(text + "; run it as root");
  return absl::InternalError(text);
}

absl::StatusOr<int> InterfaceIndex(const std::string& interface) {
  unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) {
    return absl::NotFoundError(absl::StrCat("no interface '", interface, "'; `ip link` lists what there is"));
  }
  return static_cast<int>(index);
}

struct AttachedProgram {
  // 0 when there is none.
  uint32_t id = 0;
  std::string name;
};

absl::StatusOr<AttachedProgram> FindAttachedProgram(int interface_index) {
  AttachedProgram attached;
  int error = bpf_xdp_query_id(interface_index, 0, &attached.id);
  if (error != 0) return KernelError("cannot ask for the interface's XDP program", -error);
  if (attached.id == 0) return attached;
  int fd = bpf_prog_get_fd_by_id(attached.id);
  if (fd < 0) return KernelError("cannot open the interface's XDP program", errno);
  absl::Cleanup close_fd = [fd] { close(fd); };
  bpf_prog_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return KernelError("cannot read the XDP program's name", errno);
  attached.name = info.name;
  return attached;
}

absl::StatusOr<DecapCounters> ReadCounters(int map) {
  int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return KernelError("cannot count the CPUs", -cpus);
  DecapCounters counters = {};
  std::vector<uint64_t> per_cpu(static_cast<size_t>(cpus));
  for (uint32_t result = 0; result < DECAP_RESULT_COUNT; result++) {
    if (bpf_map_lookup_elem(map, &result, per_cpu.data()) != 0) return KernelError("cannot read the counters", errno);
    for (uint64_t packets : per_cpu) counters[result] += packets;
  }
  return counters;
}

// The counters of a program that another process loaded, found through the kernel's list of its maps.
absl::StatusOr<DecapCounters> ReadCountersOfProgram(uint32_t program_id) {
  int program = bpf_prog_get_fd_by_id(program_id);
  if (program < 0) return KernelError("cannot open the XDP program", errno);
  absl::Cleanup close_program = [program] { close(program); };
  uint32_t map_ids[kMaxProgramMaps] = {};
  bpf_prog_info info = {};
  info.nr_map_ids = kMaxProgramMaps;
  info.map_ids = reinterpret_cast<uint64_t>(map_ids);
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return KernelError("cannot read the XDP program", errno);
  for (uint32_t i = 0; i < info.nr_map_ids && i < kMaxProgramMaps; i++) {
    int map = bpf_map_get_fd_by_id(map_ids[i]);
    if (map < 0) return KernelError("cannot open a map of the XDP program", errno);
    absl::Cleanup close_map = [map] { close(map); };
    bpf_map_info map_info = {};
    uint32_t map_size = sizeof(map_info);
    if (bpf_obj_get_info_by_fd(map, &map_info, &map_size) != 0) return KernelError("cannot read a map", errno);
    if (std::strcmp(map_info.name, kCounterMapName) != 0) continue;
    if (map_info.max_entries != DECAP_RESULT_COUNT) break;
    return ReadCounters(map);
  }
  return absl::FailedPreconditionError("the running decap has other counters: it is of another version");
}

}  // namespace

std::string FormatDecapCounters(const DecapCounters& counters) {
  std::string text;
  for (size_t result = 0; result < counters.size(); result++) {
    absl::StrAppend(&text, result == 0 ? "" : " ", kResultNames[result], "=", counters[result]);
  }
  return text;
}

absl::StatusOr<std::vector<Address>> InterfaceAddresses(const std::string& interface) {
  absl::StatusOr<int> index = InterfaceIndex(interface);
  if (!index.ok()) return index.status();
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return KernelError("cannot list the interface addresses", errno);
  absl::Cleanup free_list = [list] { freeifaddrs(list); };
  absl::btree_set<Address> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || interface != entry->ifa_name) continue;
    Address address;
    if (entry->ifa_addr->sa_family == AF_INET) {
      address.bytes[10] = address.bytes[11] = 0xff;
      std::memcpy(&address.bytes[12], &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, 4);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      std::memcpy(&address.bytes[0], &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    addresses.insert(address);
  }
  return std::vector<Address>(addresses.begin(), addresses.end());
}

absl::StatusOr<DecapCounters> ReadRunningDecapCounters(const std::string& interface) {
  absl::StatusOr<int> index = InterfaceIndex(interface);
  if (!index.ok()) return index.status();
  absl::StatusOr<AttachedProgram> attached = FindAttachedProgram(*index);
  if (!attached.ok()) return attached.status();
  if (attached->id == 0 || attached->name != kProgramName) {
    return absl::NotFoundError(absl::StrCat("no decap runs on ", interface));
  }
  return ReadCountersOfProgram(attached->id);
}

class Decapsulator::Program {
 public:
  Program() : skeleton_(decap_bpf::open()) {}
  ~Program() { decap_bpf::destroy(skeleton_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  absl::Status Load(const DecapOptions& options) {
    if (skeleton_ == nullptr) return KernelError("cannot open the BPF object", errno);
    skeleton_->rodata->decap_gue_port = options.gue_port;
    int error = decap_bpf::load(skeleton_);
    if (error != 0) return KernelError("the kernel does not load the program; it takes Linux 5.18 or newer", -error);
    for (const Address& address : options.addresses) {
      const uint8_t present = 1;
      if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.decap_addresses), address.bytes.data(), &present, BPF_ANY)) {
        return KernelError(absl::StrCat("cannot add the address ", FormatAddress(address)), errno);
      }
    }
    return absl::OkStatus();
  }
  int fd() const { return bpf_program__fd(skeleton_->progs.decap); }
  int counters() const { return bpf_map__fd(skeleton_->maps.decap_counters); }

 private:
  decap_bpf* skeleton_;
};

Decapsulator::Decapsulator(std::unique_ptr<Program> program) : program_(std::move(program)) {}

Decapsulator::~Decapsulator() {
  if (link_ >= 0) close(link_);
}

absl::StatusOr<std::unique_ptr<Decapsulator>> Decapsulator::Attach(const DecapOptions& options) {
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.interface, " has no address; give the tunnel's with --address"));
  }
  if (options.addresses.size() > DECAP_MAX_ADDRESSES) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.addresses.size(), " addresses; name at most ", DECAP_MAX_ADDRESSES, " with --address"));
  }
  absl::StatusOr<int> index = InterfaceIndex(options.interface);
  if (!index.ok()) return index.status();
  absl::StatusOr<AttachedProgram> foreign = FindAttachedProgram(*index);
  if (!foreign.ok()) return foreign.status();
  if (foreign->id != 0) {
    return absl::FailedPreconditionError(absl::StrCat(options.interface, " already runs the XDP program '",
                                                      foreign->name, "' (id ", foreign->id,
                                                      "); stop what put it there first"));
  }
  auto program = std::make_unique<Program>();
  absl::Status status = program->Load(options);
  if (!status.ok()) return status;
  std::unique_ptr<Decapsulator> decapsulator(new Decapsulator(std::move(program)));
  status = decapsulator->AttachLink(*index, options.interface);
  if (!status.ok()) return status;
  return decapsulator;
}

absl::Status Decapsulator::AttachLink(int interface_index, const std::string& interface) {
  // LIBBPF_OPTS is C only.
  bpf_link_create_opts options = {};
  options.sz = sizeof(options);
  options.flags = XDP_FLAGS_DRV_MODE;
  mode_ = "native";
  link_ = bpf_link_create(program_->fd(), interface_index, BPF_XDP, &options);
  if (link_ >= 0) return absl::OkStatus();
  native_refusal_ = std::strerror(errno);
  options.flags = XDP_FLAGS_SKB_MODE;
  mode_ = "generic";
  link_ = bpf_link_create(program_->fd(), interface_index, BPF_XDP, &options);
  if (link_ >= 0) return absl::OkStatus();
  return KernelError(absl::StrCat("cannot attach to ", interface, " (native: ", native_refusal_, "; generic)"), errno);
}

absl::StatusOr<DecapCounters> Decapsulator::Counters() const {
  return ReadCounters(program_->counters());
}

}  // namespace sluice
