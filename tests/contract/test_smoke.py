from tests.support.waiting import wait_until


def test_smoke(start_worker, r, table) -> None:
    table.put("k", width=3)
    start_worker()
    r.lpush("jobs", '{"id":"1","handler":"echo","payload":"hi"}')
    r.lpush("jobs", '{"id":"2","handler":"typed","payload":{"a":1},"config":"k"}')
    assert '"hi"' in wait_until(lambda: r.get("{jobs}:result:1"))
    assert '"result":3' in wait_until(lambda: r.get("{jobs}:result:2"))
