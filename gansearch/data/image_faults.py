"""What is wrong with the image files of a folder, all at once, and the choices that mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansearch.data.decoding import DecodedImage, Kind
from gansearch.data.file_names import format_path, format_paths, shorten_list
from gansearch.data.image_options import ImageOptions
from gansearch.errors import DataError

_N_SIZES = 5
_DEEP = "more than 16 bits a pixel"


@dataclass(frozen=True)
class ImageFile:
    """What is known of an image file that was read, without its pixels.

    Attributes:
        path: of the file.
        fault: why it can't be read, None if it can.
        size: width and height.
        kind: whether it is grey, and how that is stored.
        has_more_frames, lost_metadata, is_deep: as of `DecodedImage`.
    """

    path: Path
    fault: str | None = None
    size: tuple[int, int] = (0, 0)
    kind: Kind = "colour"
    has_more_frames: bool = False
    lost_metadata: bool = False
    is_deep: bool = False

    @classmethod
    def of(cls, path: Path, image: DecodedImage) -> ImageFile:
        """Return what is known of a decoded image."""
        height, width, _ = image.pixels.shape
        return cls(
            path,
            None,
            (width, height),
            image.kind,
            image.has_more_frames,
            image.lost_metadata,
            image.is_deep,
        )


@dataclass(frozen=True)
class _Fault:
    """What prevents the images from being used together, and what mends it."""

    found: str
    remedy: str


def check_files(folder: Path, files: Sequence[ImageFile], options: ImageOptions) -> list[str]:
    """Return sentences on how the files are read; they can be used together.

    Raises:
        DataError: they can't; the message lists all faults, and the options that mend them.
    """
    faults = [
        *_unreadable_files(folder, files, options),
        *_different_sizes(folder, files, options),
        *_different_colours(folder, files, options),
    ]
    if faults:
        head = f"{format_path(folder)}: the {len(files):,} images can't be used as they are."
        found = [f"  {fault.found}" for fault in faults]
        raise DataError("\n".join([head, *found, " ".join(fault.remedy for fault in faults)]))
    return _notes(folder, files, options)


def _unreadable_files(
    folder: Path, files: Sequence[ImageFile], options: ImageOptions
) -> Iterator[_Fault]:
    found = [file for file in files if file.fault is not None]
    some_can = len(found) < len(files)
    if not found or (options.unreadable == "skip" and some_can):
        return
    remedy = "Replace or remove what can't be read"
    remedy += ", or leave it out: --set data.unreadable=skip." if some_can else "."
    if any(_DEEP in str(file.fault) for file in found):
        remedy += (
            " Convert deep images to 8 bits, for example with ImageMagick: mogrify -depth 8 FILES."
        )
    yield _Fault(f"{len(found):,} can't be read: {_with_faults(folder, found)}", remedy)


def _different_sizes(
    folder: Path, files: Sequence[ImageFile], options: ImageOptions
) -> Iterator[_Fault]:
    examples = {file.size: file.path for file in files if file.fault is None}
    sizes = Counter(file.size for file in files if file.fault is None).most_common()
    if len(sizes) < 2 or options.image_size:
        return
    shown = [
        f"{n:,} of {width}x{height} ({format_path(examples[width, height].relative_to(folder))})"
        for (width, height), n in sizes[:_N_SIZES]
    ]
    n_more = len(sizes) - len(shown)
    more = f" and {n_more:,} other sizes" if n_more else ""
    side = min(*sizes[0][0], int(ImageOptions.rules()["image_size"].high))
    yield _Fault(
        f"sizes: {', '.join(shown)}{more}",
        f"All must have one size: choose --set data.image_size={side}, which resizes the shorter "
        f"side to {side} pixels and crops the centre to a square (with --set data.fit=pad it adds "
        "white instead), or resize them yourself.",
    )


def _different_colours(
    folder: Path, files: Sequence[ImageFile], options: ImageOptions
) -> Iterator[_Fault]:
    readable = [file for file in files if file.fault is None]
    grey = [file for file in readable if file.kind == "grey"]
    if not grey or options.channels or not any(file.kind == "colour" for file in readable):
        return
    others = [file for file in readable if file.kind != "grey"]
    fewer, name = (grey, "grey") if len(grey) <= len(others) else (others, "in colour")
    yield _Fault(
        f"colours: {len(others):,} in colour, {len(grey):,} grey; {name}: "
        f"{format_paths([file.path.relative_to(folder) for file in fewer])}",
        "All must be grey or all in colour: choose --set data.channels=1, which makes all grey, or "
        "data.channels=3.",
    )


def fault_of_deep(mode: str) -> str:
    """Return the fault of a grey image with more than sixteen bits a pixel."""
    return f"{_DEEP}, mode {mode}"


def _with_faults(folder: Path, files: Sequence[ImageFile]) -> str:
    shown = [f"{format_path(file.path.relative_to(folder))} ({file.fault})" for file in files[:3]]
    return shorten_list(shown, len(files))


def _notes(folder: Path, files: Sequence[ImageFile], options: ImageOptions) -> list[str]:
    """Return sentences on images that are left out, changed, or may not be what they seem."""
    side_of = max if options.fit == "pad" else min
    small = f"smaller than {options.image_size} pixels, and"
    kinds: list[tuple[Callable[[ImageFile], bool], str, str]] = [
        (
            lambda file: file.has_more_frames,
            "has several frames or pages: the first is used",
            "have several frames or pages: the first is used",
        ),
        (
            lambda file: file.lost_metadata,
            "has damaged metadata, and may lie on its side",
            "have damaged metadata, and may lie on their side",
        ),
        (
            lambda file: file.is_deep,
            "has 16 bits a pixel, which are reduced to 8: 65,535 is white",
            "have 16 bits a pixel, which are reduced to 8: 65,535 is white",
        ),
        (
            lambda file: side_of(file.size) < options.image_size,
            f"is {small} is enlarged",
            f"are {small} are enlarged",
        ),
    ]
    notes = []
    of_all = f"of {len(files):,} images"
    readable = [file for file in files if file.fault is None]
    if left_out := [file for file in files if file.fault is not None]:
        listed = _with_faults(folder, left_out)
        are = "is" if len(left_out) == 1 else "are"
        notes.append(f"{len(left_out):,} {of_all} can't be read and {are} left out: {listed}.")
    for has, one, several in kinds:
        if found := [file.path.relative_to(folder) for file in readable if has(file)]:
            text = one if len(found) == 1 else several
            notes.append(f"{len(found):,} {of_all} {text}: {format_paths(found)}.")
    stored = {file.kind for file in readable}
    if "grey as colour" in stored and "colour" not in stored and not options.channels:
        notes.append(
            "All images are grey, some of them stored as colour: one channel is used. For three: "
            "--set data.channels=3."
        )
    return notes
