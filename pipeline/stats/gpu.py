"""What the GPUs of this machine do, sampled in a thread; needs NVML (`nvidia-ml-py`), else there are no samples."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_JOULES_PER_WH = 3600.0
_KEPT_SAMPLES = 10_000
"""A consumer that never drains costs some hundred kilobytes, not more."""


@dataclass(frozen=True, slots=True)
class GpuSample:
    """All GPUs of the run at one moment."""

    at: float
    """Seconds since 1970."""
    utilisation: float
    """Share of time with a kernel running, 0..1, mean over GPUs."""
    memory_used_bytes: int
    memory_total_bytes: int
    power_w: float | None
    energy_wh: float | None
    """Used since the sample before; None when the card reports neither energy nor power."""
    temperature_c: float | None = None
    """Of the hottest one."""


class GpuSampler:
    """Calls `read` every `interval_s` seconds in a daemon thread, until it returns None or `close`."""

    def __init__(self, name: str, read: Callable[[], GpuSample | None], *, interval_s: float = 2.0) -> None:
        self.name = name
        self.latest: GpuSample | None = None
        self.energy_wh: float | None = None
        """Used since the first sample; None when the cards do not say."""
        self._read = read
        self._interval_s = interval_s
        self._samples: deque[GpuSample] = deque(maxlen=_KEPT_SAMPLES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu-sampler", daemon=True)
        self._thread.start()

    def drain(self) -> list[GpuSample]:
        """Return the samples taken since the last call, oldest first."""
        # Only this thread takes out, so what was counted is still there.
        return [self._samples.popleft() for _ in range(len(self._samples))]

    def close(self) -> None:
        """End the thread; samples already taken can still be drained. A second call does nothing."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while (sample := self._read()) is not None:
            self._samples.append(sample)
            self.latest = sample
            if sample.energy_wh is not None:
                self.energy_wh = (self.energy_wh or 0.0) + sample.energy_wh
            if self._stop.wait(self._interval_s):
                return


def open_gpu_sampler(*, interval_s: float = 2.0) -> GpuSampler | None:
    """Return a running sampler of the GPUs that CUDA would use; None without NVML or a GPU."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except ImportError:
        return None
    except nvml.NVMLError:
        return None
    try:
        reader = _NvmlReader(nvml, _visible_devices(nvml))
    except nvml.NVMLError:
        _log.warning("no GPU figures: NVML does not know the devices of CUDA_VISIBLE_DEVICES", exc_info=True)
        return None
    return GpuSampler(reader.name, reader.read, interval_s=interval_s) if reader.name else None


def _visible_devices(nvml: Any) -> list[Any]:
    """Return NVML handles of the devices in CUDA_VISIBLE_DEVICES (indices or UUIDs), or of all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else [str(index) for index in range(nvml.nvmlDeviceGetCount())]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
        for name in (name.strip() for name in names)
        if name and name != "-1"
    ]


class _NvmlReader:
    """Adds up the figures of some devices."""

    def __init__(self, nvml: Any, devices: list[Any]) -> None:
        self._nvml = nvml
        self._devices = devices
        names = [nvml.nvmlDeviceGetName(device) for device in devices]
        self.name = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        self._last_at = time.time()
        self._last_joules = self._joules()

    def read(self) -> GpuSample | None:
        """Return a sample; None when a card went away: figures about it are not worth a run."""
        try:
            return self._sample()
        except self._nvml.NVMLError:
            _log.warning("GPU figures end here: NVML failed", exc_info=True)
            return None

    def _sample(self) -> GpuSample:
        nvml, now = self._nvml, time.time()
        memory = [nvml.nvmlDeviceGetMemoryInfo(device) for device in self._devices]
        busy = [nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100 for device in self._devices]
        power_w = self._sum(nvml.nvmlDeviceGetPowerUsage, 1e-3)
        sample = GpuSample(
            at=now,
            utilisation=sum(busy) / len(busy),
            memory_used_bytes=sum(int(info.used) for info in memory),
            memory_total_bytes=sum(int(info.total) for info in memory),
            power_w=power_w,
            energy_wh=self._energy_wh(now, power_w),
            temperature_c=self._temperature_c(),
        )
        self._last_at = now
        return sample

    def _energy_wh(self, now: float, power_w: float | None) -> float | None:
        """Return the energy since the last sample, by the cards' counters (Volta and later) or by power times time."""
        joules, before = self._joules(), self._last_joules
        self._last_joules = joules
        if joules is not None and before is not None and joules >= before:
            return (joules - before) / _JOULES_PER_WH
        return power_w * (now - self._last_at) / _JOULES_PER_WH if power_w is not None else None

    def _temperature_c(self) -> float | None:
        nvml = self._nvml
        try:
            return max(float(nvml.nvmlDeviceGetTemperature(one, nvml.NVML_TEMPERATURE_GPU)) for one in self._devices)
        except nvml.NVMLError:
            return None

    def _joules(self) -> float | None:
        return self._sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption, 1e-3)

    def _sum(self, figure: Callable[[Any], int], scale: float) -> float | None:
        try:
            return sum(figure(device) for device in self._devices) * scale
        except self._nvml.NVMLError:
            # Not every card and driver reports every figure.
            return None
