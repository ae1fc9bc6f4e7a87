#include "config/scalar.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "config/sluice.pb.h"

namespace sluice::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

struct Case {
  const char* message;
  const char* field;
  std::string text;
  // The message afterwards, or the error.
  std::string wanted;
};

std::string Read(const Case& c) {
  const Descriptor* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(std::string("sluice.v1.") + c.message);
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  const absl::Status status = SetFromText(*message, *type->FindFieldByName(c.field), c.text);
  if (status.ok()) return message->ShortDebugString();
  EXPECT_EQ(message->ShortDebugString(), "") << "an error must not leave a value";
  return std::string(status.message());
}

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(Read(c), c.wanted) << c.field << " " << c.text;
}

TEST(Scalar, Counts) {
  const std::string wrong = "\" is not a whole number; write it like 1024, 64k or 4M";
  Check({
      {"Engine", "max_connections", "0", "max_connections: 0"},
      {"Engine", "max_connections", "4M", "max_connections: 4000000"},
      {"Engine", "max_connections", "64k", "max_connections: 64000"},
      {"Engine", "max_connections", "1G", "max_connections: 1000000000"},
      {"Engine", "max_connections", "18446744073709551615", "max_connections: 18446744073709551615"},
      {"Engine", "max_connections", "18446744073709551616", "max_connections \"18446744073709551616" + wrong},
      {"Engine", "max_connections", "18446744073709551615k", "max_connections \"18446744073709551615k" + wrong},
      {"Engine", "max_connections", "4m", "max_connections \"4m" + wrong},
      {"Engine", "max_connections", "k", "max_connections \"k" + wrong},
      {"Engine", "max_connections", "", "max_connections \"" + wrong},
      {"Engine", "max_connections", "-1", "max_connections \"-1" + wrong},
      {"Engine", "max_connections", "1.5M", "max_connections \"1.5M" + wrong},
      {"Engine", "max_connections", "0x10", "max_connections \"0x10" + wrong},
      {"Engine", "workers", "4294967295", "workers: 4294967295"},
      {"Engine", "workers", "4294967296", "workers \"4294967296\" is not in range; it would be at most 4294967295"},
  });
}

TEST(Scalar, Booleans) {
  Check({
      {"Listener", "reset_on_idle", "true", "reset_on_idle: true"},
      {"Listener", "reset_on_idle", "false", "reset_on_idle: false"},
      {"Listener", "reset_on_idle", "yes", "reset_on_idle \"yes\" is not a yes or no; write true or false"},
  });
}

TEST(Scalar, EchoWasAYesOrNo) {
  Check({
      {"Listener", "icmp_echo", "answer", "icmp_echo: ANSWER"},
      {"Listener", "icmp_echo", "drop", "icmp_echo: DROP"},
      {"Listener", "icmp_echo", "forward", "icmp_echo: FORWARD"},
      {"Listener", "icmp_echo", "true", "icmp_echo: ANSWER"},
      {"Listener", "icmp_echo", "false", "icmp_echo: DROP"},
      {"Listener", "icmp_echo", "yes", "icmp_echo \"yes\" is not known; it is one of drop, answer, forward"},
      {"Listener", "announce", "true", "announce \"true\" is not known; it is one of link, none"},
  });
}

TEST(Scalar, Enumerations) {
  Check({
      {"Listener", "protocol", "tcp_udp", "protocol: TCP_UDP"},
      {"Listener", "protocol", "tpc", "protocol \"tpc\" is not known; did you mean \"tcp\"?"},
      {"Listener", "protocol", "TCP", "protocol \"TCP\" is not known; it is one of tcp, udp, tcp_udp"},
      {"Listener", "protocol", "protocol_unspecified",
       "protocol \"protocol_unspecified\" is not known; it is one of tcp, udp, tcp_udp"},
      {"Pool", "forwarding", "dsr", "forwarding \"dsr\" is not known; it is one of dsr_l2, ipip, gue, nat, full_nat"},
      {"Engine", "huge_pages", "off", "huge_pages: OFF"},
      {"Engine", "idle", "back_of", "idle \"back_of\" is not known; did you mean \"back_off\"?"},
  });
}

TEST(Scalar, Times) {
  Check({
      {"Listener", "idle_timeout", "350s", "idle_timeout { seconds: 350 }"},
      {"Listener", "idle_timeout", "2m", "idle_timeout { seconds: 120 }"},
      {"Listener", "idle_timeout", "1m30s", "idle_timeout { seconds: 90 }"},
      {"Listener", "idle_timeout", "1500ms", "idle_timeout { seconds: 1 nanos: 500000000 }"},
      {"Listener", "idle_timeout", "0", "idle_timeout { }"},
      {"Listener", "idle_timeout", "350", "idle_timeout \"350\" is not a time without its unit; write it like 350s"},
      {"Listener", "idle_timeout", "-5s", "idle_timeout \"-5s\" is not a time; write it like 350s, 2m or 500ms"},
      {"Listener", "idle_timeout", "inf", "idle_timeout \"inf\" is not a time; write it like 350s, 2m or 500ms"},
      {"Listener", "idle_timeout", "5 s", "idle_timeout \"5 s\" is not a time; write it like 350s, 2m or 500ms"},
      {"Listener", "idle_timeout", "", "idle_timeout \"\" is not a time; write it like 350s, 2m or 500ms"},
  });
}

TEST(Scalar, PortRanges) {
  const std::string wrong = "\" is not a port or a range of ports; write it like 80 or 8000-8099";
  Check({
      {"Listener", "ports", "80", "ports { first: 80 last: 80 }"},
      {"Listener", "ports", "8000-8099", "ports { first: 8000 last: 8099 }"},
      // Their meaning is the validator's.
      {"Listener", "ports", "9-8", "ports { first: 9 last: 8 }"},
      {"Listener", "ports", "0", "ports { }"},
      {"Listener", "ports", "http", "ports \"http" + wrong},
      {"Listener", "ports", "80-", "ports \"80-" + wrong},
      {"Listener", "ports", "-80", "ports \"-80" + wrong},
      {"Listener", "ports", "1-2-3", "ports \"1-2-3" + wrong},
      {"Listener", "ports", "4294967296", "ports \"4294967296" + wrong},
      {"Listener", "ports", "8k", "ports \"8k" + wrong},
  });
}

TEST(Scalar, Rates) {
  const std::string wrong = "\" is not a rate; write it like 200/s or 10k/s";
  const char* const rate = "new_connections_per_source";
  Check({
      {"Access", rate, "200/s", "new_connections_per_source { per_second: 200 }"},
      {"Access", rate, "10k/s", "new_connections_per_source { per_second: 10000 }"},
      // Its meaning is the validator's.
      {"Access", rate, "0/s", "new_connections_per_source { }"},
      {"Access", rate, "200", std::string(rate) + " \"200" + wrong},
      {"Access", rate, "/s", std::string(rate) + " \"/s" + wrong},
      {"Access", rate, "", std::string(rate) + " \"" + wrong},
      {"Access", rate, "200/m", std::string(rate) + " \"200/m" + wrong},
      {"Access", rate, "-1/s", std::string(rate) + " \"-1/s" + wrong},
      {"Access", rate, "5G/s", std::string(rate) + " \"5G/s" + wrong},
  });
}

TEST(Scalar, TextAndBytes) {
  Check({
      {"Listener", "name", "web", "name: \"web\""},
      {"Interface", "addresses", "198.51.100.2/24", "addresses: \"198.51.100.2/24\""},
      {"Engine", "hash_key", "AAEC", "hash_key: \"\\000\\001\\002\""},
      {"Engine", "hash_key", "*",
       "hash_key \"*\" is not base64; make such a value with: head -c 32 /dev/urandom | base64"},
  });
}

// A new field of the schema of a type that the file has no form for fails here.
TEST(Scalar, EveryFieldOfTheSchemaHasAForm) {
  std::set<const Descriptor*> seen;
  std::vector<const Descriptor*> left = {v1::Config::descriptor()};
  while (!left.empty()) {
    const Descriptor* type = left.back();
    left.pop_back();
    if (!seen.insert(type).second) continue;
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      EXPECT_FALSE(field.is_map()) << field.full_name();
      if (IsScalar(field)) {
        EXPECT_NE(SetFromText(*message, field, "x").code(), absl::StatusCode::kInternal) << field.full_name();
      } else {
        left.push_back(field.message_type());
      }
    }
  }
  EXPECT_GE(seen.size(), 5u);
}

}  // namespace
}  // namespace sluice::config
