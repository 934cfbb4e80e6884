"""The settings of a preset as flags, in groups: run, task, network, learner, outer step, evaluation.

A setting has one name in every command, in a configuration file and in Python: ``inner_steps``,
``evaluation.steps``. Its flag is ``--inner-steps``, ``--evaluation.steps``. Values are checked only when
all flags are read, since one may depend on another.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import tyro

from minimeta.cli.options import Flag, Options, flags_of, form, read
from minimeta.training.presets import Preset

NETWORK = (
    *("network", "hidden", "activation", "filters", "downsampling", "pool_padding", "readout", "scale"),
    *("initialiser", "sees_goal"),
)
OUTER_STEP = (
    *("learning_rate", "final_step", "largest_element", "largest_gradient", "outer_step_size"),
    *("outer", "bound", "curvature"),
)
"""The settings of these two groups; the others are in the group of their part of the preset."""

GROUPS = ("run", "task", "network", "learner", "outer_step", "evaluation")


def group_of(part: str, setting: str) -> str:
    """Return the group of a setting, by the part of the preset that it is in."""
    if setting in NETWORK:
        return "network"
    return "outer_step" if setting in OUTER_STEP else {"benchmark": "task"}.get(part, part)


def parse_settings(
    kind: type[Options],
    program: str,
    flags: list[str],
    preset: Preset,
    parts: tuple[str, ...],
    title: str,
    said: str | None = None,
) -> tuple[Options, dict[str, Any]]:
    """Read the flags of a command, among them the settings of a preset.

    Parameters
    ----------
    kind
        A dataclass of the command's other flags, which are in the group of the run.
    program
        The words of the command.
    flags
        The words after them.
    preset
        Has the values that no flag gives.
    parts
        The parts of the preset whose settings are flags.
    title
        What the command does, for its help.
    said
        What the help says of the defaults, if they are those of a run that is not known yet.

    Returns
    -------
    options, settings
        A `kind`, and the value of every setting by its name, not yet checked.
    """
    groups: dict[str, list[Flag]] = {group: [] for group in GROUPS}
    for part in parts:
        settings = getattr(preset, part)
        for flag in flags_of(type(settings)):
            hint = Annotated[flag.hint, tyro.conf.arg(help_behavior_hint=said)] if said else flag.hint
            groups[group_of(part, flag.name)].append(Flag(flag.name, hint, getattr(settings, flag.name)))
    own = flags_of(kind)
    groups["run"] += own
    parsed: Any = read(_page(groups, title), program, flags)
    boxes = {group: dict(vars(box)) for group, box in vars(parsed).items()}
    options = kind(**{name: boxes["run"].pop(name) for name, *_ in own})
    measured = {f"evaluation.{name}": value for name, value in boxes.pop("evaluation").items()}
    return options, {name: value for box in boxes.values() for name, value in box.items()} | measured


def _page(groups: dict[str, list[Flag]], title: str) -> type[Any]:
    """Make a dataclass of a dataclass for each group; the help has a box for each."""
    boxes: list[tuple[str, Any]] = []
    for group, flags in groups.items():
        marks = () if group == "evaluation" else (tyro.conf.OmitArgPrefixes,)
        kind: Any = (form(group, flags), *marks, tyro.conf.arg(name=group.replace("_", " "), help=""))
        boxes += [(group, Annotated[kind])] if flags else []
    page = dataclasses.make_dataclass("page", boxes, frozen=True)
    page.__doc__ = title
    return page
