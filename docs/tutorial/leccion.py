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
# # La lección, viva
#
# Una lección sobre redes generativas entrena una pequeña LSTM con titulares de prensa, carácter a
# carácter, y la deja escribir. Termina con una lista de lo que podría mejorarse. Aquí está la misma
# lección con charloom, sus cifras junto a las nuestras, y después esa lista, hecha y medida.
#
# Las noticias se descargan una vez (1,9 MB) o se toman de la carpeta que indica `CHARLOOM_DATA`; después no
# hace falta nada más que esta máquina, y la página entera se ejecuta en pocos minutos con dos procesadores.
# En otra máquina las cifras diferirán en los últimos dígitos. Lo que el código imprime está en inglés.
#
# Para ejecutarla: `python docs/tutorial/leccion.py`, o abrir el cuaderno en Jupyter. Además de charloom
# pide `pip install num2words`, para su última parte. Lo que usted usaría está en [la
# referencia](../reference/python.md); algunos `import` de abajo vienen de dentro, para mirar allí.

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
# ## El corpus
#
# AG News: noticias de cuatro clases, cada una un título y una descripción. La lección entrena con las
# 120.000 de su parte de entrenamiento; nosotros tomamos las 7.600 de la otra.

# %%
# every item, its characters as they are, and without the numbers that mark where items begin and end
corpus = prepare([NEWS], DataConfig(normalize="none", fractions=(100, 0, 0)), specials=False)
texts = list(corpus.train.texts())
print(f"{len(texts):,} texts, {corpus.train.characters:,} characters")
for condition in corpus.conditions:
    print(condition.name, dict(zip(condition.values, condition.counts, strict=True)))
print(texts[0])

# %% [markdown]
# ## Los caracteres y sus números
#
# Los identificadores siguen el orden en que los caracteres aparecen por primera vez. En el primer texto
# de entrenamiento de la lección, `a` es 1, y 13 es `c`.

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
# ## Un texto como identificadores
#
# El de la lección empieza por 0, 1, 2, 2, 3 y termina en 1, 27, 16, 6. De vuelta no se pierde nada.

# %%
ids = small.encode(FIRST)
print(ids[:20].tolist(), "…", ids[-7:].tolist())
assert small.decode(ids) == FIRST

# %% [markdown]
# ## Los pares de entrenamiento
#
# Ventanas de 100 caracteres, y las mismas un carácter después. Un texto es un minilote. La lección
# codifica cada carácter unas cien veces; estas son vistas de un solo array.

# %%
inputs, targets = pairs(ids, 100)
print(inputs.shape, targets.shape)
print("input ", inputs[0][:3].tolist(), "…", inputs[0][-3:].tolist())
print("target", targets[0][:3].tolist(), "…", targets[0][-3:].tolist())

# %% [markdown]
# ## La red y su entrenamiento
#
# Caracteres «one-hot», una LSTM de 64, una capa lineal de vuelta a los caracteres; Adam con 0,01, un
# texto por paso: eso es `--preset lesson`. Una red que no sabe nada paga ln 82 = 4,407 nats por
# carácter, y la nuestra empieza exactamente ahí, porque su salida empieza en cero; la primera pérdida de
# la lección es 4,399. Después la lección imprime la pérdida cada mil textos: la de ese único texto, que
# por eso sube y baja algunas décimas. La nuestra es la media de los doscientos de alrededor.

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
# ## Escritura voraz (greedy)
#
# Siempre el carácter más probable, desde "today ". La red de la lección pronto da vueltas en círculo. La
# nuestra también.

# %%
text = lesson.generate("today ", temperature=0, length=300)
print("today " + text)
print("ends in a loop:", loops(text))

# %% [markdown]
# ## Escritura suave
#
# Los logits divididos por una temperatura, y un sorteo. Baja es segura y aburrida, alta es desbocada; con
# las cinco de la lección:

# %%
for temperature in (0.3, 0.8, 1.0, 1.3, 1.8):
    print(f"── {temperature} ──")
    print("Today " + lesson.generate("Today ", temperature=temperature, length=300, seed=1))

# %% [markdown]
# ## Lo que la lección dice que podría mejorarse
#
# De aquí en adelante la pérdida es la de noticias apartadas, en bits por carácter: lo que una red paga
# por texto con el que no fue entrenada.
#
# ### Mejores minilotes
#
# *windows* son los de la lección. Ella propone un gran bloque de todos los textos, barajado (*shuffled*).
# *lanes* siguen leyendo el texto con el estado arrastrado. La misma red, los mismos pasos. Un paso de
# *windows* contiene cada carácter de su único texto hasta cien veces, y aprende poco a cambio; las ventanas
# de *shuffled* empiezan cada vez de cero, *lanes* recuerda lo que hubo antes:


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
# ### Otras celdas
#
# Una red simple, una LSTM, una GRU, tan anchas como antes, pero con lo que charloom elige por sí mismo:
# su optimizador, cada noticia una fila desde su propio comienzo, conocida su clase. En pocos pasos puede
# ganar una GRU; minutos iguales, varias semillas y una tabla son cosa de `charloom compare`, y ahí suele
# ganar la LSTM:

# %%
cells = {cell: bits(cell, cell=cell, hidden=128) for cell in ("rnn", "lstm", "gru")}
print("best:", min(cells, key=cells.get))

# %% [markdown]
# ### Un final propio
#
# Cada noticia termina en un `<eos>` especial, así la red aprende dónde acaban las noticias, y se detiene
# ahí: la razón de terminar es entonces `eos`. Trescientos pasos son pocos, y alguna puede llegar todavía
# hasta la longitud pedida.

# %%
model = charloom.load(RUNS / "lstm")
for seed in range(3):
    sample = model.sample(temperature=0.7, seed=seed, length=1000)
    print(f"[{sample.finish_reason}, {sample.characters} characters] {sample.text}")

# %% [markdown]
# ### Un comienzo que dice qué escribir
#
# La lección pide una unidad que reciba solo un estado inicial. La clase de las noticias es una condición
# así: el catálogo la entrega, y una capa lineal hace de ella el primer estado. Y al revés, por la regla
# de Bayes, la misma red dice la clase de una noticia.

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
# ### Traducción
#
# La misma red lee una *fuente* y después escribe lo que le corresponde, con la pérdida solo sobre eso:
# numerales españoles a ingleses, con tres de cada diez números apartados. Para que esta página se lea en
# minutos quedan por debajo de dos mil: 1.400 pares y 1.000 pasos. `examples/translate_numbers.py` llega hasta
# el millón.

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
# ## Y más allá
#
# El resto de la lista de la lección es una opción cada cosa: `--hidden 512`, `--layers 2`; [los pies de
# imágenes](../guides/conditions.md) son condiciones que son arrays. Cómo salió cada una está en README.
#
# `charloom report` dice de cualquier entrenamiento lo bueno que es, comparado con qué, y qué hacer
# después; `charloom export --to html` hace de él una página que escribe en cualquier navegador. [Las
# guías](../index.md) siguen desde aquí; [las matemáticas](../mathematics.md) traen las ecuaciones (en
# inglés).
