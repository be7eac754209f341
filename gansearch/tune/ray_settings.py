"""Settings that Ray reads from the environment, some of them when it is imported.

Values that the user has set are replaced: they were set for other programs, and with some of them a
search can't run.
"""

from __future__ import annotations

import os
import warnings
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
# Of Ray and Tune, for other programs of the user's: with some of them no trial would start, and
# Tune raises an error for its old ones.
_OF_OTHER_PROGRAMS = (
    "RAY_CLIENT_MODE",  # every connection would be one of Ray Client's, which knows no Tune
    *("RAY_AIR_LOCAL_CACHE_DIR", "RAY_TUNE_CALLBACKS", "TUNE_DISABLE_AUTO_INIT"),
    *("TUNE_DISABLE_DATED_SUBDIR", "TUNE_FUNCTION_THREAD_TIMEOUT_S", "TUNE_GLOBAL_CHECKPOINT_S"),
    *("TUNE_MAX_LEN_IDENTIFIER", "TUNE_MAX_PENDING_TRIALS_PG", "TUNE_PLACEMENT_GROUP_PREFIX"),
    *("TUNE_PLACEMENT_GROUP_RECON_INTERVAL", "TUNE_RESTORE_RETRY_NUM", "TUNE_RESULT_BUFFER_LENGTH"),
    *("TUNE_RESULT_BUFFER_MAX_TIME_S", "TUNE_RESULT_BUFFER_MIN_TIME_S", "TUNE_RESULT_DELIM"),
    *("TUNE_RESULT_DIR", "TUNE_STATE_REFRESH_PERIOD", "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S"),
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S_AUTOSCALER",
)


def apply() -> None:
    """Prepare the environment; must be called before Ray is imported."""
    override()
    # tqdm, which Ray imports, asks in a notebook for a package that nothing here draws with.
    warnings.filterwarnings("ignore", message="IProgress not found")
    # As `ray start --head` does; otherwise joining a cluster would need the setting.
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def override() -> None:
    """Set what a run needs and drop what is for others, also if it was set after the import."""
    os.environ.update(_SETTINGS)
    for name in _OF_OTHER_PROGRAMS:
        os.environ.pop(name, None)


def has_token() -> bool:
    """Return whether Ray would find a token in the places where it searches."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    try:
        return (Path.home() / ".ray" / "auth_token").is_file()
    except RuntimeError:  # a user without a home directory, as in some containers
        return False
