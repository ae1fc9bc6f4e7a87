// Asks an agent (agent.h): connects, sends what is to be sent, and reads a line or what comes until it is closed.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <string>

#include "absl/strings/string_view.h"
#include "health/tcp_probe.h"

namespace sluice {

class AgentProbe : public ConnectionProbe {
 public:
  using ConnectionProbe::ConnectionProbe;

 private:
  void Connected() override;
  void FailBy(const Error& error) override;
  void Listen();
  void Understand(absl::string_view line);

  std::array<char, kMaxAgentLine> piece_;
  std::string line_;
};

}  // namespace sluice
