// The verbs, as far as they go without a sluiced.
#include "tools/sluicectl/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
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
}

TEST_F(ClientTest, AFlagThatSaysNothingToTheVerbIsRefused) {
  const auto refused = [this](const std::vector<std::string>& given, const std::vector<std::string>& words) {
    options_.given = given;
    EXPECT_EQ(Run(words), Exit::kUsage);
    return err_.str();
  };
  EXPECT_EQ(refused({"watch"}, {"rollback"}), "sluicectl: --watch is not for rollback; see sluicectl --help\n");
  EXPECT_THAT(refused({"o", "wait"}, {"backend", "drain", "web/a"}), HasSubstr("--wait is not for backend drain"));
  EXPECT_THAT(refused({"weight"}, {"backend", "weight", "web/a", "3"}), HasSubstr("--weight is not for backend"));
  EXPECT_THAT(refused({"drain_timeout"}, {"backend", "remove", "web/a"}),
              HasSubstr("--drain_timeout says nothing without --wait"));
  EXPECT_THAT(refused({"interval"}, {"status"}), HasSubstr("--interval says nothing without --watch"));
  EXPECT_THAT(refused({"stats", "rate"}, {"list"}), HasSubstr("either --stats or --rate"));
  options_.format = Format::kCsv;
  EXPECT_THAT(refused({"o"}, {"export"}), HasSubstr("-o csv is not for export"));
  options_.given = {"api", "o", "timeout", "wait", "drain_timeout", "dry_run", "revision"};
  EXPECT_EQ(Run({"backend", "remove", "web/a"}), Exit::kUnreachable);
}

TEST_F(ClientTest, AnAnswerThatCannotBeWrittenIsNoSuccess) {
  std::ofstream full("/dev/full");
  EXPECT_EQ(Client(options_, full, err_).Run({"completion"}), Exit::kUnreachable);
  EXPECT_THAT(err_.str(), HasSubstr("sluicectl: the answer cannot be written"));
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

const Flags kFlags = {{"api", false, "unix:/run/sluice/api.sock", "where sluiced serves its API"},
                      {"dry_run", true, "", "verbs that change something: only say what would change"},
                      {"o", false, "table", "form of the answer"},
                      {"stats", true, "", "list: traffic"},
                      {"weight", false, "1", "backend add: its share"}};

TEST_F(ClientTest, TheHelpHasEveryVerbAndFitsAScreen) {
  const std::string help = UsageText(kFlags);
  for (const char* words : {"status",
                            "list [POOL|ADDRESS:PORT]",
                            "health [POOL]",
                            "watch",
                            "flows list [POOL[/NAME]]",
                            "flows get SRC DST",
                            "flows kill [POOL[/NAME]|SRC] [DST]",
                            "explain SRC DST",
                            "check FILE",
                            "diff FILE",
                            "apply FILE",
                            "rollback",
                            "export",
                            "backend add POOL/NAME ADDRESS",
                            "backend remove POOL/NAME",
                            "backend drain POOL/NAME",
                            "backend ready POOL/NAME",
                            "backend disable POOL/NAME",
                            "backend weight POOL/NAME WEIGHT",
                            "completion",
                            "--api=unix:/run/sluice/api.sock",
                            "--dry_run ",
                            "-o table "}) {
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + words));
  }
  EXPECT_THAT(help, HasSubstr("Examples:\n"));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

TEST_F(ClientTest, FlowsAreWrittenAsTheyAreSent) {
  const auto refused = [this](const std::vector<std::string>& words) {
    EXPECT_EQ(Run(words), Exit::kUsage);
    return err_.str();
  };
  EXPECT_THAT(refused({"explain", "192.0.2.7", "203.0.113.10:80"}), HasSubstr("is not an address and a port"));
  EXPECT_THAT(refused({"flows", "get", "192.0.2.7:1", "web:80"}), HasSubstr("is not an address and a port"));
  EXPECT_THAT(refused({"flows", "kill", "192.0.2.7:1", "web:80"}), HasSubstr("is not an address and a port"));
  EXPECT_THAT(refused({"flows", "kill"}), HasSubstr("flows kill takes POOL, POOL/NAME, SRC DST, or --source=PREFIX"));
  options_.protocol = "sctp";
  EXPECT_THAT(refused({"explain", "192.0.2.7:1", "203.0.113.10:80"}), HasSubstr("use tcp, udp or icmp"));
  options_.protocol = "icmp";
  EXPECT_EQ(Run({"explain", "192.0.2.7", "203.0.113.10"}), Exit::kUnreachable);
}

class CompletionTest : public ClientTest {
 protected:
  CompletionTest() {
    std::ofstream(script_) << CompletionText(kFlags);
    // Stands for sluicectl, as it is asked for names.
    std::ofstream(folder_.path() + "/sluicectl") << "#!/bin/bash\n[[ $1 == health ]] || exit 1\n"
                                                    "printf 'pool,backend,x\\nweb,web1,\\nweb,web2,\\ndns,ns1,\\n'\n";
    EXPECT_EQ(std::system(("chmod +x " + folder_.path() + "/sluicectl").c_str()), 0);
  }
  // What bash offers at the end of the line, one after the other.
  std::string Complete(const std::string& line) {
    const std::string answer = folder_.path() + "/answer";
    const std::string command = "source " + script_ + "; COMP_LINE='" + folder_.path() + "/sluicectl " + line +
                                "'; COMP_POINT=${#COMP_LINE}; COMP_WORDBREAKS=; _sluicectl; echo \"${COMPREPLY[*]}\"";
    std::ofstream(folder_.path() + "/ask") << command << " >" << answer << "\n";
    EXPECT_EQ(std::system(("bash " + folder_.path() + "/ask").c_str()), 0);
    std::ostringstream text;
    text << std::ifstream(answer).rdbuf();
    std::string words = text.str();
    words.erase(words.find_last_not_of('\n') + 1);
    return words;
  }
  std::string script_ = folder_.path() + "/completion";
};

TEST_F(CompletionTest, OffersVerbsFlagsAndNames) {
  EXPECT_EQ(Complete("st"), "status");
  EXPECT_EQ(Complete("backend "), "add remove drain ready disable weight");
  EXPECT_EQ(Complete("flows g"), "get");
  EXPECT_EQ(Complete("flows kill web/"), "web/web1 web/web2");
  EXPECT_EQ(Complete("backend dr"), "drain");
  EXPECT_EQ(Complete("backend add --w"), "--weight=");
  EXPECT_EQ(Complete("list --s"), "--stats");
  EXPECT_EQ(Complete("status --s"), "");
  EXPECT_EQ(Complete("-o j"), "json");
  EXPECT_EQ(Complete("-o json list w"), "web");
  EXPECT_EQ(Complete("health "), "dns web");
  EXPECT_EQ(Complete("backend drain web/"), "web/web1 web/web2");
  EXPECT_EQ(Complete("backend drain web/web1 "), "");
  EXPECT_EQ(Complete("check " + script_.substr(0, script_.size() - 3)), script_);
}

}  // namespace
}  // namespace sluice
