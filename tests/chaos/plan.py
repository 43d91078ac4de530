"""What breaks, when, and for how long. Pure: the same seed gives the same plan."""

from dataclasses import dataclass
from random import Random

LEASE = 1.5  # seconds; short, so that much happens


@dataclass(frozen=True)
class Event:
    """A fault from `at` to `until`, in seconds from the start. `slot` is the worker it hits, -1
    where it hits a server."""

    at: float
    until: float
    fault: str
    slot: int = -1


@dataclass(frozen=True)
class _Kind:
    fault: str
    weight: int
    shortest: float
    longest: float


_PROCESS = (
    _Kind("killed", 4, 0.1, 1.0),
    _Kind("stopped", 3, 1.2 * LEASE, 2.5 * LEASE),
    _Kind("stopped", 1, 0.2, 0.9 * LEASE),
    _Kind("terminated", 3, 0.5, 1.5),
    _Kind("terminated_twice", 1, 0.5, 1.5),
)
PROCESS_FAULTS = {kind.fault for kind in _PROCESS}
_NETWORK = (
    _Kind("reply_of_exchange_lost", 5, 0.1, 0.5),
    _Kind("reply_of_blmove_lost", 5, 0.1, 0.5),
    _Kind("reply_of_register_lost", 2, 0.1, 0.5),
    _Kind("reply_of_lapsed_lost", 1, 0.1, 0.5),
    _Kind("reply_of_renew_lost", 1, 0.1, 0.5),
    _Kind("reply_of_leave_lost", 1, 0.1, 0.5),
    _Kind("replies_dropped", 2, 0.1, LEASE),
    _Kind("delayed", 2, 0.5, 2 * LEASE),
    _Kind("partitioned", 3, 0.3, 2.5 * LEASE),
    _Kind("requests_held", 3, 0.3, 7.0),
    _Kind("reset", 3, 0.1, 0.2),
    _Kind("refused", 2, 0.3, 2 * LEASE),
)
_REDIS = (
    _Kind("redis_killed", 2, 0.1, 2.5),
    _Kind("redis_terminated", 1, 0.1, 2.5),
    _Kind("connections_killed", 3, 0.1, 0.2),
    _Kind("redis_paused", 2, 0.2, 2.0),
    _Kind("redis_stopped", 1, 0.2, 2.0 * LEASE),
    _Kind("redis_out_of_memory", 1, 0.2, 1.5),
    _Kind("redis_read_only", 1, 0.2, 1.5),
    _Kind("scripts_flushed", 1, 0.1, 0.2),
)
_DYNAMO = (
    _Kind("dynamo_stopped", 2, 0.3, 4.0),
    _Kind("dynamo_refused", 2, 0.3, 4.0),
    _Kind("dynamo_slow", 2, 0.5, 3.0),
    _Kind("dynamo_throttling", 1, 0.5, 3.0),
)


def plan(seed: int, seconds: float, slots: int) -> list[Event]:
    """The faults of a run, by their beginning. Those of one track never overlap; tracks do: each
    worker's process, each worker's network, Redis, DynamoDB."""
    events: list[Event] = []
    for slot in range(slots):
        events += _track(Random(f"{seed} process {slot}"), _PROCESS, seconds, 4.0, slot)
        events += _track(Random(f"{seed} network {slot}"), _NETWORK, seconds, 2.0, slot)
    events += _track(Random(f"{seed} producers"), _NETWORK[6:], seconds, 4.0, slots)
    events += _track(Random(f"{seed} redis"), _REDIS, seconds, 5.0)
    events += _track(Random(f"{seed} dynamo"), _DYNAMO, seconds, 4.0)
    return sorted(events, key=lambda event: event.at)


def _track(
    random: Random, kinds: tuple[_Kind, ...], seconds: float, gap: float, slot: int = -1
) -> list[Event]:
    events = []
    at = random.uniform(0.5, 2 * gap)
    while at < seconds:
        kind = random.choices(kinds, [kind.weight for kind in kinds])[0]
        until = min(at + random.uniform(kind.shortest, kind.longest), seconds)
        events.append(Event(round(at, 3), round(until, 3), kind.fault, slot))
        at = until + random.expovariate(1 / gap)
    return events
