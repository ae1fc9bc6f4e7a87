#include "engine/xdp/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/xdp/bpf_status.h"

namespace sluice {
namespace {

// As in bpf/; the kernel keeps 15 characters of a name.
constexpr std::string_view kForwards = "sluice_xdp";
constexpr std::array<std::string_view, 2> kOurs = {"sluice_redirect", kForwards};

std::string ProgramName(int fd) {
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.name : "?";
}

}  // namespace

XdpAttachment::~XdpAttachment() {
  ClosePredecessor();
  if (program_ >= 0) Detach().IgnoreError();
}

absl::Status XdpAttachment::Detach() {
  bpf_xdp_attach_opts options;
  PrepareBpfOptions(&options);
  options.old_prog_fd = program_ >= 0 ? program_ : predecessor_;
  const int error = bpf_xdp_detach(ifindex_, generic_ ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, &options);
  ClosePredecessor();
  program_ = -1;
  if (error == 0) return absl::OkStatus();
  return BpfStatus(-error, absl::StrCat(interface_, ": detaching the XDP program"));
}

void XdpAttachment::ClosePredecessor() {
  if (predecessor_ >= 0) close(std::exchange(predecessor_, -1));
}

absl::Status XdpAttachment::Look() {
  ClosePredecessor();
  bpf_xdp_query_opts query;
  PrepareBpfOptions(&query);
  if (const int error = bpf_xdp_query(ifindex_, 0, &query); error != 0) {
    return BpfStatus(-error, absl::StrCat(interface_, ": asking for the XDP program that is there"));
  }
  const bool generic = query.skb_prog_id != 0;
  const uint32_t id = generic ? query.skb_prog_id : query.drv_prog_id != 0 ? query.drv_prog_id : query.hw_prog_id;
  if (id == 0) return absl::OkStatus();
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd < 0) return BpfStatus(errno, absl::StrCat(interface_, ": opening XDP program ", id));
  const std::string name = ProgramName(fd);
  if (std::find(kOurs.begin(), kOurs.end(), name) == kOurs.end()) {
    close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat(interface_, " has an XDP program of somebody else, \"", name, "\" (id ", id,
                     "); stop what put it there, or take it off with `ip link set dev ", interface_, " ",
                     generic ? "xdpgeneric" : "xdp", " off`"));
  }
  predecessor_ = fd;
  predecessor_forwards_ = name == kForwards;
  generic_ = generic;
  return absl::OkStatus();
}

absl::Status XdpAttachment::Attach(int program) {
  const int old = program_ >= 0 ? program_ : predecessor_;
  absl::Status status = old < 0 ? AttachFresh(program) : Replace(program, old);
  if (!status.ok()) return status;
  ClosePredecessor();
  program_ = program;
  return absl::OkStatus();
}

absl::Status XdpAttachment::AttachFresh(int program) {
  int error = bpf_xdp_attach(ifindex_, program, XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_DRV_MODE, nullptr);
  generic_ = error == -EOPNOTSUPP;
  if (generic_) error = bpf_xdp_attach(ifindex_, program, XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE, nullptr);
  if (error == -ERANGE || error == -EINVAL) {
    return absl::FailedPreconditionError(absl::StrCat(
        interface_, ": the driver refuses an XDP program (", strerror(-error),
        "); most often the MTU of the interface, or of a veth's peer, is too large for it, or large receive offload "
        "is on (ethtool -K ",
        interface_, " lro off); `dmesg` may say more"));
  }
  return error == 0 ? absl::OkStatus() : BpfStatus(-error, absl::StrCat(interface_, ": attaching the XDP program"));
}

absl::Status XdpAttachment::Replace(int program, int old) {
  bpf_xdp_attach_opts options;
  PrepareBpfOptions(&options);
  options.old_prog_fd = old;
  const int error = bpf_xdp_attach(ifindex_, program, generic_ ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, &options);
  if (error == 0) return absl::OkStatus();
  return BpfStatus(-error, absl::StrCat(interface_, ": replacing the XDP program that an earlier sluiced left"));
}

}  // namespace sluice
