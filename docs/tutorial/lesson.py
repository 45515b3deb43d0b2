# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The lesson, alive
#
# A lesson on generative networks trains a small LSTM on news headlines, a character at a time, and lets
# it write. It ends with a list of what could be better. Here is the same lesson with charloom, its
# figures beside ours, and then that list, done and measured.
#
# The news are fetched once (1.9 MB) or taken from the folder that `CHARLOOM_DATA` names; then nothing but
# this machine is needed, and the whole page runs in a few minutes on two processors. On another machine its
# figures will differ in their last digits.
#
# To run it: `python docs/tutorial/lesson.py`, or open the notebook in Jupyter. Besides charloom it wants
# `pip install num2words`, for its last part. What you would use yourself stands in [the
# reference](../reference/python.md); some imports below come from inside, to look there.

# %% tags=["parameters"]
NEWS = "ag_news:test"  # 7,600 items; "ag_news" are all 127,600
TEXTS = 2000  # the lesson's loop reads 10,000, one a step
STEPS = 300  # of each network that is compared
NUMBERS = 1000  # steps of the one that translates

# %%
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import charloom
from charloom.insight.diversity import loops
from charloom.text.corpus import DataConfig, prepare
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import pairs
from charloom.training.events import Evaluated, Stepped

RUNS = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The corpus
#
# AG News: items of four classes, each a title and a description. The lesson trains on the 120,000 of its
# training half; we take the 7,600 of the other.

# %%
# every item, its characters as they are, and without the numbers that mark where items begin and end
corpus = prepare([NEWS], DataConfig(normalize="none", fractions=(100, 0, 0)), specials=False)
texts = list(corpus.train.texts())
print(f"{len(texts):,} texts, {corpus.train.characters:,} characters")
for condition in corpus.conditions:
    print(condition.name, dict(zip(condition.values, condition.counts, strict=True)))
print(texts[0])

# %% [markdown]
# ## Characters and their numbers
#
# Ids in the order in which characters first appear. On the lesson's first training text `a` is 1, and 13
# is `c`.

# %%
FIRST = (
    "Wall St. Bears Claw Back Into the Black (Reuters) Reuters - Short-sellers, "
    "Wall Street's dwindling\\band of ultra-cynics, are seeing green again."
)
small = Vocabulary.from_text(FIRST, ())
print({character: number for number, character in enumerate(small.characters)})
print("a is", small.encode("a")[0], "and 13 is", small.decode([13]))
print("The whole corpus has", len(corpus.vocabulary), "characters; the lesson's has 82.")

# %% [markdown]
# ## A text as ids
#
# The lesson's begins 0, 1, 2, 2, 3 and ends 1, 27, 16, 6. Back again, nothing is lost.

# %%
ids = small.encode(FIRST)
print(ids[:20].tolist(), "…", ids[-7:].tolist())
assert small.decode(ids) == FIRST

# %% [markdown]
# ## Training pairs
#
# Windows of 100 characters, and the same one character later. One text is one minibatch. The lesson
# encodes every character some hundred times; these are views of one array.

# %%
inputs, targets = pairs(ids, 100)
print(inputs.shape, targets.shape)
print("input ", inputs[0][:3].tolist(), "…", inputs[0][-3:].tolist())
print("target", targets[0][:3].tolist(), "…", targets[0][-3:].tolist())

# %% [markdown]
# ## The network, and its training
#
# One-hot characters, an LSTM of 64, a linear map back to the characters; Adam at 0.01, one text a step:
# that is `--preset lesson`. A network that knows nothing pays ln 82 = 4.407 nats a character, and ours
# begins exactly there, since its output begins at zero; the lesson's first loss is 4.399. Then the
# lesson prints the loss of every thousandth text: of that one text, so that it goes up and down by some
# tenths. Ours is the mean of the two hundred around it.

# %%
LESSON = [4.399, 2.16, 1.67, 2.42, 1.70, 1.69, 1.97, 1.8]  # at text 0, 1,000, 2,000, …
losses, scores = {}, {}


def watch(event):
    if isinstance(event, Stepped):
        losses[event.step] = event.loss
    elif isinstance(event, Evaluated):
        scores[event.step] = event.nats


lesson = charloom.train(
    NEWS, preset="lesson", steps=TEXTS, evaluate_steps=TEXTS, out=RUNS / "lesson", on_event=watch
)
print("before the first step: the lesson 4.399, here", f"{scores[0]:.3f}")
for thousand in range(1, TEXTS // 1000 + 1):
    near = [loss for step, loss in losses.items() if abs(step - 1000 * thousand) <= 100]
    print(f"text {thousand},000: the lesson {LESSON[thousand]}, here {np.mean(near):.2f}")

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
steps, values = zip(*sorted(losses.items()), strict=True)
axes.plot(steps, values, lw=0.8, label="charloom")
axes.plot(np.arange(len(LESSON)) * 1000, LESSON, "o", label="the lesson")
axes.set(xlabel="texts", ylabel="nats a character", xlim=(0, max(TEXTS, 1000)))
axes.legend()
plt.show()

# %% [markdown]
# ## Writing greedily
#
# Always the likeliest character, from "today ". The lesson's network soon goes round in a circle. So does
# ours.

# %%
text = lesson.generate("today ", temperature=0, length=300)
print("today " + text)
print("ends in a loop:", loops(text))

# %% [markdown]
# ## Writing softly
#
# The logits divided by a temperature, and a draw. Low is safe and dull, high is wild; at the lesson's
# five:

# %%
for temperature in (0.3, 0.8, 1.0, 1.3, 1.8):
    print(f"── {temperature} ──")
    print("Today " + lesson.generate("Today ", temperature=temperature, length=300, seed=1))

# %% [markdown]
# ## What the lesson says could be better
#
# From here on the loss is that of held-out items, in bits a character: what a network pays for text that
# it was not trained on.
#
# ### Better minibatches
#
# *windows* are the lesson's own. It proposes one large block of all texts, shuffled (*shuffled*). *lanes*
# read the text on and on with carried state. Same network, as many steps. A step of *windows* holds every
# character of its one text up to a hundred times, and learns little for it; *shuffled* windows begin from
# nothing each time, *lanes* remember what was before:


# %%
def bits(name, **options):
    """Held-out bits a character after STEPS of training."""
    told = []
    charloom.train(NEWS, steps=STEPS, out=RUNS / name, on_event=told.append, **options)
    found = min(event.nats for event in told if isinstance(event, Evaluated)) / math.log(2)
    read = max((event.characters for event in told if isinstance(event, Evaluated)), default=0)
    print(f"{name:<10}{found:6.3f} bits a character, {read:>10,} characters read")
    return found


layouts = {
    name: bits(name, layout=name, hidden=128, optimiser="adam") for name in ("windows", "shuffled", "lanes")
}

# %% [markdown]
# ### Other cells
#
# A simple network, an LSTM, a GRU, as wide as before, but with what charloom takes by itself: its optimiser,
# each item a row from its own beginning, its class known. In few steps a GRU may come first; equal
# minutes, several seeds and a table are what `charloom compare` is for, and there the LSTM mostly wins:

# %%
cells = {cell: bits(cell, cell=cell, hidden=128) for cell in ("rnn", "lstm", "gru")}
print("best:", min(cells, key=cells.get))

# %% [markdown]
# ### An end of its own
#
# Every item ends in a special `<eos>`, so the network learns where items end, and stops there: the
# reason to finish is then `eos`. Three hundred steps are few, and an item may still run to the length
# that was asked for.

# %%
model = charloom.load(RUNS / "lstm")
for seed in range(3):
    sample = model.sample(temperature=0.7, seed=seed, length=1000)
    print(f"[{sample.finish_reason}, {sample.characters} characters] {sample.text}")

# %% [markdown]
# ### A start that says what to write
#
# The lesson asks for a unit that takes only a starting state. The items' class is such a condition: the
# catalog hands it on, and a linear map makes the first state of it. And backwards, by Bayes' rule, the
# same network tells the class of an item.

# %%
(label,) = model.model.config.conditions
for value in label.values:
    print(f"[{value}] {model.generate(condition=value, temperature=0.6, seed=3)}")
held_out = prepare([NEWS]).test
asked = list(held_out.texts(limit=100))
truth = [held_out.condition([label], k)[label.name] for k in range(len(asked))]
told = [found.label for found in model.classify(asked)]
right = sum(a == b for a, b in zip(told, truth, strict=True))
print(f"{right} of {len(asked)} held-out items are put into their own class; by chance, {len(asked) // 4}")

# %% [markdown]
# ### Translation
#
# The same network reads a *source* and then writes what belongs to it, with the loss on that alone:
# Spanish number words to English ones, three numbers in ten kept apart. So that this page is read in
# minutes, they lie below two thousand: 1,400 pairs and 1,000 steps. `examples/translate_numbers.py` goes up
# to a million.

# %%
from num2words import num2words  # pip install num2words

order = np.random.default_rng(0).permutation(2000)
rows = [(num2words(int(n), lang="es"), num2words(int(n), lang="en")) for n in order]
table = RUNS / "numbers.tsv"
lines = ["es\ten"] + [f"{spanish}\t{english}" for spanish, english in rows[:1400]]
table.write_text("\n".join(lines) + "\n", encoding="utf-8")
translator = charloom.train(
    table, text="en", source="es", hidden=128, steps=NUMBERS, fractions=(95, 5, 0), out=RUNS / "numbers"
)
asked = rows[1400:]
told = translator.translate([spanish for spanish, _ in asked])
right = sum(a == english for a, (_, english) in zip(told, asked, strict=True))
print(f"{right} of {len(asked)} numbers that it has never seen are right to the letter")
for answer, (spanish, _) in list(zip(told, asked, strict=True))[:5]:
    print(f"{spanish} → {answer}")

# %% [markdown]
# ## And on
#
# The rest of the lesson's list is a flag each: `--hidden 512`, `--layers 2`; [captions of
# images](../guides/conditions.md) are conditions that are arrays. How each did is in README.
#
# `charloom report` tells of any run how good it is, compared with what, and what to do next; `charloom
# export --to html` makes a page of it that writes in any browser. [The guides](../index.md) go on from
# here; [the mathematics](../mathematics.md) has the equations.
