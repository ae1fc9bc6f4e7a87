// How `sluiced --reload` speaks to the running daemon: a Unix socket in the run folder. A client sends the line
// "reload" and reads until the end; the answer is what the daemon did.
//
// Thread-safety: the control thread's io_context; RequestReload is for another process and blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluiced/folder_lock.h"

namespace sluice {

class ReloadSocket {
 public:
  // How many clients are served at a time (others wait), and how long one may take to ask, and to read the answer.
  static constexpr size_t kClients = 16;
  static constexpr std::chrono::seconds kPatience{5};

  // Calls `reload` for each request and answers with its result: the generation, or why nothing changed. Also keeps a
  // second daemon out of the folder, without a word to the first.
  // Errors: another sluiced runs with this folder; no permission; a path too long for a socket.
  static absl::StatusOr<std::unique_ptr<ReloadSocket>> Open(boost::asio::io_context& io, const std::string& run_dir,
                                                            std::function<absl::StatusOr<uint32_t>()> reload,
                                                            std::chrono::milliseconds patience = kPatience);
  ~ReloadSocket();
  ReloadSocket(const ReloadSocket&) = delete;
  ReloadSocket& operator=(const ReloadSocket&) = delete;

 private:
  class Client;
  // What clients may still look at when the socket is gone.
  struct Shared {
    std::function<absl::StatusOr<uint32_t>()> reload;
    // Called when a client has gone.
    std::function<void()> make_room;
    size_t clients = 0;
    std::chrono::milliseconds patience{};
  };

  ReloadSocket(boost::asio::io_context& io, std::string path, FolderLock lock)
      : acceptor_(io), retry_(io), path_(std::move(path)), lock_(std::move(lock)) {}
  absl::Status Listen();
  void Accept();
  void AcceptLater();

  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  std::string path_;
  FolderLock lock_;
  bool accepting_ = false;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

// Asks the daemon of `run_dir` to reload and waits for the answer: the generation that it runs now.
absl::StatusOr<uint32_t> RequestReload(const std::string& run_dir);

}  // namespace sluice
