"""An app whose handlers are enqueued by their functions."""

from typing import Any

from pydantic import BaseModel

from worker import App

app = App()
other = App()


class Image(BaseModel):
    """A payload."""

    url: str
    width: int = 100


@app.handler
async def resize(payload: Image, config: dict[str, Any]) -> dict[str, Any]:
    return {"url": payload.url, "width": payload.width, "config": config}


@app.handler("images.crop")
def crop(payload: Image) -> str:
    return payload.url


@app.handler
async def tidy(config: dict[str, Any]) -> int:
    return len(config)


class Mailer:
    """A handler may be a method."""

    def send(self, payload: str) -> str:
        return payload


mailer = Mailer()
app.handler("mail")(mailer.send)


@other.handler("twice")
@app.handler("once")
def len_of(payload: str) -> int:
    return len(payload)


async def unregistered(payload: Image) -> str:
    return payload.url
