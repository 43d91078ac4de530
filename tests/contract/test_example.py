"""examples/webhooks.py, against an HTTP server that answers with the status that the path names."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis

from examples.webhooks import Event, Tenant, app, deliver, lifespan
from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.worker_process import StartWorker
from worker.demo.receiver import is_genuine
from worker.jobs.job import Job

pytestmark = pytest.mark.once

EXAMPLE = "examples.webhooks:app"
EVENT = {"type": "order.paid", "data": {"order": 7}}
SECRET = "between the two of us"

Deliver = Callable[..., dict[str, Any]]


class Answers(BaseHTTPRequestHandler):
    """`/410` is answered with 410; `/429/204` with 429 at first, and with 204 from then on."""

    protocol_version = "HTTP/1.1"
    server: "Endpoint"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((dict(self.headers), body))
        turns = self.path.strip("/").split("/")
        status = turns[min(len(self.server.received), len(turns)) - 1]
        self.send_response(int(status))
        self.send_header("content-length", "0")
        self.send_header("retry-after", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Endpoint(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0

    def process_request(self, *arguments: Any) -> None:
        self.connections += 1
        super().process_request(*arguments)

    def tenant(self, path: str, **policy: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.server_port}/{path}"
        return {"endpoint": url, "secret": SECRET, "policy": policy}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def outcome(start_worker: StartWorker, producer: Producer, table: Table) -> Deliver:
    """Deliver an event to a tenant and return the result."""
    start_worker(app=EXAMPLE, backoff_base=0.01)

    def deliver_to(tenant: dict[str, Any], job_id: str = "1") -> dict[str, Any]:
        table.put(f"tenant-{job_id}", **tenant)
        return producer.run("deliver", EVENT, id=job_id, config=f"tenant-{job_id}")

    return deliver_to


def test_an_event_arrives_signed_with_its_tenants_secret(
    outcome: Deliver, endpoint: Endpoint
) -> None:
    result = outcome(endpoint.tenant("204"))
    assert result["status"] == "succeeded"
    assert result["result"]["status"] == 204
    headers, body = endpoint.received[0]
    assert json.loads(body) == EVENT
    lowered = {name.lower(): value for name, value in headers.items()}
    assert lowered["webhook-id"] == "1"
    assert is_genuine(lowered, body, SECRET)
    assert not is_genuine(lowered, body, "another")
    assert not is_genuine(lowered, body + b" ", SECRET)


def test_an_endpoint_that_is_gone_gets_no_second_request(
    outcome: Deliver, endpoint: Endpoint, producer: Producer
) -> None:
    assert outcome(endpoint.tenant("410"))["error"]["type"] == "Reject"
    assert len(endpoint.received) == 1
    assert [entry["reason"] for entry in producer.dead()] == ["rejected"]


@pytest.mark.parametrize("first", [429, 401, 503, 302])
def test_what_an_edit_may_correct_is_tried_again(
    outcome: Deliver, endpoint: Endpoint, first: int
) -> None:
    result = outcome(endpoint.tenant(f"{first}/204"))
    assert result["status"] == "succeeded"
    assert result["attempts"] == 2


def test_deliveries_share_a_connection_and_the_worker_closes_it(
    start_worker: StartWorker, endpoint: Endpoint, producer: Producer, table: Table
) -> None:
    worker = start_worker(app=EXAMPLE)
    table.put("acme", **endpoint.tenant("204"))
    for number in range(5):
        producer.run("deliver", EVENT, id=str(number), config="acme")
    assert endpoint.connections == 1
    assert worker.stop() == 0
    assert "Unclosed" not in worker.log
    assert "ResourceWarning" not in worker.log


def test_the_handler_is_a_plain_function(endpoint: Endpoint) -> None:
    job = Job()
    job.id = "by-hand"
    tenant = Tenant.model_validate(endpoint.tenant("204"))

    async def main() -> dict[str, int]:
        async with lifespan(app) as session:
            return await deliver(Event.model_validate(EVENT), tenant, job, session)

    assert asyncio.run(main())["status"] == 204


def test_the_pool_example_writes_by_the_hundred_and_reads(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, tmp_path: Path
) -> None:
    database = tmp_path / "visits.db"
    worker = start_worker(app="examples.pool:app", env={"VISITS_DATABASE": str(database)})
    ids = [producer.push("record", {"path": f"/{ms}", "ms": ms}) for ms in range(300)]
    assert all(producer.result(id)["status"] == "succeeded" for id in ids)
    slowest = producer.run("slowest", 2)["result"]
    assert slowest == [{"path": "/299", "ms": 299.0}, {"path": "/298", "ms": 298.0}]
    assert worker.stop() == 0
    assert "ResourceWarning" not in worker.log


def test_without_its_database_the_pool_example_claims_nothing(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, tmp_path: Path
) -> None:
    producer.push("slowest", 2)
    nowhere = str(tmp_path / "nowhere" / "visits.db")
    worker = start_worker(app="examples.pool:app", env={"VISITS_DATABASE": nowhere}, ready=False)
    assert worker.wait() == 1
    assert "unable to open database file" in worker.log
    assert r.llen("jobs") == 1
