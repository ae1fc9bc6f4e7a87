#include "api/streams.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/call_queue.h"

namespace sluice {
namespace {

grpc::Status Stopping() {
  return {grpc::StatusCode::UNAVAILABLE, "sluiced is stopping; watch again when it runs"};
}

std::optional<v1::Event> LostEvents(uint64_t count) {
  v1::Event event;
  event.set_kind(v1::Event::LOST);
  event.mutable_at()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  event.set_lost(count);
  event.set_text(absl::StrCat(count, " events are lost: this client reads too slowly"));
  return event;
}

}  // namespace

// Reads again and again for one stream, until that ends.
class Streams::Ticker : public std::enable_shared_from_this<Ticker> {
 public:
  Ticker(boost::asio::io_context& io, std::shared_ptr<Stream<v1::Inventory>> stream, std::chrono::milliseconds interval,
         Read read)
      : timer_(io), stream_(std::move(stream)), interval_(interval), read_(std::move(read)) {}

  void Tick() {
    if (stream_->ended()) return;
    absl::StatusOr<v1::Inventory> inventory = read_();
    if (!inventory.ok()) return stream_->End(ToGrpc(inventory.status()));
    stream_->Push(*std::move(inventory));
    timer_.expires_after(interval_);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->Tick();
    });
  }

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<Stream<v1::Inventory>> stream_;
  std::chrono::milliseconds interval_;
  Read read_;
};

Streams::Streams(boost::asio::io_context& io, Events* events) : io_(io) {
  shared_->events = events;
  events->SetSink(this);
}

Streams::~Streams() {
  Close();
  shared_->events->SetSink(nullptr);
}

void Streams::Shared::Forget() {
  const auto ended = [](const auto& stream) { return stream->ended(); };
  std::erase_if(watching, ended);
  std::erase_if(reading, ended);
}

template <typename Message>
bool Streams::Shared::Admit(Stream<Message>& stream) {
  Forget();
  if (closed) {
    stream.End(Stopping());
  } else if (watching.size() + reading.size() >= kStreams) {
    stream.End({grpc::StatusCode::RESOURCE_EXHAUSTED,
                absl::StrCat("there are ", kStreams, " streams already; end one, or call List now and then")});
  }
  return !stream.ended();
}

grpc::ServerWriteReactor<v1::Event>* Streams::Watch() {
  auto stream = Stream<v1::Event>::Open(kRoom, LostEvents);
  boost::asio::post(io_, [shared = shared_, stream] {
    if (!shared->Admit(*stream)) return;
    stream->Push(shared->events->Begin());
    shared->watching.push_back(stream);
  });
  return stream.get();
}

grpc::ServerWriteReactor<v1::Inventory>* Streams::Stats(std::chrono::milliseconds interval, Read read) {
  // The newest says it all.
  auto stream = Stream<v1::Inventory>::Open(1, [](uint64_t) { return std::nullopt; });
  boost::asio::post(io_, [shared = shared_, stream, ticker = std::make_shared<Ticker>(io_, stream, interval, read)] {
    if (!shared->Admit(*stream)) return;
    shared->reading.push_back(stream);
    ticker->Tick();
  });
  return stream.get();
}

void Streams::Close() {
  shared_->closed = true;
  for (const auto& stream : shared_->watching) stream->End(Stopping());
  for (const auto& stream : shared_->reading) stream->End(Stopping());
  shared_->Forget();
}

bool Streams::Wants() {
  shared_->Forget();
  return !shared_->watching.empty();
}

void Streams::Take(const v1::Event& event) {
  for (const auto& stream : shared_->watching) stream->Push(event);
}

}  // namespace sluice
