// Where the controller learns next hops: the kernel's (neighbor/neighbor_table.h) in the daemon, a test's own
// elsewhere.
//
// Thread-safety: the control thread.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "base/address.h"
#include "neighbor/neighbor_table.h"

namespace sluice {

class NextHopSource {
 public:
  virtual ~NextHopSource() = default;
  // As NeighborTable.
  virtual void Watch(absl::Span<const Address> addresses) = 0;
  virtual std::vector<Address> TakeChanges() = 0;
  virtual Resolution Find(const Address& address) const = 0;
};

// The kernel's, by reference.
class KernelNextHops : public NextHopSource {
 public:
  explicit KernelNextHops(NeighborTable* table) : table_(table) {}
  void Watch(absl::Span<const Address> addresses) override { table_->Watch(addresses); }
  std::vector<Address> TakeChanges() override { return table_->TakeChanges(); }
  Resolution Find(const Address& address) const override { return table_->Find(address); }

 private:
  NeighborTable* table_;
};

}  // namespace sluice
