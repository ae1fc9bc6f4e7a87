#include "engine/dpdk/local_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace sluice {

std::set<Address> ReadLocalAddresses() {
  std::set<Address> addresses;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return addresses;
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    Address address;
    if (at->ifa_addr->sa_family == AF_INET) {
      address.bytes[10] = address.bytes[11] = 0xff;
      std::memcpy(&address.bytes[12], &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr, 4);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    addresses.insert(address);
  }
  freeifaddrs(first);
  return addresses;
}

}  // namespace sluice
