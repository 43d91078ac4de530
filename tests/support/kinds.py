"""Jobs of every kind that there is, for `tests.apps.leaky:app`: what each is, and how it ends."""

from decimal import Decimal

from tests.support.producer import job
from tests.support.table import Table

# Of the worker's settings: sizes in bytes.
SETTINGS = {
    "max_attempts": 2,
    "backoff_base": 0,
    "max_job_bytes": 10_000,
    "max_result_bytes": 5_000,
    "lease": 1,
    "config_ttl": 0.5,
    "config_invalid": "bury",
}

# Where the job is buried, the reason; else the status of its result.
ENDS = {
    "raises": "failed",
    "chains": "failed",
    "rejects": "rejected",
    "retries": "failed",
    "exits": "failed",
    "returns_an_object": "result_invalid",
    "returns_too_much": "result_too_large",
    "fails_late_in_a_thread": "failed",
    "fails_while_cancelled": "failed",
    "blocks": "succeeded",
    "takes_a_number": "payload_invalid",
    "no_such_handler": "unknown_handler",
    "picky_of_payload": "payload_invalid",
    "broken_by_payload": "payload_invalid",
    "picky_of_config": "config_invalid",
    "broken_by_config": "config_invalid",
    "bad_policy": "config_invalid",
    "endless_policy": "succeeded",
    "no_config": "config_missing",
    "wrong_reply_to": "succeeded",
    "own_reply_to": "malformed",
    "expired": "expired",
    "wrong_field": "malformed",
    "nan": "malformed",
    "deep": "malformed",
    "large": "malformed",
    "good": "succeeded",
    "crashed": "succeeded",
}


def jobs(payload: str) -> dict[str, str]:
    """One job of each kind, by its id. `a-string` must be a Redis key that is no list."""
    named = {name: job(name, payload, id=name) for name in ENDS}
    nested = "[" * 1000 + f'"{payload}"' + "]" * 1000
    return named | {
        "picky_of_payload": job("picky_of_payload", {"word": payload}, id="picky_of_payload"),
        "broken_by_payload": job("broken_by_payload", {"word": payload}, id="broken_by_payload"),
        "picky_of_config": job("picky_of_config", id="picky_of_config", config="word"),
        "broken_by_config": job("broken_by_config", id="broken_by_config", config="word"),
        "bad_policy": job("replies", payload, id="bad_policy", config="bad policy"),
        "endless_policy": job("replies", payload, id="endless_policy", config="endless policy"),
        "no_config": job("replies", payload, id="no_config", config="no such item"),
        "wrong_reply_to": job("replies", payload, id="wrong_reply_to", reply_to="a-string"),
        "own_reply_to": job("replies", payload, id="own_reply_to", reply_to="{jobs}:dead"),
        "expired": job("replies", payload, id="expired", expires_at=1),
        "wrong_field": job("replies", payload, id="wrong_field", attempts=payload),
        "nan": f'{{"id":"nan","handler":"replies","payload":["{payload}",NaN]}}',
        "deep": f'{{"id":"deep","handler":"replies","payload":{nested}}}',
        "large": job("replies", payload * 2000, id="large"),
        "good": job("replies", payload, id="good"),
        "crashed": job("replies", payload, id="crashed", crashes=2),
    }


def fill(table: Table, secret: str) -> None:
    """Put the config items of these jobs."""
    table.put("raises", word=secret)
    table.put("word", word=secret)
    table.put("bad policy", policy={"timeout": secret, secret: Decimal(1)})
    table.put("endless policy", policy={"result_ttl": Decimal("1e100")})
