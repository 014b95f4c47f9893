"""Settings of Hydra itself (`hydra.*`, `hydra/*`): those that a command uses, and what to type for the others."""

from __future__ import annotations

from asr.cli.overrides import SEARCH_PATH, TypedOverride
from asr.errors import ConfigError
from asr.packages import is_installed

_LAUNCHERS = {"joblib": "sweep"}
"""installed by an extra of this package"""
_PLUGINS = {
    "hydra/launcher": ("submitit_local", "submitit_slurm", "ray", "ray_aws", "rq"),
    "hydra/sweeper": ("ax", "nevergrad"),
}
"""installed by a package of its own"""
_MESSAGES = "messages are set by --verbose, --quiet and log=json"
_INSTEAD = {
    "hydra.run.dir": "the folder of a run is run_dir={value}",
    "hydra.run": "the folder of a run is run_dir=FOLDER",
    "hydra.job.chdir": "a command never changes the working directory, and paths are relative to it: leave it out",
    "hydra.output_subdir": "the settings of a run are in config.yaml of its run_dir: leave it out",
    "hydra/job_logging": _MESSAGES,
    "hydra/hydra_logging": _MESSAGES,
    "hydra.job_logging": _MESSAGES,
    "hydra.hydra_logging": _MESSAGES,
    "hydra.verbose": "type --verbose",
    "hydra.mode": "--multirun starts a sweep; without it, there is one run",
    "hydra.help": "type --help",
    "hydra/help": "type --help",
    "hydra.hydra_help": "type --help",
    "hydra/hydra_help": "type --help",
}
_OF_SWEEPS = ("hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra/sweeper", "hydra/launcher", "hydra/callbacks")


def refuse_hydra_setting(override: TypedOverride, command: str, *, multirun: bool) -> None:
    """Refuse a setting of Hydra that has no effect here, and say what to type or to install instead.

    Parameters
    ----------
    override : TypedOverride
        Any; one that is not for Hydra is accepted.
    command : str
    multirun : bool
        Whether the command is a sweep, which uses more of them.

    Raises
    ------
    ConfigError
    """
    name = override.name
    if not override.is_hydra or name == SEARCH_PATH:
        return
    text = override.text
    instead = next((_INSTEAD[one] for one in _INSTEAD if name == one or name.startswith(f"{one}.")), None)
    if name == "hydra.run.dir" and multirun:
        instead = "the folder of a sweep is hydra.sweep.dir={value}"
    elif name.startswith("hydra.run") and command != "train":
        instead = f"`asr {command}` has no run folder; `asr {command} --help` lists where it writes"
    if instead is not None:
        raise ConfigError(f"{text}: not used: {instead.format(value=override.value)}")
    if not multirun:
        if command != "train":
            raise ConfigError(
                f"{text}: not used: `asr {command}` has no setting {name!r}; of Hydra's it takes {SEARCH_PATH}"
            )
        if name.startswith(_OF_SWEEPS):
            raise ConfigError(f"{text}: this setting is for a sweep: add --multirun")
        raise ConfigError(f"{text}: not used: `asr {command}` has no setting {name!r} without --multirun")
    if name.startswith("hydra.sweeper.params"):
        raise ConfigError(f"{text}: values to try are typed key=a,b; hydra.sweeper.params is for files (conf/sweep)")
    option = (override.value or "").strip("'\"")
    if name == "hydra/launcher" and option in _LAUNCHERS and not is_installed(f"hydra_plugins.hydra_{option}_launcher"):
        extra = _LAUNCHERS[option]
        raise ConfigError(
            f"{text} needs a package that is not installed: pip install 'asr[{extra}]' "
            f"(in a clone of the repository: pip install '.[{extra}]')"
        )
    if option in _PLUGINS.get(name, ()):
        kind = name.partition("/")[2]
        plugin = f"hydra-{option.partition('_')[0]}-{kind}"
        if not is_installed(f"hydra_plugins.{plugin.replace('-', '_')}"):
            raise ConfigError(f"{text} needs a package that is not installed: pip install {plugin}")
