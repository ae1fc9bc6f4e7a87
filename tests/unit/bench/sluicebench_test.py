#!/usr/bin/python3
"""build/sluicebench as users run it, for a moment: packets come through, none is lost, and its JSON is whole.

usage: sluicebench_test.py PATH_TO_SLUICEBENCH
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = ""
SHORT = ("--seconds=0.05", "--repetitions=2")
# Of the generator's.
SHORT_SEARCH = ("--trial_seconds=0.01", "--resolution=0.1")
# Tenths of a second, but the machine may be busy.
PATIENCE = 60


def run(*options):
    return subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=PATIENCE, check=False)


def measured(*options, search=SHORT_SEARCH):
    ran = run("--json=-", *SHORT, *search, *options)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "SKIPPED: it measures with two CPUs")
class Measures(unittest.TestCase):
    def whole(self, result):
        for name in ("mpps", "ns_per_packet", "cycles_per_packet", "floor_mpps", "floor_ns_per_packet",
                     "floor_cycles_per_packet", "ratio_to_floor", "generator_mpps"):
            self.assertGreater(result[name], 0, name)
            self.assertLessEqual(result[name + "_min"], result[name], name)
            self.assertGreaterEqual(result[name + "_max"], result[name], name)
        for side in ("", "floor_"):
            latencies = [result[f"{side}latency_{name}_ns"] for name in ("p50", "p90", "p99", "p99_9", "p99_99", "max")]
            self.assertGreater(latencies[0], 0)
            self.assertEqual(latencies, sorted(latencies))
            # What came back late came back, and nothing from the future.
            self.assertLess(result[f"{side}latency_max_ns_max"], 10e9)
        self.assertGreater(result["offered_mpps"], 0)
        # On a busy machine each trial may have lost something.
        self.assertGreaterEqual(result["throughput_mpps"], 0)
        self.assertLessEqual(result["throughput_mpps_max"], result["generator_mpps_max"])
        self.assertGreater(result["sent"], 0)
        self.assertEqual((result["lost"], result["loss"], result["not_forwarded"]), (0, 0, 0))
        self.assertEqual(result["engine"], "dpdk")
        self.assertGreaterEqual(result["table_bytes"], 12 * result["room"])
        self.assertGreater(result["resident_bytes"], result["table_bytes"])
        self.assertGreater(result["batch"], 0)
        self.assertLessEqual(result["batch"], 64)
        self.assertNotEqual(result["cpu"], "")

    def test_every_way_of_forwarding(self):
        for protocol, family in itertools.product(("tcp", "udp"), (4, 6)):
            for forwarding in ("dsr_l2", "ipip", "gue", "nat", "full_nat"):
                with self.subTest(protocol=protocol, family=family, forwarding=forwarding):
                    result = measured(f"--protocol={protocol}", f"--family={family}", f"--forwarding={forwarding}",
                                      "--flows=3000")
                    self.whole(result)
                    self.assertEqual((result["protocol"], result["family"], result["forwarding"], result["flows"]),
                                     (protocol, family, forwarding, 3000))

    def test_sizes_popularity_and_new_flows(self):
        for flows in (1, 3000):
            result = measured("--packet_size=imix", "--popularity=zipf", "--new_flows=0.1", "--forwarding=ipip",
                              f"--flows={flows}")
            self.whole(result)
        self.assertEqual(result["packet_sizes"].split(",").count("594"), 4)
        self.assertEqual((result["popularity"], result["new_flows"]), ("zipf 1.1", 0.1))

    def test_the_offered_rate(self):
        # Low enough for any machine.
        result = measured("--rate=0.1", "--flows=1000")
        self.whole(result)
        self.assertLessEqual(result["offered_mpps_max"], 0.101)
        # The balancer is never as fast as the generator alone.
        result = measured("--rate=1%", "--flows=1000")
        self.whole(result)
        self.assertLessEqual(result["offered_mpps_max"], 0.01 * result["generator_mpps_max"])
        result = measured("--rate=0", "--flows=1000")
        self.assertNotIn("offered_mpps", result)
        self.assertNotIn("latency_p50_ns", result)

    def test_the_highest_rate_with_loss_that_is_accepted(self):
        # Even on a busy machine some trial of many does not lose half of its packets.
        result = measured("--accepted_loss=0.5", "--flows=1000", "--repetitions=5")
        self.whole(result)
        self.assertGreater(result["throughput_mpps_max"], 0)
        self.assertEqual((result["trial_seconds"], result["resolution"], result["accepted_loss"]), (0.01, 0.1, 0.5))
        result = measured("--trial_seconds=0", "--flows=1000")
        self.assertNotIn("throughput_mpps", result)

    def test_a_flood_beside_established_flows(self):
        # At the table's capacity, where here and there two buckets hold nothing but established ones.
        result = measured("--flows=3000", "--room=3000", "--full_table", "--syn_flood=0.25")
        self.whole(result)
        self.assertEqual((result["full_table"], result["syn_flood"]), ("yes", 0.25))
        self.assertGreater(result["flooded_mpps"], 0)
        self.assertAlmostEqual(result["flooded_established_mpps"], 0.75 * result["flooded_mpps"], places=6)
        self.assertGreater(result["flooded_ratio"], 0)
        self.assertGreater(result["new_in_place_of_new"], 0)
        self.assertEqual(result["new_in_place_of_established"], 0)
        self.assertGreaterEqual(result["new_without_a_place"], 0)

    def test_a_table_that_is_not_full_has_room(self):
        result = measured("--flows=1000", "--room=2000000", "--new_flows=0.01")
        self.whole(result)
        self.assertEqual((result["new_in_place_of_new"], result["new_in_place_of_established"]), (0, 0))
        self.assertNotIn("flooded_mpps", result)

    def test_new_sessions_have_room(self):
        self.whole(measured("--forwarding=full_nat", "--new_flows=0.01", "--flows=1000", "--room=2000000"))

    def test_what_is_not_forwarded_is_an_error(self):
        # Established sessions give way to none.
        ran = run(*SHORT, *SHORT_SEARCH, "--forwarding=nat", "--new_flows=1", "--flows=1000")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("sessions_full", ran.stderr)

    def test_files_of_results(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.json"
            ran = run(*SHORT, *SHORT_SEARCH, "--flows=1000", f"--json={path}")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertIn("balancer to floor", ran.stdout)
            self.whole(json.loads(path.read_text()))
            compared = run("--compare", path, path)
            self.assertEqual(compared.returncode, 0, compared.stderr)
            self.assertIn("100.0 %", compared.stdout)
            self.assertNotIn("differs", compared.stdout)

    def test_json_alone_is_the_standard_output(self):
        ran = run(*SHORT, *SHORT_SEARCH, "--engine=dpdk", "--flows=1000", "--json")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.whole(json.loads(ran.stdout))

    def test_a_device_that_plays_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.pcap"
            # More than the engine has packets of its own.
            written = run(f"--write_pcap={path}", "--flows=20000", "--family=6")
            self.assertEqual(written.returncode, 0, written.stderr)
            device = f"net_pcap0,rx_pcap={path},infinite_rx=1"
            result = measured(f"--device={device}", "--flows=20000", "--family=6", "--forwarding=gue",
                              search=())
            self.assertGreater(result["mpps"], 0)
            self.assertEqual((result["lost"], result["not_forwarded"], result["device"]), (0, 0, device))
            self.assertNotIn("ratio_to_floor", result)

    def test_a_queue_for_each_worker(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.pcap"
            self.assertEqual(run(f"--write_pcap={path}", "--flows=5000").returncode, 0)
            options = (f"--device=net_pcap0,rx_pcap={path},rx_pcap={path},infinite_rx=1", "--flows=5000")
            result = measured(*options, "--workers=2", search=())
            self.assertEqual((result["workers"], result["lost"], result["not_forwarded"]), (2, 0, 0))
            # Each has the flows for itself.
            self.assertGreaterEqual(result["table_bytes"], 2 * 12 * 5000)
            self.assertGreater(result["mpps"], 0)
            self.assertIn("2 workers", run(*options, "--workers=2", *SHORT).stdout)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "SKIPPED: it measures with two CPUs")
class Generates(unittest.TestCase):
    @contextlib.contextmanager
    def generator(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "memif"
            cpu = min(os.sched_getaffinity(0))
            with subprocess.Popen(["taskset", "-c", str(cpu), PROGRAM, f"--generate={path}", *options], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                try:
                    deadline = time.monotonic() + PATIENCE
                    while not path.exists():
                        self.assertIsNone(process.poll())
                        self.assertLess(time.monotonic(), deadline)
                        time.sleep(0.01)
                    yield process, path
                finally:
                    process.kill()

    def test_for_a_balancer_in_another_process(self):
        for options in (("--forwarding=dsr_l2",), ("--forwarding=full_nat",),
                        ("--forwarding=nat", "--family=6", "--protocol=udp"), ("--forwarding=ipip", "--family=6")):
            for zero_copy in ("yes", "no"):
                with self.subTest(options=options, zero_copy=zero_copy):
                    with self.generator("--flows=3000", *options) as (process, path):
                        device = (f"net_memif0,role=client,id=0,socket={path},socket-abstract=no,"
                                  f"zero-copy={zero_copy},rsize=10")
                        # On a busy machine one of several runs has a CPU.
                        result = measured(f"--device={device}", "--flows=3000", "--seconds=0.1", "--repetitions=5",
                                          *options, search=())
                        said, errors = process.communicate(timeout=PATIENCE)
                    self.assertGreater(result["mpps_max"], 0)
                    self.assertEqual((result["lost"], result["not_forwarded"]), (0, 0))
                    self.assertEqual(process.returncode, 0, errors)
                    sent = re.fullmatch(r"flows are open\n(\d+) packets sent; (\d+) of 1023 were on their way; "
                                        r"([\d.]+) Mpps while undisturbed\n", said)
                    self.assertGreaterEqual(int(sent[1]), result["sent"])
                    self.assertLessEqual(int(sent[2]), 1023)
                    self.assertGreater(float(sent[3]), 0)

    def test_clients_that_make_no_sense(self):
        for says, words in ((b"x", "is another one"), (bytes(128), "has gone"),
                            (struct.pack("<HH", 3, 7).ljust(128, b"\0"), "another version"),
                            (struct.pack("<HHQ", 4, 1, 4096).ljust(128, b"\0"), "miscounts its regions"),
                            (struct.pack("<HHHHIBH", 5, 1, 0, 0, 0, 4, 0).ljust(128, b"\0"), "odd rings"),
                            (struct.pack("<H", 6).ljust(128, b"\0"), "no ring for each way")):
            with self.subTest(words=words), self.generator() as (process, path):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                    client.connect(str(path))
                    self.assertEqual(struct.unpack_from("<H", client.recv(128)), (2,))
                    client.send(says)
                    said, errors = process.communicate(timeout=PATIENCE)
                self.assertEqual((process.returncode, said), (1, ""))
                self.assertIn(words, errors)
                self.assertFalse(path.exists())


@unittest.skipIf(os.geteuid() != 0, "SKIPPED: it loads BPF programs, which needs root")
class MeasuresTheKernel(unittest.TestCase):
    def whole(self, result):
        for name in ("mpps", "ns_per_packet", "cycles_per_packet", "floor_mpps", "floor_ns_per_packet",
                     "floor_cycles_per_packet", "ratio_to_floor"):
            self.assertGreater(result[name], 0, name)
            self.assertLessEqual(result[name + "_min"], result[name], name)
            self.assertGreaterEqual(result[name + "_max"], result[name], name)
        self.assertEqual((result["engine"], result["device"], result["loss"], result["packet_sizes"]),
                         ("xdp", "BPF_PROG_TEST_RUN", 0, "82"))
        self.assertGreater(result["sent"], 0)
        self.assertGreaterEqual(result["table_bytes"], 12 * result["room"])

    def test_every_way_of_forwarding(self):
        for protocol, family in itertools.product(("tcp", "udp"), (4, 6)):
            for forwarding in ("dsr_l2", "ipip", "gue", "nat", "full_nat"):
                with self.subTest(protocol=protocol, family=family, forwarding=forwarding):
                    result = measured("--engine=xdp", f"--protocol={protocol}", f"--family={family}",
                                      f"--forwarding={forwarding}", "--flows=3000", search=())
                    self.whole(result)
                    self.assertEqual((result["protocol"], result["family"], result["forwarding"], result["flows"]),
                                     (protocol, family, forwarding, 3000))

    def test_new_flows(self):
        for share in (0.5, 1):
            self.whole(measured("--engine=xdp", f"--new_flows={share}", "--flows=1000", search=()))

    def test_new_sessions_want_room(self):
        options = ("--engine=xdp", "--forwarding=nat", "--new_flows=1", "--flows=1000")
        ran = run(*SHORT, *options)
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("new sessions need --room", ran.stderr)
        self.whole(measured(*options, "--room=4000000", search=()))

    def test_for_people(self):
        ran = run("--engine=xdp", "--flows=1000", *SHORT)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("xdp engine over BPF_PROG_TEST_RUN", ran.stdout)
        self.assertNotIn("generator alone", ran.stdout)


class Refuses(unittest.TestCase):
    def test_options_that_make_no_sense(self):
        for option, words in {
                "--flows=0": "1 to 100000000", "--flows=100000001": "1 to 100000000", "--family=5": "4 or 6",
                "--protocol=sctp": "tcp or udp", "--engine=sim": "dpdk or xdp",
                "--forwarding=dsr": "full_nat", "--packet_size=63": "64", "--packet_size=1519": "1518",
                "--new_flows=1.5": "0 to 1", "--popularity=even": "zipf", "--zipf_exponent=2": "--popularity=zipf",
                "--write_pcap=/nonexistent/a": "written", "--huge_pages=no": "required",
                "--device=net_nonsense0": "no driver",
                "--workers=0": "1 to 64", "--workers=65": "1 to 64", "--workers=2": "--device",
                "--repetitions=0": "1 to 1000", "--seconds=0": "0.01", "--room=10": "--flows",
                "--rate=1001": "Mpps", "--rate=-1": "Mpps", "--rate=201%": "200%",
                "--rate=%": "Mpps",
                "--trial_seconds=0.001": "0.01", "--resolution=0": "0.0001", "--accepted_loss=0.6": "0 to 0.5",
                "--syn_flood=1.5": "0 to 1",
                "--json=/nonexistent/a": "written", "surplus": "--help", "--compare": "two files"}.items():
            with self.subTest(option=option):
                ran = run(option)
                self.assertEqual((ran.returncode, ran.stdout), (1, ""))
                self.assertIn(words, ran.stderr)

    def test_the_generators_options_without_it(self):
        for option in ("--new_flows=0.5", "--full_table", "--syn_flood=1", "--popularity=zipf", "--zipf_exponent=2",
                       "--packet_size=imix", "--rate=1", "--trial_seconds=1", "--resolution=0.1",
                       "--accepted_loss=0.1"):
            with self.subTest(option=option):
                ran = run("--device=net_null0", option)
                self.assertEqual((ran.returncode, ran.stdout), (1, ""))
                self.assertIn("is for the generator", ran.stderr)

    def test_options_of_the_other_engine(self):
        for option in ("--device=net_null0", "--packet_size=imix", "--rate=1", "--syn_flood=1", "--huge_pages=off",
                       "--popularity=zipf", "--trial_seconds=1"):
            with self.subTest(option=option):
                ran = run("--engine=xdp", option)
                self.assertEqual((ran.returncode, ran.stdout), (1, ""))
                self.assertIn("is for --engine=dpdk", ran.stderr)

    def test_options_that_do_not_go_together(self):
        for options, words in ((("--syn_flood=0.5", "--new_flows=0.5"), "established flows alone"),
                               (("--full_table", "--forwarding=nat"), "give way to none")):
            ran = run(*options)
            self.assertEqual((ran.returncode, ran.stdout), (1, ""))
            self.assertIn(words, ran.stderr)

    def test_generators_options(self):
        with tempfile.TemporaryDirectory() as folder:
            for option in ("--device=net_null0", "--packet_size=imix", "--json=-", "--rate=1"):
                ran = run(f"--generate={folder}/memif", option)
                self.assertEqual((ran.returncode, ran.stdout), (1, ""))
                self.assertIn("is not for --generate", ran.stderr)
            for name, words in ((folder, "in use"), ("/nonexistent/memif", "No such file"), ("a" * 108, "107 bytes")):
                ran = run(f"--generate={name}")
                self.assertEqual((ran.returncode, ran.stdout), (1, ""))
                self.assertIn(words, ran.stderr)

    def test_one_cpu(self):
        cpu = min(os.sched_getaffinity(0))
        ran = subprocess.run(["taskset", "-c", str(cpu), PROGRAM, *SHORT], capture_output=True, text=True,
                             timeout=PATIENCE, check=False)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("two CPUs", ran.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
