"""Settings that Ray reads from the environment, some of them when it is imported.

A value that the user has set is not changed, except the one that keeps Ray from starting here.
"""

from __future__ import annotations

import os
from pathlib import Path

_SETTINGS = {
    # Ray's progress output would overwrite ours.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_THRESHOLD_S": "1000000",
    # gansearch records the results; the default loggers would double the cost of a report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Most results of a trial carry its progress only, without a metric.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The driver handles SIGINT and SIGTERM itself.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # It would abort the process at a SIGTERM, in place of ours.
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
    # How long to wait for a worker that hangs at the end; the default is ten minutes.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    # Workers resolve relative paths as the driver does.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Under `uv run`, workers would otherwise rebuild their environment.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def apply() -> None:
    """Set what the user has not set; must be called before Ray is imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # It would make every connection one of Ray Client's, which knows no Tune.
    os.environ.pop("RAY_CLIENT_MODE", None)
    # As `ray start --head` does; otherwise joining a cluster would need the setting.
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def has_token() -> bool:
    """Return whether Ray would find a token in the places where it searches."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    try:
        return (Path.home() / ".ray" / "auth_token").is_file()
    except RuntimeError:  # a user without a home directory, as in some containers
        return False
