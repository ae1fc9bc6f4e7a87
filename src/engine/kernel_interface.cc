#include "engine/kernel_interface.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/nat_owners.h"

namespace sluice {
namespace {

// The name now: the interface may have been renamed. Zeroed otherwise, so that the ioctl that follows says ENODEV.
ifreq RequestFor(int fd, int index) {
  ifreq request{};
  request.ifr_ifindex = index;
  if (ioctl(fd, SIOCGIFNAME, &request) != 0) std::memset(&request, 0, sizeof(request));
  return request;
}

absl::Status ErrnoStatus(const std::string& name, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(name, ": ", what));
}

}  // namespace

absl::StatusOr<KernelInterface> KernelInterface::Find(std::string_view name) {
  const std::string text(name);
  if (text.empty() || text.size() >= IFNAMSIZ) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" cannot be the name of an interface: 1 to ",
                                                   IFNAMSIZ - 1, " characters; `ip link` lists them"));
  }
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(text, "socket");
  ifreq request{};
  std::memcpy(request.ifr_name, text.data(), text.size());
  if (ioctl(fd, SIOCGIFINDEX, &request) != 0) {
    close(fd);
    return absl::NotFoundError(
        absl::StrCat(text, ": no such interface in this network namespace; `ip link` lists them"));
  }
  return KernelInterface(fd, request.ifr_ifindex, text);
}

KernelInterface::KernelInterface(KernelInterface&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), index_(other.index_), name_(std::move(other.name_)) {}

KernelInterface::~KernelInterface() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<uint32_t> KernelInterface::ReadMtu() const {
  ifreq request = RequestFor(fd_, index_);
  if (ioctl(fd_, SIOCGIFMTU, &request) != 0) return ErrnoStatus(name_, "reading the MTU");
  return static_cast<uint32_t>(request.ifr_mtu);
}

absl::StatusOr<Mac> KernelInterface::ReadMac() const {
  ifreq request = RequestFor(fd_, index_);
  if (ioctl(fd_, SIOCGIFHWADDR, &request) != 0) return ErrnoStatus(name_, "reading the MAC address");
  Mac mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

bool KernelInterface::ReadLinkUp() const {
  ifreq request = RequestFor(fd_, index_);
  constexpr int kUp = IFF_UP | IFF_RUNNING;
  return ioctl(fd_, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & kUp) == kUp;
}

absl::Status KernelInterface::Ethtool(const char* what, void* command) const {
  ifreq request = RequestFor(fd_, index_);
  request.ifr_data = static_cast<char*>(command);
  if (ioctl(fd_, SIOCETHTOOL, &request) == 0) return absl::OkStatus();
  if (errno == EOPNOTSUPP) return absl::UnimplementedError(absl::StrCat(name_, ": ", what, ": the driver cannot"));
  return ErrnoStatus(name_, what);
}

std::string KernelInterface::ReadDriver() const {
  ethtool_drvinfo info{.cmd = ETHTOOL_GDRVINFO};
  if (!Ethtool("reading the driver (ethtool -i)", &info).ok()) return "";
  return std::string(info.driver, strnlen(info.driver, sizeof(info.driver)));
}

absl::StatusOr<KernelInterface::Channels> KernelInterface::ReadChannels() const {
  ethtool_channels channels{.cmd = ETHTOOL_GCHANNELS};
  const absl::Status status = Ethtool("reading the number of queues (ethtool -l)", &channels);
  if (absl::IsUnimplemented(status)) return Channels{};
  if (!status.ok()) return status;
  // Drivers with combined channels may offer some for RX alone besides.
  Channels result{.combined = channels.max_combined > 0};
  result.count = static_cast<uint16_t>(channels.combined_count + channels.rx_count);
  result.maximum =
      static_cast<uint16_t>(result.combined ? channels.max_combined : std::min(channels.max_rx, channels.max_tx));
  result.transmit = static_cast<uint16_t>(channels.combined_count + channels.tx_count);
  return result;
}

absl::Status KernelInterface::SetChannels(uint16_t count) const {
  absl::StatusOr<Channels> channels = ReadChannels();
  if (!channels.ok()) return channels.status();
  channels->count = count;
  channels->transmit = count;
  return SetChannels(*channels);
}

absl::Status KernelInterface::SetChannels(const Channels& channels) const {
  ethtool_channels command{.cmd = ETHTOOL_GCHANNELS};
  constexpr char kWhat[] = "setting the number of queues (ethtool -L)";
  if (absl::Status status = Ethtool(kWhat, &command); !status.ok()) return status;
  command.cmd = ETHTOOL_SCHANNELS;
  command.combined_count = channels.combined ? channels.count : 0;
  command.rx_count = channels.combined ? 0 : channels.count;
  command.tx_count = channels.combined ? 0 : channels.transmit;
  return Ethtool(kWhat, &command);
}

absl::Status KernelInterface::HashFourTuple() const {
  absl::Status result;
  for (const uint32_t flow : {TCP_V4_FLOW, UDP_V4_FLOW, TCP_V6_FLOW, UDP_V6_FLOW}) {
    ethtool_rxnfc command{.cmd = ETHTOOL_SRXFH, .flow_type = flow};
    command.data = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3;
    result.Update(Ethtool("hashing addresses and ports (ethtool -N rx-flow-hash ... sdfn)", &command));
  }
  return result;
}

absl::StatusOr<PortRss> KernelInterface::ReadRss() const {
  // The sizes first; then the table and, behind it, the key.
  ethtool_rxfh sizes{.cmd = ETHTOOL_GRSSH};
  constexpr char kWhat[] = "reading the RSS key and table (ethtool -x)";
  if (!Ethtool(kWhat, &sizes).ok()) return absl::UnimplementedError("ethtool -x shows none");
  PortRss rss;
  if (sizes.key_size < rss.key.size() || sizes.indir_size == 0) {
    return absl::UnimplementedError(
        absl::StrCat("ethtool -x shows ", sizes.key_size, " bytes of it, and a table of ", sizes.indir_size));
  }
  std::vector<uint32_t> words(sizeof(ethtool_rxfh) / sizeof(uint32_t) + sizes.indir_size +
                              (sizes.key_size + sizeof(uint32_t) - 1) / sizeof(uint32_t));
  auto* command = reinterpret_cast<ethtool_rxfh*>(words.data());
  command->cmd = ETHTOOL_GRSSH;
  command->indir_size = sizes.indir_size;
  command->key_size = sizes.key_size;
  if (absl::Status status = Ethtool(kWhat, command); !status.ok()) return status;
  // Toeplitz is the first of the kernel's functions (ETH_RSS_HASH_TOP). What is reserved has become a flag of newer
  // kernels: source and destination are mixed before they are hashed.
  if (command->hfunc != 1 || command->rsvd8[0] != 0) {
    return absl::UnimplementedError("by ethtool -x it is not of a plain Toeplitz hash");
  }
  rss.queue_of_hash.assign(command->rss_config, command->rss_config + sizes.indir_size);
  std::memcpy(rss.key.data(), command->rss_config + sizes.indir_size, rss.key.size());
  constexpr uint32_t kFlows[] = {TCP_V4_FLOW, UDP_V4_FLOW, TCP_V6_FLOW, UDP_V6_FLOW};
  constexpr uint64_t kFourTuple = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3;
  for (uint32_t i = 0; i < 4; i++) {
    ethtool_rxnfc fields{.cmd = ETHTOOL_GRXFH, .flow_type = kFlows[i]};
    if (!Ethtool("reading what is hashed (ethtool -n rx-flow-hash)", &fields).ok()) continue;
    if (fields.data == kFourTuple) rss.with_ports |= NatOwners::Kind(i >= 2, i % 2 != 0);
  }
  return rss;
}

absl::Status KernelInterface::KeepVlanTags() const {
  constexpr char kWhat[] = "leaving VLAN tags in packets (ethtool -K rxvlan off)";
  ethtool_value flags{.cmd = ETHTOOL_GFLAGS};
  if (absl::Status status = Ethtool(kWhat, &flags); !status.ok()) return status;
  if ((flags.data & ETH_FLAG_RXVLAN) == 0) return absl::OkStatus();
  flags.cmd = ETHTOOL_SFLAGS;
  flags.data &= ~static_cast<uint32_t>(ETH_FLAG_RXVLAN);
  return Ethtool(kWhat, &flags);
}

}  // namespace sluice
