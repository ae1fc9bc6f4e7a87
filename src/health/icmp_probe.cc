#include "health/icmp_probe.h"

#include <openssl/rand.h>

#include <cerrno>

namespace sluice {

void IcmpProbe::Open() {
  if (RAND_bytes(nonce_.data(), static_cast<int>(nonce_.size())) != 1) return NotMade("no random numbers");
  WaitFor("echo reply");
  const Error error = socket_->Ask(target().address, nonce_, [this] { Pass("echo reply"); });
  if (error.value() == EPERM) return NotMade("this process may not ping; give it CAP_NET_RAW");
  if (error) FailBy(error);
}

}  // namespace sluice
