#include "health/agent_probe.h"

#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"

namespace sluice {

namespace asio = boost::asio;

void AgentProbe::Connected() {
  WaitFor("line");
  if (spec().send.empty()) return Listen();
  asio::async_write(socket_, asio::buffer(spec().send), Then([this](size_t) { Listen(); }));
}

void AgentProbe::Listen() {
  socket_.async_read_some(asio::buffer(piece_), Then([this](size_t bytes) {
                            line_.append(piece_.data(), bytes);
                            const size_t end = line_.find_first_of("\r\n");
                            if (end != std::string::npos) return Understand(absl::string_view(line_).substr(0, end));
                            if (line_.size() < kMaxAgentLine) return Listen();
                            Fail(absl::StrCat("its line does not end in ", line_.size(), " bytes"));
                          }));
}

void AgentProbe::Understand(absl::string_view line) {
  const absl::StatusOr<AgentAnswer> answer = ParseAgentAnswer(line);
  if (!answer.ok()) return Fail(std::string(answer.status().message()));
  const std::string reason = absl::StrCat("says \"", answer->line, "\"");
  Pass(reason, *answer);
}

// The end of the line may be that of the connection.
void AgentProbe::FailBy(const Error& error) {
  if (error != asio::error::eof) return ConnectionProbe::FailBy(error);
  if (line_.empty()) return Fail("closed without a line");
  Understand(line_);
}

}  // namespace sluice
