// The place of one interface for an XDP program: who is there, ours put in, one of ours in place of another in one
// step. A foreign program is never touched.
//
// A program outlives its process. The next start knows it as ours by its name and replaces it, so that at no moment the
// kernel sees a packet for a virtual address.
//
// Thread-safety: none; the control thread's, in the network namespace of the interface.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace sluice {

class XdpAttachment {
 public:
  // `interface` is for the errors.
  XdpAttachment(int ifindex, std::string interface) : ifindex_(ifindex), interface_(std::move(interface)) {}
  // Detaches what Attach put there, if it still is.
  ~XdpAttachment();
  XdpAttachment(const XdpAttachment&) = delete;
  XdpAttachment& operator=(const XdpAttachment&) = delete;

  // Looks who is there. FailedPreconditionError when it is somebody else's program, with its name.
  absl::Status Look();
  // The program of an earlier instance that Look has found, or -1. Attach takes its place.
  int predecessor() const { return predecessor_; }
  // Whether it forwards by itself when it has no workers: then it can wait to be relieved.
  bool predecessor_forwards() const { return predecessor_forwards_; }

  // In the driver when it can, else in the kernel's generic path; in place of what this object attached before, or of
  // the predecessor. `program` stays the caller's, and open while it is attached.
  absl::Status Attach(int program);
  // What Attach put there, or -1.
  int program() const { return program_; }
  // Takes it off, or the predecessor. Fails when somebody has replaced it meanwhile, or the interface is gone: then
  // there is nothing of ours.
  absl::Status Detach();
  // True when the driver has no XDP of its own.
  bool generic() const { return generic_; }

  // The program stays behind when this object goes.
  void Leave() { program_ = -1; }

 private:
  absl::Status AttachFresh(int program);
  absl::Status Replace(int program, int old);
  void ClosePredecessor();

  int ifindex_;
  std::string interface_;
  int predecessor_ = -1;
  bool predecessor_forwards_ = false;
  // -1 when not attached.
  int program_ = -1;
  bool generic_ = false;
};

}  // namespace sluice
