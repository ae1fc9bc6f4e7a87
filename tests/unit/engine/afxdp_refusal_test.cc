// What the AF_XDP port refuses, and with which words; and the packet memory by itself.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <sys/wait.h>

#include "engine/dpdk/afxdp_port.h"
#include "gmock/gmock.h"
#include "unit/engine/afxdp_testbed.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class AfxdpRefusalTest : public AfxdpTestbed {};

TEST_F(AfxdpRefusalTest, LeavesAForeignProgramAlone) {
  AddPair(0);
  const bpf_insn pass_all[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody_else", "GPL", pass_all, 2, nullptr);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(bpf_xdp_attach(static_cast<int>(if_nametoindex("lb0")), fd, XDP_FLAGS_DRV_MODE, nullptr), 0);
  close(fd);
  const uint32_t id = AttachedProgram("lb0");
  const auto port = AfxdpPort::Open({.interface = "lb0"});
  EXPECT_EQ(port.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(WordsOf(port.status()), AllOf(HasSubstr("lb0"), HasSubstr("somebody_else"), HasSubstr(std::to_string(id)),
                                            HasSubstr("ip link set dev lb0 xdp off")));
  EXPECT_EQ(AttachedProgram("lb0"), id);
}

TEST_F(AfxdpRefusalTest, OneInstanceToAnInterface) {
  AddPair(0);
  auto pool = MakePool();
  auto port = MakePort("lb0", pool.get());
  const auto second = AfxdpPort::Open({.interface = "lb0"});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(WordsOf(second.status()), HasSubstr("lb0 is in use by another sluiced (pid " + std::to_string(getpid())));
  port.reset();
  EXPECT_TRUE(AfxdpPort::Open({.interface = "lb0"}).ok());
}

TEST_F(AfxdpRefusalTest, SaysWhatIsWrongWithTheInterface) {
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "eth77"}).status()), HasSubstr("eth77: no such interface"));
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "a name far too long"}).status()), HasSubstr("1 to 15"));
  AddPair(0, 1);
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "lb0", .workers = 2}).status()),
              AllOf(HasSubstr("lb0 has 1 RX queues"), HasSubstr("2 workers"), HasSubstr("ethtool -L lb0 rx 2")));
  Shell("ip link set lb0 mtu 3819 && ip link set peer0 mtu 3819");
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "lb0"}).status()),
              AllOf(HasSubstr("MTU is 3819"), HasSubstr("3818 at most")));
  EXPECT_EQ(AttachedProgram("lb0"), 0u);
}

TEST_F(AfxdpRefusalTest, SaysWhenThePermissionIsMissing) {
  AddPair(0);
  const pid_t child = fork();
  if (child == 0) {
    if (setresuid(65534, 65534, 65534) != 0) _exit(2);
    const absl::Status status = AfxdpPort::Open({.interface = "lb0"}).status();
    std::fprintf(stderr, "unprivileged: %s\n", WordsOf(status).c_str());
    _exit(absl::IsPermissionDenied(status) && WordsOf(status).find("run as root") != std::string::npos ? 0 : 1);
  }
  int result = 0;
  waitpid(child, &result, 0);
  EXPECT_EQ(result, 0);
}

TEST_F(AfxdpRefusalTest, RingsAndPoolsThatCannotBe) {
  AddPair(0);
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "lb0", .workers = 0}).status()), HasSubstr("no worker"));
  EXPECT_THAT(WordsOf(AfxdpPort::Open({.interface = "lb0", .ring_size = 100}).status()), HasSubstr("power of two"));
  EXPECT_THAT(WordsOf(UmemPool::Create({.name = "odd", .chunks = 64, .chunk_size = 3000}).status()),
              HasSubstr("2048 or 4096"));
  EXPECT_THAT(WordsOf(UmemPool::Create({.name = "none", .chunks = 0}).status()), HasSubstr("no chunks"));

  auto pool = MakePool(/*chunks=*/100);
  auto port = AfxdpPort::Open({.interface = "lb0", .ring_size = 128});
  ASSERT_TRUE(port.ok()) << port.status();
  UmemPool* pools[] = {pool.get()};
  EXPECT_EQ((*port)->Start(pools).code(), absl::StatusCode::kResourceExhausted);
  ExpectAllBack(*pool);
}

TEST_F(AfxdpRefusalTest, PoolKnowsEachMbufByItsAddress) {
  auto pool = MakePool(/*chunks=*/64);
  for (uint32_t chunk = 0; chunk < pool->chunks(); ++chunk) {
    const uint64_t address = uint64_t{chunk} * pool->chunk_size();
    rte_mbuf* mbuf = pool->MbufAt(address + 300);
    ASSERT_NE(mbuf, nullptr);
    EXPECT_EQ(pool->AddressOf(mbuf), address);
    EXPECT_EQ(pool->OffsetInChunk(address + 300), 300);
  }
  // 255 users, and one that has left makes room for another.
  for (int user = 1; user < 256; ++user) ASSERT_EQ(pool->AddUser().value(), user);
  EXPECT_EQ(pool->AddUser().status().code(), absl::StatusCode::kResourceExhausted);
  pool->RemoveUser(7);
  EXPECT_EQ(pool->AddUser().value(), 7);
}

}  // namespace
}  // namespace sluice
