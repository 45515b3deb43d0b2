"""The page in Chromium: characters a second, time to the first one, sizes, and what coarser weights cost.

    CHARLOOM_DATA=… python benchmarks/web.py [--model FOLDER] [--onnxruntime-web FOLDER]

Speed is of LSTMs of one layer with random weights over 82 ids, one text at temperature 1, the best of
several seconds; with `--onnxruntime-web` (what `npm install onnxruntime-web` puts into node_modules) its
wasm engine takes the same steps on the exported graph beside it. `--model` is a trained model whose loss at
each precision is measured on the end of Tiny Shakespeare. Every row is appended to results/web.jsonl.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, Route, sync_playwright
from safetensors.numpy import load

from charloom.export import html, module, onnx
from charloom.export.precision import PRECISIONS, SCALE, Precision, weights
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text.vocabulary import Vocabulary
from rows import Rows, data_folder, table

ORIGIN = "http://charloom.test"  # served by the script itself
CHARACTERS = 82  # of AG News, the lesson's corpus
HIDDEN = 64, 256, 512
SECONDS = 5
SCORED = 50_000  # characters from the end of the text

ENGINE = """async (seconds) => {
  const { load } = await import("/charloom.js");
  const model = await load("/");
  let best = 0;
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    const began = performance.now();
    model.generate({ prompt: "a", length: 400, seed: 1 });
    best = Math.max(best, 400e3 / (performance.now() - began));
  }
  return best;
}"""

WASM = """async ([seconds, hidden]) => {
  const ort = await import("/ort/ort.wasm.min.mjs");
  const session = await ort.InferenceSession.create("/model.onnx", { executionProviders: ["wasm"] });
  let state = new ort.Tensor("float32", new Float32Array(2 * hidden), [1, 2, 1, hidden]);
  let best = 0;
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    const began = performance.now();
    for (let n = 0; n < 200; n++) {
      const ids = new ort.Tensor("int64", BigInt64Array.from([BigInt(n % 80)]), [1, 1]);
      const { next_state } = await session.run({ ids, state });
      state = next_state;
    }
    best = Math.max(best, 200e3 / (performance.now() - began));
  }
  return best;
}"""

Row = dict[str, Any]


def random_model(hidden: int, scratch: Path) -> tuple[Path, Model]:
    vocabulary = Vocabulary.of_characters(map(chr, range(97, 97 + CHARACTERS)))
    config = ModelConfig(hidden=hidden)
    random = np.random.default_rng(0)
    arrays = {
        name: random.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(hidden))
        for name, shape in config.weight_shapes(CHARACTERS).items()
    }
    path = scratch / f"random-{hidden}"
    path.mkdir(exist_ok=True)
    folder.create(path, config=config, vocabulary=vocabulary, card="", sampling={}, provenance={})
    folder.write_weights(path, arrays, {})
    return path, folder.read(path)


@contextmanager
def served(browser: Browser, *folders: tuple[str, Path]) -> Iterator[Page]:
    """A page whose host serves these folders, each under a path."""
    page = browser.new_page()

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        for prefix, place in folders:
            if path.startswith(prefix) and path != "/":
                return route.fulfill(path=place / path.removeprefix(prefix))
        return route.fulfill(body="<!doctype html>", content_type="text/html")

    page.route(f"{ORIGIN}/**", serve)
    page.goto(ORIGIN)
    yield page
    page.close()


def engine(browser: Browser, scratch: Path, hidden: int, precision: Precision) -> Row:
    source, model = random_model(hidden, scratch)
    module.write(model, source, source / "js", precision)
    with served(browser, ("/", source / "js")) as page:
        return {"characters_a_second": round(page.evaluate(ENGINE, SECONDS))}


def wasm(browser: Browser, scratch: Path, hidden: int, library: Path) -> Row:
    source, model = random_model(hidden, scratch)
    onnx.write(model, source / "model.onnx")
    with served(browser, ("/ort/", library / "dist"), ("/", source)) as page:
        return {"characters_a_second": round(page.evaluate(WASM, [SECONDS, hidden]))}


def opening(browser: Browser, scratch: Path, precision: Precision) -> Row:
    """From opening the file to the first character in the text, the best of five."""
    source, model = random_model(512, scratch)
    out = scratch / f"page-{precision}.html"
    size = html.write(model, source, out, name="page", precision=precision, curve=[])
    found = []
    for _ in range(5):
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(out.as_uri(), wait_until="commit")
        page.locator("#text").fill("a")
        page.locator("#write").click()
        page.evaluate(
            """() => new Promise((resolve) => {
              const text = document.querySelector("#text");
              const look = () => (text.value.length > 1 ? resolve() : setTimeout(look, 2));
              look();
            })"""
        )
        found.append(time.perf_counter() - began)
        page.close()
    return {"seconds": round(min(found), 3), "bytes": size}


def loss(path: Path, precision: Precision) -> Row:
    model = folder.read(path)
    text = (data_folder() / "tinyshakespeare.txt").read_text("utf-8")[-SCORED:]
    generator = Generator(replace(model, weights=opened(model, precision)))
    found = next(generator.score([model.vocabulary.encode(text)])).log_probabilities
    return {"nats": round(float(-np.nanmean(found.astype(np.float64))), 5)}


def opened(model: Model, precision: Precision) -> dict[str, np.ndarray[Any, Any]]:
    """The weights as the page reads them."""
    found = load(weights(model, precision))
    arrays = {
        name: found[name].astype(np.float32) * (found[name + SCALE][:, None] if name + SCALE in found else 1)
        for name in model.weights
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, help="a trained model")
    parser.add_argument("--onnxruntime-web", type=Path, help="node_modules/onnxruntime-web")
    asked = parser.parse_args()
    rows = Rows("web")
    speeds: list[list[object]] = []
    sizes: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder_name, sync_playwright() as playwright:
        scratch = Path(folder_name)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for hidden in HIDDEN:
            line: list[object] = [hidden]
            for precision in ("float32", "int8"):
                row = rows.measure(
                    f"engine {hidden} {precision}", engine, browser, scratch, hidden, precision
                )
                line.append(f"{row['characters_a_second']:,}")
            if asked.onnxruntime_web:
                name = f"onnxruntime-web {hidden}"
                row = rows.measure(name, wasm, browser, scratch, hidden, asked.onnxruntime_web)
                line.append(f"{row['characters_a_second']:,}")
            speeds.append(line)
        for precision in PRECISIONS:
            row = rows.measure(f"page 512 {precision}", opening, browser, scratch, precision)
            line = [precision, f"{row['bytes']:,}", row["seconds"]]
            if asked.model:
                line.append(
                    rows.measure(f"loss {asked.model.name} {precision}", loss, asked.model, precision)["nats"]
                )
            sizes.append(line)
        browser.close()
    peer = ["onnxruntime-web wasm"] if asked.onnxruntime_web else []
    print(table(["hidden", "float32", "int8", *peer], speeds))
    print()
    cost = ["nats a character"] if asked.model else []
    print(table(["1×512 as", "bytes of the page", "seconds to the first character", *cost], sizes))


if __name__ == "__main__":
    main()
