// How `sluiced --reload` speaks to the running daemon: a Unix socket in the run folder, one request a connection, and
// the answer is what the daemon did.
//
// Thread-safety: the control thread's io_context; RequestReload is for another process and blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

class ReloadSocket {
 public:
  // Calls `reload` for each request and answers with its result: the generation, or why nothing changed.
  // Errors: another sluiced listens there; no permission.
  static absl::StatusOr<std::unique_ptr<ReloadSocket>> Open(boost::asio::io_context& io, const std::string& run_dir,
                                                            std::function<absl::StatusOr<uint32_t>()> reload);
  ~ReloadSocket();

 private:
  ReloadSocket(boost::asio::io_context& io, std::string path, std::function<absl::StatusOr<uint32_t>()> reload)
      : acceptor_(io), path_(std::move(path)), reload_(std::move(reload)) {}
  void Accept();

  boost::asio::local::stream_protocol::acceptor acceptor_;
  std::string path_;
  std::function<absl::StatusOr<uint32_t>()> reload_;
};

// Asks the daemon of `run_dir` to reload and waits for the answer: the generation that it runs now.
absl::StatusOr<uint32_t> RequestReload(const std::string& run_dir);

}  // namespace sluice
