"""The tenants' side: receives webhooks, checks their signatures, fails now and then.

What fails is drawn at random with the event's id and its number of attempts as the seed, so that
every run of the demo is alike. `python -m worker.demo.receiver [PORT]` runs it alone.
"""

import asyncio
import hmac
import random
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from worker.demo.tenants import TENANTS, Tenant

PORT = 8080
_STALL = 3.0  # seconds, longer than any tenant's time limit


class Receiver:
    """Endpoints at `url`/<tenant>.

    `accepted` counts how often each event was accepted, `failed` how many requests of each tenant
    failed: those with a wrong signature too.
    """

    def __init__(self, port: int) -> None:
        self.url: str = f"http://127.0.0.1:{port}"
        self.accepted: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._port = port
        self._attempts: Counter[str] = Counter()
        self._tenants = {tenant.name: tenant for tenant in TENANTS}

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1") -> AsyncIterator[None]:
        """Receive webhooks while the context lasts."""
        app = web.Application()
        app.router.add_post("/{tenant}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, self._port).start()
            yield
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        tenant = self._tenants.get(request.match_info["tenant"])
        if tenant is None:
            return web.Response(status=404)
        if not is_genuine(request.headers, await request.read(), tenant.secret):
            self.failed[tenant.name] += 1
            return web.Response(status=401, text="the signature does not fit")
        event = request.headers["webhook-id"]
        self._attempts[event] += 1
        return await self._answer(tenant, event, f"{event}:{self._attempts[event]}")

    async def _answer(self, tenant: Tenant, event: str, attempt: str) -> web.Response:
        shortest, longest = tenant.seconds
        luck = _share(attempt)
        if luck < tenant.stalling + tenant.failing:
            self.failed[tenant.name] += 1
            await asyncio.sleep(_STALL if luck < tenant.stalling else shortest)
            return web.Response(status=503)
        await asyncio.sleep(shortest + (longest - shortest) * _share(f"pace of {attempt}"))
        self.accepted[event] += 1
        return web.Response(status=204)


def is_genuine(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Return whether the signature is right by the Standard Webhooks specification."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    event, timestamp, signature = (headers.get(name, "") for name in names)
    signed = b".".join((event.encode(), timestamp.encode(), body))
    digest = hmac.digest(secret.encode(), signed, "sha256")
    return bool(event) and hmac.compare_digest(signature.encode(), b"v1," + b64encode(digest))


def _share(text: str) -> float:
    """Return a number from 0 to 1, always the same for the same text."""
    return random.Random(text).random()


async def _serve_for_ever(port: int) -> None:
    async with Receiver(port).listening("0.0.0.0"):  # noqa: S104 - in a container, for others
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
