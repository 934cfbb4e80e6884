"""Where Omniglot is, a stand-in of the same format for machines without it, and a small edition of the archives."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from omniglot_drawings import SmallOmniglot, make_edition, stand_in_character


@pytest.fixture(scope="session")
def stand_in_omniglot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files of the size and format of Omniglot's, written once and never wholly in memory."""
    folder = tmp_path_factory.getbasetemp() / "stand-in-omniglot"
    if folder.exists():
        return folder
    folder.mkdir()
    number = 0
    for name, characters in (("images_background", 964), ("images_evaluation", 659)):
        with (
            zipfile.ZipFile(folder / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("images.npy", "w", force_zip64=True) as file,
        ):
            header = {"descr": "|b1", "fortran_order": False, "shape": (characters, 20, 105, 105)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(characters):
                file.write(stand_in_character(number).tobytes())
                number += 1
    return folder


@pytest.fixture
def small_omniglot(tmp_path: Path) -> SmallOmniglot:
    """Five characters of the stand-in in archives."""
    folder = tmp_path / "archives"
    folder.mkdir()
    paper = np.stack([stand_in_character(number) for number in range(5)])
    return SmallOmniglot(folder, make_edition(folder, paper, 3), paper)


@pytest.fixture(scope="session")
def real_omniglot() -> Path:
    """Return the folder of the real files, MINIMETA_DATA or ../shared/data, or skip the test without them."""
    shared = Path(__file__).parents[2] / "shared" / "data"
    for folder in (Path(os.environ.get("MINIMETA_DATA", shared)), shared):
        for place in (folder, folder / "omniglot"):
            if (place / "images_background.npz").is_file() and (place / "images_evaluation.npz").is_file():
                return place
    pytest.skip("the real Omniglot is not on this machine (set MINIMETA_DATA)")
