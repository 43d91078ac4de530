"""How each fault of the plan is done, and undone when its time is up."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import redis

from tests.chaos.plan import PROCESS_FAULTS, Event
from tests.chaos.world import World
from tests.support.dynamo_proxy import error
from worker.broker import scripts

Fault = Callable[[World, int], Iterator[None]]
_faults: dict[str, Callable[[World, int], AbstractContextManager[None]]] = {}


def begun(world: World, event: Event) -> AbstractContextManager[None]:
    """The fault of an event; it lasts as long as the context.

    A process that is still starting is spared: on a slow machine nothing but starts would be seen.
    """
    if event.fault in PROCESS_FAULTS and not world.slots[event.slot].is_ready:
        world.tally["spared, still starting"] += 1
        return nullcontext()
    world.tally[event.fault] += 1
    return _faults[event.fault](world, event.slot)


def _fault(function: Fault) -> Fault:
    _faults[function.__name__.strip("_")] = contextmanager(function)
    return function


# -- a worker's process ----------------------------------------------------------------------------


@_fault
def _killed(world: World, slot: int) -> Iterator[None]:
    world.slots[slot].kill()
    yield
    world.slots[slot].start()


@_fault
def _stopped(world: World, slot: int) -> Iterator[None]:
    world.slots[slot].signal(signal.SIGSTOP)
    yield
    world.slots[slot].signal(signal.SIGCONT)


@_fault
def _terminated(world: World, slot: int) -> Iterator[None]:
    world.slots[slot].asked_to_end = True
    world.slots[slot].signal(signal.SIGTERM)
    yield


@_fault
def _terminated_twice(world: World, slot: int) -> Iterator[None]:
    world.slots[slot].asked_to_end = True
    world.slots[slot].signal(signal.SIGTERM)
    yield
    world.slots[slot].asked_to_end = True  # it may be the successor that gets the second one
    world.slots[slot].signal(signal.SIGTERM)


# -- a worker's way to Redis -----------------------------------------------------------------------


def _loses(name: str, match: bytes, reply: bytes = b"") -> None:
    def fault(world: World, slot: int) -> Iterator[None]:
        world.proxy(slot).lose_next_reply(match, reply)
        yield

    _faults[f"reply_of_{name}_lost"] = contextmanager(fault)


# Only replies that bring jobs are worth losing here.
_loses("exchange", scripts.exchange._digest.encode(), b'"id"')
_loses("blmove", b"BLMOVE", b'"id"')
_loses("register", scripts.register._digest.encode())
_loses("renew", scripts.renew._digest.encode())
_loses("lapsed", scripts.expired_workers._digest.encode())
_loses("leave", scripts.deregister._digest.encode())


@_fault
def _replies_dropped(world: World, slot: int) -> Iterator[None]:
    world.proxy(slot).drop_replies()
    yield
    world.proxy(slot).drop_replies(False)


@_fault
def _delayed(world: World, slot: int) -> Iterator[None]:
    world.proxy(slot).set_delay(0.1)
    yield
    world.proxy(slot).set_delay(0)


@_fault
def _partitioned(world: World, slot: int) -> Iterator[None]:
    world.proxy(slot).pause()
    yield
    world.proxy(slot).pause(False)


@_fault
def _requests_held(world: World, slot: int) -> Iterator[None]:
    """Longer than the worker's patience, mostly: they reach Redis when it has given them up."""
    world.proxy(slot).pause(direction="requests")
    yield
    world.proxy(slot).pause(False)


@_fault
def _reset(world: World, slot: int) -> Iterator[None]:
    world.proxy(slot).reset_all()
    yield


@_fault
def _refused(world: World, slot: int) -> Iterator[None]:
    world.proxy(slot).refuse()
    world.proxy(slot).reset_all()
    yield
    world.proxy(slot).refuse(False)


# -- Redis -----------------------------------------------------------------------------------------


@_fault
def _redis_killed(world: World, _: int) -> Iterator[None]:
    world.redis.kill()
    yield
    world.redis.start()


@_fault
def _redis_terminated(world: World, _: int) -> Iterator[None]:
    world.redis.stop()
    yield
    world.redis.start()


@_fault
def _redis_stopped(world: World, _: int) -> Iterator[None]:
    world.redis.signal(signal.SIGSTOP)
    yield
    world.redis.signal(signal.SIGCONT)


def _says(name: str, begin: tuple[str, ...], end: tuple[str, ...] = ()) -> None:
    """A fault that Redis is told to have."""

    def fault(world: World, _: int) -> Iterator[None]:
        with world.client() as client:
            client.execute_command(*begin)
            yield
            if end:
                with suppress(redis.ConnectionError):
                    client.ping()  # the command may have cut this connection too
                client.execute_command(*end)

    _faults[name] = contextmanager(fault)


_says("connections_killed", ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
_says("redis_paused", ("CLIENT", "PAUSE", "60000", "WRITE"), ("CLIENT", "UNPAUSE"))
_says(
    "redis_out_of_memory",
    ("CONFIG", "SET", "maxmemory", "1"),
    ("CONFIG", "SET", "maxmemory", "0"),
)
_says("redis_read_only", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
_says("scripts_flushed", ("SCRIPT", "FLUSH"))


# -- DynamoDB --------------------------------------------------------------------------------------


@_fault
def _dynamo_stopped(world: World, _: int) -> Iterator[None]:
    world.dynamo.signal(signal.SIGSTOP)
    yield
    world.dynamo.signal(signal.SIGCONT)


@_fault
def _dynamo_refused(world: World, _: int) -> Iterator[None]:
    world.dynamo_proxy.stop()
    yield
    world.dynamo_proxy.start()


@_fault
def _dynamo_slow(world: World, _: int) -> Iterator[None]:
    world.dynamo_proxy.delay = 0.7
    yield
    world.dynamo_proxy.delay = 0.0


@_fault
def _dynamo_throttling(world: World, _: int) -> Iterator[None]:
    throttled = 400, error("ProvisionedThroughputExceededException")
    with world.dynamo_proxy.answering(lambda *_: throttled):
        yield
