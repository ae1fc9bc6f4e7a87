"""Certificates made by openssl, for a day and for tests alone."""

from lab.network import run


class Authority:
    """One that signs certificates; its files lie in a folder of their own."""

    def __init__(self, folder, name="ca"):
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.certificate = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        self._make(self.certificate, self._key, name, "-x509", "-addext", "basicConstraints=critical,CA:TRUE")

    def sign(self, name, address=None, valid=True):
        """(certificate, key): their files, for that common name and IP address; expired where it is not valid."""
        certificate, key, request = (self.folder / f"{name}.{suffix}" for suffix in ("pem", "key", "csr"))
        self._make(request, key, name)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={f'IP:{address}' if address else f'DNS:{name}'}\n")
        days = "1" if valid else "-1"
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
             "-days", days, "-extfile", extensions, "-out", certificate])
        return certificate, key

    def _make(self, out, key, name, *more):
        run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", out, "-subj", f"/CN={name}",
             *more])
