#include "engine/dpdk/afxdp_program.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "redirect.skel.h"

namespace sluice {
namespace {

// As in bpf/redirect.bpf.c; the kernel keeps 15 characters of a name.
constexpr std::string_view kProgramName = "sluice_redirect";
constexpr std::string_view kAddressMapName = "vips";

absl::Status BpfStatus(int error, const std::string& what) {
  if (error == EPERM || error == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(what,
                     ": no permission; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN (CAP_BPF and "
                     "CAP_PERFMON do, but for taking over from an instance that crashed)"));
  }
  return absl::ErrnoToStatus(error, what);
}

// What libbpf has to say of a failure (the driver's own words, the verifier's) goes to the log; the error has the rest.
int Log(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 1024> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  line[std::strcspn(line.data(), "\n")] = '\0';
  spdlog::info("{}", line.data());
  return 0;
}

// libbpf's options carry their size, and it insists that their padding is zero too. (LIBBPF_OPTS is for C.)
template <typename Options>
void Prepare(Options* options) {
  std::memset(options, 0, sizeof(*options));
  options->sz = sizeof(*options);
}

struct Attached {
  uint32_t id = 0;
  bool generic = false;
};

absl::StatusOr<Attached> QueryAttached(int ifindex, const std::string& interface) {
  bpf_xdp_query_opts query;
  Prepare(&query);
  if (const int error = bpf_xdp_query(ifindex, 0, &query); error != 0) {
    return BpfStatus(-error, absl::StrCat(interface, ": asking for the XDP program that is there"));
  }
  if (query.skb_prog_id != 0) return Attached{.id = query.skb_prog_id, .generic = true};
  return Attached{.id = query.drv_prog_id != 0 ? query.drv_prog_id : query.hw_prog_id};
}

std::string ProgramName(int fd) {
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.name : "?";
}

// The map of virtual addresses of a loaded program of ours, as a file descriptor; -1 when there is none.
int OpenAddressMap(int program_fd) {
  std::array<uint32_t, 16> ids{};
  bpf_prog_info program{};
  program.nr_map_ids = ids.size();
  program.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  uint32_t size = sizeof(program);
  if (bpf_obj_get_info_by_fd(program_fd, &program, &size) != 0) return -1;
  for (uint32_t i = 0; i < program.nr_map_ids && i < ids.size(); ++i) {
    const int fd = bpf_map_get_fd_by_id(ids[i]);
    bpf_map_info map{};
    size = sizeof(map);
    if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &size) == 0 && map.name == kAddressMapName &&
        map.key_size == sizeof(Address::bytes)) {
      return fd;
    }
    if (fd >= 0) close(fd);
  }
  return -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedirectProgram>> RedirectProgram::Load(uint16_t queues) {
  libbpf_set_print(Log);
  auto program = std::unique_ptr<RedirectProgram>(new RedirectProgram(redirect_bpf__open()));
  if (program->skeleton_ == nullptr) return BpfStatus(errno, "opening the XDP program");
  bpf_map__set_max_entries(program->skeleton_->maps.xsks_map, queues);
  // Twice, since a new set comes before the old one goes.
  for (bpf_map* map :
       {program->skeleton_->maps.vips, program->skeleton_->maps.services, program->skeleton_->maps.locals}) {
    bpf_map__set_max_entries(map, 2 * kMaxAddresses);
  }
  if (const int error = redirect_bpf__load(program->skeleton_); error != 0) {
    return BpfStatus(-error, "loading the XDP program");
  }
  return program;
}

RedirectProgram::~RedirectProgram() {
  if (ifindex_ != 0) {
    bpf_xdp_attach_opts options;
    Prepare(&options);
    options.old_prog_fd = bpf_program__fd(skeleton_->progs.sluice_redirect);
    // Fails when somebody replaced it meanwhile or the interface is gone: then there is nothing of ours to detach.
    bpf_xdp_detach(ifindex_, generic_ ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, &options);
  }
  redirect_bpf__destroy(skeleton_);
}

absl::Status RedirectProgram::Attach(int ifindex, const std::string& interface) {
  const absl::StatusOr<Attached> attached = QueryAttached(ifindex, interface);
  if (!attached.ok()) return attached.status();
  return attached->id == 0 ? AttachFresh(ifindex, interface)
                           : Replace(ifindex, interface, attached->id, attached->generic);
}

absl::Status RedirectProgram::AttachFresh(int ifindex, const std::string& interface) {
  const int fd = bpf_program__fd(skeleton_->progs.sluice_redirect);
  int error = bpf_xdp_attach(ifindex, fd, XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_DRV_MODE, nullptr);
  generic_ = error == -EOPNOTSUPP;
  if (generic_) error = bpf_xdp_attach(ifindex, fd, XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE, nullptr);
  if (error == -ERANGE || error == -EINVAL) {
    return absl::FailedPreconditionError(absl::StrCat(
        interface, ": the driver refuses an XDP program (", strerror(-error),
        "); most often the MTU of the interface, or of a veth's peer, is too large for it, or large receive offload "
        "is on (ethtool -K ",
        interface, " lro off); `dmesg` may say more"));
  }
  if (error != 0) return BpfStatus(-error, absl::StrCat(interface, ": attaching the XDP program"));
  ifindex_ = ifindex;
  return absl::OkStatus();
}

absl::Status RedirectProgram::Replace(int ifindex, const std::string& interface, uint32_t program_id, bool generic) {
  const int old_fd = bpf_prog_get_fd_by_id(program_id);
  if (old_fd < 0) return BpfStatus(errno, absl::StrCat(interface, ": opening XDP program ", program_id));
  const absl::Cleanup closer = [old_fd] { close(old_fd); };
  if (const std::string name = ProgramName(old_fd); name != kProgramName) {
    return absl::FailedPreconditionError(
        absl::StrCat(interface, " has an XDP program of somebody else, \"", name, "\" (id ", program_id,
                     "); stop what put it there, or take it off with `ip link set dev ", interface, " ",
                     generic ? "xdpgeneric" : "xdp", " off`"));
  }
  if (absl::Status status = InheritAddresses(old_fd); !status.ok()) return status;
  bpf_xdp_attach_opts options;
  Prepare(&options);
  options.old_prog_fd = old_fd;
  const int fd = bpf_program__fd(skeleton_->progs.sluice_redirect);
  const int error = bpf_xdp_attach(ifindex, fd, generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, &options);
  if (error != 0) {
    return BpfStatus(-error, absl::StrCat(interface, ": replacing the XDP program that an earlier sluiced left"));
  }
  ifindex_ = ifindex;
  generic_ = generic;
  return absl::OkStatus();
}

absl::Status RedirectProgram::InheritAddresses(int program_fd) {
  const int map_fd = OpenAddressMap(program_fd);
  if (map_fd < 0) return absl::OkStatus();
  const absl::Cleanup closer = [map_fd] { close(map_fd); };
  Address address;
  const void* previous = nullptr;
  while (bpf_map_get_next_key(map_fd, previous, address.bytes.data()) == 0) {
    if (const int error = addresses_.Add(bpf_map__fd(skeleton_->maps.vips), address); error != 0) {
      return BpfStatus(error, absl::StrCat("adding virtual address ", FormatAddress(address)));
    }
    previous = address.bytes.data();
  }
  return absl::OkStatus();
}

absl::Status RedirectProgram::SetSocket(uint16_t queue, int fd) {
  const uint32_t key = queue;
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.xsks_map), &key, &fd, BPF_ANY) == 0) return absl::OkStatus();
  return BpfStatus(errno, absl::StrCat("queue ", queue, ": giving its packets to the socket"));
}

absl::Status RedirectProgram::SetVirtualAddresses(absl::Span<const Address> addresses) {
  if (addresses.size() > kMaxAddresses) {
    return absl::InvalidArgumentError(
        absl::StrCat(addresses.size(), " virtual addresses; an interface takes ", kMaxAddresses, " at most"));
  }
  const int error = addresses_.Replace(bpf_map__fd(skeleton_->maps.vips), addresses);
  return error == 0 ? absl::OkStatus() : BpfStatus(error, "changing the virtual addresses");
}

absl::Status RedirectProgram::SetServices(absl::Span<const Service> services) {
  std::vector<ServiceKey> keys;
  for (const Service& service : services) {
    keys.push_back({service.address.bytes, htons(service.port), service.protocol});
    // Their later fragments have no ports.
    if (keys.size() == 1 || service.address != services[&service - services.data() - 1].address) {
      keys.push_back({service.address.bytes, 0, 0});
    }
  }
  if (keys.size() > kMaxAddresses) {
    return absl::InvalidArgumentError(absl::StrCat(keys.size(),
                                                   " ports of servers that answer through nat; an interface takes ",
                                                   kMaxAddresses, " at most: use shorter port ranges, or full_nat"));
  }
  const int error = services_.Replace(bpf_map__fd(skeleton_->maps.services), keys);
  return error == 0 ? absl::OkStatus() : BpfStatus(error, "changing the servers that answer through nat");
}

absl::Status RedirectProgram::SetLocalAddresses(absl::Span<const Address> addresses) {
  const int error = addresses.size() > kMaxAddresses
                        ? E2BIG
                        : local_addresses_.Replace(bpf_map__fd(skeleton_->maps.locals), addresses);
  return error == 0 ? absl::OkStatus() : BpfStatus(error, "changing the node's own addresses");
}

}  // namespace sluice
