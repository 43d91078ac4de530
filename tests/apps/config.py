"""Handlers that show what a config item is to them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, field_validator
from typing_extensions import TypedDict

from worker import App, Retry, get_config

app = App()


class Shop(BaseModel):
    price: Decimal
    count: int = 5
    rates: list[float] = []
    logo: bytes = b""


class Secret(BaseModel):
    token: int
    mode: Literal["fast", "slow"] = "fast"


class Picky(BaseModel):
    code: str

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        if code == "bug":
            raise KeyError(code)
        raise ValueError(f"{code} will not do")


class Typed(TypedDict):
    a: int


@dataclass
class Plain:
    a: int = 3


@app.handler
async def show(config: Any) -> Any:
    return config


@app.handler
async def kinds(config: dict[str, Any]) -> Any:
    return {name: type(value).__name__ for name, value in config.items()}


@app.handler
async def whole(payload: str) -> Any:
    """The whole item, three times in a row."""
    return [await get_config(payload) for _ in range(3)]


@app.handler
async def scribble(config: dict) -> Any:  # type: ignore[type-arg]
    config["list"].append("scribbled")
    config["more"] = True
    item = await get_config("scribble")
    item["list"].append("scribbled")
    return config


@app.handler
async def shop(config: Shop) -> Any:
    return {"price": str(config.price), "count": config.count, "rates": config.rates}


@app.handler
async def logo(config: Shop) -> str:
    return config.logo.decode()


@app.handler
async def secret(config: Secret) -> None:
    pass


@app.handler
async def picky(config: Picky) -> None:
    pass


@app.handler
async def typed(config: Typed) -> int:
    return config["a"]


@app.handler
async def plain(config: Plain) -> int:
    return config.a


@app.handler
async def again(job: Any) -> None:
    raise Retry


@app.handler(max_attempts=3)
async def thrice(job: Any) -> None:
    raise Retry


@app.handler(backoff={"base": 1e6, "max": 1e6})
async def patient(job: Any) -> None:
    raise Retry


@app.handler
async def slow() -> None:
    await _for_ever()


@app.handler(timeout=0.2)
async def slow_by_decorator() -> None:
    await _for_ever()


@app.handler(result_ttl=2_000)
async def kept_by_decorator() -> None:
    pass


@app.handler
async def kept() -> None:
    pass


async def _for_ever() -> None:
    import anyio  # noqa: PLC0415 - a handler's own affair

    await anyio.sleep_forever()
