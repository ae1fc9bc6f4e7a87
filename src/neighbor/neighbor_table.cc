#include "neighbor/neighbor_table.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "neighbor/resolver.h"
#include "neighbor/rtnetlink.h"

namespace sluice {
namespace {

// Notifications read in one Process(): some milliseconds' worth. The rest keeps fd() readable.
constexpr int kEventsPerCall = 1024;

absl::Status SystemError(const char* what) {
  return absl::UnavailableError(absl::StrCat("cannot make ", what, " for the neighbour table: ", strerror(errno)));
}

}  // namespace

NeighborTable::NeighborTable() = default;

NeighborTable::~NeighborTable() {
  if (timer_ >= 0) close(timer_);
  if (epoll_ >= 0) close(epoll_);
}

absl::StatusOr<std::unique_ptr<NeighborTable>> NeighborTable::Open(const Options& options) {
  std::unique_ptr<NeighborTable> table(new NeighborTable);
  NeighborTable* self = table.get();
  Rtnetlink::Events events{
      .link = [self](const Link& link) { self->resolver_->OnLink(link, self->now_); },
      .link_gone = [self](int ifindex) { self->resolver_->OnLinkGone(ifindex, self->now_); },
      .neighbor = [self](const NeighborEntry& entry) { self->resolver_->OnNeighbor(entry, self->now_); },
      .neighbor_gone = [self](const NeighborKey& key) { self->resolver_->OnNeighborGone(key, self->now_); },
      .route = [self](const Prefix& prefix) { self->resolver_->OnRouteChange(prefix, self->now_); },
      .routes = [self] { self->resolver_->OnRoutesChange(self->now_); },
  };
  absl::StatusOr<std::unique_ptr<Rtnetlink>> kernel = Rtnetlink::Open(std::move(events), options.event_buffer);
  if (!kernel.ok()) return kernel.status();
  table->kernel_ = *std::move(kernel);
  table->resolver_ = std::make_unique<Resolver>(table->kernel_.get());

  table->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  table->timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (table->epoll_ < 0 || table->timer_ < 0) return SystemError("a timer");
  for (const int fd : {table->timer_, table->kernel_->event_fd()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(table->epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return SystemError("a set of descriptors");
  }
  table->Wake(absl::ZeroDuration());
  return table;
}

void NeighborTable::Watch(absl::Span<const Address> addresses) {
  resolver_->Watch(addresses);
  Wake(absl::ZeroDuration());
}

void NeighborTable::Process(absl::Time now) {
  now_ = now;
  if (!kernel_->ReadEvents(kEventsPerCall)) {
    ++overruns_;
    resolver_->OnOverrun(now);
  }
  resolver_->Run(now);
  Wake(resolver_->NextDue() - now);
}

void NeighborTable::Wake(absl::Duration wait) {
  // Zero would disarm the timer; setting it also takes back an earlier expiry.
  const absl::Duration least = std::max(wait, absl::Nanoseconds(1));
  const itimerspec when{.it_interval = {}, .it_value = absl::ToTimespec(std::min(least, absl::Hours(1)))};
  timerfd_settime(timer_, 0, &when, nullptr);
}

std::vector<Address> NeighborTable::TakeChanges() {
  return resolver_->TakeChanges();
}

Resolution NeighborTable::Find(const Address& address) const {
  return resolver_->Find(address);
}

}  // namespace sluice
