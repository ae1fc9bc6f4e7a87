"""More changes over the API than can be made one by one, by clients good and bad, under load.

   client ---- LAN ----+---- balancer
                       '---- web1 web2 web3 web4
"""

import contextlib
import random
import time

import grpc
import pytest
from lab import clients
from lab.api_client import ApiClient
from lab.site import VIRTUAL

CHANGES = 10_000
LONG_NAME = "x" * 1_000_000


def memory(balancer):
    """Resident, in MiB."""
    with open(f"/proc/{balancer.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def flood(apis, chance):
    """The weight of web1, as often and as fast as it can be sent; one call in ten is given up at once."""
    calls = []
    for number in range(CHANGES):
        weight = 1 + number % 1_000
        call = chance.choice(apis).start("UpdateBackend", timeout=120, pool="web", backend="web1", weight=weight)
        calls.append((weight, call))
        if number % 10 == 0:
            call.cancel()
    return calls


def code_of(call):
    return grpc.StatusCode.CANCELLED if call.cancelled() else call.code()


def test_ten_thousand_changes_at_once(site, balancer):
    """Over twelve connections, so more than may be under way: each is made or refused, and nothing else suffers."""
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    apis = [ApiClient(balancer.api) for _ in range(12)]
    first = apis[0].call("Get")
    before, begin = memory(balancer), time.monotonic()
    calls = flood(apis, random.Random(1))
    counts, made = {}, [(int(first["revision"]), int(first["generation"]), 0)]
    for weight, call in calls:
        code = code_of(call)
        counts[code.name] = counts.get(code.name, 0) + 1
        if code == grpc.StatusCode.OK:
            made.append((call.result().revision, call.result().generation, weight))
        elif code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            assert "wait for answers, then send it again" in call.details(), call.details()
    seconds = time.monotonic() - begin
    after, grown = apis[0].call("Get"), memory(balancer) - before
    published = int(after["generation"]) - int(first["generation"])
    print(f"\n{counts} within {seconds:.1f} s: {counts['OK'] / seconds:.0f} changes a second made,"
          f" {published} generations, {grown:.0f} MiB more")
    assert set(counts) <= {"OK", "RESOURCE_EXHAUSTED", "CANCELLED"} and counts["OK"] > CHANGES / 10, counts
    # Made together: one generation has several, and a later change has no earlier one.
    assert published < counts["OK"] / 2
    made.sort()
    assert [generation for _, generation, _ in made] == sorted(generation for _, generation, _ in made)
    revision, _, weight = made[-1]
    # One that was given up may have been made after it.
    assert revision <= int(after["revision"]) <= int(first["revision"]) + counts["OK"] + counts["CANCELLED"]
    if revision == int(after["revision"]):
        assert after["config"]["pools"][0]["backends"][0]["weight"] == weight
    assert grown < 100, grown
    assert len(balancer.process.output().splitlines()) < 5_000
    answer = load.stop()
    assert answer["requests"] > 100 and answer["failed"] == 0, answer
    for api in apis:
        api.close()
    balancer.kill()
    balancer.start()
    assert int(ApiClient(balancer.api).call("Get")["revision"]) == int(after["revision"])


def test_bad_clients_among_many_changes(site, balancer):
    """While one changes a weight again and again, others send names of 1 MB, or hang up with changes under way."""
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    good = ApiClient(balancer.api)
    weights = [2 + number for number in range(500)]
    before = memory(balancer)
    calls = []
    for number, weight in enumerate(weights):
        calls.append(good.start("UpdateBackend", timeout=120, pool="web", backend="web1", weight=weight))
        if number % 25:
            continue
        bad = ApiClient(balancer.api)
        for fields in ({"pool": LONG_NAME, "backend": "web1"}, {"pool": "web", "backend": LONG_NAME}):
            with pytest.raises(grpc.RpcError) as error:
                bad.call("RemoveBackend", **fields)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "use at most 63 in a name" in error.value.details() and len(error.value.details()) < 1_000
        left = [bad.start("UpdateBackend", timeout=120, pool="web", backend="web2", weight=7) for _ in range(20)]
        bad.close()
        for call in left:
            # Closed before they were answered, or just after.
            with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
                call.result()
    assert [code_of(call) for call in calls] == [grpc.StatusCode.OK] * len(calls)
    newest = max((call.result().revision, weight) for call, weight in zip(calls, weights))
    backends = {one["name"]: one["weight"] for one in good.call("Get")["config"]["pools"][0]["backends"]}
    assert backends["web1"] == newest[1] and backends["web2"] in (1, 7), backends
    assert memory(balancer) - before < 100
    answer = load.stop()
    assert answer["requests"] > 100 and answer["failed"] == 0, answer
