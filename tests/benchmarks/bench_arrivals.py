"""What a look of the watcher costs: of a folder with everything read, and of a bucket.

    python -m tests.benchmarks.bench_arrivals                    # 1,000,000 files below TMPDIR; 50,000 objects
    python -m tests.benchmarks.bench_arrivals --files 10000 --objects 1000

The files are made as in bench_plan, all in one folder, and have rows in an output. The objects
lie in moto's S3 server, which is in this process and takes most of the time; what counts there
are requests and the client's own processor time.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from pipeline.arrivals import Arrivals
from pipeline.config import RunConfig
from tests.benchmarks.bench_plan import EXTRACTION, measured, write_files, write_parts

LOOKS = 3


def look(folder: str, output: str) -> str:
    """Look several times; return what each look took."""
    arrivals = Arrivals(RunConfig(input=folder, output=output, extraction=EXTRACTION))
    took: list[str] = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        waiting = arrivals.look()
        took.append(f"{time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    arrivals.look(())
    took.append(f"without listing {time.perf_counter() - started:.2f} s")
    return f"{waiting.documents:,} wait; looks: {', '.join(took)}"


class Counted:
    """moto's server, counting requests."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        self.requests = 0
        self._app = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
            "AWS_REGION": "us-east-1",
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Count a request and have it answered."""
        self.requests += 1
        return self._app(environ, start_response)


def look_at_bucket(num_objects: int) -> None:
    """Print what looks at a bucket cost."""
    from moto.s3.models import s3_backends

    logging.disable(logging.INFO)
    server = Counted()
    s3 = s3_backends["123456789012"]["aws"]
    s3.create_bucket("documents", "us-east-1")
    for number in range(num_objects):
        s3.put_object("documents", f"in/invoice-{number:09}.pdf", b"x")
    arrivals = Arrivals(RunConfig(input="s3://documents/in", output="s3://documents/out", extraction=EXTRACTION))
    hint = ("s3://documents/in/invoice-000000001.pdf",)
    hints: dict[str, Collection[str] | None] = {"listing": None, "listing again": None, "one hint": hint}
    for name, told in hints.items():
        server.requests, cpu_started = 0, time.thread_time()
        waiting = arrivals.look(told)
        cpu_s = time.thread_time() - cpu_started
        print(f"  {name}: {waiting.documents:,} wait, {server.requests} requests, {cpu_s:.2f} s of the client's CPU")


def main() -> None:
    """Print a line for the folder and three for the bucket."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=50_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, output = Path(scratch, "in"), Path(scratch, "out")
        write_files(folder, arguments.files, flat=True)
        write_parts(folder, output)
        print(f"{arguments.files:,} files in one folder, all read")
        print(" ", measured(look, folder, output), flush=True)
    print(f"{arguments.objects:,} objects")
    look_at_bucket(arguments.objects)


if __name__ == "__main__":
    main()
