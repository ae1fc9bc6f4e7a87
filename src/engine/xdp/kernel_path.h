// The packet path in the kernel (bpf/sluice.bpf.c) and its memory: loaded, filled, switched from one generation to the
// next.
//
// Tables are written into the half of their arrays that no packet reads; then one word says that it is the other one's
// turn, and what the old generation had is reused after every CPU has left it (an RCU grace period, milliseconds, which
// passes while nobody waits for it). Of what that half has from two generations before, only what is not the same now
// is written again, and a Maglev table of a pool that has not changed stays where it is.
//
// Thread-safety: none; the control thread's. The memory is read and written by the kernel at the same time: counters
// and connection entries as their headers say.
#pragma once

#include <array>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/engine.h"
#include "engine/loads.h"
#include "sluice/counters.h"
#include "sluice/kernel.h"
#include "sluice/nat_port.h"
#include "tables/maglev_arena.h"
#include "tables/tables.h"

struct sluice_bpf;
struct bpf_map;

namespace sluice {

// How many records of each kind there is room for, in each generation.
struct KernelRoom {
  uint32_t index = 0;
  uint32_t ranges = 0;
  uint32_t listeners = 0;
  uint32_t pools = 0;
  uint32_t backends = 0;
  uint32_t ports = 0;
  uint32_t nat_addresses = 0;
  uint32_t access_nodes = 0;
  // Of each partition, for what sources have opened; 0 while nobody asks.
  uint32_t source_lines = 0;
  // Entries of Maglev tables, of both generations together.
  uint32_t maglev = 0;

  // Enough for `tables`, and as much again for what may come.
  static KernelRoom For(const Tables& tables);
};

// The arrays of NAT sessions in the kernel (kernel_sessions.h), all partitions behind each other.
struct KernelSessionArrays {
  uint32_t partitions = 0;
  // So many of them, the first ones, are those of workers in user space.
  uint32_t workers = 0;
  // Of each partition.
  uint32_t records = 0;
  uint32_t buckets = 0;
  // File descriptors.
  int bucket_array = -1;
  int session_array = -1;
  int fragment_array = -1;
  int free_array = -1;
  int owner_array = -1;
  int expired_array = -1;
  // Ports that clients may get whom the kernel translates.
  sluice_nat_ports ports{};
};

class KernelPath {
 public:
  // Workers in user space, which have the packets, and whom the kernel stands in for when they are gone. File
  // descriptors stay the caller's.
  struct Workers {
    // A worker without a heartbeat for so long is passed by, ns.
    uint64_t takeover_after = 0;
    // Whose the partitions are (MakeOwnerArray).
    int owners = -1;
    // Whose packets are theirs: the maps of bpf/redirect.h.
    int virtual_addresses = -1;
    int services = -1;
    int local_addresses = -1;
  };
  struct Options {
    KernelRoom room;
    uint32_t partitions = 1;
    // Of each partition.
    uint32_t buckets = 2;
    // The array of connection buckets (MakeConnectionArray), which stays the caller's.
    int connections = -1;
    // Without, the kernel does not translate. They stay the caller's too.
    std::optional<KernelSessionArrays> sessions;
    std::optional<Workers> workers;
  };
  // Errors: no permission, no memory, the verifier refuses.
  static absl::StatusOr<std::unique_ptr<KernelPath>> Load(const Options& options);
  ~KernelPath();
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  // Stays this object's.
  int program() const;

  bool Fits(const Tables& tables) const;
  // Every packet that comes from here on meets `tables`. Those that are under way just now may be with the old ones
  // yet, and the next Publish waits for them. Required: the tables fit, but for Maglev tables that find no gap:
  // ResourceExhaustedError, and nothing has changed.
  absl::Status Publish(std::shared_ptr<const Tables> tables);

  // Returns when every packet that was under way has been through the program.
  absl::Status WaitForPackets() const;

  // Before it is attached.
  void SetIngress(const std::vector<sluice_ingress>& interfaces);
  // Where what leaves by `port` goes, when it has come by another one.
  absl::Status SetDevice(uint32_t port, int ifindex);

  // The socket that gets a partition's packets while its worker lives. It leaves by itself when it is closed.
  absl::Status SetSocket(uint32_t partition, int fd);

  // Adds what the kernel has counted.
  void AddCounters(EngineCounters* sum) const;
  // What is counted by each partition's worker and what it is told.
  std::vector<LoadedWorker> loaded_workers() const;

 private:
  // A mapped array.
  template <typename Record>
  struct Mapped {
    Region region;
    Record* at(size_t i) const { return region.As<Record>() + i; }
  };
  // A generation's Maglev tables, by pool.
  struct Placed {
    const uint32_t* source = nullptr;
    std::shared_ptr<const MaglevArena::Part> part;
  };
  struct Generation {
    std::shared_ptr<const Tables> tables;
    std::vector<Placed> maglev;
  };

  explicit KernelPath(sluice_bpf* skeleton, const Options& options) : skeleton_(skeleton), options_(options) {}
  void SetRoom();
  void SetSessionRoom();
  absl::Status ReuseMaps();
  absl::Status MapAll();
  absl::StatusOr<std::vector<Placed>> PlaceMaglev(const Tables& tables) const;
  void WriteTables(const Tables& tables, const std::vector<Placed>& maglev, uint32_t half);
  void WriteFront(const Tables& tables, uint32_t half);
  void WriteBackends(const Tables& tables, uint32_t half);
  absl::Status EndGrace();

  sluice_bpf* skeleton_;
  Options options_;
  Mapped<sluice_settings> settings_;
  Mapped<sluice_index_entry> index_;
  Mapped<sluice_port_range> ranges_;
  Mapped<sluice_listener> listeners_;
  Mapped<sluice_pool> pools_;
  Mapped<sluice_backend> backends_;
  Mapped<sluice_port> ports_;
  Mapped<sluice_session_terms> session_terms_;
  Mapped<sluice_nat_address> nat_addresses_;
  Mapped<sluice_access> access_;
  Mapped<sluice_access_node> access_nodes_;
  Mapped<sluice_counters> counters_;
  Mapped<sluice_traffic> listener_traffic_;
  Mapped<sluice_traffic> backend_traffic_;
  Mapped<sluice_load> loads_;
  Mapped<sluice_listener_load> listener_loads_;
  Mapped<sluice_kernel_state> state_;
  std::shared_ptr<MaglevArena> maglev_;
  // What each half has.
  struct Written {
    std::shared_ptr<const TablesFront> front;
    uint32_t generation = 0;
  };
  std::array<Written, 2> written_;
  Generation current_;
  // The one before, until it is known that no packet is with it.
  Generation left_;
  std::future<absl::Status> grace_;
  // Two maps whose one purpose is that an update of the outer one returns after a grace period.
  int inner_ = -1;
  int outer_ = -1;
};

}  // namespace sluice
