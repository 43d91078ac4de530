def test_smoke(start_worker, producer, table) -> None:
    table.put("k", width=3)
    start_worker()
    assert producer.run("echo", "hi")["result"]["payload"] == "hi"
    assert producer.run("typed", {"a": 1}, config="k")["result"] == 3
