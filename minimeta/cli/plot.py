"""``minimeta plot RUN...``: runs in one figure, and what adaptation does in each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from minimeta import cli
from minimeta.cli.evaluate import tested_state
from minimeta.cli.figures import adaptation_figure, curves_figure, require_format
from minimeta.cli.run_folder import RunFolder
from minimeta.errors import ConfigurationError

if TYPE_CHECKING:
    from minimeta.cli.arguments import PlotOptions


def plot(options: PlotOptions) -> int:
    """Draw and return the exit code.

    Raises
    ------
    MinimetaError
        There are no runs, one of them is not finished, the file's suffix names no format, data or the extra ``plot``
        are missing.
    """
    if not options.runs:
        raise ConfigurationError("plot needs the folders of runs, as in: minimeta plot runs/*")
    require_format(options.out)
    folders = [RunFolder(path) for path in options.runs]
    curves_figure(options.out, [folder.read_results() for folder in folders])
    for folder in folders:
        learner, preset = folder.settings()
        experiment = preset.experiment(learner, options.data or folder.data)
        learned = tested_state(folder, learner, preset, experiment).meta_parameters
        settings = preset.evaluation
        adaptation_figure(folder.adaptation_figure, experiment, learned, settings.steps, settings.seed)
    drawn = [str(path) for path in (options.out, *(folder.adaptation_figure for folder in folders))]
    print(json.dumps({"status": "complete", "figures": drawn}) if options.json else "\n".join(drawn))
    return cli.DONE
