"""One set of rules for a policy, whether a decorator gives it or a config item."""

import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest

from worker.jobs.backoff import Backoff
from worker.jobs.policy import Policy, policy_problems

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timeout": 1, "max_attempts": 1, "result_ttl": 0.001},
        {"timeout": 1e300, "max_attempts": 10**30},
        {"max_attempts": 3.0},
        {"backoff": {}},
        {"backoff": {"base": 0, "factor": 1, "max": 0}},
        {"backoff": MappingProxyType({"base": 2})},
        {"timeout": None, "max_attempts": None, "backoff": None, "result_ttl": None},
        {"backoff": {"base": None}},
    ],
)
def test_what_a_policy_may_say(changes: Any) -> None:
    assert policy_problems(changes) == []
    assert isinstance(Policy().changed(changes), Policy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # Numbers only.
        ({"timeout": True}, "policy.timeout: must be a number above 0"),
        ({"timeout": False}, "policy.timeout: must be a number above 0"),
        ({"timeout": "5"}, "policy.timeout: must be a number above 0"),
        ({"timeout": b"5"}, "policy.timeout: must be a number above 0"),
        ({"timeout": [5]}, "policy.timeout: must be a number above 0"),
        ({"timeout": {5}}, "policy.timeout: must be a number above 0"),
        ({"timeout": {"s": 3}}, "policy.timeout: must be a number above 0"),
        ({"max_attempts": True}, "policy.max_attempts: must be a number from 1 up"),
        ({"max_attempts": "3"}, "policy.max_attempts: must be a number from 1 up"),
        ({"result_ttl": "1 day"}, "policy.result_ttl: must be a number above 0"),
        ({"result_ttl": True}, "policy.result_ttl: must be a number above 0"),
        ({"backoff": {"base": "1"}}, "policy.backoff.base: must be a number from 0 up"),
        ({"backoff": {"factor": True}}, "policy.backoff.factor: must be a number from 1 up"),
        ({"backoff": {"max": True}}, "policy.backoff.max: must be a number from 0 up"),
        # In range.
        ({"timeout": 0}, "policy.timeout: must be a number above 0"),
        ({"timeout": -1}, "policy.timeout: must be a number above 0"),
        ({"timeout": float("nan")}, "policy.timeout: must be a number above 0"),
        ({"timeout": float("inf")}, "policy.timeout: must be a number above 0"),
        ({"timeout": 10**400}, "policy.timeout: must be a number above 0"),
        ({"max_attempts": 0}, "policy.max_attempts: must be a number from 1 up"),
        ({"max_attempts": 1.5}, "policy.max_attempts: must be whole"),
        ({"max_attempts": float("inf")}, "policy.max_attempts: must be a number from 1 up"),
        ({"backoff": {"base": -0.1}}, "policy.backoff.base: must be a number from 0 up"),
        ({"backoff": {"factor": 0.99}}, "policy.backoff.factor: must be a number from 1 up"),
        # Of this shape.
        ("fast", "policy: must be an object"),
        ([], "policy: must be an object"),
        (5, "policy: must be an object"),
        (True, "policy: must be an object"),
        ({"timout": 3}, "policy.timout: is none of timeout (s), max_attempts, backoff"),
        ({"timout": None}, "policy.timout: is none of"),
        ({"backoff": 3}, "policy.backoff: is none of"),
        ({"backoff": True}, "policy.backoff: is none of"),
        ({"backoff": []}, "policy.backoff: is none of"),
        ({"backoff": {"most": 3}}, "policy.backoff.most: is none of"),
    ],
)
def test_what_a_policy_may_not_say(changes: Any, message: Any) -> None:
    (problem,) = policy_problems(changes)
    assert str(problem).startswith(message)


def test_all_problems_are_named_and_no_value() -> None:
    secret = "hunter2"
    changes = {"timeout": secret, "timout": secret, "backoff": {"base": secret, "b": secret}}
    said = [str(problem) for problem in policy_problems(changes)]
    assert [text.partition(":")[0] for text in said] == [
        "policy.timeout",
        "policy.timout",
        "policy.backoff.base",
        "policy.backoff.b",
    ]
    assert secret not in "".join(said)


def test_changes_keep_what_they_do_not_name() -> None:
    policy = Policy(timeout=9, backoff=Backoff(base=3, factor=4, max=5))
    changed = policy.changed({"max_attempts": 2.0, "backoff": {"factor": 1}, "result_ttl": 1})
    assert changed == Policy(9.0, 2, Backoff(3, 1.0, 5), 1.0)
    assert changed.result_ttl_ms == 1_000
    assert type(changed.max_attempts) is int
    assert policy.changed({"timeout": None, "backoff": None}) == policy


def test_registering_handlers_imports_no_pydantic() -> None:
    lines = (
        "import sys",
        "from worker import App, HandlerError",
        "app = App()",
        "app.handler('a', timeout=1, backoff={'base': 1})(lambda: None)",
        "try:",
        "    app.handler('b', timeout=True)(lambda: None)",
        "except HandlerError as error:",
        "    print(error)",
        "print([name for name in ('pydantic', 'redis', 'anyio') if name in sys.modules])",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "handler 'b': timeout must be a number above 0, not True",
        "[]",
    ]
