#include "engine/dpdk/afxdp_program.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/xdp/bpf_status.h"
#include "redirect.skel.h"

namespace sluice {
namespace {

// As in bpf/redirect.bpf.c.
constexpr std::string_view kAddressMapName = "vips";

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
  LogLibbpf();
  auto program = std::unique_ptr<RedirectProgram>(new RedirectProgram(redirect_bpf__open()));
  if (program->skeleton_ == nullptr) return BpfStatus(errno, "opening the XDP program");
  bpf_map__set_max_entries(program->skeleton_->maps.xsks_map, queues);
  // Twice, since a new set comes before the old one goes.
  for (bpf_map* map :
       {program->skeleton_->maps.vips, program->skeleton_->maps.services, program->skeleton_->maps.locals}) {
    bpf_map__set_max_entries(map, 2 * kMaxAddresses);
  }
  if (const int error = redirect_bpf__load(program->skeleton_); error != 0) {
    return LoadStatus(-error, "loading the XDP program");
  }
  return program;
}

RedirectProgram::~RedirectProgram() {
  attachment_.reset();
  redirect_bpf__destroy(skeleton_);
}

absl::Status RedirectProgram::Attach(int ifindex, const std::string& interface) {
  attachment_ = std::make_unique<XdpAttachment>(ifindex, interface);
  if (absl::Status status = attachment_->Look(); !status.ok()) return status;
  if (attachment_->predecessor() >= 0) {
    if (absl::Status status = InheritAddresses(attachment_->predecessor()); !status.ok()) return status;
  }
  return attachment_->predecessor_forwards() ? absl::OkStatus() : Redirect();
}

absl::Status RedirectProgram::Redirect() {
  return attachment_->Attach(bpf_program__fd(skeleton_->progs.sluice_redirect));
}

int RedirectProgram::virtual_addresses() const {
  return bpf_map__fd(skeleton_->maps.vips);
}

int RedirectProgram::services() const {
  return bpf_map__fd(skeleton_->maps.services);
}

int RedirectProgram::local_addresses() const {
  return bpf_map__fd(skeleton_->maps.locals);
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
