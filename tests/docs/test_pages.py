"""Tutorial, how-to, reference and explanation: pages say what is true, cover everything, and their blocks run.

Every block is run, at the size that reduced.py and SMALLER say.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from fenced import ROOT, SMALLER_TUTORIAL, Reader, blocks, commands, same_but_for_sizes

import groklab as gl
from groklab.registry import FAMILIES
from groklab.reproduction import PAPERS, load
from groklab.tasks import OPERATIONS

DOCS = ROOT / "docs"
GUIDES = sorted(
    p.relative_to(DOCS).as_posix() for part in ("learn", "tutorial", "how-to") for p in (DOCS / part).glob("*.md")
)
WITH_BLOCKS = [*GUIDES, "reference/run-directory.md", "explanation/cross-entropy.md", "explanation/identity.md"]
_LAWS = (
    "groklab sweep micro --grid optimiser.learning_rate={} --grid optimiser.weight_decay={} --seeds {} --name rates "
    "--quiet"
)
_DIGITS = (
    "groklab train omnigrok/mnist-small name=digits task.first=400 split.n_train=100 batch_size=100 "
    "network.init_scale=6 optimiser.learning_rate=2e-3 optimiser.weight_decay=1 budget.steps={} evaluation.every=25"
)
#: Documented commands, and the smaller ones that are run: same words, other values of sizes.
SMALLER = {
    _LAWS.format("0.001,0.002", "1,2", 4): _LAWS.format("0.02,0.03", "2,3", 2),
    "groklab import weights.npz --p 59 --operation add --frac-train 0.4 --split-seed 0": (
        "groklab import weights.npz --p 11 --operation add --frac-train 0.7 --split-seed 0"
    ),
    _DIGITS.format(600): _DIGITS.format(100),
    "groklab train subtraction.yaml": "groklab train subtraction.yaml budget.steps=50",
    "groklab train small.yaml seed=1 optimiser.weight_decay=1.0": (
        "groklab train small.yaml seed=1 optimiser.weight_decay=1.0 budget.steps=50"
    ),
    "groklab train furuta2024/mixture-add-multiply task.p=7 name=both budget.steps=100": (
        "groklab train furuta2024/mixture-add-multiply task.p=7 name=both budget.steps=20"
    ),
    "groklab sweep furuta2024 task.p=7 budget.steps=200 --name operations --seeds 2 --quiet"
    " --grid task.expression=add,multiply,x2_y2 --grid split.frac_train=0.65,0.8": (
        "groklab sweep furuta2024 task.p=7 budget.steps=50 --name operations --seeds 2 --quiet"
        " --grid task.expression=add,x2_y2 --grid split.frac_train=0.6,0.61"
    ),
    "taskset --cpu-list 0 groklab train micro name=one-core --quiet": (
        "taskset --cpu-list 0 groklab train micro name=one-core --quiet budget.steps=50"
    ),
    "groklab reproduce controls/too-few-pairs --full --seeds 2 --slice 0.05": (
        "groklab reproduce controls/too-few-pairs --full --seeds 1 --slice 0.005"
    ),
    "groklab train micro name=double dtype=float64 budget.steps=500": (
        "groklab train micro name=double dtype=float64 budget.steps=50"
    ),
    "groklab train micro name=rounded matmul_precision=tf32 budget.steps=500": (
        "groklab train micro name=rounded matmul_precision=tf32 budget.steps=50"
    ),
    "groklab train micro name=plain-loss objective.form=float32": (
        "groklab train micro name=plain-loss objective.form=float32 budget.steps=50"
    ),
    "groklab train micro name=no-decay --from source@250 optimiser.weight_decay=0 budget.steps=1000": (
        "groklab train micro name=no-decay --from source@250 optimiser.weight_decay=0 budget.steps=100"
    ),
    "groklab train micro name=ten --seeds 10 --quiet": (
        "groklab train micro name=ten --seeds 2 --quiet budget.steps=100"
    ),
    "groklab train micro name=one-split split.seed=0 --seeds 10 --quiet": (
        "groklab train micro name=one-split split.seed=0 --seeds 2 --quiet budget.steps=100"
    ),
    "groklab train growing.yaml": "groklab train growing.yaml budget.steps=1050",
    "groklab train kernel.yaml name=several --seeds 3": "groklab train kernel.yaml name=several --seeds 2",
    "groklab train mallinar2024/planted-add-quadratic name=planted task.p=41": (
        "groklab train mallinar2024/planted-add-quadratic name=planted task.p=17"
    ),
    "groklab train mallinar2024/planted-add-quadratic name=control task.p=41 learner.features=hankel": (
        "groklab train mallinar2024/planted-add-quadratic name=control task.p=17 learner.features=hankel"
    ),
    "groklab train omnigrok/teacher-student name=student budget.steps=500": (
        "groklab train omnigrok/teacher-student name=student budget.steps=50"
    ),
    "groklab train micro name=nanda-split split.method=python_shuffle split.seed=0": (
        "groklab train micro name=nanda-split split.method=python_shuffle split.seed=0 budget.steps=50"
    ),
    "groklab train micro name=noisy split.label_noise=0.1": (
        "groklab train micro name=noisy split.label_noise=0.1 budget.steps=50"
    ),
    "groklab train micro name=source": "groklab train micro name=source budget.steps=250",
    "groklab train micro name=half-start start.file=half.npz": (
        "groklab train micro name=half-start start.file=half.npz budget.steps=50"
    ),
    "groklab train demo name=dropped network.dropout=0.2": (
        "groklab train demo name=dropped network.dropout=0.2 budget.steps=20"
    ),
    "groklab sweep micro --grid split.frac_train=0.3,0.4,0.5,0.65,0.8 --seeds 3 --name fraction": (
        "groklab sweep micro --grid split.frac_train=0.5,0.65 --seeds 2 --name fraction"
    ),
    "groklab sweep micro --grid optimiser.weight_decay=0,0.5,1,2,4 --seeds 3 --name decay": (
        "groklab sweep micro --grid optimiser.weight_decay=0,1 --seeds 2 --name decay"
    ),
    **SMALLER_TUTORIAL,
    "groklab train nanda2023/paper-seed0 name=beginning budget.steps=20 --quiet --json": (
        "groklab train nanda2023/paper-seed0 name=beginning budget.steps=1 --quiet --json"
    ),
}
#: Seeds at most where two are not right: of trials that train each on its own, and of a page that names a third.
SEEDS = {"how-to/reproduce.md": 1, "how-to/seeds.md": 3}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("groklab_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registered() -> object:
    """What a page's plug-ins register ends with the page."""
    before = {family: dict(kinds) for family, kinds in FAMILIES.items()}
    papers = dict(PAPERS)
    yield
    for family, kinds in before.items():
        FAMILIES[family].clear()
        FAMILIES[family].update(kinds)
    PAPERS.clear()
    PAPERS.update(papers)


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, registered: object) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    skip = {"taskset": "not on this system"} if shutil.which("taskset") is None else {}
    reader = Reader(folder, skip, smaller=SMALLER, seeds=SEEDS.get(name, 2)).follow(DOCS / name)
    assert reader.printed or reader.namespace


def test_every_smaller_command_is_one_of_a_page() -> None:
    documented = {
        command
        for name in WITH_BLOCKS
        for block in blocks(DOCS / name)
        if block.language == "bash"
        for command in commands(block.text)
    }
    assert set(SMALLER) <= documented


@pytest.mark.parametrize(
    "smaller",
    [
        "groklab train micro name=a budget.steps=20",
        "groklab train micro name=a budget.steps=20 task.p=7",
        "groklab train micro name=a budget.steps=20 --seeds 2",
    ],
)
def test_a_smaller_command_differs_in_sizes_only(smaller: str) -> None:
    command = "groklab train micro name=a budget.steps=3000"
    assert same_but_for_sizes(command, smaller) == ("--seeds" not in smaller)
    assert not same_but_for_sizes(f"{command} --quiet", smaller)
    assert not same_but_for_sizes(command, f"{smaller} optimiser.weight_decay=0")
    assert not same_but_for_sizes(f"{command} --grid seed=1,2", f"{smaller} --grid split.seed=1")


def test_the_reader_refuses_what_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\ngroklab show nothing\n```\n")
    with pytest.raises(AssertionError, match="no run is named 'nothing'"):
        Reader(tmp_path).follow(page)
    page.write_text("```ruby\nputs 1\n```\n")
    with pytest.raises(AssertionError, match="that nothing runs"):
        Reader(tmp_path).follow(page)


def test_pages_are_generated_and_regenerated(generate: ModuleType, tmp_path: Path) -> None:
    written = generate.write(tmp_path / "generated")
    stamps = [p.stat().st_mtime_ns for p in written]
    assert len(written) == 9 + len(list((DOCS / "reproductions").glob("*.json")))
    assert all(p.read_text("utf-8").startswith("# ") for p in written)
    assert [p.stat().st_mtime_ns for p in generate.write(tmp_path / "generated")] == stamps


def test_every_command_has_its_section_and_says_what_it_does(generate: ModuleType) -> None:
    page = generate.commands()
    names = generate.command_names()
    assert {"train", "resume", "show", "compare", "report", "runs", "runs rm", "runs tag"} <= set(names)
    for name in names:
        section = page.split(f"## groklab {name}\n")
        assert len(section) == 2, name
        first = section[1].strip().splitlines()[0]
        assert first.endswith("."), f"{name}: {first}"


def test_every_preset_has_its_section_and_its_line_on_papers(generate: ModuleType) -> None:
    page = generate.presets()
    papers = (DOCS / "explanation" / "papers.md").read_text("utf-8")
    told = {name for row in re.findall(r"^\|([^|]+)\|", papers, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}
    for p in gl.PRESETS.values():
        assert f"\n## {p.name} {{ #" in page, p.name
        for text in (p.shows, p.costs, p.expect, p.source):
            assert text in page, p.name
        assert p.name in told, f"{p.name}: what differs from its paper is not told"


def test_settings_of_a_preset_shown_are_that_preset(generate: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "presets.md"
    page.write_text(generate.presets(), "utf-8")
    shown = [yaml.safe_load(b.text) for b in blocks(page)]
    for p, settings in zip(gl.PRESETS.values(), shown, strict=True):
        assert gl.read(settings).identity == gl.preset(p.name).identity


def test_the_ledger_opens_with_one_table_whose_rows_open_their_evidence(generate: ModuleType) -> None:
    pages = generate.pages()
    title, empty, heading, _, *lines = pages["reproductions.md"].splitlines()
    assert (title, empty) == ("# Reproduced claims", "")
    assert heading.startswith("| paper | size | reproduced | partly | not | not run |")
    saved = generate.saved_reproductions()
    rows = lines[: 2 * len(saved)]
    for row, (path, size) in zip(rows, ((p, s) for p in saved for s in ("quick", "full")), strict=True):
        assert f"](reproductions-{path.stem}.md)" in row
        assert f"[{size}](reproductions-{path.stem}.md#{size})" in row
        assert f"id='{size}'" in pages[f"reproductions-{path.stem}.md"]


def test_every_claim_beyond_the_first_papers_is_listed_with_its_verdicts(generate: ModuleType) -> None:
    page = generate.beyond()
    for paper in PAPERS.values():
        assert (f"## {paper.title}\n" in page) == (paper.name not in generate.FIRST_PAPERS)
        for claim in paper.claims if paper.name not in generate.FIRST_PAPERS else ():
            section = page.split(f"## {paper.title}\n")[1].split("\n## ")[0]
            assert section.count(f"`{claim.id}`") >= 1


def test_every_saved_claim_has_its_bars_and_its_cost(generate: ModuleType) -> None:
    for path in generate.saved_reproductions():
        content, page = load(path), generate.reproductions(path)
        for entry in content["claims"]:
            start = page.index(f"### {entry['id']} {{")
            section = page[start : page.find("\n### ", start)]
            claim = next(c for c in PAPERS[content["paper"]].claims if c.id == entry["id"])
            trials = [t for t in (claim.quick, claim.full) if t is not None]
            assert section.count("- cost: ") == len(trials)
            for bar in (bar for trial in trials for bar in trial.bars):
                assert f"| {bar.condition} |" in section


def test_every_operation_and_measure_is_listed(generate: ModuleType) -> None:
    operations, measures = generate.operations(), generate.measures()
    assert all(f"| `{name}` | `{o.expression}`" in operations for name, o in OPERATIONS.items())
    assert all(f"| `{name}` | " in measures for name in gl.MEASURES)


def test_every_figure_has_its_section_with_a_picture(generate: ModuleType) -> None:
    page = generate.figures()
    for name in [*gl.figures.list_figures().names, "phase_diagram"]:
        assert f"(../../assets/figures/{name}.png)" in page
        assert 0 < (DOCS / "assets" / "figures" / f"{name}.png").stat().st_size < 200_000, name


def test_every_kind_and_field_is_listed_with_its_default(generate: ModuleType) -> None:
    page = generate.fields()
    for family, kinds in FAMILIES.items():
        section = {"gradient_filter": "optimiser.filter", "intervention": "interventions.N"}.get(family, family)
        for kind in kinds:
            assert f"### {section}.kind: {kind}\n" in page
    assert "| `weight_decay` | number, ≥ 0 (*number*) | `0.0` |" in page
    assert "| `p` | integer, ≥ 2 | needed |" in page
    assert "| `spacing` | `log`, `linear`, `listed`, `none` | `log` |" in page
    for section in ("split", "budget", "evaluation", "checkpoints", "start"):
        assert f"\n## {section}\n" in page


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """The settings of the site."""
    return tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]


def in_navigation(entries: list[Any] | str) -> list[str]:
    """Every page that the navigation names, in order."""
    if isinstance(entries, str):
        return [entries]
    return [page for entry in entries for value in entry.values() for page in in_navigation(value)]


def test_every_page_is_in_the_navigation_once(settings: dict[str, Any]) -> None:
    named = in_navigation(settings["nav"])
    assert len(named) == len(set(named))
    kept = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if "generated" not in page.parts}
    assert {name for name in named if "generated" not in name} == kept


def test_every_generated_page_is_in_the_navigation(
    generate: ModuleType, settings: dict[str, Any], tmp_path: Path
) -> None:
    written = {f"reference/generated/{page.name}" for page in generate.write(tmp_path)}
    linked = {name for name in written if fnmatch(name, "*/reproductions-*.md")}  # from reproductions.md
    assert written - linked == {name for name in in_navigation(settings["nav"]) if "reference/generated" in name}


def test_every_picture_of_a_page_exists_and_has_a_text() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        if "generated" not in page.parts:
            for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text("utf-8")):
                assert (page.parent / target).is_file(), f"{page}: {target}"
                assert text, f"{page}: {target} has no text"


def test_the_site_loads_nothing_from_elsewhere(settings: dict[str, Any]) -> None:
    assert settings["theme"]["font"] is False
    assert [script["path"] for script in settings["extra"]["polyfills"]] == ["assets/iframe-worker-1.0.4.js"]
    assert (DOCS / "assets" / "iframe-worker-1.0.4.js").is_file()
    assert not {"extra_javascript", "extra_css"} & set(settings)


def test_nothing_is_said_of_one_machine() -> None:
    texts = [*DOCS.rglob("*.md"), *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "VISION.md", "CHANGELOG.md"))]
    for path in texts:
        text = path.read_text("utf-8")
        for word in ("/home/", "/root", "/tmp/", "localhost"):
            assert word not in text, f"{path}: {word}"
