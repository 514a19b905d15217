"""A report among what a trainer logs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ._program import InmergeError


def log_report(report: str | os.PathLike[str], logger: Any, step: int = 0) -> None:
    """Logs a report of `analyze` or `merge`: its numbers as scalars, its figures as images, and where the logger keeps files, all of it.

    `report` is the report's folder. `logger` is a TensorBoard `SummaryWriter`, a W&B run, the module `mlflow` within a run, or a Lightning
    logger around one of them. For the net and each layer the scalars are the greatest similarity, the median similarity to the nearest
    kernel, and the effective rank; the images are the net's figures, and each layer's similarity matrix if the report was made with
    `png="all"`.
    """
    folder = Path(report)
    try:
        numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        scalars, images = _scalars(numbers), _images(numbers, folder)
    except OSError as error:
        raise InmergeError(f"{folder} holds no report: {error.strerror} (report.json); make one with analyze") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InmergeError(f"{folder}/report.json is no report of this program; make one with analyze") from error
    run = getattr(logger, "experiment", logger)
    kind = _kind(run)
    if kind == "tensorboard":
        _to_tensorboard(run, scalars, images, step)
    elif kind == "wandb":
        _to_wandb(run, scalars, images, folder)
    elif kind == "mlflow":
        _to_mlflow(run, getattr(logger, "run_id", None), scalars, folder, step)
    else:
        raise InmergeError(f"{type(logger).__name__} is no logger that reports are known for: TensorBoard's SummaryWriter, a W&B run, mlflow")


def _scalars(numbers: dict[str, Any]) -> dict[str, float]:
    values: dict[str, float | None] = {"inmerge/net/max_similarity": numbers["net"]["max_similarity"]}
    for layer in numbers["layers"]:
        spread, spectrum = layer["nearest_spread"] or {}, layer["spectrum"] or {}
        values[f"inmerge/max_similarity/{layer['name']}"] = layer["max_similarity"]
        values[f"inmerge/median_nearest_similarity/{layer['name']}"] = spread.get("median")
        values[f"inmerge/effective_rank/{layer['name']}"] = spectrum.get("effective_rank")
    return {name: value for name, value in values.items() if value is not None}


def _images(numbers: dict[str, Any], folder: Path) -> dict[str, Path]:
    figures = {f"inmerge/{name}": path for name, path in numbers["figures"].items()}
    for layer in numbers["layers"]:
        if path := layer["figures"].get("similarity"):
            figures[f"inmerge/similarity/{layer['name']}"] = path
    pictures = {name: (folder / path).with_suffix(".png") for name, path in figures.items()}
    return {name: path for name, path in pictures.items() if path.is_file()}


def _kind(run: Any) -> str:
    if getattr(run, "__name__", "") == "mlflow" or type(run).__name__ == "MlflowClient":
        return "mlflow"
    if hasattr(run, "add_scalar") and hasattr(run, "add_image"):
        return "tensorboard"
    return "wandb" if type(run).__module__.split(".")[0] == "wandb" else ""


def _to_tensorboard(writer: Any, scalars: dict[str, float], images: dict[str, Path], step: int) -> None:
    import numpy
    from PIL import Image

    for name, value in scalars.items():
        writer.add_scalar(name, value, step)
    for name, path in images.items():
        with Image.open(path) as image:
            writer.add_image(name, numpy.asarray(image.convert("RGB")), step, dataformats="HWC")


def _to_wandb(run: Any, scalars: dict[str, float], images: dict[str, Path], folder: Path) -> None:
    import wandb

    # Without a step of its own: W&B refuses one that is less than the run's.
    run.log({**scalars, **{name: wandb.Image(str(path)) for name, path in images.items()}})
    artifact = wandb.Artifact(f"inmerge-report-{run.id}", type="report")
    artifact.add_dir(str(folder))
    run.log_artifact(artifact)


def _to_mlflow(to: Any, run: str | None, scalars: dict[str, float], folder: Path, step: int) -> None:
    place = f"inmerge/step-{step}"
    # MLflow takes no other characters in a name.
    scalars = {re.sub(r"[^\w\-./: ]", "_", name): value for name, value in scalars.items()}
    if run is None:
        to.log_metrics(scalars, step=step)
        to.log_artifacts(str(folder), place)
    else:
        for name, value in scalars.items():
            to.log_metric(run, name, value, step=step)
        to.log_artifacts(run, str(folder), place)
