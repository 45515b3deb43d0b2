"""The engine in Node: where a model is loaded from, and what its options may be."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from charloom.export import module
from charloom.model import folder
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig

MakeFolder = Callable[..., tuple[Path, Model]]

TRY = """
const { load } = await import(process.argv[1]);
const attempt = async (run) => {
  try {
    return await run();
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
};
"""


def node(engine: Path, script: str, *, cwd: Path) -> Any:
    """What the script's last expression gives; Node is the machine's, or the one that Playwright brings."""
    program = shutil.which("node") or compute_driver_executable()[0]
    command = [
        program,
        "--input-type=module",
        "--eval",
        f"{TRY}console.log(JSON.stringify(await ({script})));",
    ]
    found = subprocess.run(
        [*command, engine.as_uri()], cwd=cwd, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.fixture
def exported(make_folder: MakeFolder, tmp_path: Path) -> tuple[Path, Model]:
    """In a folder whose name a URL has to escape."""
    source, model = make_folder(sampling={"length": 30})
    out = tmp_path / "a b#c%20?é"
    module.write(folder.read(source), source, out, "float32")
    (tmp_path / "engine.mjs").write_bytes((out / "charloom.js").read_bytes())
    return out, model


def test_a_model_is_loaded_from_a_path_or_a_url(exported: tuple[Path, Model], tmp_path: Path) -> None:
    out, model = exported
    expected = Generator(model).sample("the ", settings=SamplerConfig(length=30)).text
    places = [f"./{out.name}", f"{out.name}/", str(out), f"{out}/", out.as_uri(), f"{out.as_uri()}/"]
    wrong = ["missing", f"{out.name}/config.json", "http://127.0.0.1:9/"]
    found = node(
        tmp_path / "engine.mjs",
        f"""(async () => {{
          const texts = (place) => attempt(async () => (await load(place)).generate({{ prompt: "the " }}));
          const places = {json.dumps(places)};
          const inside = process.chdir({json.dumps(str(out))});
          const here = [await texts("."), await texts("")];
          process.chdir("..");
          return [
            ...here,
            ...await Promise.all(places.map(texts)),
            ...await Promise.all(places.slice(4).map((place) => texts(new URL(place)))),
            ...await Promise.all([...{json.dumps(wrong)}, undefined, null, 7].map(texts)),
          ];
        }})()""",
        cwd=tmp_path,
    )
    assert found[:10] == [expected] * 10
    messages = found[10:]
    assert messages[0].startswith("Error: model.safetensors: there is no such file in file:///")
    assert messages[1].startswith("Error: model.safetensors: there is no such file in file:///")
    assert messages[2].startswith("Error: ")
    assert "http://127.0.0.1:9/ cannot be reached" in messages[2]
    for message, value in zip(messages[3:], ("undefined", "null", "7"), strict=True):
        assert message == f"TypeError: the model's folder is {value}; give a path or a URL"


def test_undefined_and_null_mean_the_default_and_wrong_types_are_refused(
    exported: tuple[Path, Model], tmp_path: Path
) -> None:
    out, model = exported
    generator = Generator(model)
    prompted = generator.sample("the ", settings=SamplerConfig(length=30)).text
    bare = generator.sample("", settings=SamplerConfig(length=30)).text
    same, defaults, wrong = node(
        tmp_path / "engine.mjs",
        """(async () => {
          const model = await load(process.argv[2] ?? ".");
          const names = ["length", "seed", "stream", "strength", "temperature", "top_k", "top_p", "min_p",
            "frequency_penalty", "presence_penalty", "no_repeat", "bias", "ban", "only", "stop", "ignore_eos",
            "condition", "source", "state"];
          const all = (value) => Object.fromEntries(names.map((name) => [name, value]));
          const wrong = [
            { temperature: "0.8" }, { presence_penalty: "1" }, { length: "9" }, { top_k: true }, { ban: 5 },
            { only: ["a"] }, { stop: 5 }, { stop: ["a", null] }, { ignore_eos: "no" }, { bias: { e: NaN } },
            { bias: { ab: 1 } }, { prompt: 5 }, { heat: undefined }, { seed: -1 }, { strength: NaN },
          ];
          return [
            [undefined, null].map((value) => model.generate({ prompt: "the ", ...all(value) })),
            [
              model.generate(), model.generate(undefined), model.generate(null),
              [...model.stream(null)].join(""),
              model.generate({ prompt: null }), model.generate({ state: model.begin(null) }),
              model.generate({ state: model.begin({ condition: null, strength: null, source: null }) }),
              model.generate({ state: model.prime(null, undefined) }),
            ],
            await Promise.all(wrong.map((options) => attempt(() => model.generate(options)))),
          ];
        })()""",
        cwd=out,
    )
    assert same == [prompted] * 2
    assert defaults == [bare] * 8
    assert [message.partition(":")[0] for message in wrong] == ["RangeError"] * len(wrong)
    assert wrong[0] == 'RangeError: temperature is "0.8"; it takes a number from 0 to 100'
    assert wrong[9] == 'RangeError: bias for "e" is NaN; it takes a number, or -Infinity to ban'
