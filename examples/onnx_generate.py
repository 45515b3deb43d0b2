"""Write with a model that `charloom export --to onnx` made; needs onnxruntime and numpy, not charloom.

python onnx_generate.py model.onnx "Once "
python onnx_generate.py model.onnx "" class=Sports           a condition by name; an array as image=0,0.5,1
python onnx_generate.py model.onnx "" source=veintiuno       a model that translates
"""

import codecs
import json
import sys
import unicodedata

import numpy as np
import onnxruntime

LENGTH, TEMPERATURE = 300, 0.8

if len(sys.argv) < 2 or any("=" not in argument for argument in sys.argv[3:]):
    sys.exit("usage: onnx_generate.py MODEL.onnx [PROMPT [NAME=VALUE ...]]")
session = onnxruntime.InferenceSession(sys.argv[1])
prompt = sys.argv[2] if len(sys.argv) > 2 else ""
given = dict(argument.split("=", 1) for argument in sys.argv[3:])
metadata = session.get_modelmeta().custom_metadata_map
config, vocabulary = json.loads(metadata["config"]), json.loads(metadata["vocabulary"])
tokens = vocabulary["ids"]  # each a character, {"byte": 0...255} or {"special": name}
specials = {
    token["special"]: i for i, token in enumerate(tokens) if isinstance(token, dict) and "special" in token
}
ids_of = {token: i for i, token in enumerate(tokens) if isinstance(token, str)}


def encode(text: str) -> list[int]:
    """Ids of a text; of an unknown character one `<byte>` for each of its UTF-8 bytes."""
    if config["provenance"].get("normalize") == "nfc":
        text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    if vocabulary["unit"] == "byte":
        return list(text.encode("utf-8", "surrogatepass"))
    ids = []
    for character in text:
        if character not in ids_of and "<byte>" not in specials:
            sys.exit(f"{character!r} is not in the model's vocabulary, which has no <byte> to spell it with")
        spelled = len(character.encode("utf-8", "surrogatepass"))
        ids += [ids_of[character]] if character in ids_of else [specials["<byte>"]] * spelled
    return ids


def vector(name: str, condition: dict) -> np.ndarray:
    """The part of the input `condition` that belongs to one condition: zeros where it is not given."""
    value = given.pop(name, None)
    size = condition.get("size") or len(condition["values"])
    if value is None:
        return np.zeros(size + 1)
    if condition["kind"] == "label":
        if value not in condition["values"]:
            sys.exit(f"{name}={value}: the model knows {', '.join(condition['values'])}")
        return np.append(np.array(condition["values"]) == value, 1)
    try:
        values = np.array([float(number) for number in value.split(",")])
    except ValueError:
        sys.exit(f"{name}: {value!r:.40} is not a list of numbers with commas between them")
    if len(values) != size:
        sys.exit(f"{name}: {len(values)} numbers were given; it takes {size}")
    return np.append((values - condition["mean"]) / condition["deviation"], 1)


source = given.pop("source", "") if "<sep>" in specials else ""
inputs = {}
if config["conditions"]:  # the graph applies them at the first step alone
    parts = [vector(name, condition) for name, condition in config["conditions"].items()]
    inputs["condition"] = np.concatenate(parts).astype(np.float32)[None]
if given:
    names = [*config["conditions"], *(["source"] if "<sep>" in specials else [])]
    sys.exit(f"{', '.join(given)}: the model has no such condition; it has {', '.join(names) or 'none'}")
if "<sep>" in specials and not source:
    sys.exit("the model translates; give a text as source=TEXT")
ids = [specials["<bos>"]] if "<bos>" in specials else []
ids += [*encode(source), specials["<sep>"]] if source else []
ids += encode(prompt)
if not ids:
    sys.exit("the model needs a prompt to start from")

layers, parts, _, hidden = session.get_inputs()[1].shape
state = np.zeros((layers, parts, 1, hidden), np.float32)
random = np.random.default_rng(0)
decoder = codecs.getincrementaldecoder("utf-8")("replace")
print(prompt, end="")
for _ in range(LENGTH):
    logits, state = session.run(None, {"ids": np.array([ids]), "state": state, **inputs})
    last = logits[0, -1].astype(np.float64) / TEMPERATURE
    last[[i for name, i in specials.items() if name != "<eos>"]] = -np.inf
    chances = np.exp(last - last.max())
    ids = [int(random.choice(len(chances), p=chances / chances.sum()))]
    token = tokens[ids[0]]
    if ids[0] == specials.get("<eos>"):
        break
    print(token if isinstance(token, str) else decoder.decode(bytes([token["byte"]])), end="")
print()
