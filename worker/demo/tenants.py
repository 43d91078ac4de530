"""The demo's tenants: their config items, and how their endpoints behave."""

from dataclasses import dataclass
from typing import Any

# A second for each attempt, and enough attempts to last until the edit half-way.
POLICY: dict[str, Any] = {
    "timeout": 1,
    "max_attempts": 30,
    "backoff": {"base": 0.5, "factor": 2, "max": 2},
}


@dataclass(frozen=True)
class Tenant:
    """One tenant. `story` says in a few words what is special about it.

    Its endpoint answers within `seconds` (from, to). Of its answers a share of `failing` (0 to 1)
    are 503, and a share of `stalling` come too late.
    """

    name: str
    deliveries: int
    story: str
    seconds: tuple[float, float] = (0.005, 0.03)
    failing: float = 0.02
    stalling: float = 0.0

    @property
    def secret(self) -> str:
        """Return the secret with which its endpoint checks signatures."""
        return f"secret-of-{self.name}"

    def item(self, receiver: str, **changes: Any) -> dict[str, Any]:
        """Return its config item, with its endpoint at the receiver's URL."""
        right = {
            "endpoint": f"{receiver}/{self.name}",
            "secret": self.secret,
            "version": 1,
            "policy": POLICY,
        }
        return {**right, **changes}


ACME = Tenant("acme", 800, "all is well")
GLOBEX = Tenant("globex", 500, "often answers 503", failing=1 / 6)
HOOLI = Tenant("hooli", 300, "slow, may stall", seconds=(0.2, 0.6), stalling=0.05)
INITECH = Tenant("initech", 300, "edited half-way")
UMBRELLA = Tenant("umbrella", 100, "its item is wrong")

TENANTS = (ACME, GLOBEX, HOOLI, INITECH, UMBRELLA)


def items(receiver: str) -> dict[str, dict[str, Any]]:
    """Return the items that the demo begins with. Those of two tenants are wrong."""
    right = {tenant.name: tenant.item(receiver) for tenant in TENANTS}
    return {
        **right,
        INITECH.name: INITECH.item(receiver, secret="the-secret-before"),  # noqa: S106 - the story
        UMBRELLA.name: UMBRELLA.item(receiver, endpoint="umbrella.example/hooks"),
    }
