"""Which encoding some bytes are in: byte order marks, UTF-8 with stray bytes, and a guess for a hint."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter

MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")  # what UTF-32 text is, UTF-16 may seem
MIN_FIT = 0.8  # share of the characters beyond ASCII that must be plausible
OPENING = "‚„¿¡"  # marks that no letter comes before
NEAR = 0.04  # fits this close to the best are as good; the more usual encoding is named then
UNION = 0.9  # of the fit where only all Western alphabets together explain the letters

PUNCTUATION = frozenset("\u00a0‘’‚“”„–—…«»‹›•·°§€£¥©®™¿¡ªº²³µ´¼½¾×†№")
WESTERN = (
    "äöüß", "àâçéèêëîïôûùüÿœæ", "áéíóúüñ", "áâãàçéêíóôõúü", "àèéìíîòóùú", "åäöé", "æøåé", "ðþæáéíóúýö",
    "àçèéíïòóúü", "éëïóöüáè",
)  # fmt: skip
CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž")
BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž")
TURKISH = ("çğıiöşüâîû",)
CYRILLIC = ("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
            "абвгдеёжзійклмнопрстуўфхцчшыьэюя", "абвгдђежзијклљмнњопрстћуфхцчџш")  # fmt: skip
GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ",)
HEBREW, ARABIC, THAI = (
    ("".join(map(chr, range(*ends))),) for ends in ((0x5B0, 0x5F5), (0x60C, 0x6FA), (0xE01, 0xE5C))
)
FREQUENT = {  # letters that together make three fifths of any text in the script
    CYRILLIC: "оеаинтсрвлкі", GREEK: "αοιετσνηυρπίάόέ", HEBREW: "יוהלאתבמרש", ARABIC: "اليمنوتربه",
    THAI: "ารนกอเง่มยลวดท้ัีิ",
}  # fmt: skip

ALPHABETS = {  # by encoding, the more usual first
    "cp1252": WESTERN, "cp1251": CYRILLIC, "cp1250": CENTRAL, "cp1253": GREEK, "cp1254": TURKISH,
    "cp1255": HEBREW, "cp1256": ARABIC, "cp1257": BALTIC, "cp874": THAI, "iso8859-2": CENTRAL,
    "iso8859-9": TURKISH, "koi8-r": CYRILLIC, "koi8-u": CYRILLIC, "cp866": CYRILLIC, "iso8859-5": CYRILLIC,
    "mac-roman": WESTERN, "mac-cyrillic": CYRILLIC, "cp850": WESTERN, "cp852": CENTRAL,
}  # fmt: skip
LEADS = {  # the first bytes of kana and the frequent half of the ideographs
    "cp932": b"\x82\x83" + bytes(range(0x88, 0x98)),
    "euc-kr": b"",
    "cp949": b"",
    "euc-jp": b"\xa4\xa5" + bytes(range(0xB0, 0xD0)),
    "gb18030": bytes(range(0xB0, 0xD8)),
    "big5": bytes(range(0xA4, 0xC7)),
    "big5hkscs": bytes(range(0xA4, 0xC7)),
}


def marked(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the beginning names, if there is one."""
    return next((name for mark, name in MARKS if head.startswith(mark)), None)


def may_begin_mark(head: bytes) -> bool:
    """Return whether more bytes could still complete a byte order mark."""
    return len(head) < 4 and any(mark.startswith(head) for mark, _ in MARKS)


def beside(encoding: str) -> str:
    """Return how to read texts of unknown encoding for a model whose text was in `encoding`."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:  # utf-8 and another one, or bytes
        return encoding if "," in encoding else "utf-8"
    return "utf-8" if name in ("utf-8", *(marked for _, marked in MARKS)) else f"utf-8,{encoding}"


def utf8_counts(data: bytes) -> tuple[int, int]:
    """Return how many characters beyond ASCII these bytes hold as UTF-8, and how many bytes are not UTF-8.

    A last character that is not complete counts as neither.
    """
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)
    bad = len(re.findall("[\udc80-\udcff]", text))
    return len(text) - len(text.encode("ascii", "ignore")) - bad, bad


def likely_encoding(sample: bytes) -> str | None:
    """Return the name of the encoding that these bytes most likely are in, or None; they may break off.

    Each candidate is judged by what it makes of the bytes beyond ASCII: letters of one language, no capitals
    inside words, the frequent half of the ideographs.
    """
    if re.search(rb"[\0-\x08]", sample):
        wide = _wide(sample)
        if wide or b"\0" in sample:
            return wide
    fits = {name: _letters_fit(sample, name) for name in ALPHABETS}
    fits |= {name: _leads_fit(sample, name) for name in LEADS}
    best = max(fits.values())
    return next(name for name, fit in fits.items() if fit >= best - NEAR) if best >= MIN_FIT else None


def _decoded(sample: bytes, encoding: str) -> str:
    """Decode strictly, but for a last character that is not complete."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""


def _letters_fit(sample: bytes, encoding: str) -> float:
    """Return the share of the bytes beyond ASCII that are letters of one language, where they may stand."""
    text, alphabets = _decoded(sample, encoding), ALPHABETS[encoding]
    frequent = FREQUENT.get(alphabets, "")
    good: Counter[str] = Counter()
    total, faults = 0, 0.0
    for (before, character), count in Counter(zip(" " + text, text, strict=False)).items():
        if character <= "\x7f":
            continue
        total += count
        if character.isupper() and before.islower():
            faults += 2 * count
        elif before.isalpha() and (
            character in OPENING or (frequent and before.isascii() and character.isalpha())
        ):
            faults += count
        else:
            faults += 0.1 * count * (character.isupper() and before.isupper())
            good[character if character in PUNCTUATION else character.lower()[0]] += count
    if not total:
        return 0.0
    fits = [sum(good[letter] for letter in alphabet) for alphabet in alphabets]
    fit = max(*fits, UNION * sum(good[letter] for letter in set("".join(alphabets))))
    if frequent:
        fit *= min(1, sum(good[letter] for letter in frequent) / 0.6 / max(1, max(fits)))
    return (sum(good[mark] for mark in PUNCTUATION) + fit - faults) / total


def _leads_fit(sample: bytes, encoding: str) -> float:
    """Return the share of the characters beyond ASCII that are frequent in the languages of `encoding`."""
    beyond = Counter(letter for letter in _decoded(sample, encoding) if letter > "\x7f")
    good = 0
    for letter, count in beyond.items():
        marks = "\u3000" <= letter <= "\u303f" or "\uff00" <= letter <= "\uff5e" or letter in PUNCTUATION
        if encoding in ("euc-kr", "cp949"):
            frequent = "가" <= letter <= "힣"
        else:
            code = letter.encode(encoding)
            frequent = len(code) == 2 and code[0] in LEADS[encoding]
            frequent = frequent and (encoding != "gb18030" or code[1] > 0xA0)
        good += count * (marks or frequent)
    return good / max(1, sum(beyond.values()))


def _wide(sample: bytes) -> str | None:
    """Return which UTF-16 or UTF-32 gives a plausible text, if one does."""
    fits = {}
    for encoding in WIDE:
        text = _decoded(sample, encoding)
        scripts = Counter(map(_script, text))
        (_, main), *_ = (scripts - Counter({"": scripts[""]})).most_common(1) or [("", 0)]
        common = sum(character in " \n,.、。，" for character in text)
        sound = not scripts["wrong"] and scripts[""] + main > 0.97 * len(text)
        if sound and (common or scripts[""] > len(text) / 2):
            fits[encoding] = common + scripts[""] / len(text)
    return max(fits, key=lambda encoding: fits[encoding]) if fits else None


def _script(character: str) -> str:
    """Return a name for characters that are used together; "" for those that every script uses."""
    point = ord(character)
    if character in "\t\n\r\f":
        return ""
    if unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs"):
        return "wrong"
    if point < 0x100 or 0x2010 <= point < 0x2070:
        return ""
    asian = 0x3000 <= point < 0xA000 or 0xAC00 <= point < 0xD7B0 or 0xFF00 <= point < 0xFFF0
    return "asian" if asian else str(point >> 8)
