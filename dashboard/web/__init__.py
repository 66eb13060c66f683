"""Door 1: HTML. Each module is a page family and exposes `blueprint`; new modules are found automatically."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from flask import Blueprint


def blueprints() -> Iterator[Blueprint]:
    """The blueprint of each module of this package that has one, by module name."""
    for module in sorted(iter_modules(__path__), key=lambda found: found.name):
        blueprint = getattr(import_module(f"{__name__}.{module.name}"), "blueprint", None)
        if isinstance(blueprint, Blueprint):
            yield blueprint
