"""What of the user's pip and uv configuration reaches the installers, and what must not."""

import ast
import os
import re
import subprocess
from collections.abc import Mapping

# Where packages come from, who is trusted, and how the network is reached. All else (another Python,
# a target folder, a link mode) would make another environment than the one meant.
_CARRIED = re.compile(
    r"""
    UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_.+_(USERNAME|PASSWORD)|INDEX_STRATEGY|NO_INDEX
       |FIND_LINKS|KEYRING_PROVIDER|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|HTTP_TIMEOUT|HTTP_CONNECT_TIMEOUT
       |HTTP_RETRIES|REQUEST_TIMEOUT|OFFLINE|CACHE_DIR|NO_CACHE|CONFIG_FILE|NO_CONFIG|CONCURRENT_.+)
  | PIP_(INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|KEYRING_PROVIDER|CERT|CLIENT_CERT|PROXY|TRUSTED_HOST
        |DEFAULT_TIMEOUT|TIMEOUT|RETRIES|CACHE_DIR|NO_CACHE_DIR|CONFIG_FILE)
    """,
    re.VERBOSE,
)

# A setting of pip, the variables that would say the same to uv, and the one of them to set.
_TRANSLATED = (
    ("index-url", ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "UV_DEFAULT_INDEX"),
    ("extra-index-url", ("UV_INDEX", "UV_EXTRA_INDEX_URL"), "UV_INDEX"),
    ("no-index", ("UV_NO_INDEX",), "UV_NO_INDEX"),
    ("cert", ("SSL_CERT_FILE",), "SSL_CERT_FILE"),
    ("client-cert", ("SSL_CLIENT_CERT",), "SSL_CLIENT_CERT"),
    ("trusted-host", ("UV_INSECURE_HOST",), "UV_INSECURE_HOST"),
    ("proxy", ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"), "ALL_PROXY"),
)


def installer_environment(user: Mapping[str, str]) -> dict[str, str]:
    """Take the user's variables without those that would bend the installation.

    Args:
        user: the environment variables of the caller.

    Returns:
        Variables for pip and uv.
    """
    return {
        name: value
        for name, value in user.items()
        if not name.startswith(("PYTHON", "UV_", "PIP_", "VIRTUAL_ENV", "CONDA_")) or _CARRIED.fullmatch(name)
    }


def with_pip_configuration(environment: Mapping[str, str], python: str) -> dict[str, str]:
    """Tell uv what the user has told pip, wherever the user has not told uv itself.

    uv reads nothing of pip's; who has a mirror in pip.conf would be surprised by a try at PyPI.

    Args:
        environment: variables for the installers.
        python: path of the Python whose pip is asked; where it has none, nothing is added.

    Returns:
        The variables, with those of uv added.
    """
    settings = _pip_settings(environment, python)
    added = {
        variable: settings[setting]
        for setting, same, variable in _TRANSLATED
        if settings.get(setting) and not any(environment.get(name) for name in same)
    }
    if "find-links" in settings and not environment.get("UV_FIND_LINKS"):
        # pip passes over a folder that is not there, uv stops.
        places = [place for place in settings["find-links"].split() if "://" in place or os.path.isdir(place)]  # noqa: PTH112 - may be an address
        if places:
            added["UV_FIND_LINKS"] = ",".join(places)
    return {**environment, **added}


def _pip_settings(environment: Mapping[str, str], python: str) -> dict[str, str]:
    """Read pip's settings: its variables win over `install` of its files, that over `global`."""
    answer = subprocess.run(
        [python, "-I", "-m", "pip", "config", "list"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for line in answer.stdout.splitlines():
            match = re.fullmatch(section + r"\.([\w-]+)=('.*'|\".*\")", line)
            if match:
                found[match[1]] = str(ast.literal_eval(match[2]))
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return found
