#include "memif_server.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice::bench {
namespace {

constexpr uint16_t kVersion = 2 << 8;
constexpr uint32_t kCookie = 0x3e31f20;
constexpr uint8_t kMostRingBits = 14;
constexpr uint16_t kMostRegions = 256;
constexpr uint16_t kToServer = 1;
constexpr uint16_t kDoNotInterrupt = 1;

enum Type : uint16_t { kAck = 1, kHello, kInit, kAddRegion, kAddRing, kConnect, kConnected, kDisconnect };

absl::Status Error(const char* what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::Status Odd(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("the memif client ", what));
}

}  // namespace

struct MemifServer::Message {
  struct [[gnu::packed]] Hello {
    char name[32];
    uint16_t min_version, max_version, max_region, max_ring_to_client, max_ring_to_server;
    uint8_t max_ring_bits;
  };
  struct [[gnu::packed]] Region {
    uint16_t index;
    uint64_t bytes;
  };
  struct [[gnu::packed]] NewRing {
    uint16_t flags, index, region;
    uint32_t offset;
    uint8_t bits;
    uint16_t private_bytes;
  };

  template <typename Body>
  Body As() const {
    Body read;
    std::memcpy(&read, body, sizeof(read));
    return read;
  }

  uint16_t type = 0;
  uint8_t body[126] = {};
};

struct MemifServer::Descriptor {
  uint16_t flags;
  uint16_t region;
  uint32_t length;
  uint32_t offset;
  uint32_t metadata;
};

// Of the one who gives buffers `head`, of the one who takes them `tail`; to the client those are the buffers that are
// to be filled, from it the packets.
struct MemifServer::Ring {
  alignas(64) uint32_t cookie;
  uint16_t flags;
  uint16_t head;
  alignas(64) uint16_t tail;

  // They follow.
  Descriptor* descriptors() { return reinterpret_cast<Descriptor*>(this + 1); }
};

absl::StatusOr<std::unique_ptr<MemifServer>> MemifServer::Listen(const std::string& path) {
  auto server = std::unique_ptr<MemifServer>(new MemifServer(path));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no name for a socket: up to 107 bytes"));
  }
  path.copy(address.sun_path, path.size());
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (listener < 0) return Error("socket");
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(listener, 1) != 0) {
    const absl::Status status = Error(path.c_str());
    close(listener);
    return status;
  }
  server->listener_ = listener;
  return server;
}

MemifServer::~MemifServer() {
  for (const Region& region : regions_) munmap(region.memory, region.bytes);
  if (client_ >= 0) close(client_);
  if (listener_ < 0) return;
  close(listener_);
  unlink(path_.c_str());
}

absl::Status MemifServer::Accept(int patience_ms) {
  pollfd wait{listener_, POLLIN, 0};
  if (poll(&wait, 1, patience_ms) != 1) {
    return absl::DeadlineExceededError(absl::StrCat("nobody has connected to ", path_));
  }
  client_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client_ < 0) return Error("accept");
  return Converse(patience_ms);
}

// The client answers our greeting with its regions and rings, one message after the other, each of which it wants to
// hear of.
absl::Status MemifServer::Converse(int patience_ms) {
  const Message::Hello hello{.name = "sluicebench",
                             .min_version = kVersion,
                             .max_version = kVersion,
                             .max_region = kMostRegions - 1,
                             .max_ring_to_client = 0,
                             .max_ring_to_server = 0,
                             .max_ring_bits = kMostRingBits};
  Message greeting{.type = kHello};
  std::memcpy(greeting.body, &hello, sizeof(hello));
  if (absl::Status status = Say(greeting); !status.ok()) return status;
  for (bool connected = false; !connected;) {
    pollfd wait{client_, POLLIN, 0};
    if (poll(&wait, 1, patience_ms) != 1) return absl::DeadlineExceededError("the memif client says nothing more");
    Message message;
    iovec part{&message, sizeof(message)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    if (recvmsg(client_, &header, MSG_CMSG_CLOEXEC) != sizeof(message)) return Odd("has gone, or is another one");
    int fd = -1;
    const cmsghdr* attached = CMSG_FIRSTHDR(&header);
    if (attached != nullptr && attached->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(attached), sizeof(fd));
    const absl::Status status = Answer(message, fd, &connected);
    // Memory stays mapped without; what interrupts are for is not wanted.
    if (fd >= 0) close(fd);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status MemifServer::Answer(const Message& message, int fd, bool* connected) {
  absl::Status status;
  switch (message.type) {
    case kInit:
      if (message.As<uint16_t>() != kVersion) status = Odd("speaks another version");
      break;
    case kAddRegion:
      status = AddRegion(message, fd);
      break;
    case kAddRing:
      status = AddRing(message);
      break;
    case kConnect:
      if (to_client_.ring == nullptr || from_client_.ring == nullptr) return Odd("has no ring for each way");
      from_client_.ring->flags = kDoNotInterrupt;
      *connected = true;
      return Say({.type = kConnected});
    default:
      return Odd("has gone");
  }
  return status.ok() ? Say({.type = kAck}) : status;
}

absl::Status MemifServer::AddRegion(const Message& message, int fd) {
  const auto region = message.As<Message::Region>();
  if (region.index != regions_.size() || regions_.size() == kMostRegions || fd < 0) return Odd("miscounts its regions");
  void* memory = mmap(nullptr, region.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Error("mapping memory of the memif client");
  regions_.push_back({static_cast<uint8_t*>(memory), region.bytes});
  return absl::OkStatus();
}

absl::Status MemifServer::AddRing(const Message& message) {
  const auto asked = message.As<Message::NewRing>();
  if (asked.index != 0 || asked.bits > kMostRingBits || asked.region >= regions_.size()) return Odd("has odd rings");
  const Region& region = regions_[asked.region];
  const uint64_t bytes = sizeof(Ring) + (sizeof(Descriptor) << asked.bits);
  if (asked.offset % alignof(Ring) != 0 || asked.offset + bytes > region.bytes) return Odd("has a ring nowhere");
  auto* ring = reinterpret_cast<Ring*>(region.memory + asked.offset);
  if (ring->cookie != kCookie) return Odd("has a ring that is none");
  ((asked.flags & kToServer) != 0 ? from_client_ : to_client_) = {ring, static_cast<uint16_t>((1 << asked.bits) - 1)};
  return absl::OkStatus();
}

absl::Status MemifServer::Say(const Message& message) const {
  static_assert(sizeof(Message) == 128);
  if (send(client_, &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message)) return absl::OkStatus();
  return Error("talking to the memif client");
}

bool MemifServer::Connected() const {
  pollfd look{client_, POLLIN | POLLRDHUP, 0};
  // It says no more than that it goes.
  return poll(&look, 1, 0) == 0;
}

MemifServer::Descriptor& MemifServer::At(const Queue& queue, uint32_t place) const {
  return queue.ring->descriptors()[place & queue.mask];
}

uint8_t* MemifServer::Resolve(const Descriptor& descriptor) const {
  if (descriptor.region >= regions_.size()) return nullptr;
  const Region& region = regions_[descriptor.region];
  return uint64_t{descriptor.offset} + kLeastBuffer <= region.bytes ? region.memory + descriptor.offset : nullptr;
}

uint32_t MemifServer::Room() const {
  Ring* ring = to_client_.ring;
  return static_cast<uint16_t>(std::atomic_ref(ring->head).load(std::memory_order_acquire) - ring->tail);
}

uint8_t* MemifServer::Buffer(uint32_t number) const {
  return Resolve(At(to_client_, to_client_.ring->tail + number));
}

void MemifServer::SetLength(uint32_t number, uint16_t length) const {
  Descriptor& descriptor = At(to_client_, to_client_.ring->tail + number);
  descriptor.length = length;
  descriptor.flags = 0;
}

void MemifServer::Send(uint32_t count) const {
  Ring* ring = to_client_.ring;
  const auto tail = static_cast<uint16_t>(ring->tail + count);
  std::atomic_ref(ring->tail).store(tail, std::memory_order_release);
}

uint32_t MemifServer::Waiting() const {
  Ring* ring = from_client_.ring;
  return static_cast<uint16_t>(std::atomic_ref(ring->head).load(std::memory_order_acquire) - ring->tail);
}

const uint8_t* MemifServer::Packet(uint32_t number) const {
  return Resolve(At(from_client_, from_client_.ring->tail + number));
}

uint16_t MemifServer::Length(uint32_t number) const {
  return static_cast<uint16_t>(At(from_client_, from_client_.ring->tail + number).length);
}

void MemifServer::Release(uint32_t count) const {
  Ring* ring = from_client_.ring;
  const auto tail = static_cast<uint16_t>(ring->tail + count);
  std::atomic_ref(ring->tail).store(tail, std::memory_order_release);
}

}  // namespace sluice::bench
