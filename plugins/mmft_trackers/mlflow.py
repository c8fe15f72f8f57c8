"""MLflow: a database beside the runs, or a server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

# Nobody but the server that the user names is told of a run, and one that is away is not waited for
# for minutes. Read by MLflow when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mmft_core.contracts import Ending, Record, RunStart
from mmft_core.errors import ConfigError, first_line
from mmft_core.utils import quieted, read_record, write_json
from mmft_trackers.options import MlflowOptions
from mmft_trackers.tracker import Tracker

_BATCH = 100
"""Parameters or metrics per request; MLflow takes more metrics than that."""
_SECONDS = 10.0
"""After so long metrics are sent although there is no evaluation."""
_LONGEST = 6000
"""Longest value of a parameter, in characters."""
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowTracker(Tracker):
    """Scalars as metrics, settings as parameters, report and model card as artifacts."""

    name = "mlflow"
    options: MlflowOptions

    def check(self, run: RunStart) -> None:
        if self.options.uri is None:
            return
        try:
            client = MlflowClient(tracking_uri=self.options.uri)
            client.get_experiment_by_name(self.options.experiment)
        except Exception as error:
            raise ConfigError(
                f"MLflow cannot be used at callback.mlflow.uri = '{self.options.uri}': "
                f"{first_line(error)}.",
                hint="Start its server or correct the address; if it is unset, a database beside "
                "the run is used.",
            ) from None

    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, logged: Sequence[Record]
    ) -> str:
        # Without the news of tables that are made.
        with quieted("mlflow", "alembic"), self._store() as (uri, artifacts):
            self.client = MlflowClient(tracking_uri=uri)
            experiment = self.client.get_experiment_by_name(self.options.experiment)
            number = (
                experiment.experiment_id
                if experiment is not None
                else self.client.create_experiment(self.options.experiment, artifacts)
            )
        tags = {"mlflow.runName": self.identity.name, "path": str(self.identity.path)}
        if self.identity.whole is not None:
            tags |= {
                "group": self.identity.whole.name,
                MLFLOW_PARENT_RUN_ID: self._parent(number, self.identity.whole),
            }
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()
        self.id = earlier or self.client.create_run(number, tags=tags).info.run_id
        if earlier is None:
            self._log_settings(settings)
        else:
            self.client.log_batch(self.id, tags=[RunTag(k, v) for k, v in tags.items()])
            self.client.update_run(self.id, status="RUNNING")
        return self.id

    def _parent(self, experiment: str, whole: Path) -> str:
        """The run under which all of a sweep or cross-validation are shown. It holds nothing.

        Several processes may want to make it, which only one may do.
        """
        file = whole / "tracking.json"
        with FileLock(whole / "tracking.lock"):
            if not file.exists():
                tags = {"mlflow.runName": whole.name, "path": str(whole)}
                parent = self.client.create_run(experiment, tags=tags).info.run_id
                self.client.set_terminated(parent)
                write_json(file, {self.name: parent})
            return str(read_record(file)[self.name])

    def known(self) -> Mapping[str, int]:
        steps = {}
        for name in self.client.get_run(self.id).data.metrics:
            steps[name] = max(m.step for m in self.client.get_metric_history(self.id, name))
        return steps

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in scalars.items()]
        if time.monotonic() - self._flushed > _SECONDS:
            self.flush()

    def flush(self) -> None:
        while self._waiting:
            self.client.log_batch(self.id, metrics=self._waiting[:_BATCH])
            del self._waiting[:_BATCH]
        self._flushed = time.monotonic()

    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        self.flush()
        for file in files:
            self.client.log_artifact(self.id, str(file))
        self.client.set_tag(self.id, "ending", ending)
        self.client.set_terminated(self.id, _STATUS[ending])

    def _log_settings(self, settings: Mapping[str, Any]) -> None:
        params = [Param(name, str(value)[:_LONGEST]) for name, value in settings.items()]
        for start in range(0, len(params), _BATCH):
            self.client.log_batch(self.id, params=params[start : start + _BATCH])

    @contextmanager
    def _store(self) -> Iterator[tuple[str, str | None]]:
        """The store's address, and where files go in a new one of ours.

        Several processes may want to make it, which only one may do.
        """
        if self.options.uri is not None:
            yield self.options.uri, None
            return
        folder = self.identity.store / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "store.lock"):
            yield f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
