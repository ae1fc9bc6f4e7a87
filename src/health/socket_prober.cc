#include "health/socket_prober.h"

#include <utility>

#include "health/agent_probe.h"
#include "health/grpc_probe.h"
#include "health/http_probe.h"
#include "health/icmp_probe.h"
#include "health/tcp_probe.h"
#include "health/udp_probe.h"

namespace sluice {
namespace {

class Running : public Probe {
 public:
  explicit Running(std::shared_ptr<SocketProbe> probe) : probe_(std::move(probe)) { probe_->Begin(); }
  ~Running() override { probe_->Cancel(); }

 private:
  std::shared_ptr<SocketProbe> probe_;
};

}  // namespace

std::unique_ptr<Probe> SocketProber::Start(const CheckTarget& target, Done done) {
  std::shared_ptr<SocketProbe> probe;
  switch (target.spec->type) {
    case CheckType::kTcp:
      probe = std::make_shared<TcpProbe>(io_, &marked_, target, std::move(done));
      break;
    case CheckType::kHttp:
    case CheckType::kHttps:
      probe = std::make_shared<HttpProbe>(io_, &marked_, target, std::move(done));
      break;
    case CheckType::kGrpc:
      probe = std::make_shared<GrpcProbe>(io_, &marked_, &grpc_, target, std::move(done));
      break;
    case CheckType::kAgent:
      probe = std::make_shared<AgentProbe>(io_, &marked_, target, std::move(done));
      break;
    case CheckType::kUdp:
      probe = std::make_shared<UdpProbe>(io_, &marked_, target, std::move(done));
      break;
    case CheckType::kIcmp:
      probe = std::make_shared<IcmpProbe>(io_, target.address.IsIpv4() ? &icmp4_ : &icmp6_, target, std::move(done));
      break;
  }
  return std::make_unique<Running>(std::move(probe));
}

}  // namespace sluice
