#include "cable.h"

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_lcore.h>

#include "absl/strings/str_cat.h"

namespace sluice::bench {

absl::StatusOr<rte_ring*> MakeRing(const std::string& name) {
  rte_ring* ring =
      rte_ring_create(name.c_str(), Cable::kPackets, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  if (ring != nullptr) return ring;
  return absl::ResourceExhaustedError(absl::StrCat("no memory for ring ", name, ": ", rte_strerror(rte_errno)));
}

absl::StatusOr<Cable> Cable::Make(const std::string& name) {
  absl::StatusOr<rte_ring*> to_device = MakeRing(absl::StrCat("to_", name));
  if (!to_device.ok()) return to_device.status();
  absl::StatusOr<rte_ring*> from_device = MakeRing(absl::StrCat("from_", name));
  if (!from_device.ok()) return from_device.status();
  if (rte_eth_from_rings(name.c_str(), &*to_device, 1, &*from_device, 1, rte_socket_id()) < 0) {
    return absl::InternalError(absl::StrCat("no device over rings: ", rte_strerror(rte_errno)));
  }
  Cable cable;
  cable.device_ = absl::StrCat("net_ring_", name);
  cable.to_device_ = *to_device;
  cable.from_device_ = *from_device;
  return cable;
}

}  // namespace sluice::bench
