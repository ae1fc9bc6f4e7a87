#include "health/udp_probe.h"

#include "absl/strings/str_cat.h"
#include "health/ip_address.h"

namespace sluice {

namespace asio = boost::asio;

void UdpProbe::Open() {
  const asio::ip::udp::endpoint to(ToBoost(target().asked()), target().port);
  Error error;
  socket_.open(to.protocol(), error);
  if (!error && target().via.has_value()) error = marked_->Prepare(socket_, target());
  // Connected: the kernel then tells of ICMP errors, and takes answers from nobody else.
  if (!error) socket_.connect(to, error);
  if (error) return FailBy(error);
  socket_.async_send(asio::buffer(spec().send), Then([this](size_t) { Receive(); }));
}

void UdpProbe::Close() {
  Error ignored;
  socket_.close(ignored);
}

void UdpProbe::Receive() {
  socket_.async_receive(asio::buffer(answer_), Then([this](size_t bytes) {
                          if (std::string_view(answer_.data(), bytes).find(spec().expect) != std::string_view::npos) {
                            return Pass(absl::StrCat("answered with ", bytes, " bytes"));
                          }
                          Fail(absl::StrCat("answered with ", bytes, " bytes, not as expected"));
                        }));
}

}  // namespace sluice
