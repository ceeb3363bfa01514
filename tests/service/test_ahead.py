"""Tests of `lolly_tx.service.ahead`: a worker that is forked has nothing left to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from twisted.trial.unittest import SynchronousTestCase

CONFIG = """
[access_log]
path = "-"
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
health = true
[listener.secure]
endpoint = "tcp:0:interface=127.0.0.1"
tls.certificate = "site.pem"
[stream.plain]
endpoint = "tcp:0:interface=127.0.0.1"
pool = "plain"
[forward.out]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["10.0.0.0/8"]
[cache.pages]
[store.shared]
url = "redis://127.0.0.1:1"
[tunnel.in]
endpoint = "tcp:0:interface=127.0.0.1"
[tunnel.in.connectors.edge]
secret = "a-secret-of-enough-letters-for-anybody"
hosts = ["edge.test"]
[[route]]
path = "/files/"
files.root = "."
[[route]]
path = "/from"
redirect.to = "/to"
[[route]]
path = "/parts/"
split = [{ pool = "pool", weight = 1 }]
use = [{ type = "cors", origins = ["https://a.test"] }]
[[route]]
pool = "pool"
[pool.pool]
targets = ["http://127.0.0.1:9000", "https://127.0.0.1:9001"]
[pool.plain]
targets = ["tcp://127.0.0.1:9000"]
"""

BUILD = """
import sys
from twisted.internet import reactor
from lolly_tx.config import load
from lolly_tx.service.ahead import import_ahead
from lolly_tx.service.build import build
import lolly_tx.service.workers.worker
config = load(sys.argv[1], {})
before = set(sys.modules)
import_ahead(config)
ahead = set(sys.modules)
build(reactor, config).privilegedStartService()
print(len(ahead - before), *sorted(each for each in set(sys.modules) - ahead if each.startswith("lolly_tx")))
"""


SECURE = (
    '[listener.web]\nendpoint = "ssl:0:privateKey=site.pem"\n[[route]]\npool = "any"',
    '[admin]\nendpoint = "ssl:0:interface=127.0.0.1:privateKey=site.pem"',
    '[stream.plain]\nendpoint = "tcp:0"\npool = "plain"\ntls.certificate = "site.pem"\n[pool.plain]\n'
    'targets = ["tcp://127.0.0.1:9"]',
    '[tunnel.in]\nendpoint = "tcp:0"\ntls.certificate = "site.pem"',
    '[forward.out]\nendpoint = "tcp:0"\nallow = ["10.0.0.0/8"]\ntls.certificate = "site.pem"',
    '[forward.out]\nendpoint = "tcp:0"\nallow = ["10.0.0.0/8"]\nparents = [{ proxy = "https://proxy.test:1" }]',
    '[connector.home]\nserver = "tls:tunnel.test:7000"\nsecret = "a-secret-of-enough-letters-for-anybody"\n'
    'services = { web = "tcp:127.0.0.1:9" }',
    '[store.shared]\nurl = "rediss://127.0.0.1:9"',
    '[provider.shop]\ntype = "http"\nurl = "https://127.0.0.1:9/"',
    '[provider.shop]\ntype = "etcd"\nurl = "https://127.0.0.1:9"\nprefix = "/"',
    '[trace]\nexport = "https://127.0.0.1:9/v1/traces"',
    *(
        f"[pool.other]\n{lines}"
        for lines in (
            'targets = ["https://127.0.0.1:9"]',
            'targets = [{ endpoint = "ssl:127.0.0.1:9" }]',
            'targets = [{ endpoint = "tls:127.0.0.1:9" }]',
            r'targets = [{ endpoint = "connect:127.0.0.1:9:via=tls\\:127.0.0.1\\:9" }]',
            'targets = ["http://127.0.0.1:9"]\nhealth.type = "tls"',
            'discover = { type = "http", url = "https://127.0.0.1:9/" }',
            'discover = { type = "consul", url = "https://127.0.0.1:9", service = "a" }',
        )
    ),
)
"""Tables, each of which takes TLS for itself."""

PLAIN = (
    '[admin]\nendpoint = "tcp:0:interface=127.0.0.1"\n[access_log]\n[trace]',
    '[forward.out]\nendpoint = "tcp:0"\nallow = ["10.0.0.0/8"]',
    '[stream.names]\nendpoint = "udp:0"\npool = "plain"\n[pool.plain]\ntargets = ["udp://127.0.0.1:9"]',
    '[store.shared]\nurl = "redis://127.0.0.1:9"\n[cache.pages]',
    '[pool.other]\ntargets = [{ endpoint = "unix:/socket" }]\nhealth = {}',
)
"""Tables that do not."""

REST = """
[pool.any]
targets = ["http://127.0.0.1:9"]
"""

WHICH = """
import json, os, sys
from lolly_tx.net.sockets import reactor
from lolly_tx.config import parse
from lolly_tx.service.ahead import CannotImport, import_ahead

def ended(text, broken):
    child = os.fork()
    if not child:
        try:
            if broken:
                sys.modules["cryptography"] = None
                said = []
                for again in range(2):
                    try:
                        import_ahead(parse(text), whole=True)
                    except CannotImport as error:
                        said.append(str(error))
                assert said[0] == said[1] and "cryptography" in said[0], said
                del sys.modules["cryptography"]
            import_ahead(parse(text), whole=True)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(2)
        os._exit("OpenSSL" in sys.modules)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

texts, broken = json.loads(sys.argv[1])
print(json.dumps([ended(text, broken) for text in texts]))
"""


class AheadTests(SynchronousTestCase):
    def test_nothing_left(self) -> None:
        """What serving takes is there before; but for the types of middleware, each of which comes with its first."""
        with TemporaryDirectory() as folder:
            pair = trustme.CA().issue_cert("a.test").private_key_and_cert_chain_pem
            pair.write_to_path(str(Path(folder, "site.pem")))
            path = Path(folder, "lolly.toml")
            path.write_text(CONFIG)
            done = subprocess.run(
                [sys.executable, "-c", BUILD, str(path)],
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        count, *left = done.stdout.split()
        self.assertGreater(int(count), 50)
        left = [one for one in left if not one.startswith("lolly_tx.proxy.middleware.")]
        self.assertEqual(left, [])

    def ended(self, texts: tuple[str, ...], broken: bool = False) -> list[int]:
        """Of each of `texts`: 1 for one that brings TLS. `broken`: twice in vain before."""
        # What is in the file does not matter: it is not read.
        whole = [text.replace("site.pem", __file__) + REST for text in texts]
        done = subprocess.run(
            [sys.executable, "-c", WHICH, json.dumps([whole, broken])],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        ended: list[int] = json.loads(done.stdout)
        return ended

    def test_tls_by_whatever_takes_it(self) -> None:
        """It comes ahead with every table that will take it, and with no other."""
        self.assertEqual(self.ended(SECURE), [1] * len(SECURE))
        self.assertEqual(self.ended(PLAIN), [0] * len(PLAIN))

    def test_a_library_that_is_broken(self) -> None:
        """What cannot be imported is named, each time, and found when it is there again."""
        texts = SECURE[0], SECURE[2], SECURE[-7]
        self.assertEqual(self.ended(texts, broken=True), [1, 1, 1])
