"""What may listen where a Redis is expected: TLS, an older Redis, a proxy, a web server."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

Answer = Callable[[list[bytes]], bytes | None]


class Listener:
    """Listens on a free port, and serves each connection in a thread until its context ends."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._served: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in (self._thread, *self._served):
            thread.join(10)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(5)
            self._served.append(threading.Thread(target=self._serve, args=[connection]))
            self._served[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection:  # ValueError: what came was no RESP
            self.serve(connection)


class TlsServer(Listener):
    """Shakes hands, and says nothing. With `clients_of` it asks for a certificate of theirs."""

    def __init__(self, certificate: Path, key: Path, clients_of: Path | None = None) -> None:
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        if clients_of:
            self._context.load_verify_locations(clients_of)
            self._context.verify_mode = ssl.CERT_REQUIRED

    def serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)


class WebServer(Listener):
    """Answers everything by a page."""

    def serve(self, connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


class RedisLike(Listener):
    """Answers commands as `answer` says, in RESP; where that is None, hangs up."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int(stream.readline()[1:])
                    words.append(stream.read(length + 2)[:-2])
                reply = self._answer(words)
                if reply is None:
                    return
                connection.sendall(reply)


def hello(**facts: str) -> bytes:
    """Return the reply to HELLO 3 of a server with these facts."""
    known = {"server": "redis", "version": "7.2.4", "mode": "standalone", "role": "master"}
    pairs = {**known, **facts}
    texts = [text.encode() for pair in pairs.items() for text in pair]
    return b"%%%d\r\n" % len(pairs) + b"".join(b"$%d\r\n%s\r\n" % (len(t), t) for t in texts)


def older(version: str) -> Answer:
    """An older Redis, as far as a worker gets with it. Before 6.0 there was no HELLO."""

    def answer(words: list[bytes]) -> bytes:
        if words[0].upper() == b"HELLO" and int(version[0]) >= 6:
            return hello(version=version)
        if words[0].upper() in (b"CLIENT", b"SELECT", b"PING"):
            return b"+OK\r\n"
        return b"-ERR unknown command `%s`, with args beginning with:\r\n" % words[0]

    return answer


def proxy_without(command: bytes, *, hangs_up: bool = False) -> Answer:
    """A proxy in front of a new Redis that does not pass this command on."""

    def answer(words: list[bytes]) -> bytes | None:
        name = words[0].upper()
        if name == command:
            return None if hangs_up else b"-ERR unsupported command '%s'\r\n" % words[0]
        return hello() if name == b"HELLO" else b"+OK\r\n"

    return answer
