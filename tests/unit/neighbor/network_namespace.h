// Network namespaces without names, for tests: each lives as long as its object, so nothing is left behind.
//
// Needs root. Thread-safety: Enter moves the calling thread only.
#pragma once

#include <string>

namespace sluice::testing {

class NetworkNamespace {
 public:
  // Empty but for a loopback interface, which is up.
  NetworkNamespace();
  ~NetworkNamespace();
  NetworkNamespace(const NetworkNamespace&) = delete;
  NetworkNamespace& operator=(const NetworkNamespace&) = delete;

  // The calling thread is in this namespace until the object goes away.
  class Entered {
   public:
    explicit Entered(int fd);
    ~Entered();
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    int before_;
  };
  Entered Enter() const { return Entered(fd_); }

  // Runs lines of `ip -batch` in the namespace; a test failure with its output when one fails.
  void Ip(const std::string& lines) const;
  // A path that `ip link set IF netns PATH` takes.
  std::string path() const;

 private:
  int fd_ = -1;
};

}  // namespace sluice::testing
