"""Curves and samples of a training for TensorBoard: `tensorboard --logdir runs`."""

from __future__ import annotations

import importlib.util
import math
import time
from pathlib import Path
from typing import Any

from charloom import api
from charloom.errors import MissingExtraError, UsageError
from charloom.training import events as happened

FOLDER = "tensorboard"


def require() -> None:
    """Raises MissingExtraError where tensorboard is not installed: before anything long is begun."""
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("--tensorboard", "tensorboard")


class Board:
    """Writes into the run's folder `tensorboard`. Raises UsageError where the library cannot."""

    def __init__(self, run: Path) -> None:
        try:
            str(run).encode("utf-8")
        except UnicodeEncodeError as error:
            told = "--tensorboard needs a folder whose name is UTF-8; choose another --out"
            raise UsageError(f"{run}: {told}") from error
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(run / FOLDER))

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.close()

    def take(self, event: Any) -> None:
        """Write what an event tells at its step."""
        match event:
            case happened.Stepped():
                self._number("loss/training, bits", event.loss / math.log(2), event.step)
                self._number("characters a second", event.characters / max(event.seconds, 1e-9), event.step)
            case happened.Evaluated():
                self._number("loss/held out, bits", event.nats / math.log(2), event.step)
                self._number("rate", event.rate, event.step)
            case api.Sampled():
                self._text("sample", event.sample.prompt + event.sample.text, event.step)

    def _number(self, name: str, value: float, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        if math.isfinite(value):
            self._write(Summary(value=[Summary.Value(tag=name, simple_value=value)]), step)

    def _text(self, name: str, text: str, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto

        indented = "".join(f"    {line}\n" for line in text.splitlines())  # Markdown for: as it stands
        data = [indented.encode("utf-8", "backslashreplace")]
        tensor = TensorProto(dtype="DT_STRING", string_val=data, tensor_shape={"dim": [{"size": 1}]})
        kind = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._write(Summary(value=[Summary.Value(tag=name, metadata=kind, tensor=tensor)]), step)

    def _write(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
