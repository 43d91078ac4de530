"""An HTTP/1.1 keep-alive proxy in front of DynamoDB: counts what passes, breaks it on demand.

`respond` may answer in DynamoDB's place, by returning `(status, reply)`, where `reply` is bytes or
any JSON; `delay` holds every request up. `stop` resets the connections that are open, and `start`
listens on the same port again.
"""

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port

Respond = Callable[[str, dict[str, Any]], tuple[int, Any] | None]


def error(kind: str, message: str = "told to") -> dict[str, str]:
    """The body of an error as DynamoDB sends it, for `respond`."""
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": message}


class DynamoProxy:
    """Counts and perturbs the traffic to the DynamoDB on `upstream_port`.

    `requests` holds every request as (operation, body), such as ("BatchGetItem", {...});
    `connections` counts those accepted since the last `clear`, `open_connections` those open now.
    `delay` is in seconds.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = free_port()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.delay = 0.0
        self.respond: Respond | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._server.open_now) if self._server else 0

    def count(self, operation: str = "") -> int:
        """How many requests of this operation came by since the last `clear`; all without one."""
        return sum(target == operation or not operation for target, _ in self.requests)

    @property
    def counts(self) -> Counter[str]:
        return Counter(target for target, _ in self.requests)

    def keys(self, table: str = "config", attribute: str = "key") -> list[str]:
        """Every key that was asked for, in order, by whatever operation."""
        asked: list[str] = []
        for target, body in self.requests:
            if target == "BatchGetItem":
                wanted = body["RequestItems"].get(table, {"Keys": []})["Keys"]
                asked += [key[attribute]["S"] for key in wanted]
            elif target == "GetItem":
                asked.append(body["Key"][attribute]["S"])
        return asked

    def clear(self) -> None:
        """Forget what was counted."""
        self.requests = []
        self.connections = 0

    def start(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and reset what is connected, as a server that dies does."""
        if self._server is None or self._thread is None:
            return
        server, self._server = self._server, None
        server.stopped.set()
        server.shutdown()
        server.reset_all()
        server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @contextmanager
    def answering(self, respond: Respond) -> Iterator[None]:
        """Answer in DynamoDB's place for a while."""
        self.respond = respond
        try:
            yield
        finally:
            self.respond = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, proxy: DynamoProxy) -> None:
        self.proxy = proxy
        self.stopped = threading.Event()
        self.open_now: set[_Handler] = set()
        super().__init__(("127.0.0.1", proxy.port), _Handler)

    def reset_all(self) -> None:
        for handler in self.open_now.copy():
            handler.reset()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connections += 1
        self.server.open_now.add(self)
        self.upstream = HTTPConnection("127.0.0.1", self.server.proxy.upstream_port, timeout=60)

    def finish(self) -> None:
        self.server.open_now.discard(self)
        self.upstream.close()
        super().finish()

    def reset(self) -> None:
        try:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def do_POST(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        asked = json.loads(body or b"{}")
        proxy.requests.append((target, asked))
        if proxy.delay and self.server.stopped.wait(proxy.delay):
            self.close_connection = True
            return
        answer = proxy.respond(target, asked) if proxy.respond else None
        if answer is None:
            self._forward(body)
        else:
            status, reply = answer
            payload = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self._reply(status, payload, "application/x-amz-json-1.0")

    def _forward(self, body: bytes) -> None:
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        for last_try in (False, True):
            try:
                self.upstream.request("POST", self.path, body, headers)
                reply = self.upstream.getresponse()
                payload = reply.read()
            except OSError:
                # The upstream's keep-alive may have ended just now.
                self.upstream.close()
                if last_try:
                    self.close_connection = True
                    return
            else:
                kind = reply.getheader("Content-Type") or "application/x-amz-json-1.0"
                self._reply(reply.status, payload, kind)
                return

    def _reply(self, status: int, payload: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """The tests look at `requests` instead."""
