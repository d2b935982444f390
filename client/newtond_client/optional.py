"""Packages that are imported where they are used, with a sentence where they are missing."""

import importlib
import importlib.util
from typing import Any

from newtond_client.errors import MissingPackage

DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def needed(module: str, purpose: str) -> Any:
    """Return a module; raises MissingPackage, which says what to install and what for."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        name = DISTRIBUTIONS.get(package, package)
        raise MissingPackage(f"{name} is needed {purpose}: pip install {name}") from error


def installed(module: str) -> bool:
    """Whether a package could be imported."""
    return importlib.util.find_spec(module) is not None
