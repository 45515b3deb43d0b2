"""Makes the golden model of the present format: run once a format, then never again.

    python tests/model/golden/make.py

Trains a small model on the language reference, with the vocabulary's specials, and writes beside it the
greedy text and a score that later versions must give too.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import charloom
from charloom.model.folder import FORMAT

PROMPT = "The "
SENTENCE = "An identifier is bound to an object; ‘names’ refer to objects."

if __name__ == "__main__":
    target = Path(__file__).parent / f"format-{FORMAT}"
    with tempfile.TemporaryDirectory() as place:
        text = Path(place) / "topics.txt"
        text.write_text(
            "\n".join(topics[name] for name in sorted(topics))[:200_000], encoding="utf-8", newline="\n"
        )
        run = Path(place) / "run"
        model = charloom.train(
            text, out=run, steps=3000, hidden=16, layers=2, cell="gru", embedding=8, lanes=32, window=64,
            rate=0.02, muon_rate=0.1, dropout=0.0, threads=1, precision="float32", evaluate_steps=1500,
        )  # fmt: skip
        target.mkdir()
        for name in ("config.json", "vocab.json", "generation.json", "README.md", "model.safetensors"):
            shutil.copy(run / name, target / name)
        expected = {
            "prompt": PROMPT,
            "greedy": model.generate(PROMPT, temperature=0, length=200),
            "sentence": SENTENCE,
            "nats": model.score(SENTENCE).nats,
        }
        (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
