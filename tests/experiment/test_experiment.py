from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import groklab as gl
from groklab.errors import InputError
from groklab.experiment import MAX_SEED, dump_yaml, load_yaml, parse_overrides, read
from groklab.sweeps._plan import parse_values
from groklab.text import number_in
from groklab.training import training

PLUGIN = """
from groklab.registry import register
from groklab.optimisers import SGD

@register("optimiser", "mine")
class Mine(SGD):
    "Mine."
    extra: float = {value}
"""


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        where = f"{path}.{key}" if path else key
        found.update(leaves(value, where) if isinstance(value, dict) and value else {where: value})
    return found


def others(value: Any, choices: list[Any]) -> list[Any]:
    return [c for c in choices if c != value]


BASE = gl.preset("micro")
NOT_PART = ("name", "budget.", "evaluation.", "checkpoints.", "measures.", "plugins")
#: Other values that are allowed for each field, by dotted name.
CHOICES: dict[str, list[Any]] = {
    "task.p": [5, 7, 29],
    "task.expression": ["x*y", "x - y"],
    "task.modular": [False],
    "task.pairs": ["unordered"],
    "task.exclude_zeros": ["any"],
    "task.divisors": ["units"],
    "task.layout": ["a b ="],
    "task.outputs": ["vocabulary"],
    "task.operand_range": ["vocabulary"],
    "task.op_token": ["+"],
    "split.frac_train": [0.1, 0.5],
    "split.rows": [[0, 1, 2]],
    "split.n_train": [100],
    "split.seed": [1, 5],
    "split.method": ["python_shuffle", "torch_randperm"],
    "split.label_noise": [0.1],
    "split.noise_seed": [3],
    "split.schedule": [[{"step": 10, "n_train": 20}]],
    "network.d_mlp": [64],
    "network.n_hidden_layers": [2],
    "network.activation": ["relu", "gelu"],
    "network.d_embed": [16],
    "network.biases": [True],
    "network.init_scheme": ["fan_in"],
    "network.init_scale": [0.5],
    "network.init_std": [{"unembed.W_U": 0.3}],
    "network.output_scale": [2.0],
    "network.features": ["toeplitz"],
    "network.features_seed": [7],
    "network.kind": ["transformer"],
    "objective.kind": ["mse"],
    "objective.form": ["float64"],
    "objective.temperature": [0.5],
    "objective.agop_penalty": [1e-3],
    "optimiser.kind": ["sgd", "lion"],
    "optimiser.learning_rate": [0.5],
    "optimiser.weight_decay": [0.5],
    "optimiser.l2": [0.1],
    "optimiser.warmup_steps": [10.0],
    "optimiser.schedule": [],
    "optimiser.decay_steps": [10.0],
    "optimiser.final_factor": [0.5],
    "optimiser.clip_norm": [1.0],
    "optimiser.clamp_norm": [1.0],
    "optimiser.clamp": ["at_most"],
    "optimiser.groups": [{"embed.*": {"frozen": True}}],
    "optimiser.b1": [0.5],
    "optimiser.b2": [0.5],
    "optimiser.eps": [1e-4],
    "optimiser.nesterov": [True],
    "batch_size": [32],
    "dtype": ["float64"],
    "matmul_precision": ["tf32"],
    "seed": [1, 2, MAX_SEED],
    "learner.kind": ["rfm"],
    "start": [],
    "task.kind": ["random_labels"],
    "name": ["other", "a/b"],
    "plugins": [],
    "budget.steps": [0, 10, 10**9],
    "budget.seconds": [1.5],
    "budget.stop_when_grokked": [True],
    "budget.extra_steps": [5],
    "budget.retire": [True],
    "evaluation.every": [1, 7],
    "evaluation.criterion": ["first_95"],
    "measures.names": [["weight_norms"]],
    "measures.every": [100],
    "measures.frequencies": [[1, 2]],
    "checkpoints.spacing": ["linear", "listed", "none"],
    "checkpoints.per_decade": [3],
    "checkpoints.every": [5],
    "checkpoints.steps": [[1, 2]],
    "checkpoints.rolling_seconds": [0.5],
}


def test_the_table_of_choices_knows_every_field_of_the_preset() -> None:
    assert set(leaves(BASE.to_dict())) <= set(CHOICES)


@pytest.mark.parametrize("field", sorted(leaves(BASE.to_dict())))
def test_identity_is_what_decides_the_weights(field: str) -> None:
    for value in others(leaves(BASE.to_dict())[field], CHOICES[field]):
        changed = gl.read(BASE, {field: value, **({"task.p": 23} if field == "task.kind" else {})})
        assert (changed.identity == BASE.identity) == field.startswith(NOT_PART), (field, value)
        assert (training.run_name([changed]) == training.run_name([BASE])) == (
            field.startswith(NOT_PART) and field != "name"
        )


@given(st.dictionaries(st.sampled_from(sorted(CHOICES)), st.integers(0, 10), max_size=6), st.integers(0, 2**32))
def test_read_of_what_was_written_is_the_same_experiment(picks: dict[str, int], shuffle: int) -> None:
    overrides = {k: CHOICES[k][i % len(CHOICES[k])] for k, i in picks.items() if CHOICES[k]}
    try:
        made = gl.read(BASE, overrides)
    except InputError:
        return
    again = read(yaml.safe_load(made.to_yaml()))
    assert again == made
    assert again.identity == made.identity

    def shuffled(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        keys = list(node)
        random.Random(shuffle).shuffle(keys)
        # the order of groups is a setting: the later one wins
        return {k: node[k] if k == "groups" else shuffled(node[k]) for k in keys}

    assert read(shuffled(made.to_dict())).identity == made.identity


def test_the_seed_of_the_split_that_is_taken_anyway_changes_nothing() -> None:
    assert gl.read(BASE, {"split.seed": BASE.seed}).identity == BASE.identity
    assert gl.read(BASE, {"split.seed": BASE.seed, "seed": 3}).identity != gl.read(BASE, {"seed": 3}).identity


def test_every_preset_has_an_identity_of_its_own_and_reads_back() -> None:
    made = {name: gl.preset(name) for name in gl.PRESETS}
    for name, experiment in made.items():
        assert read(json.loads(json.dumps(experiment.to_dict()))) == experiment, name
    # bases of diagrams differ from what they are based on in budget and cadence only, which are no part of it; and
    # the base of a table is its first operation
    identities = [e.identity for name, e in made.items() if "/diagram" not in name and name != "furuta2024"]
    assert made["furuta2024"].identity == made["furuta2024/add"].identity
    assert len(set(identities)) == len(identities)


def test_presets_keep_the_identities_that_runs_were_made_with() -> None:
    known = json.loads((Path(__file__).parents[1] / "data" / "identities.json").read_text())
    assert {name: gl.preset(name).identity[:16] for name in known} == known


def test_another_kind_of_optimiser_keeps_the_settings_that_it_shares(tmp_path: Path) -> None:
    base = gl.preset("micro", {"optimiser.b1": 0.8, "optimiser.weight_decay": 2.0})
    for overrides in ({"optimiser.kind": "adam"}, {"optimiser": "adam"}):
        adam = gl.read(base, overrides).optimiser
        assert (adam.kind, adam.weight_decay, adam.learning_rate, adam.b1) == ("adam", 2.0, 1e-3, 0.8)
    assert adam.b2 == 0.999, "its own, as that of the preset was AdamW's"
    assert gl.read(base, {"optimiser.kind": "lion", "optimiser.b1": 0.7}).optimiser.b1 == 0.7
    with pytest.warns(UserWarning, match=r"optimiser.kind=sgd has no setting b1 \(here 0.8\)"):
        sgd = gl.read(base, {"optimiser.kind": "sgd"}).optimiser
    assert sgd.weight_decay == 2.0
    file = tmp_path / "idea_of_mine.py"
    file.write_text(PLUGIN.format(value=1.0))
    mine = gl.preset("micro-fast", {"plugins": [str(file)], "optimiser.kind": "mine"})
    assert (mine.optimiser.weight_decay, mine.optimiser.learning_rate) == (1.0, 1e-2)


def test_the_source_of_a_plugin_is_part_of_the_identity(tmp_path: Path) -> None:
    file = tmp_path / "idea_of_mine.py"
    found = []
    for value in (1.0, 2.0, 1.0):
        file.write_text(PLUGIN.format(value=value))
        found.append(gl.preset("micro", {"plugins": [str(file)], "optimiser.kind": "mine", "optimiser.extra": 3.0}))
    assert found[0].optimiser.extra == 3.0
    identity = found[2].identity
    file.write_text(PLUGIN.format(value=2.0))
    assert found[2].identity == identity, "it is of the code that was loaded"
    assert read(found[2]).identity == found[1].identity != identity
    file.write_text(PLUGIN.format(value=1.0))
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "idea_of_mine.py"
    file.rename(moved)
    assert read({**found[2].to_dict(), "plugins": [str(moved)]}).identity == identity


def test_start_weights_count_by_content_not_by_path(tmp_path: Path) -> None:
    from groklab.store import Collection
    from groklab.training import load_start

    identities = {}
    for name, scale in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        np.savez(tmp_path / f"{name}.npz", W=np.full(3, scale))
        asked = gl.read(BASE, {"start.file": str(tmp_path / f"{name}.npz")})
        identities[name] = load_start(asked, Collection(tmp_path))[0].identity
    assert identities["a"] == identities["b"]
    assert identities["a"] != identities["c"]
    assert BASE.identity not in identities.values()


def test_a_table_counts_by_content_not_by_path(tmp_path: Path) -> None:
    identities = {}
    for name, answer in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / f"{name}.csv").write_text(f"x,y,z\n0,0,{answer}\n0,1,1\n1,0,1\n1,1,0\n")
        identities[name] = read({"task": {"kind": "table", "path": str(tmp_path / f"{name}.csv")}}).identity
    assert identities["a"] == identities["b"]
    assert identities["a"] != identities["c"]


@pytest.mark.parametrize("field", sorted(k for k, v in CHOICES.items() if v and not isinstance(v[0], bool)))
def test_true_is_no_number_and_no_name(field: str) -> None:
    if field.endswith("kind") or field in ("task.operand_range",):
        return
    with pytest.raises(InputError):
        gl.read(BASE, {field: True})


@pytest.mark.parametrize(
    "nested", [{"optimiser.groups": {"a*": {"learning_rate_factor": True}}}, {"checkpoints.steps": [1, True]}]
)
def test_true_is_no_number_further_down_either(nested: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="True"):
        gl.read(BASE, nested)


def test_numbers_may_be_written_as_yaml_writes_them() -> None:
    made = gl.read(BASE, parse_overrides(["optimiser.learning_rate=1e-3", "task.p=29", "seed=7"]))
    assert (made.optimiser.learning_rate, made.task.p, made.seed) == (1e-3, 29, 7)


#: What a text is as an integer, a number and a name; None where it is refused.
READINGS: dict[str, tuple[int | None, float | None, str | None]] = {
    "010": (10, 10.0, "010"),
    "008": (8, 8.0, "008"),
    "123456": (123456, 123456.0, "123456"),
    "1e3": (1000, 1000.0, "1e3"),
    "1.0e+3": (1000, 1000.0, "1.0e+3"),
    "2.50": (None, 2.5, "2.50"),
    "5.": (5, 5.0, "5."),
    "+3": (3, 3.0, None),  # a name begins with a letter or digit
    ".5": (None, 0.5, None),
    " 7 ": (7, 7.0, "7"),
    "1_000": (None, None, "1_000"),
    "0x10": (None, None, "0x10"),
    "0o17": (None, None, "0o17"),
    "1:30": (None, None, None),
    "1e400": (None, None, "1e400"),
    "nan": (None, None, "nan"),
    ".inf": (None, None, None),
    "٣": (None, None, None),
    "2020-01-01": (None, None, "2020-01-01"),
    "no": (None, None, "no"),
    "on": (None, None, "on"),
    "null": (None, None, None),
    "~": (None, None, None),
    "true": (None, None, None),
    '"true"': (None, None, "true"),
    "'010'": (10, 10.0, "010"),
    "9" * 5000: (None, None, None),
}


@pytest.mark.parametrize("text", READINGS, ids=lambda text: text[:12])
@pytest.mark.parametrize("way", ["command line", "file", "list in a file", "grid", "Python"])
def test_a_text_means_the_same_wherever_it_is_written(text: str, way: str, tmp_path: Path) -> None:
    plain = text.strip().strip("\"'")
    if way == "Python" and text in ("null", "~", "true"):
        return  # texts there, and None and True beside them

    def read_as(key: str) -> Any:
        file = tmp_path / "x.yaml"
        if way == "command line":
            given = parse_overrides([f"{key}={text}"])
        elif way == "file":
            file.write_text(f"{key}: {text}\n")
            given = load_yaml(file)
        elif way == "list in a file":
            file.write_text(f"{key}: [{text}]\n")
            given = {key: load_yaml(file)[key][0]}
        elif way == "grid":
            given = {key: parse_values(key, text)[0]}
        else:
            given = {key: plain}
        node: Any = gl.read(BASE, given)
        for part in key.split("."):
            node = getattr(node, part)
        return node

    for key, expected in zip(("task.p", "optimiser.weight_decay", "name"), READINGS[text], strict=True):
        if expected is None:
            with pytest.raises(InputError):
                read_as(key)
        else:
            assert (read_as(key), type(read_as(key))) == (expected, type(expected)), key


def test_true_and_false_are_the_switches_and_yes_and_no_are_understood_there(tmp_path: Path) -> None:
    for text, value in (("true", True), ("False", False), ("yes", True), ("off", False)):
        assert gl.read(BASE, parse_overrides([f"budget.retire={text}"])).budget.retire is value
        (tmp_path / "x.yaml").write_text(f"on: {text}")
        assert gl.read(BASE, {"budget.retire": load_yaml(tmp_path / "x.yaml")["on"]}).budget.retire is value


@pytest.mark.parametrize(
    "text", ["a #b", "a: b", "- a", "&a b", "!a b", "*a", "%a", "@a", "`a", "| a", "x, y: z", "[a"]
)
def test_a_value_of_the_command_line_is_not_cut_short(text: str) -> None:
    assert parse_overrides([f"task.path={text}"]) == {"task.path": text}


def test_lists_and_mappings_in_brackets_are_read_as_yaml() -> None:
    given = parse_overrides(["a=[010, 1e3, yes, 'x, y', null]", "b={p: 5, 7: [true]}", "c=[]"])
    assert given == {"a": ["010", "1e3", "yes", "x, y", None], "b": {"p": 5, "7": [True]}, "c": []}
    made = gl.read(BASE, parse_overrides(["checkpoints.steps=[010, 1e3]", "start.file=x", "start.take=[1, 02]"]))
    assert (made.checkpoints.steps, made.start.take) == ((10, 1000), ("1", "02"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed:", "x.yaml: seed (line 1) has no value"),
        ("name: x\ntask:\n  # p: 5\nseed: 1", "x.yaml: task (line 2) has no value"),
        ("a: {b: , c: 1}", "b (line 1) has no value"),
        ("a: {b}", "b (line 1) has no value"),
        ("a:\n- 1\n-\n", "an entry of a list (line 3) has no value"),
    ],
)
def test_a_setting_without_a_value_is_refused_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        load_yaml(tmp_path / "x.yaml")
    assert said in str(refused.value)


@pytest.mark.parametrize("argument", ["seed=", "seed= ", "seed={a: }", "seed=[{a}]"])
def test_an_argument_without_a_value_is_refused_by_its_key(argument: str) -> None:
    with pytest.raises(InputError, match=r"^seed.* has no value"):
        parse_overrides([argument])


def test_null_says_none_where_a_setting_allows_it() -> None:
    assert gl.read({**BASE.to_dict(), "batch_size": 5}, parse_overrides(["batch_size=null"])).batch_size is None
    with pytest.raises(InputError, match="seed"):
        gl.read(BASE, parse_overrides(["seed=null"]))


@pytest.mark.parametrize(
    ("preset", "identity"),
    [
        ("micro", "93fb88ffcfc84b2bead268d7f695d0d899799e5f6819b5d8a5aa00d92f9bfd31"),
        ("demo", "b1fb71252c8e977fdabb7cc5465937e890322cb3f95b5eda63f69e93064a7866"),
    ],
)
def test_a_field_that_comes_later_changes_no_identity(preset: str, identity: str) -> None:
    """A new field of a component is `components.later(default)`; what trains differently raises `SEMANTICS`."""
    assert gl.preset(preset).identity == identity


@given(st.one_of(st.text(max_size=8), st.sampled_from(sorted(READINGS)), st.floats(allow_nan=False), st.integers()))
@example("\x85")
@example("\xa0")
@example("a\u2028b")
def test_what_is_written_as_yaml_reads_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "back.yaml"
    try:
        file.write_text(dump_yaml({"a": value, "b": [value]}), encoding="utf-8")
    except UnicodeEncodeError:
        return
    back = load_yaml(file)
    for found in (back["a"], *back["b"]):
        if isinstance(value, str):
            assert found == value
        else:
            assert (number_in(found) if isinstance(found, str) else found) == value


def test_names_of_weights_and_groups_may_hold_dots() -> None:
    made = gl.read(BASE, {"network.init_std.unembed.W_U": 0.5, "optimiser.groups.embed.*.frozen": True})
    assert made.network.init_std == {"unembed.W_U": 0.5}
    assert made.optimiser.groups["embed.*"].frozen


def test_one_size_of_the_training_set_replaces_the_other() -> None:
    made = gl.read(BASE, {"split.n_train": 100})
    assert (made.split.frac_train, made.split.n_train) == (None, 100)


@pytest.mark.parametrize(
    "text",
    [
        "task: {p: 5, p: 7}",
        "seed: 1\nseed: 2",
        "a: &x [1]\nb: *x",
        "a: &a [*a]",
        "a: !!python/object/apply:os.system ['x']",
        "- 1\n- 2",
        "5",
        "",
        "a: [1",
        "? [1, 2]\n: 3",
        "[" * 5000,
        "{a: " * 5000,
        "a: \x00",
        "!!map x",
    ],
)
def test_yaml_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"x\.yaml") as caught:
        load_yaml(file)
    assert "\n" not in str(caught.value)


def test_a_character_that_yaml_does_not_allow_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\nb: \x1b[31m")
    with pytest.raises(InputError, match=r"x\.yaml is not valid YAML \(line 2\): it holds the character U\+001B$"):
        load_yaml(tmp_path / "x.yaml")


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    (tmp_path / "x.yaml").write_text("\n".join(rows))
    with pytest.raises(InputError, match="aliases"):
        load_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {(1, 2): 3}, float("nan"), float("inf")])
def test_python_values_that_are_no_settings_are_refused(value: Any) -> None:
    for field in ("optimiser.learning_rate", "task.p", "network", "budget.seconds"):
        with pytest.raises(InputError):
            gl.read(BASE, {field: value})


def test_numbers_beyond_any_float_are_refused() -> None:
    for field in ("optimiser.learning_rate", "budget.seconds", "budget.steps", "seed", "split.frac_train"):
        with pytest.raises(InputError, match=field):
            gl.read(BASE, {field: 10**400})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(InputError, match=r"^task\.p is missing$"):
        read({})


@pytest.mark.parametrize("description", [[], "micro", 5, None, {"task": []}, {"task": 5}, {"task": {"kind": [1]}}])
def test_descriptions_that_are_no_mapping_are_refused(description: Any) -> None:
    with pytest.raises(InputError):
        read(description)


@pytest.mark.parametrize(
    "overrides",
    [
        {"optimiser.groups": 5, "optimiser.groups.x.frozen": True},
        {"network.init_std": "x", "network.init_std.y": 1.0},
        {"split": 5, "split.frac_train": 0.5},
        {"task.p.q": 5},
        {"": 5},
        {"task.": 5},
        {".p": 5},
    ],
)
def test_overrides_of_what_is_no_section_are_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read(BASE.to_dict(), overrides)


def test_seeds_that_would_leave_the_range_are_refused() -> None:
    with pytest.raises(InputError, match="seeds"):
        training.members_of(gl.read(BASE, {"seed": MAX_SEED}), 2)
    assert training.members_of(gl.read(BASE, {"seed": MAX_SEED}), 1)[0].seed == MAX_SEED
