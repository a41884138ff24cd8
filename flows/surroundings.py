"""What every program of flows finds around it: Prefect's server, and what holds unless somebody says otherwise."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL

from pipeline.errors import ConfigError
from pipeline.settings import Setting

SETTLED = Setting("input_files.settle_s", 10, "default of flows")
"""Nobody watches a night begin, so what may still be arriving is left alone."""


def server_url() -> str:
    """Return the address of Prefect's API.

    Raises:
        ConfigError: none is set; Prefect would start a server of its own then.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(
            "PREFECT_API_URL is not set. Start `prefect server start` and say where it is, such as "
            "PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    return str(url)
