// What happens, as it happens, for whoever watches: changes of the configuration, of what backends do and of their
// health, of ports and tables. Without watchers it costs nothing.
//
// Thread-safety: the control thread's.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "control/controller.h"
#include "control/runtime.pb.h"

namespace sluice {

// Where events go.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Whether anybody watches.
  virtual bool Wants() = 0;
  virtual void Take(const v1::Event& event) = 0;
};

class Events {
 public:
  // `controller` outlives this.
  explicit Events(const Controller* controller) : controller_(controller) {}

  // Null: nobody's. It outlives this, or is taken back before.
  void SetSink(EventSink* sink) { sink_ = sink; }

  // The first event of who begins to watch now; what comes is news from here on.
  v1::Event Begin();
  // Finds what has happened since the last time.
  void Tick();
  // A change of the configuration, which runs. `what`: "apply", "reload", ...
  void Changed(const std::string& what, const v1::ChangeReply& reply);

 private:
  // Of a backend.
  struct State {
    int condition = 0;
    int health = 0;
    uint32_t percent = 0;
    bool operator==(const State&) const = default;
  };
  using States = absl::flat_hash_map<std::pair<std::string, std::string>, State>;

  void FollowBackends();
  void FollowPorts();
  bool Wanted();
  void Tell(v1::Event event);

  const Controller* controller_;
  EventSink* sink_ = nullptr;
  // Somebody does, so that what stands here is as of the last event.
  bool watched_ = false;
  uint32_t generation_ = 0;
  States backends_;
  std::vector<EnginePort> ports_;
};

}  // namespace sluice
