#include "network_namespace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>

namespace sluice::testing {
namespace {

int OpenCurrent() {
  // Not /proc/self/ns/net: that is the main thread's.
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

}  // namespace

NetworkNamespace::NetworkNamespace() {
  const int before = OpenCurrent();
  if (unshare(CLONE_NEWNET) != 0) ADD_FAILURE() << "unshare(CLONE_NEWNET) failed";
  fd_ = OpenCurrent();
  if (setns(before, CLONE_NEWNET) != 0) ADD_FAILURE() << "cannot return to the former namespace";
  close(before);
  Ip("link set lo up");
}

NetworkNamespace::~NetworkNamespace() {
  close(fd_);
}

NetworkNamespace::Entered::Entered(int fd) : before_(OpenCurrent()) {
  if (setns(fd, CLONE_NEWNET) != 0) ADD_FAILURE() << "cannot enter the namespace";
}

NetworkNamespace::Entered::~Entered() {
  if (setns(before_, CLONE_NEWNET) != 0) ADD_FAILURE() << "cannot leave the namespace";
  close(before_);
}

void NetworkNamespace::Ip(const std::string& lines) const {
  const Entered here(fd_);
  // The child inherits the namespace of the thread that starts it.
  FILE* ip = popen("ip -batch -", "w");
  ASSERT_NE(ip, nullptr);
  std::fwrite(lines.data(), 1, lines.size(), ip);
  std::fputc('\n', ip);
  EXPECT_EQ(pclose(ip), 0) << "ip -batch failed on:\n" << lines;
}

std::string NetworkNamespace::path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_);
}

}  // namespace sluice::testing
