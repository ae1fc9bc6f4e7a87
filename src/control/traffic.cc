#include "control/traffic.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

sluice_traffic At(const std::vector<sluice_traffic>& traffic, uint32_t index) {
  return index < traffic.size() ? traffic[index] : sluice_traffic{};
}

IndexTraffic ListenerAt(const EngineCounters& counters, uint32_t index) {
  return {At(counters.listeners, index), At(counters.listener_answers, index)};
}

IndexTraffic BackendAt(const EngineCounters& counters, uint32_t slot) {
  return {At(counters.backends, slot), At(counters.backend_answers, slot)};
}

sluice_traffic Less(const sluice_traffic& now, const sluice_traffic& before) {
  sluice_traffic rest{};
  rest.packets = now.packets - before.packets;
  rest.bytes = now.bytes - before.bytes;
  rest.new_flows = now.new_flows - before.new_flows;
  rest.ended = now.ended - before.ended;
  return rest;
}

IndexTraffic Less(const IndexTraffic& now, const IndexTraffic& before) {
  return {Less(now.forwarded, before.forwarded), Less(now.answers, before.answers)};
}

// Read once, and only when an index has changed hands.
class Reader {
 public:
  explicit Reader(Engine* engine) : engine_(engine) {}
  const EngineCounters& counters() {
    if (counters_ == nullptr) counters_ = std::make_unique<EngineCounters>(engine_->ReadCounters());
    return *counters_;
  }

 private:
  Engine* engine_;
  std::unique_ptr<EngineCounters> counters_;
};

}  // namespace

void Traffic::Follow(const Tables& tables, Engine* engine) {
  Reader reader(engine);
  listeners_.resize(std::max<size_t>(listeners_.size(), tables.listener_count()));
  for (uint32_t i = 0; i < tables.listener_count(); i++) {
    const std::string& name = tables.listener_names()[i];
    Owner& owner = listeners_[i];
    if (name.empty() || owner.name == name) continue;
    if (!owner.name.empty()) owner.before = ListenerAt(reader.counters(), i);
    owner.name = name;
  }
  backends_.resize(std::max<size_t>(backends_.size(), tables.backend_slots()));
  for (uint32_t i = 0; i < tables.backend_slots(); i++) {
    const BackendName& names = tables.backend_names()[i];
    if (names.backend.empty()) continue;
    Owner& owner = backends_[i];
    const std::string name = absl::StrCat(names.pool, "/", names.backend);
    if (owner.name == name) continue;
    if (!owner.name.empty()) owner.before = BackendAt(reader.counters(), i);
    owner.name = name;
  }
}

IndexTraffic Traffic::OfListener(const EngineCounters& counters, uint32_t index) const {
  return Less(ListenerAt(counters, index), listeners_[index].before);
}

IndexTraffic Traffic::OfBackend(const EngineCounters& counters, uint32_t slot) const {
  return Less(BackendAt(counters, slot), backends_[slot].before);
}

}  // namespace sluice
