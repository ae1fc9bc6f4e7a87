// The API's streams: events to those who watch, and what is counted to those who want it again and again. At most
// kStreams of both together.
//
// Thread-safety: Watch and Stats from any thread, everything else from the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/stream.h"
#include "control/events.h"
#include "control/runtime.pb.h"

namespace sluice {

class Streams : public EventSink {
 public:
  static constexpr size_t kStreams = 64;
  // Events that wait for one client.
  static constexpr size_t kRoom = 1'000;

  // `events` outlives this.
  Streams(boost::asio::io_context& io, Events* events);
  ~Streams() override;
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  grpc::ServerWriteReactor<v1::Event>* Watch();
  // What `read` gives, every `interval`, until that is an error.
  using Read = std::function<absl::StatusOr<v1::Inventory>()>;
  grpc::ServerWriteReactor<v1::Inventory>* Stats(std::chrono::milliseconds interval, Read read);
  // Ends them all, and those that come, with UNAVAILABLE.
  void Close();

  bool Wants() override;
  void Take(const v1::Event& event) override;

 private:
  class Ticker;
  // What handlers of the io_context may still look at when this is gone.
  struct Shared {
    bool closed = false;
    Events* events = nullptr;
    std::vector<std::shared_ptr<Stream<v1::Event>>> watching;
    std::vector<std::shared_ptr<Stream<v1::Inventory>>> reading;

    // Says why not, and ends the stream then.
    template <typename Message>
    bool Admit(Stream<Message>& stream);
    void Forget();
  };

  boost::asio::io_context& io_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace sluice
