// Where the daemon's own services may be, as text.
#include "config/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "config/load.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string Refusal(const std::string& rest) {
  constexpr char kRest[] = "engine: {interfaces: [{name: eth0}]}\n";
  const absl::Status status = LoadConfigText(kRest + rest, "f.yaml").status();
  return std::string(status.message());
}

TEST(EndpointTest, AddressesWithPorts) {
  const absl::StatusOr<Endpoint> ipv4 = ParseEndpoint("127.0.0.1:9910");
  ASSERT_TRUE(ipv4.ok()) << ipv4.status();
  EXPECT_EQ(FormatAddress(ipv4->address), "127.0.0.1");
  EXPECT_EQ(ipv4->port, 9910);
  const absl::StatusOr<Endpoint> ipv6 = ParseEndpoint("[::]:1");
  ASSERT_TRUE(ipv6.ok()) << ipv6.status();
  EXPECT_EQ(FormatAddress(ipv6->address), "::");
  EXPECT_EQ(ipv6->port, 1);
}

TEST(EndpointTest, WhatIsNoEndpoint) {
  for (const std::string text : {"", "9910", ":9910", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:9910", "[::1]",
                                 "[127.0.0.1]:9910", "host:9910", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1"}) {
    EXPECT_FALSE(ParseEndpoint(text).ok()) << text;
  }
  EXPECT_FALSE(ParseEndpoint(std::string("127.0.0.1\0:9910", 15)).ok());
}

TEST(EndpointTest, UnixSockets) {
  EXPECT_EQ(*ParseUnixSocket("unix:/run/api.sock"), "/run/api.sock");
  EXPECT_TRUE(ParseUnixSocket("unix:/" + std::string(106, 'a')).ok());
  EXPECT_FALSE(ParseUnixSocket("unix:/" + std::string(107, 'a')).ok());
  for (const std::string text : {"", "unix:", "unix:api.sock", "/run/api.sock", "unix:/run/", "127.0.0.1:80"}) {
    EXPECT_FALSE(ParseUnixSocket(text).ok()) << text;
  }
}

TEST(EndpointTest, TheFileSaysWhereTheMistakeIs) {
  EXPECT_EQ(Refusal("api: {listen: \"unix:/run/api.sock\"}\nadmin: {listen: \"127.0.0.1:9910\"}\n"), "");
  EXPECT_EQ(Refusal("api: {}\n"), "");
  EXPECT_THAT(Refusal("api: {listen: \"unix:api.sock\"}\n"), HasSubstr("f.yaml:2:15: \"unix:api.sock\" is not"));
  EXPECT_THAT(Refusal("api: {listen: nowhere}\n"), HasSubstr("f.yaml:2:15: \"nowhere\" is not an address and a port"));
  EXPECT_THAT(Refusal("admin: {listen: here}\n"), HasSubstr("f.yaml:2:17: \"here\" is not an address and a port"));
  EXPECT_THAT(Refusal("admin: {}\n"), HasSubstr("admin needs listen"));
}

TEST(EndpointTest, TheApiOverTcpNeedsTls) {
  constexpr char kFiles[] = "certificate_file: a, key_file: b, client_ca_file: c";
  EXPECT_EQ(Refusal(absl::StrCat("api: {listen: \"0.0.0.0:9443\", tls: {", kFiles, ", admins: [ops]}}\n")), "");
  EXPECT_THAT(Refusal("api: {listen: \"0.0.0.0:9443\"}\n"), HasSubstr("over TCP the API needs tls: {"));
  EXPECT_THAT(Refusal(absl::StrCat("api: {tls: {", kFiles, "}}\n")), HasSubstr("tls is for TCP; set listen"));
  EXPECT_THAT(Refusal("api: {listen: \"[::]:9443\", tls: {certificate_file: a, key_file: b}}\n"),
              HasSubstr("tls needs client_ca_file"));
  EXPECT_THAT(Refusal(absl::StrCat("api: {listen: \"[::]:9443\", tls: {", kFiles, ", admins: [\"\"]}}\n")),
              HasSubstr("an empty name"));
}

}  // namespace
}  // namespace sluice
