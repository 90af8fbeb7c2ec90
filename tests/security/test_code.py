"""What the code may not do, by its syntax: run text, unpickle, read YAML that makes objects, leave a name unquoted in a shell line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "workflow" / "src").rglob("*.py"))
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnv", "runpy.run_path"}
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PLAIN = {"MACHINE", "threads", "resources.gpu"}
"""Fields of shell lines that are numbers, or quoted where they are made."""
MAKES_OBJECTS = {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"}


def name_of(function: ast.expr) -> str:
    """A call's function as it is written: ``yaml.safe_load``."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    return ".".join(reversed([*parts, function.id if isinstance(function, ast.Name) else "()"]))


def fixed(call: ast.Call) -> bool:
    """Whether a call's first argument is a list that begins with a program's name."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.List) and bool(first.elts) and isinstance(first.elts[0], ast.Constant)


def problems(tree: ast.AST) -> Iterator[str]:
    """What is forbidden, and the line in which it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: imports {m}" for m in modules if m.split(".")[0] in UNPICKLES)
            if isinstance(node, ast.ImportFrom) and node.module == "subprocess":
                yield f"{node.lineno}: takes functions out of subprocess, whose calls this test would not know"
        if not isinstance(node, ast.Call):
            continue
        name, given = name_of(node.func), {k.arg: k.value for k in node.keywords}
        value = {key: getattr(found, "value", None) for key, found in given.items()}
        if name in RUNS_TEXT | MAKES_OBJECTS:
            yield f"{node.lineno}: calls {name}"
        if name.startswith("subprocess.") and name != "subprocess.SubprocessError" and not fixed(node):
            yield f"{node.lineno}: {name} with a command that is not written out"
        if name in ("torch.load", "load_state_dict_from_url") and value.get("weights_only") is not True:
            yield f"{node.lineno}: {name} without weights_only=True"
        if value.get("allow_pickle") or value.get("shell") or value.get("trust_remote_code"):
            yield f"{node.lineno}: {name} lets foreign code run"
        if name.endswith((".from_pretrained", ".from_config")) and value.get("trust_remote_code") is not False:
            yield f"{node.lineno}: {name} without trust_remote_code=False"


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)",
        "import pickle",
        "from subprocess import run",
        "subprocess.run(command)",
        "subprocess.run('ls ' + x)",
        "subprocess.run([program, x])",
        "yaml.load(x, Loader=L)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "run(x, shell=True)",
        "AutoModel.from_pretrained(f)",
        "AutoModel.from_pretrained(f, trust_remote_code=True)",
    ],
)
def test_the_search_finds(text: str):
    assert list(problems(ast.parse(text)))


def test_no_module_runs_or_unpickles_what_it_reads():
    found = {path.name: list(problems(ast.parse(path.read_text(encoding="utf-8")))) for path in MODULES}
    assert len(found) > 50
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def fields(command: str) -> list[str]:
    """The fields of a command that hold names, and are not quoted."""
    return [f for f in re.findall(r"(?<!\{)\{([^{}]*)\}(?!\})", command) if f not in PLAIN and not f.endswith(":q")]


def commands(text: str) -> list[str]:
    """The strings below every ``shell:`` of a rules file."""
    return re.findall(r'^ *shell:\n((?: +(?:f?"[^"\n]*"|\'[^\'\n]*\')\n?)+)', text, re.MULTILINE)


def test_the_search_finds_an_unquoted_field():
    [found] = commands('    shell:\n        "x {input.a:q} {log}"\n        " {MACHINE} {output[0]}"\n')
    assert fields(found) == ["log", "output[0]"]


@pytest.mark.parametrize("path", RULES, ids=lambda p: p.name)
def test_every_name_in_a_shell_line_is_quoted(path: Path):
    text = path.read_text(encoding="utf-8")
    found = commands(text)
    assert len(found) == len(re.findall(r"^ *shell:", text, re.MULTILINE)), "a command that this test cannot read"
    assert [f for command in found for f in fields(command)] == []
    assert not re.search(r"^ *(run|script|notebook|wrapper):", text, re.MULTILINE), "only shell lines are looked at"


def test_the_options_of_the_machine_are_quoted_before_they_enter_a_shell_line():
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    assert "MACHINE = shlex.join(recipes.machine_options(RUN))" in text
