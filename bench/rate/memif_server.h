// The server's end of a net_memif cable, in another process than the device: memory that the client shares, with a ring
// of buffers for either way. A client with zero-copy=yes shares the very buffers of its packets, so that what the
// server writes is what the client's worker reads, as from a NIC; DPDK's own server would copy each packet once more on
// either way, and give and take an rte_mbuf for it.
//
// The protocol is memif 2.0 (https://s3-docs.fd.io/vpp/24.02/interfacing/libmemif/), with one queue.
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::bench {

class MemifServer {
 public:
  // Bytes that any buffer has at least.
  static constexpr uint32_t kLeastBuffer = 128;

  // On a socket of this name, which must not be there.
  static absl::StatusOr<std::unique_ptr<MemifServer>> Listen(const std::string& path);
  ~MemifServer();
  MemifServer(const MemifServer&) = delete;
  MemifServer& operator=(const MemifServer&) = delete;

  // Waits so long for a client, ms, and shares its memory. Errors: DeadlineExceededError; it speaks otherwise.
  absl::Status Accept(int patience_ms);
  // Whether the client is still there; a system call.
  bool Connected() const;

  // Buffers that wait for packets, the first of which is number 0.
  uint32_t Room() const;
  // Of one of them; null when the client's word of where it is makes no sense.
  uint8_t* Buffer(uint32_t number) const;
  // The first `count` of them are packets of this length now.
  void SetLength(uint32_t number, uint16_t length) const;
  void Send(uint32_t count) const;

  // Packets that have come, and the buffer of one of them.
  uint32_t Waiting() const;
  const uint8_t* Packet(uint32_t number) const;
  uint16_t Length(uint32_t number) const;
  // Gives the first `count` of them back.
  void Release(uint32_t count) const;

 private:
  struct Descriptor;
  struct Ring;
  struct Region {
    uint8_t* memory = nullptr;
    uint64_t bytes = 0;
  };
  struct Queue {
    Ring* ring = nullptr;
    uint16_t mask = 0;
  };
  struct Message;

  explicit MemifServer(std::string path) : path_(std::move(path)) {}

  absl::Status Converse(int patience_ms);
  absl::Status Answer(const Message& message, int fd, bool* connected);
  absl::Status AddRegion(const Message& message, int fd);
  absl::Status AddRing(const Message& message);
  absl::Status Say(const Message& message) const;
  Descriptor& At(const Queue& queue, uint32_t place) const;
  uint8_t* Resolve(const Descriptor& descriptor) const;

  const std::string path_;
  int listener_ = -1;
  int client_ = -1;
  std::vector<Region> regions_;
  Queue to_client_, from_client_;
};

}  // namespace sluice::bench
