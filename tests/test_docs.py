"""The documents say what is so: links, configs, commands, flags, make targets, Python examples, the tutorial."""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stream_infer.bundle import ModelBundle
from stream_infer.cli import main
from stream_infer.cli.entry import cli
from stream_infer.config.load import read_config
from stream_infer.export.features import read_features
from stream_infer.scoring import Scorer

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXAMPLE = ROOT / "examples/machines"

OURS = {path.name for folder in (ROOT, ROOT / "stream_infer") for path in folder.iterdir() if path.is_dir()}
"""Folders of ours; a path that begins otherwise belongs to the reader."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|`)((?:stream-infer|make) [^`#\n]+)", re.MULTILINE)
UPPER = re.compile(r"[A-Z]+(\|\w+)*")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def anchors(page: Path) -> set[str]:
    """The fragments by which headings can be linked to, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def commands(page: Path) -> Iterator[list[str]]:
    """Every `stream-infer` and `make` command that a page names, in text and in blocks, as words."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for command in COMMAND.findall(text):
        yield shlex.split(command)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target, _, fragment = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link}: no such file"
        assert not fragment or fragment in anchors(path), f"{link}: no such heading"


@pages
def test_configs_are_valid_and_feature_lists_can_be_read(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        path = tmp_path / "page.toml"
        path.write_text(block, encoding="utf-8")
        if "\n[kafka]" in block:
            bundle = re.search(r'bundle = "(.+)"', block)
            assert bundle is not None
            (tmp_path / bundle[1]).parent.mkdir(exist_ok=True)
            (tmp_path / bundle[1]).touch()
            assert read_config(path, environ={}).warnings == ()
        elif "features = " in block:
            assert read_features(path)


def test_the_tutorial_shows_its_files_as_they_are() -> None:
    files = [(EXAMPLE / name).read_text(encoding="utf-8") for name in ("features.toml", "machines.toml")]
    for block, file in zip(blocks(ROOT / "README.md", "toml"), files, strict=True):
        assert file.endswith(block)


@pages
def test_files_named_in_text_and_commands_exist(page: Path) -> None:
    """A path counts from the top of the repository or from that of the package (``core/flow.py``)."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w./-])((?:\w+/)+[\w.-]+\.(?:toml|py|avsc))(?![\w.])", text):
        if name.partition("/")[0] in OURS:
            assert (ROOT / name).is_file() or (ROOT / "stream_infer" / name).is_file(), f"{name} does not exist"


@pages
def test_commands_and_flags_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] == "stream-infer":
            check_command(words)


def check_command(words: list[str]) -> None:
    """Follow the words to a command of the program, and find every flag among its options."""
    command: click.Command = cli
    for word in words[1:]:
        flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        if word.startswith("--"):
            assert word.partition("=")[0] in flags | {"--help"}, f"{' '.join(words)}: no flag {word}"
        elif isinstance(command, click.Group) and not UPPER.fullmatch(word):
            assert word in command.commands, f"{' '.join(words)}: no command {word}"
            command = command.commands[word]


def test_flags_named_alone_exist() -> None:
    known = {flag for command in all_commands(cli) for option in command.params for flag in option.opts}
    others = {
        "--registry",
        "--key",
        "--max",
        "--bootstrap-servers",
        "--write",
        "--check",
        "--reset-offsets",
        "--delete-offsets",
        "--explain",
    }
    for page in PAGES:
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8")):
            assert flag in known | others, f"{page.name}: no flag {flag}"


def all_commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        yield from all_commands(inner)


@pages
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    proofs = {path.stem.removeprefix("proof_").replace("_", "-") for path in ROOT.glob("integration/proof_*.py")}
    known = targets | {f"proof-{proof}" for proof in [*proofs, "NAME"]}
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in known, f"no target {words[1]}"


def test_the_examples_of_the_python_page_do_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0


def test_the_python_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = blocks(ROOT / "README.md", "python")
    names: dict[str, object] = {}
    exec(example, names)
    scored = names["scored"]
    assert scored.flagged.tolist() == [False]  # type: ignore[attr-defined]  # names of an example have no types


def test_the_line_of_the_architecture_page_is_that_of_the_pipeline() -> None:
    source = (ROOT / "stream_infer/pipeline.py").read_text(encoding="utf-8")
    body = re.search(r"def step\(self\).*?\n\n", source, re.DOTALL)
    (shown,) = blocks(ROOT / "docs/architecture.md", "python")
    assert body is not None
    assert re.findall(r"self\._\w+\(\)", shown) == re.findall(r"self\._\w+\(\)", body[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the converter's own
def test_the_tutorials_model_is_trained_exported_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 1 to 3, as typed, in a copy of the examples; the broker's part needs a broker."""
    folder = tmp_path / "examples/machines"
    folder.mkdir(parents=True)
    for name in ("train.py", "features.toml", "machines.toml"):
        (folder / name).write_bytes((EXAMPLE / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(folder / "train.py"), run_name="__main__")
    (export,) = (words for words in commands(ROOT / "README.md") if words[:2] == ["stream-infer", "export"])
    assert main(export[1:]) == 0
    assert main(["validate", "examples/machines/machines.toml"]) == 0
    bundle = folder / "machines-1.bundle.jar"
    assert ModelBundle.load(bundle).manifest.decision.threshold == 0.8
    scored = Scorer.load(bundle).score_bytes((folder / "readings.jsonl").read_bytes().splitlines())
    assert 50 < int(scored.flagged.sum()) < 200


@pages
def test_pages_name_no_place_of_one_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", page.read_text(encoding="utf-8"))
