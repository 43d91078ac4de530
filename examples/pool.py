"""A pool of database connections: opened once in each process, shared by its jobs.

    worker run examples.pool:app
    worker push record '{"path": "/prices", "ms": 12}' --wait 10
    worker push slowest 5 --wait 10

The database is SQLite, so that this runs as it is. With a server's driver the lifespan is shorter,
since the driver brings the pool:

    async with asyncpg.create_pool(os.environ["DATABASE_URL"]) as pool:
        yield pool

Visits are written by the hundred: a bulk insert costs hardly more than one row.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from queue import SimpleQueue

from pydantic import BaseModel

from worker import App, Job

SIZE = 4


class Pool:
    """A few connections. Plain handlers run in threads, and each takes one for its time."""

    def __init__(self, path: str) -> None:
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(SIZE):
            self._free.put(sqlite3.connect(path, timeout=10, check_same_thread=False))

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Wait for a connection; commit what was done with it, or roll it back."""
        connection = self._free.get()
        try:
            with connection:
                yield connection
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Wait until every connection is back, and close it."""
        for _ in range(SIZE):
            self._free.get().close()


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[Pool]:
    """Open the pool, and make the table: a worker without either claims no job."""
    with closing(Pool(os.environ.get("VISITS_DATABASE", "visits.db"))) as pool:
        with pool.connection() as database:
            database.execute("CREATE TABLE IF NOT EXISTS visits (job PRIMARY KEY, path, ms)")
        yield pool


app = App(lifespan=lifespan)


class Visit(BaseModel):
    """Who asked for what, and how long the answer took."""

    path: str
    ms: float


@app.handler(batch=100, linger=0.05)
def record(payloads: list[Visit], jobs: list[Job], state: Pool) -> None:
    """Insert many visits at once. A job may run more than once, and its id keeps that harmless."""
    rows = [(job.id, visit.path, visit.ms) for job, visit in zip(jobs, payloads, strict=True)]
    with state.connection() as database:
        database.executemany("INSERT OR REPLACE INTO visits VALUES (?, ?, ?)", rows)


@app.handler
def slowest(payload: int, state: Pool) -> list[Visit]:
    """Return the slowest visits."""
    with state.connection() as database:
        rows = database.execute("SELECT path, ms FROM visits ORDER BY ms DESC LIMIT ?", [payload])
        return [Visit(path=path, ms=ms) for path, ms in rows]
