#include "engine/dpdk/ethdev_device.h"

#include <fcntl.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_pci.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::optional<uint16_t> PortOfDevice(const std::string& device) {
  uint16_t port_id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &port_id) == 0) return port_id;
  // Some drivers name their ports otherwise.
  RTE_ETH_FOREACH_DEV(port_id) {
    rte_eth_dev_info info{};
    if (rte_eth_dev_info_get(port_id, &info) == 0 && info.device != nullptr && device == rte_dev_name(info.device)) {
      return port_id;
    }
  }
  return std::nullopt;
}

// Makes the device ours, unless somebody has it already.
bool Take(uint16_t port_id) {
  rte_eth_dev_owner owner{0, "sluice"};
  return rte_eth_dev_owner_new(&owner.id) == 0 && rte_eth_dev_owner_set(port_id, &owner) == 0;
}

// The last part of what a link of sysfs points to; empty when there is no such link.
std::string LinkName(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

// VFIO gives a group of devices to one process at a time.
bool GroupInUse(const fs::path& sysfs) {
  const std::string group = LinkName(sysfs / "iommu_group");
  for (const char* prefix : {"/dev/vfio/", "/dev/vfio/noiommu-"}) {
    const int fd = open((prefix + group).c_str(), O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
      close(fd);
      return false;
    }
    if (errno == EBUSY) return true;
  }
  return false;
}

// Why DPDK, which was told to take the device, has no port for it.
absl::Status ExplainPci(const std::string& address, int error) {
  const fs::path sysfs = fs::path("/sys/bus/pci/devices") / address;
  if (!fs::exists(sysfs)) {
    return absl::NotFoundError(
        absl::StrCat("there is no PCI device ", address, "; `dpdk-devbind.py --status-dev net` shows those there are"));
  }
  const std::string driver = LinkName(sysfs / "driver");
  const std::string bind = absl::StrCat("`dpdk-devbind.py --bind=vfio-pci ", address, "`");
  if (driver.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("PCI device ", address, " is not bound to any driver; bind it to one for user space with ", bind));
  }
  if (driver != "vfio-pci" && driver != "igb_uio" && driver != "uio_pci_generic") {
    return absl::FailedPreconditionError(absl::StrCat(
        "PCI device ", address, " is bound to the kernel driver ", driver, "; bind it to one for user space with ",
        bind, " (the kernel then no longer has it), or configure the kernel interface by its name"));
  }
  if (error == EBUSY || GroupInUse(sysfs)) {
    return absl::FailedPreconditionError(absl::StrCat("PCI device ", address,
                                                      " is in use by another process; stop that one first (`fuser -v "
                                                      "/dev/vfio/* /dev/uio*` names it), or use another device"));
  }
  // Drivers say -1, which reads as EPERM, for anything.
  if (error == EACCES || (error == EPERM && geteuid() != 0)) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to use PCI device ", address, " (", rte_strerror(error), "); run as root"));
  }
  return absl::NotFoundError(absl::StrCat("DPDK does not take PCI device ", address, ", bound to ", driver,
                                          ": either it has no driver for this kind of device, or its driver gave up; "
                                          "its own words are in the lines above"));
}

// A device string that DPDK refuses with `error`.
absl::Status ExplainString(const std::string& text, const std::string& name, int error) {
  // The bus knows no driver whose name `name` starts with.
  if (error == EFAULT || error == ENOTSUP) {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", text, ": DPDK has no driver for ", name,
                     "; drivers are net_memif, net_af_packet, net_tap, net_pcap, net_ring, net_null and others that "
                     "https://doc.dpdk.org/guides/nics lists, each with a number behind it: net_memif0"));
  }
  // Most drivers say -1 for anything that they don't like, which reads as EPERM.
  const std::string reason = error == EPERM ? "" : absl::StrCat(" (", rte_strerror(error), ")");
  return absl::InvalidArgumentError(
      absl::StrCat("device ", text, ": its driver refuses it", reason,
                   "; its own words are in the lines above, its arguments are in https://doc.dpdk.org/guides/nics",
                   geteuid() == 0 ? "" : ", and most devices want root"));
}

}  // namespace

absl::StatusOr<EthdevDevice> EthdevDevice::OpenPci(const std::string& address) {
  rte_pci_addr parsed{};
  if (rte_pci_addr_parse(address.c_str(), &parsed) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(address, " is not a PCI address; one looks like 0000:3b:00.0 (`lspci -D` shows them)"));
  }
  std::array<char, PCI_PRI_STR_SIZE> name{};
  rte_pci_device_name(&parsed, name.data(), name.size());
  std::optional<uint16_t> port_id = PortOfDevice(name.data());
  if (!port_id.has_value()) {
    // It may have come, or been bound, since the start of the EAL; and the error tells more than that one's silence.
    const int result = rte_eal_hotplug_add("pci", name.data(), "");
    port_id = PortOfDevice(name.data());
    if (!port_id.has_value()) return ExplainPci(name.data(), result < 0 ? -result : ENODEV);
  }
  return EthdevDevice(address, *port_id);
}

absl::StatusOr<EthdevDevice> EthdevDevice::OpenString(const std::string& text) {
  const size_t comma = text.find(',');
  const std::string name = text.substr(0, comma);
  const std::string arguments = comma == std::string::npos ? "" : text.substr(comma + 1);
  if (!name.starts_with("net_")) {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", text,
                     ": a device string of DPDK starts with a network driver, as in "
                     "net_memif0,role=server,id=0; a PCI device is configured with `pci:`"));
  }
  if (const std::optional<uint16_t> made = PortOfDevice(name); made.has_value()) {
    if (arguments.empty() && Take(*made)) return EthdevDevice(text, *made);
    return absl::AlreadyExistsError(
        absl::StrCat("device ", text, ": there is a ", name, " already; give this one another number"));
  }
  const int result = rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str());
  if (result < 0) return ExplainString(text, name, -result);
  const std::optional<uint16_t> port_id = PortOfDevice(name);
  if (!port_id.has_value() || !Take(*port_id)) return ExplainString(text, name, ENODEV);
  return EthdevDevice(text, *port_id);
}

EthdevDevice::~EthdevDevice() {
  if (port_id_ == kNone) return;
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(port_id_, &info) == 0;
  rte_eth_dev_stop(port_id_);
  rte_eth_dev_close(port_id_);
  if (known && info.device != nullptr) rte_dev_remove(info.device);
}

}  // namespace sluice
