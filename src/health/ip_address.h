// Boost's form of an address.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "base/address.h"

namespace sluice {

inline boost::asio::ip::address ToBoost(const Address& address) {
  if (!address.IsIpv4()) return boost::asio::ip::address_v6(address.bytes);
  boost::asio::ip::address_v4::bytes_type bytes;
  std::copy(address.bytes.end() - bytes.size(), address.bytes.end(), bytes.begin());
  return boost::asio::ip::address_v4(bytes);
}

inline Address FromBoost(const boost::asio::ip::address& address) {
  Address result;
  if (address.is_v6()) {
    result.bytes = address.to_v6().to_bytes();
    return result;
  }
  const boost::asio::ip::address_v4::bytes_type bytes = address.to_v4().to_bytes();
  result.bytes[10] = result.bytes[11] = 0xff;
  std::copy(bytes.begin(), bytes.end(), result.bytes.end() - bytes.size());
  return result;
}

}  // namespace sluice
