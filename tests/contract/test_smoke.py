from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.worker_process import StartWorker


def test_smoke(start_worker: StartWorker, producer: Producer, table: Table) -> None:
    table.put("k", width=3)
    start_worker()
    assert producer.run("echo", "hi")["result"]["payload"] == "hi"
    assert producer.run("typed", {"a": 1}, config="k")["result"] == 3
