"""moto's DynamoDB that counts its requests and can be slow: `python -m benchmarks.dynamo PORT`.

GET /benchmark            {"GetItem": 12, "BatchGetItem": 3}, since the server started
GET /benchmark?delay=0.1  from now on, reads take 0.1 s longer
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple


class Counting:
    """The WSGI application in front of moto's."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._counts: Counter[str] = Counter()
        self._delay = 0.0

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Count, wait, pass on."""
        if environ["PATH_INFO"] == "/benchmark":
            self._delay = float(parse_qs(environ["QUERY_STRING"]).get("delay", [self._delay])[0])
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._counts).encode()]
        operation = environ.get("HTTP_X_AMZ_TARGET", "?").partition(".")[2]
        self._counts[operation] += 1
        if self._delay and operation.endswith("GetItem"):
            time.sleep(self._delay)
        return self._application(environ, start_response)


def _main(port: int) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    application = Counting(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=WSGIRequestHandler)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
