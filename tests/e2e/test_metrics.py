"""Metrics and health of a running balancer over HTTP, scraped by a real Prometheus.

   client ---- LAN ----+---- balancer (admin: 127.0.0.1:9910; Prometheus beside it)
                       '---- web1 web2
"""

import json
import urllib.parse

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site

ADMIN = "127.0.0.1:9910"
PROMETHEUS = """
global: {scrape_interval: 1s}
scrape_configs: [{job_name: sluice, static_configs: [{targets: ["127.0.0.1:9910"]}]}]
"""


@pytest.fixture
def site(lab, engine):
    made = Site(lab, engine=engine)
    made.client = made.add_client()
    made.add_backends(2)
    return made


@pytest.fixture
def balancer(site):
    return site.balancer({**site.configuration(4), "admin": {"listen": ADMIN}}).start()


def get(site, path, code=200):
    """The body of http://ADMIN/path, asked from the balancer's own node."""
    ran = site.node.run("curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", f"http://{ADMIN}{path}")
    body, _, got = ran.stdout.rpartition("\n")
    assert int(got) == code, ran.stdout
    return body


def value(text, series):
    return float(next(line for line in text.splitlines() if line.startswith(series + " ")).split()[-1])


def test_promtool_finds_nothing_to_complain_about(site, balancer):
    clients.http_requests(site.client, VIRTUAL[4], 20)
    checked = site.node.run("promtool", "check", "metrics", stdin=get(site, "/metrics"), check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), checked


def test_metrics_follow_traffic_and_changes(site, balancer):
    before = get(site, "/metrics")
    answer = clients.http_requests(site.client, VIRTUAL[4], 300)
    after = get(site, "/metrics")

    def grown(series):
        return value(after, series) - value(before, series)
    assert grown('sluice_packets_total{kind="transmit",verdict="forwarded"}') > 300
    assert grown('sluice_listener_new_flows_total{listener="web",pool="web"}') >= 300
    for name, requests in answer["spread"].items():
        assert grown(f'sluice_backend_new_flows_total{{pool="web",backend="{name}"}}') >= requests
    balancer.ctl("backend", "drain", "web/web1")
    drained = get(site, "/metrics")
    assert value(drained, 'sluice_backend_takes_flows{pool="web",backend="web1"}') == 0
    assert value(drained, 'sluice_pool_backends{pool="web",condition="drain"}') == 1
    assert value(drained, "sluice_generation") == value(after, "sluice_generation") + 1
    # It has the numbers of sluicectl.
    status = json.loads(balancer.ctl("status", "-o", "json").stdout)
    assert value(drained, "sluice_revision") == int(status["revision"])


def test_health_and_what_is_not_there(site, balancer):
    assert get(site, "/healthz") == "ok\n"
    assert get(site, "/readyz") == "ready\n"
    assert "/metrics" in get(site, "/nothing", 404)
    balancer.configuration["admin"]["listen"] = "127.0.0.1:9911"
    assert "admin.listen cannot change while sluiced runs" in balancer.reload()


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_a_real_prometheus_scrapes_it(site, balancer):
    folder = balancer.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(PROMETHEUS)
    site.node.start("prometheus", "prometheus", f"--config.file={folder}/prometheus.yml", "--log.level=warn",
                    f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:9090")
    clients.http_requests(site.client, VIRTUAL[4], 100)

    def ask(query):
        url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": query})
        ran = site.node.run("curl", "-sSf", "--max-time", "5", url, check=False)
        result = json.loads(ran.stdout)["data"]["result"] if ran.returncode == 0 else []
        return float(result[0]["value"][1]) if result else None
    wait_until(lambda: ask('up{job="sluice"}') == 1, "Prometheus to scrape", timeout=60)
    wait_until(lambda: (ask('sum by (pool) (sluice_backend_new_flows_total{pool="web"})') or 0) >= 100,
               "the flows in Prometheus", timeout=30)
    assert ask("sluice_build_info") == 1
