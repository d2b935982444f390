"""What each command of ``newtonctl`` does; each returns the exit status."""

import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from newtond_client import Client, Fit, Job, formula
from newtond_client import verify as verifier
from newtond_client.ctl import files, screen
from newtond_client.errors import Interrupted, InvalidInput
from newtond_client.models import TraceRecord
from newtond_client.predict import FUNCTIONS

DONE, NOT_CONVERGED, DOES_NOT_HOLD = 0, 3, 4


def solve(client: Client, asked: Namespace) -> int:
    """Submit, and unless told otherwise wait, show and write the answer."""
    kind, options = _request(asked)
    if asked.plan:
        plan = client.plan(kind, **options)
        screen.say_json(plan) if asked.json else print(screen.table(("plan", ""), screen.plan_rows(plan)))
        return DONE
    job = client.submit(kind, **options)
    if asked.no_wait:
        screen.say_json(job.state) if asked.json else print(job.id)
        return DONE
    if asked.watch:
        _follow(job, asked)
    fit = job.wait(progress=False if asked.watch or asked.json else None)
    return _show(fit, asked)


def _request(asked: Namespace) -> tuple[str, dict[str, Any]]:
    """Return the kind and the options; exp, cosh and sinh are short for hyperbolic with that function."""
    options: dict[str, Any] = dict(map(files.pair, asked.option)) | dict(map(files.named_array, asked.array))
    kind = asked.kind
    if kind in FUNCTIONS:
        kind, options["function"] = "hyperbolic", kind
    options |= {"tags": asked.tag} if asked.tag else {}
    return kind, options | _data(asked)


def _data(asked: Namespace) -> dict[str, Any]:
    given = asked.data
    if asked.formula is not None:
        if len(given) != 1 or not files.is_table(given[0]):
            raise InvalidInput("A formula chooses the columns of one table, .csv or .parquet.")
        return files.of_formula(formula.parse(asked.formula), given[0])
    if any(files.is_table(path) for path in given):
        raise InvalidInput("Say which columns of the table are what: --formula 'y ~ a + C(b)'.")
    if len(given) > 2:
        raise InvalidInput("There are at most two files, A and b; name others by --array NAME=FILE.")
    return dict(zip(("A", "b"), map(files.array, given), strict=False))


def _show(fit: Fit, asked: Namespace) -> int:
    if asked.name is not None and asked.name not in fit.arrays:
        raise InvalidInput(f"{fit.id} has no array {asked.name}; it has {', '.join(fit.arrays)}.")
    if asked.output is not None:
        files.write_array(fit.arrays[asked.name] if asked.name else fit.x, asked.output)
    if asked.json:
        screen.say_json(_document(fit, asked.name))
    elif asked.output is None and asked.name:
        files.write_array(fit.arrays[asked.name], None)
    else:
        print(fit.summary())
    return DONE if fit.converged else NOT_CONVERGED


def _document(fit: Fit, name: str | None) -> dict[str, Any]:
    document = {"job": fit.job, "result": fit.result, "coefficients": _plain(fit.coefficients)}
    return document | ({"arrays": {name: fit.arrays[name].tolist()}} if name is not None else {})


def _plain(coefficients: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: getattr(value, "tolist", lambda value=value: value)() for name, value in coefficients.items()
    }


def result(client: Client, asked: Namespace) -> int:
    """Show the answer of a job that has ended, or write one of its arrays."""
    return _show(client.job(asked.job).result(), asked)


def jobs(client: Client, asked: Namespace) -> int:
    """List jobs, newest first."""
    found = list(islice(client.jobs(asked.status, asked.tag), asked.limit))
    if asked.json:
        screen.say_json(found)
    else:
        print(
            screen.table(("job", "kind", "status", "iteration", "loss", "tags"), map(screen.job_row, found))
        )
    return DONE


def batches(client: Client, asked: Namespace) -> int:
    """List batches, newest first."""
    found = list(islice(client.batches(asked.finished, asked.tag), asked.limit))
    if asked.json:
        screen.say_json(found)
    else:
        print(screen.table(("batch", "kind", "varies", "members", "tags"), map(screen.batch_row, found)))
    return DONE


def watch(client: Client, asked: Namespace) -> int:
    """Show a job's iterations as they come, until it has ended."""
    job = client.job(asked.job)
    _follow(job, asked)
    return DONE if job.state["status"] == "succeeded" else NOT_CONVERGED


def _follow(job: Job, asked: Namespace) -> None:
    live = None if asked.json else screen.Live(job.state)
    try:
        with closing(job.trace()) as records:  # type: ignore[type-var]
            for record in records:
                _say(job, record, live)
    except KeyboardInterrupt:
        raise Interrupted(job.id) from None
    ended = job.refresh()
    if live is not None:
        live.end(ended)


def _say(job: Job, record: TraceRecord, live: screen.Live | None) -> None:
    if live is None:
        screen.say_json(record)
        return
    if live.job["status"] == "queued":
        live.job = job.refresh()
    live.add(record)


def trace(client: Client, asked: Namespace) -> int:
    """Print the iterations so far, or with --json a line of JSON each."""
    records = client.job(asked.job).records()
    if asked.json:
        for record in records:
            screen.say_json(record)
    else:
        print(screen.table(screen.HEAD, map(screen.cells, records)))
        print("|gradient| " + screen.sparkline([record.get("gradient_norm") for record in records], 60))
    return DONE


def cancel(client: Client, asked: Namespace) -> int:
    """Ask jobs to stop."""
    for job_id in asked.job:
        state = client.job(job_id).cancel()
        goes_on = ", to be cancelled" if state["status"] in ("queued", "running") else ""
        screen.say_json(state) if asked.json else print(f"{job_id}: {state['status']}{goes_on}")
    return DONE


def arrays(client: Client, asked: Namespace) -> int:
    """Upload, look at or delete arrays."""
    if asked.action == "delete":
        for array_id in asked.names:
            client.delete_array(array_id)
            screen.say_json({"deleted": array_id}) if asked.json else print(f"{array_id}: deleted")
        return DONE
    names = asked.names
    ids = [client.upload(Path(name)) for name in names] if asked.action == "upload" else names
    infos = [client.array(array_id) for array_id in ids]
    if asked.json:
        screen.say_json(infos)
    else:
        rows = [
            (info["id"], info["format"], "x".join(map(str, info["shape"])), info["nnz"]) for info in infos
        ]
        print(screen.table(("array", "format", "shape", "nonzeros"), rows))
    return DONE


def problems(client: Client, asked: Namespace) -> int:
    """List what can be solved, or describe one kind."""
    if asked.kind is not None:
        entry = client.problem(asked.kind)
        if asked.json:
            screen.say_json(entry)
            return DONE
        print(f"{entry['kind']}: {entry['title']}\n\n{entry['formula']}\n")
        print(screen.table(("symbol", "meaning"), entry["symbols"].items()))
        print(f"\n{entry['reference']}")
        return DONE
    found = client.problems()
    if asked.json:
        screen.say_json(found)
    else:
        print(screen.table(("kind", "title", "arrays"), screen.catalogue_rows(found)))
    return DONE


def predict(client: Client, asked: Namespace) -> int:
    """Have the server predict new rows from a job's answer."""
    values = client.predict(asked.job, **_new_rows(client, asked))
    if asked.output is not None:
        files.write_array(values, asked.output)
    if asked.json:
        screen.say_json(values.tolist())
    elif asked.output is None:
        files.write_array(values, None)
    else:
        print(f"{asked.output}: {len(values)} predictions")
    return DONE


def _new_rows(client: Client, asked: Namespace) -> dict[str, Any]:
    """Return the new arrays by name; the columns of a table are those that the job's coefficients are named after."""
    given = dict(map(files.named_array, asked.array))
    if asked.groups is not None:
        given["groups"] = files.array(asked.groups)
    if asked.A is not None:
        is_table = files.is_table(asked.A)
        names = client.job(asked.job).result().names if is_table else []
        given["A"] = files.columns(asked.A, names) if is_table else files.array(asked.A)
    return given


def verify(client: Client, asked: Namespace) -> int:
    """Check a job's evidence against your own files, by the verifier that came with this client."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(asked.bundle or Path(directory) / "bundle.zip")
        client.job(asked.job).bundle(path)
        given = dict(zip(("A", "b"), asked.data, strict=False)) | dict(map(_named, asked.array))
        inputs = {name: files.canonical_file(file, Path(directory) / name) for name, file in given.items()}
        with redirect_stdout(sys.stderr):
            faults, unchecked = _checked(path, inputs, asked.seal)
    if asked.json:
        screen.say_json({"faults": faults, "unchecked": unchecked})
    else:
        lines = [*(f"FAILED {each}" for each in faults), *(f"not checked: {each}" for each in unchecked)]
        print(
            "\n".join([*lines, "failed" if faults else "held, as far as it was checked" if lines else "held"])
        )
    return DOES_NOT_HOLD if faults else NOT_CONVERGED if unchecked else DONE


def _checked(path: Path, inputs: dict[str, Path], seal: str | None) -> tuple[list[str], list[str]]:
    try:
        faults, unchecked = verifier.check(path, inputs, seal)  # type: ignore[no-untyped-call]
    except (KeyError, ValueError, OSError, BadZipFile) as error:
        return [f"damaged: {type(error).__name__}: {error}"], []
    return list(faults), list(unchecked)


def _named(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign:
        raise InvalidInput(f"{text!r} is not NAME=FILE.")
    return name, path


def complain(error: BaseException) -> None:
    """Say what went wrong, on standard error."""
    print(f"newtonctl: {error}", file=sys.stderr)
