"""Runs that are killed at every point and at any moment: nothing is lost, doubled, wrong, or read twice."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import points
from faults.campaign import Result, run_campaign
from faults.injections import COMMIT, IN_A_FOLDER, Injection, Killed, Signalled, schedule
from faults.points import POINTS, Bullet


def assert_nothing_lost(result: Result) -> None:
    """Say what was lost, if anything was."""
    assert result.faults == []
    assert result.inputs > 0


@pytest.mark.parametrize("name", POINTS)
def test_points_are_where_they_are_said_to_be(name: str) -> None:
    """A bullet at a point that nobody passes would prove nothing."""
    assert callable(points.found(POINTS[name].target))


def test_twenty_kills_lose_nothing() -> None:
    """The points around which rows become part of the output, before every change."""
    result = run_campaign(20, schedule(1, COMMIT))
    assert_nothing_lost(result)
    assert result.injected.total() >= 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_every_point_loses_nothing() -> None:
    """One round of the campaign of docs/reliability.md: every point from both sides, and signals at any moment."""
    number = 3 * len(IN_A_FOLDER)
    result = run_campaign(number, schedule(1))
    assert_nothing_lost(result)
    assert result.injected.total() >= number
    assert {kind.partition(": ")[2] for kind in result.injected} >= set(IN_A_FOLDER)
    assert result.read_again / number < 1, "a kill costs the pages that the engine was reading"


class Bucket:
    """An output in a bucket, copied here to be looked at."""

    def __init__(self, folder: Path, url: str, endpoint: str) -> None:
        self.location = f"{url}/{folder.name}"
        self._copy = folder / "copy"
        self._endpoint = endpoint

    def local(self) -> Path:
        """Return a fresh copy of all objects."""
        import boto3  # type: ignore[import-untyped]

        shutil.rmtree(self._copy, ignore_errors=True)
        s3 = boto3.resource("s3", endpoint_url=self._endpoint, region_name="us-east-1")
        prefix = self.location.rpartition("/")[2]
        for found in s3.Bucket("documents").objects.filter(Prefix=prefix):
            path = self._copy / found.key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.get()["Body"].read())
        s3.meta.client.close()
        return self._copy


def in_a_bucket(seed: int) -> Iterator[Injection]:
    """Yield kills around the puts of a bucket, and at any moment."""
    dice = random.Random(seed)
    while True:
        yield Killed(Bullet("put an object", dice.choice(("before", "after")), dice.randint(1, 6)))
        yield Signalled(signal.SIGKILL, "the run", dice.uniform(0, 2))


@pytest.mark.slow
def test_kills_lose_nothing_in_a_bucket(bucket: str, s3_server: str) -> None:
    """A bucket has no renames and no kernel locks; the promise is the same."""
    result = run_campaign(12, in_a_bucket(1), lambda folder: Bucket(folder, bucket, s3_server), lanes=1)
    assert_nothing_lost(result)
