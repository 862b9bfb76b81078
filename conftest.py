"""Loads the plugin that runs feature files, and every module of steps."""

import pkgutil

import steps

pytest_plugins = [
    "harness.plugin",
    *(f"steps.{module.name}" for module in pkgutil.iter_modules(steps.__path__)),
]
