"""What is scored where: the job a worker gets, and its result."""

from __future__ import annotations

from dataclasses import dataclass

from flash.proxies.images import Images
from flash.spaces.network import Network

__all__ = ["Job", "Result", "Setting", "perform"]


@dataclass(frozen=True)
class Setting:
    """What all jobs of a run have in common; see ``score_network``."""

    seed: int = 0
    batch: int | None = None
    device: str = "cpu"
    data: Images | None = None

    @property
    def digest(self) -> str:
        """What identifies the images in caches; "" for random ones."""
        return "" if self.data is None else self.data.digest


@dataclass(frozen=True)
class Job:
    """One network and the proxies it still lacks; ``number`` says which network it is."""

    number: int
    network: Network
    names: tuple[str, ...]


#: By proxy: the score (None where there is none), the reason, seconds.
Result = dict[str, tuple[float | None, str, float]]


def perform(setting: Setting, job: Job) -> Result:
    """Score the job's network."""
    from flash.proxies import score_network  # noqa: PLC0415 (the parent may do without PyTorch)

    scores = score_network(
        job.network,
        job.names,
        seed=setting.seed,
        batch=setting.batch,
        device=setting.device,
        data=setting.data,
    )
    return {
        name: (
            None if name in scores.failures else value,
            scores.failures.get(name, ""),
            scores.seconds[name],
        )
        for name, value in scores.items()
    }
