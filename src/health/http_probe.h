// The checks `http` and `https`: one request on a connection of its own, the status of the answer, and where a text is
// expected the beginning of its body.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>

#include "health/secure_probe.h"

namespace sluice {

class HttpProbe : public SecureProbe {
 public:
  using SecureProbe::SecureProbe;

 private:
  void Ready() override { SendRequest(); }
  void FailBy(const Error& error) override;
  void SendRequest();
  void ReadHeader();
  void CheckStatus();
  void ReadBody();
  void LookAtBody(const Error& error);

  boost::beast::http::request<boost::beast::http::empty_body> request_;
  boost::beast::flat_buffer buffer_{kMaxAnswer};
  // Into a piece of ours: other bodies take as much memory as the server says that it will send.
  boost::beast::http::response_parser<boost::beast::http::buffer_body> parser_;
  std::array<char, 4096> piece_;
  std::string body_;
};

}  // namespace sluice
