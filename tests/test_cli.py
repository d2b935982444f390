"""The command's help names every setting, with its true default."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import newtond
from newtond import cli
from newtond.supervisor import UpSettings
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

OF_UP_ITSELF = {"redis_url"}


def documented() -> dict[str, str]:
    flags = {cli.variable(flag): default for flag, (_, default, _) in cli.FLAGS.items()}
    return flags | {name: default for name, (default, _) in cli.SETTINGS.items()}


@pytest.mark.parametrize("settings", [UpSettings, ServiceSettings, WorkerSettings])
def test_every_setting_is_in_the_help(settings: type[BaseSettings]) -> None:
    known = documented()
    for name, field in settings.model_fields.items():
        assert name.upper() in known
        if field.default is not PydanticUndefined and name not in OF_UP_ITSELF:
            assert known[name.upper()] == ("" if field.default is None else str(field.default)), name


def test_the_help_names_no_setting_that_is_not_there() -> None:
    fields = {
        name.upper() for each in (UpSettings, ServiceSettings, WorkerSettings) for name in each.model_fields
    }
    assert set(documented()) - fields == {"KERNEL_CACHE"}


def newtond_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("newtond"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_help_and_version() -> None:
    assert newtond_command("--version").stdout == f"newtond {newtond.__version__}\n"
    answer = newtond_command("--help")
    assert answer.returncode == 0
    assert all(f"NEWTOND_{name}" in answer.stdout for name in documented())
    assert max(map(len, answer.stdout.splitlines())) <= 120


@pytest.mark.parametrize("arguments", [(), ("fly",), ("worker", "--port", "1")])
def test_a_wrong_command_line_is_told_so(arguments: tuple[str, ...]) -> None:
    answer = newtond_command(*arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: newtond")
