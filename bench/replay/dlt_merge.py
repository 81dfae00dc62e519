"""dlt's merge into SQLite by primary key; runs in the environment of `build/peers`, alone.

Usage: dlt_merge.py FOLDER INPUTS. Prints one JSON object.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER, INPUTS = Path(sys.argv[1]), Path(sys.argv[2])
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DLT_DATA_DIR": str(FOLDER / "dlt"),
    "DLT_PROJECT_DIR": str(FOLDER),
    "NORMALIZE__WORKERS": "1",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "25000",
}

import dlt  # type: ignore[import-not-found]  # noqa: E402
import orjson  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402


def main() -> None:
    found = {
        name: _taken(lambda file=file: _load(INPUTS / file))  # type: ignore[misc]
        for name, file in (
            ("first", "pages.parquet"),
            ("forced", "pages.parquet"),
            ("changed", "pages-changed.parquet"),
        )
    }
    print(json.dumps(found))


def _load(path: Path) -> None:
    def pages() -> Iterator[list[dict[str, Any]]]:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            for body in file.read_row_group(group, columns=["body"])["body"].to_pylist():
                yield orjson.loads(body)["records"]

    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(FOLDER / "pipelines"),
        destination=dlt.destinations.sqlalchemy(f"sqlite:///{FOLDER / 'dlt.db'}"),
        dataset_name="bench",
    )
    resource = dlt.resource(pages, name="fires", write_disposition="merge", primary_key="id")
    pipeline.run(resource())


def _taken(work: Callable[[], object]) -> dict[str, float]:
    started, computed = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_s": round(time.process_time() - computed, 3),
    }


if __name__ == "__main__":
    main()
