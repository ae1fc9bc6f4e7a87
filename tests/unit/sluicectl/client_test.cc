// The verbs, as far as they go without a sluiced.
#include "tools/sluicectl/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class ClientTest : public testing::Test {
 protected:
  Exit Run(const std::vector<std::string>& words) {
    out_.str("");
    err_.str("");
    Client client(options_, out_, err_);
    return client.Run(words);
  }

  TemporaryFolder folder_;
  Client::Options options_{.api = "unix:" + folder_.path() + "/none.sock", .timeout = absl::Seconds(20)};
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ClientTest, WhatIsNotUnderstoodSaysWhatWouldBe) {
  const auto refused = [this](const std::vector<std::string>& words) {
    EXPECT_EQ(Run(words), Exit::kUsage);
    EXPECT_EQ(out_.str(), "");
    return err_.str();
  };
  EXPECT_EQ(refused({}), "sluicectl: a verb is missing; see sluicectl --help\n");
  EXPECT_EQ(refused({"lst"}), "sluicectl: \"lst\" is no verb; see sluicectl --help\n");
  EXPECT_EQ(refused({"backend", "stop"}), "sluicectl: \"backend stop\" is no verb; see sluicectl --help\n");
  EXPECT_EQ(refused({"status", "web"}), "sluicectl: status takes no argument; see sluicectl --help\n");
  EXPECT_EQ(refused({"backend", "add", "web/a"}),
            "sluicectl: backend add takes POOL/NAME ADDRESS; see sluicectl --help\n");
  for (const char* name : {"web", "/a", "web/"}) {
    EXPECT_THAT(refused({"backend", "drain", name}), HasSubstr("is not POOL/NAME"));
  }
  EXPECT_THAT(refused({"backend", "weight", "web/a", "much"}), HasSubstr("\"much\" is no weight"));
  options_.watch = absl::Seconds(1);
  EXPECT_THAT(refused({"rollback"}), HasSubstr("--watch is not for rollback"));
}

TEST_F(ClientTest, ADaemonThatIsNotThereIsTold) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"status"},
                                                {"list"},
                                                {"health"},
                                                {"export"},
                                                {"rollback"},
                                                {"backend", "ready", "a/b"}}) {
    EXPECT_EQ(Run(words), Exit::kUnreachable);
    EXPECT_THAT(err_.str(), HasSubstr("sluicectl: no sluiced answers at unix:"));
  }
}

TEST_F(ClientTest, FilesAreCheckedHere) {
  const std::string file = folder_.path() + "/sluice.yaml";
  std::ofstream(file) << "engine: {interfaces: [{name: eth0}]}\npools: [{name: web, wait: 1}]\n";
  EXPECT_EQ(Run({"check", file}), Exit::kRefused);
  EXPECT_THAT(err_.str(), HasSubstr("sluice.yaml:2:21: unknown key \"wait\""));
  // Before anybody is asked.
  EXPECT_EQ(Run({"apply", file}), Exit::kRefused);
  EXPECT_EQ(Run({"diff", folder_.path() + "/none.yaml"}), Exit::kRefused);
  std::ofstream(file) << "engine: {interfaces: [{name: eth0}]}\npools: [{name: web}]\n";
  EXPECT_EQ(Run({"check", file}), Exit::kDone);
  EXPECT_EQ(out_.str(), file + ": valid, 0 listeners, 1 pools\n");
  EXPECT_THAT(err_.str(), HasSubstr("warning: "));
}

TEST_F(ClientTest, TheHelpHasEveryVerbAndFitsAScreen) {
  const std::string help = UsageText();
  for (const char* words :
       {"status", "list [POOL]", "health [POOL]", "check FILE", "diff FILE", "apply FILE", "rollback", "export",
        "backend add POOL/NAME ADDRESS", "backend remove POOL/NAME", "backend drain POOL/NAME",
        "backend ready POOL/NAME", "backend disable POOL/NAME", "backend weight POOL/NAME WEIGHT"}) {
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + words + " "));
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

}  // namespace
}  // namespace sluice
