"""The pytest plugin: fixtures for tests of an app on real servers, and no Docker.

It does nothing until a test asks for a fixture, so all else is imported within them. `worker` is an
async fixture of anyio's plugin, or of pytest-asyncio in its auto mode.

It stands outside of the package, since pytest imports it in every test run wherever the package is
installed. There `worker` may be a module of the user's own.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from worker.app import App
    from worker.demo.servers import Servers
    from worker.settings import Settings
    from worker.testing import RunningWorker

# What leads botocore elsewhere than to the embedded servers, or to other credentials.
_AWS_ELSEWHERE = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"),
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
)


def _forget_aws(patch: pytest.MonkeyPatch) -> None:
    for name in _AWS_ELSEWHERE:
        patch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def worker_servers() -> Iterator["Servers"]:
    """An embedded Valkey and DynamoDB, for the session.

    They need the `demo` extra. `worker_servers.environment` has the variables that lead to them.
    """
    from worker.demo.servers import embedded_servers
    from worker.errors import StartupError

    servers, problem = None, ""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            _forget_aws(patch)  # the embedded DynamoDB reads them too
            try:
                servers = stack.enter_context(embedded_servers())
            except StartupError as error:
                problem = str(error)
        if servers is None:
            pytest.fail(problem, pytrace=False)
        yield servers


@pytest.fixture
def worker_app() -> NoReturn:
    """The app that the fixture `worker` runs: a test suite overrides this fixture with its own."""
    pytest.fail(
        "override the fixture 'worker_app', in conftest.py for example, with one that returns your "
        "worker.App",
        pytrace=False,
    )


@pytest.fixture
def _worker_settings(
    worker_servers: "Servers", request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Settings":
    """The settings of the environment, on the embedded servers."""
    from worker.settings import Settings

    _check_who_runs(request)
    _forget_aws(monkeypatch)
    # An edit of an item is seen by the next job, and a bad one is a failure that the test sees.
    seen_at_once = {"WORKER_CONFIG_TTL": "0", "WORKER_CONFIG_INVALID": "bury"}
    for name, value in {**worker_servers.environment, **seen_at_once}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def _check_who_runs(request: pytest.FixtureRequest) -> None:
    """Skip the test on Trio. Fail it where it would run in another event loop than its worker."""
    is_anyio_s = "anyio_backend" in request.fixturenames
    if is_anyio_s and request.getfixturevalue("anyio_backend_name") != "asyncio":
        pytest.skip("the worker runs on asyncio: let the fixture 'anyio_backend' return 'asyncio'")
    if is_anyio_s and request.node.get_closest_marker("asyncio") is not None:
        pytest.fail(
            "pytest-asyncio would run this test in another event loop than its worker: leave "
            "'pytest.mark.asyncio' out, as a test that asks for 'worker' needs no mark; or where "
            "asyncio_mode is 'auto', leave out 'pytest.mark.anyio' and 'anyio_backend'",
            pytrace=False,
        )


@pytest.fixture
async def worker(
    _worker_settings: "Settings",
    worker_app: "App",
    anyio_backend: object,  # noqa: ARG001 - so that anyio's plugin runs this, and the test
) -> AsyncIterator["RunningWorker"]:
    """A worker of `worker_app` in this process, with empty queues and an empty config table.

    The environment leads to its servers meanwhile, so that clients of the code under test do too.
    """
    async with _running(worker_app, _worker_settings) as running:
        yield running


@asynccontextmanager
async def _running(app: "App", settings: "Settings") -> AsyncIterator["RunningWorker"]:
    from worker.testing import RunningWorker
    from worker.testing.fresh import empty_servers

    await empty_servers(settings)
    async with RunningWorker(app, settings) as running:
        yield running


class _OfPytestAsyncio:
    """Takes the place of `worker` where pytest-asyncio runs all that is async."""

    @pytest.fixture
    async def worker(
        self, _worker_settings: "Settings", worker_app: "App"
    ) -> AsyncIterator["RunningWorker"]:
        """A worker of `worker_app` in this process, with empty queues and an empty config table."""
        from worker.testing.own_task import in_own_task

        async with in_own_task(_running(worker_app, _worker_settings)) as running:
            yield running


def pytest_configure(config: pytest.Config) -> None:
    """Leave `worker` to pytest-asyncio if it is in auto mode."""
    if config.pluginmanager.has_plugin("asyncio"):
        mode = config.getoption("asyncio_mode", None) or config.getini("asyncio_mode")
        if mode == "auto":
            config.pluginmanager.register(_OfPytestAsyncio(), "worker-of-pytest-asyncio")
