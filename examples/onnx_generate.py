"""Write with a model that `charloom export --to onnx` made; needs onnxruntime and numpy, not charloom.

python onnx_generate.py model.onnx "Once "
"""

import json
import sys

import numpy as np
import onnxruntime

LENGTH, TEMPERATURE = 300, 0.8

session = onnxruntime.InferenceSession(sys.argv[1])
tokens = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])["ids"]
ids_of = {token: i for i, token in enumerate(tokens) if isinstance(token, str)}
specials = {token["special"]: i for i, token in enumerate(tokens) if isinstance(token, dict)}
prompt = sys.argv[2] if len(sys.argv) > 2 else ""
ids = [specials["<bos>"]] if "<bos>" in specials else []
ids += [ids_of[character] for character in prompt]
layers, parts, _, hidden = session.get_inputs()[1].shape
state = np.zeros((layers, parts, 1, hidden), np.float32)
random = np.random.default_rng(0)
print(prompt, end="")
for _ in range(LENGTH):
    logits, state = session.run(None, {"ids": np.array([ids]), "state": state})
    last = logits[0, -1].astype(np.float64) / TEMPERATURE
    last[[i for name, i in specials.items() if name != "<eos>"]] = -np.inf
    chances = np.exp(last - last.max())
    ids = [int(random.choice(len(chances), p=chances / chances.sum()))]
    if ids[0] == specials.get("<eos>"):
        break
    print(tokens[ids[0]], end="")
print()
