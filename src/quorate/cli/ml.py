"""What does `quorate ml` do?"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.words import align, clean_line, show_time
from quorate.errors import InvalidInput
from quorate.runtime import Runtime

if TYPE_CHECKING:
    from quorate.learning.drift import DriftReport
    from quorate.learning.examples import Case, Dataset
    from quorate.learning.model import Prediction
    from quorate.learning.registry import ModelVersion, Stages

MOST_BYTES = 64 << 20
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the model is called.")]
Version = Annotated[
    str, typer.Option("--version", "-v", metavar="VERSION", help="A number, staging, production or latest.")
]
Data = Annotated[Path | None, typer.Option("--data", metavar="FILE", help="Examples, as JSON, one a line.")]
Task = Annotated[
    str, typer.Option("--task", metavar="TASK", help="Learn from runs instead: routing, outcome or rating.")
]
Text = Annotated[str, typer.Option("--text", metavar="TEXT", help="The case in words.")]
Numbers = Annotated[
    list[str] | None, typer.Option("--feature", metavar="NAME=NUMBER", help="A number of the case; may be repeated.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about trained models."""
    group = typer.Typer(
        help="Train models on examples and on the record, keep, promote and watch them.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_models)
    group.command("show")(show)
    group.command("train")(train_model)
    group.command("promote")(promote)
    group.command("predict")(predict)
    group.command("drift")(drift)
    app.add_typer(group, name="ml")


def list_models(*, json: Json = False) -> None:
    """List the versions of all models, with the stages they are in."""
    from quorate.runtime.learning import open_registry

    async def work(runtime: Runtime) -> list[tuple[ModelVersion, list[str]]]:
        registry = open_registry(runtime)
        versions = await registry.list_versions()
        stages = {name: await registry.read_stages(name) for name in dict.fromkeys(one.name for one in versions)}
        return [(one, _list_stages(stages[one.name], one.version)) for one in versions]

    found = run_with_runtime(work)
    if json:
        say_json([{"stages": stages, "version": one} for one, stages in found])
        return
    rows = [
        (
            one.name,
            str(one.version),
            ", ".join(stages) or "–",
            f"{one.metrics.get('accuracy', 0.0) * 100:.1f} %",
            one.lineage.algorithm,
            one.lineage.how,
            show_time(one.created),
        )
        for one, stages in found
    ]
    head = ("model", "version", "stage", "right", "by", "with", "trained")
    say_all(align([head, *rows]) if rows else ["There are no models: `quorate ml train NAME --data FILE` trains one."])


def show(name: Name, *, version: Version = "latest", json: Json = False) -> None:
    """Show a version, its metrics, and where it is from."""
    from quorate.runtime.learning import open_registry

    async def work(runtime: Runtime) -> tuple[list[ModelVersion], Stages]:
        registry = open_registry(runtime)
        return await registry.trace(name, _read_version(version)), await registry.read_stages(name)

    versions, stages = run_with_runtime(work)
    if json:
        say_json({"lineage": versions, "stages": stages})
        return
    one = versions[0]
    rows = [
        ("model", f"{one.name} {one.version}"),
        ("stage", ", ".join(_list_stages(stages, one.version)) or "none"),
        ("trained", f"{show_time(one.created)} by {clean_line(one.by)}"),
        ("algorithm", f"{one.lineage.algorithm}, {one.lineage.how}"),
        ("examples", f"{one.lineage.examples} of {clean_line(one.lineage.source)}"),
        ("data", one.lineage.data),
        ("bytes", f"{one.size}, {one.digest}"),
        ("follows", ", ".join(str(other.version) for other in versions[1:]) or "none"),
        *((key, f"{value:.4f}") for key, value in one.metrics.items()),
    ]
    say_all(align(rows))


def train_model(
    name: Name,
    *,
    data: Data = None,
    task: Task = "",
    algorithm: Annotated[
        str, typer.Option("--algorithm", metavar="WORD", help="auto, bayes, logistic or forest.")
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of folds and draws.")] = 0,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who trains it.")] = "local",
    json: Json = False,
) -> None:
    """Train a model and keep it as the next version of its name; nothing uses it before it is promoted."""
    from quorate.cli.app import get_version
    from quorate.learning.registry import Lineage
    from quorate.learning.train import train
    from quorate.runtime.learning import gather_examples, open_registry

    if (data is None) == (not task):
        raise InvalidInput("A model is trained on examples or on runs: give `--data FILE` or `--task TASK`.")

    async def work(runtime: Runtime) -> ModelVersion:
        examples = await gather_examples(runtime, task) if data is None else await asyncio.to_thread(_read_data, data)
        training = await asyncio.to_thread(partial(train, examples, algorithm=algorithm, seed=seed))
        registry = open_registry(runtime)
        current = (await registry.read_stages(name)).current.get("production", 0)
        lineage = Lineage(
            data=examples.digest,
            source=examples.source,
            examples=len(examples.examples),
            algorithm=training.algorithm,
            parameters=training.parameters,
            seed=seed,
            how=training.model.how,
            code=get_version(),
            parents=(current,) if current else (),
        )
        return await registry.register(name, training, lineage, by=by)

    one = run_with_runtime(work)
    if json:
        say_json(one)
        return
    right, usual = one.metrics["accuracy"] * 100, one.metrics["baseline"] * 100
    say(f"Version {one.version} of {one.name}: {right:.1f} % right on examples it had not seen.")
    say(f"To say the commonest label always would be {usual:.1f} % right. {one.lineage.algorithm}, {one.lineage.how}.")
    say(f"Use it: quorate ml promote {one.name} {one.version} production")


def promote(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=0, help="Its number; 0 leaves the stage empty.")],
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="staging or production.")],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    at_least: Annotated[
        list[str] | None,
        typer.Option("--at-least", metavar="METRIC=NUMBER", help="Refuse below this, such as accuracy=0.8."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")] = "local",
    json: Json = False,
) -> None:
    """Put a version into a stage; to go back, promote the one of before."""
    from quorate.runtime.learning import open_registry

    least = _read_numbers(at_least or (), "--at-least")

    async def work(runtime: Runtime) -> Stages:
        return await open_registry(runtime).promote(name, version, stage, by=by, reason=reason, at_least=least)

    stages = run_with_runtime(work)
    if json:
        say_json(stages)
    else:
        before = stages.changes[-1].before
        say(f"{name}: version {version or 'none'} is in {stage} (before: {before or 'none'}).")


def predict(
    name: Name, *, text: Text = "", feature: Numbers = None, version: Version = "production", json: Json = False
) -> None:
    """Say what a case is, and how sure that is."""
    from quorate.learning.examples import Case
    from quorate.runtime.learning import open_registry

    case = Case(text=text, features=_read_numbers(feature or (), "--feature"))
    if not case.text.strip() and not case.features:
        raise InvalidInput("There is no case: give `--text TEXT`, `--feature NAME=NUMBER`, or both.")

    async def work(runtime: Runtime) -> Prediction:
        return (await open_registry(runtime).load(name, _read_version(version)))(case)

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    say(f"{found.label}  {found.confidence * 100:.1f} %  ({found.model} {found.version})")
    say_all(align([(label, f"{share * 100:.1f} %") for label, share in list(found.scores.items())[1:6]], indent="  "))


def drift(
    name: Name, *, data: Data = None, task: Task = "", version: Version = "production", json: Json = False
) -> int:
    """Say whether new cases still look like those that a model was trained on; exit code 1 when they do not."""
    from quorate.learning.drift import find_drift
    from quorate.runtime.learning import gather_examples, open_registry

    if (data is None) == (not task):
        raise InvalidInput("New cases are in a file or in runs: give `--data FILE` or `--task TASK`.")

    async def work(runtime: Runtime) -> DriftReport:
        predictor = await open_registry(runtime).load(name, _read_version(version))
        if data is not None:
            cases = await asyncio.to_thread(_read_cases, data)
        else:
            cases = [example.case for example in (await gather_examples(runtime, task)).examples]
        labels = [one.label for one in await asyncio.to_thread(predictor.predict_many, cases)]
        return await asyncio.to_thread(find_drift, predictor.model.reference, cases, labels)

    report = run_with_runtime(work)
    if json:
        say_json(report)
    else:
        rows = [("what", "moved by", "p", "drifted")]
        rows += [
            (clean_line(one.what), f"{one.index:.3f}", f"{one.p_value:.4f}", "yes" if one.drifted else "no")
            for one in report.moves
        ]
        say_all(align(rows))
        say("The cases look like others." if report.drifted else "The cases look like those it was trained on.")
    return 1 if report.drifted else 0


def _list_stages(stages: Stages, version: int) -> list[str]:
    return [stage for stage, number in stages.current.items() if number == version]


def _read_version(word: str) -> int | str:
    return int(word) if word.isascii() and word.isdigit() else word


def _read_numbers(given: list[str] | tuple[str, ...], option: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in given:
        name, equals, text = item.partition("=")
        try:
            found[name] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name or not abs(found[name]) < float("inf"):
            raise InvalidInput(f"`{option} {item}` is no number: write it like `{option} name=0.5`.")
    return found


def _read_lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{str(path)!r} has more than {MOST_BYTES} bytes: take a sample.")
    return data.split(b"\n")


def _read_data(path: Path) -> Dataset:
    from quorate.learning.examples import read_examples

    return read_examples(_read_lines(path), source=str(path))


def _read_cases(path: Path) -> list[Case]:
    """Read cases, which may have labels: those are left out."""
    from quorate.learning.examples import read_cases

    return read_cases(_read_lines(path), source=str(path))
