#include "control/events.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/change_line.h"
#include "control/view.h"

namespace sluice {
namespace {

void SetNow(google::protobuf::Timestamp* time) {
  const int64_t now = absl::GetCurrentTimeNanos();
  time->set_seconds(now / 1'000'000'000);
  time->set_nanos(static_cast<int32_t>(now % 1'000'000'000));
}

std::string TextOf(const std::string& pool, const v1::BackendStatus& backend) {
  const std::string why = backend.reason().empty() ? backend.health().reason() : backend.reason();
  return absl::StrCat("backend ", pool, "/", backend.name(), ": ",
                      absl::AsciiStrToLower(v1::BackendStatus::Condition_Name(backend.condition())), ", ",
                      absl::AsciiStrToLower(v1::Health::State_Name(backend.health().state())),
                      why.empty() ? "" : absl::StrCat(": ", why));
}

}  // namespace

bool Events::Wanted() {
  watched_ = watched_ && sink_ != nullptr && sink_->Wants();
  return watched_;
}

v1::Event Events::Begin() {
  if (!Wanted()) {
    FollowBackends();
    ports_ = controller_->ports();
    generation_ = controller_->generation();
    watched_ = true;
  }
  v1::Event begin;
  begin.set_kind(v1::Event::BEGIN);
  SetNow(begin.mutable_at());
  begin.set_generation(generation_);
  begin.set_text(absl::StrCat("watching; every worker runs generation ", generation_));
  return begin;
}

void Events::Tick() {
  if (!Wanted()) return;
  FollowPorts();
  // What backends do is in the tables.
  if (controller_->generation() == generation_) return;
  generation_ = controller_->generation();
  FollowBackends();
  v1::Event event;
  event.set_kind(v1::Event::TABLES);
  event.set_text(absl::StrCat("every worker runs generation ", generation_));
  Tell(std::move(event));
}

void Events::Changed(const std::string& what, const v1::ChangeReply& reply) {
  if (!Wanted()) return;
  v1::Event event;
  event.set_kind(v1::Event::CHANGE);
  event.set_text(ChangeLine(what, reply));
  *event.mutable_change() = reply;
  Tell(std::move(event));
}

void Events::FollowBackends() {
  States now;
  for (const v1::Pool& pool : controller_->config().pools()) {
    for (const v1::Backend& backend : pool.backends()) {
      v1::BackendStatus status = ViewBackend(*controller_, pool.name(), backend);
      const State state{status.condition(), status.health().state(), status.agent().percent()};
      std::pair<std::string, std::string> name(pool.name(), backend.name());
      const auto before = backends_.find(name);
      if (before == backends_.end() || !(before->second == state)) {
        v1::Event event;
        event.set_kind(v1::Event::BACKEND);
        event.set_text(TextOf(pool.name(), status));
        event.set_pool(pool.name());
        *event.mutable_backend() = std::move(status);
        Tell(std::move(event));
      }
      now.emplace(std::move(name), state);
    }
  }
  backends_ = std::move(now);
}

void Events::FollowPorts() {
  const std::vector<EnginePort>& ports = controller_->ports();
  if (ports == ports_) return;
  for (size_t i = 0; i < ports.size(); i++) {
    if (i < ports_.size() && ports[i] == ports_[i]) continue;
    v1::Event event;
    event.set_kind(v1::Event::PORT);
    event.set_text(absl::StrCat("port ", ports[i].name, ": link ", ports[i].link_up ? "up" : "down", ", MAC ",
                                FormatMac(ports[i].mac), ", MTU ", ports[i].mtu));
    *event.mutable_port() = ViewPort(ports[i]);
    Tell(std::move(event));
  }
  ports_ = ports;
}

void Events::Tell(v1::Event event) {
  if (!watched_) return;
  SetNow(event.mutable_at());
  event.set_generation(controller_->generation());
  sink_->Take(event);
}

}  // namespace sluice
