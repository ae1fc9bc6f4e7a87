"""Real servers on the backends of a lab: nginx, dnsmasq, iperf3, and a small one of our own for what they lack.

Each function starts one server on a node and returns when it answers; the Lab ends it.
"""

import pathlib

from lab.network import run
from lab.process import wait_until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"

WEB_PORT = 80
UPLOAD_PORT = 8081
ECHO_PORT = 8082
MANY_PORT = 8083
HEALTH_PORT = 8084
SLOW_PORT = 8085
AGENT_PORT = 8086
DNS_NAME = "who.example"

# Every answer to / is the server's name. Connections may idle for long: tests hold them open.
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 80 backlog=4096 reuseport; listen [::]:80 backlog=4096 reuseport ipv6only=on;
    location / {{ return 200 "{name}\\n"; }}
    location /files/ {{ alias {files}/; sendfile on; }}
  }}
}}
"""


def _listens(node, port, protocol="-t"):
    """Whether something on the node listens on the port."""
    return bool(node.run("ss", "-Hln", protocol, f"sport = :{port}").stdout.strip())


def _start(node, name, port, command, protocol="-t"):
    process = node.start(name, *command)

    def ready():
        return process.exit_code() is not None or _listens(node, port, protocol)
    wait_until(ready, lambda: f"{node.name}: {name} to listen on port {port}:\n{process.tail()}")
    if process.exit_code() is not None:
        process.wait_for_output(f"listens on port {port}")  # it ended: raises with its output
    return process


def web(node, files=None):
    """nginx on port 80 of all addresses: / answers the node's name, /files/ has what the folder `files` has."""
    folder = node.lab.folder / f"{node.name}-nginx"
    folder.mkdir(exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, files=files or folder, name=node.name))
    # nginx would drop to another user, who can't read a folder of ours.
    command = ("nginx", "-p", folder, "-e", "stderr", "-c", configuration, "-g", "user root;")
    return _start(node, "nginx", WEB_PORT, command)


def upload(node):
    """HTTP on UPLOAD_PORT of all addresses that answers a PUT with the name and the SHA-256 of what came."""
    return _start(node, "upload", UPLOAD_PORT, (PYTHON, "-B", HERE / "upload_server.py", UPLOAD_PORT, node.name))


def udp_echo(node, *addresses):
    """Sends each UDP datagram to ECHO_PORT of these addresses back, with the node's name in front."""
    command = (PYTHON, "-B", HERE / "echo_server.py", ECHO_PORT, node.name, *addresses)
    return _start(node, "echo", ECHO_PORT, command, "-u")


def many(node):
    """TCP on MANY_PORT of all addresses that holds any number of connections and sends back what comes."""
    return _start(node, "many", MANY_PORT, (PYTHON, "-B", HERE / "tcp_many.py", "serve", MANY_PORT))


def slow(node, delay):
    """HTTP on SLOW_PORT of all addresses that answers the node's name after `delay` seconds."""
    return _start(node, "slow", SLOW_PORT, (PYTHON, "-B", HERE / "slow_server.py", SLOW_PORT, node.name, delay))


def stale_connections(node, own, peer, first, last, port=WEB_PORT):
    """The node has a connection of `own` with each of these ports of `peer`, who knows of none."""
    process = node.start("stale", PYTHON, "-B", HERE / "stale_connections.py", own, port, peer, first, last)
    process.wait_for_output("connections")


def dns(node, *addresses):
    """dnsmasq on port 53 of these addresses, UDP and TCP: the TXT record of who.example is the node's name."""
    command = ["dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
               "--bind-interfaces", f"--pid-file={node.lab.folder}/{node.name}-dnsmasq.pid", "--log-facility=-",
               f"--txt-record={DNS_NAME},{node.name}", "--host-record=host.example,192.0.2.1", "--cache-size=0"]
    return _start(node, "dnsmasq", 53, command + [f"--listen-address={address}" for address in addresses], "-u")


def iperf(node, address):
    """iperf3 on port 5201 of one address: over UDP it would answer from another one, were it bound to all."""
    return _start(node, "iperf3", 5201, ("iperf3", "-s", "--forceflush", "-B", address))


class Health:
    """What health checks ask on HEALTH_PORT of all addresses of a node, apart from what its clients ask."""

    def __init__(self, node, protocol="tcp", certificate=None):
        """`protocol`: tcp (HTTP), udp or grpc. `certificate`: (PEM, key), then it speaks TLS."""
        self.node = node
        self._mode_file = node.lab.folder / f"{node.name}-health"
        self._protocol = "-u" if protocol == "udp" else "-t"
        self._command = [PYTHON, "-B", HERE / "health_server.py", HEALTH_PORT, self._mode_file]
        if protocol == "udp":
            self._command.append("--udp")
        if protocol == "grpc":
            self._command.append("--grpc")
        if certificate is not None:
            self._command += [f"--certificate={certificate[0]}", f"--key={certificate[1]}"]
        self._process = None
        self.set("ok")

    def set(self, mode):
        """"ok", "wrong", "hang", or "down": nobody listens."""
        if mode == "down":
            self._process.kill()
            self._process = None
            return
        # Whole or not at all: it is read at any moment.
        fresh = self._mode_file.with_suffix(".new")
        fresh.write_text(mode)
        fresh.rename(self._mode_file)
        if self._process is None:
            self._process = _start(self.node, "health", HEALTH_PORT, self._command, self._protocol)


class Agent:
    """An agent on AGENT_PORT of all addresses of a node, as HAProxy's agent-check asks one."""

    def __init__(self, node, line):
        self._node = node
        self._line_file = node.lab.folder / f"{node.name}-agent"
        self.say(line)
        command = (PYTHON, "-B", HERE / "agent_server.py", AGENT_PORT, self._line_file)
        self._process = _start(node, "agent", AGENT_PORT, command)

    def say(self, line):
        """From now on; "" hangs."""
        fresh = self._line_file.with_suffix(".new")
        fresh.write_text(line)
        fresh.rename(self._line_file)

    def kill(self):
        self._process.kill()


def certificate(folder, name):
    """(PEM, key) of a certificate for that name, signed by itself."""
    files = folder / f"{name}.pem", folder / f"{name}.key"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", files[0], "-keyout", files[1]])
    return files
